"""The second factor in a real browser: set up by hand, signed in with, refused, and taken away by an administrator."""

import httpx
import pytest
from playwright.sync_api import Browser

from tests.auth.factors import PAGE, code_of
from tests.hub import HubProcess
from tests.web.browsing import LOOKS, Tab
from tests.web.catalogue import PASSWORD


@pytest.mark.parametrize(
    ("size", "scheme", "scripts"), [(*LOOKS[0], True), (*LOOKS[1], True), ("desktop", "dark", False)]
)
def test_from_setting_up_to_taking_away(
    chromium: Browser, tabs: list[Tab], empty: HubProcess, admin: httpx.Client, size: str, scheme: str, scripts: bool
) -> None:
    name, mark = f"tia-{size}-{scheme}", f"{size}-{scheme}"
    admin.post("/users", json={"name": name, "password": PASSWORD}).raise_for_status()
    tab = Tab(chromium, size, scheme, scripts=scripts)
    tabs.append(tab)
    page = tab.page
    codes = set_up(tab, empty, name, mark)

    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{empty.url}/sign-in?next={PAGE}")
    page.fill("#name", name)
    page.fill("#password", PASSWORD)
    page.press("#password", "Enter")
    page.get_by_label("Code").fill("000000")
    page.get_by_label("Code").press("Enter")
    assert "wrong" in page.get_by_role("alert").inner_text()
    tab.check(f"factor-step-{mark}")
    tab.fits()
    page.get_by_label("Code").fill(codes[0])
    page.get_by_label("Code").press("Enter")
    page.get_by_text("9 left").wait_for()
    for details in page.locator("main summary").all():
        details.click()
    tab.check(f"factor-on-{mark}")
    tab.fits()

    other = Tab(chromium, size, scheme)
    tabs.append(other)
    other.sign_in(empty, "admin", empty.admin_password)
    other.page.goto(f"{empty.url}/site/users/{name}")
    other.page.get_by_text("Remove the second factor").click()
    other.check(f"factor-lost-{mark}")
    other.fits()
    other.page.locator("#free-confirm").fill(name)
    other.page.get_by_role("button", name="Remove it").click()
    assert "password alone" in other.page.get_by_role("status").inner_text()
    page.goto(empty.url + PAGE)
    page.get_by_text("Set one up").wait_for()


def set_up(tab: Tab, hub: HubProcess, name: str, mark: str) -> list[str]:
    """Sets an authenticator app up, with a slip on the way, and answers the recovery codes."""
    page = tab.page
    tab.sign_in(hub, name, PASSWORD)
    page.goto(hub.url + PAGE)
    page.get_by_text("Set one up").click()
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_label("Your password").press("Enter")
    text = page.locator("#app code").inner_text()
    page.get_by_label("Code", exact=True).fill("000 000")
    page.get_by_label("Code", exact=True).press("Enter")
    assert "wrong" in page.get_by_role("alert").inner_text()
    tab.check(f"factor-scan-{mark}")
    tab.fits()
    page.get_by_label("Code", exact=True).fill(code_of(text))
    page.get_by_label("Code", exact=True).press("Enter")
    codes = page.locator(".secret code").inner_text().split()
    assert len(codes) == 10
    tab.check(f"factor-codes-{mark}")
    tab.fits()
    return codes
