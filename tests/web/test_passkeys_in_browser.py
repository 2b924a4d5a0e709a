"""Passkeys in a real browser with an authenticator: made, used after the password, used alone, called off."""

import httpx
import pytest
from playwright.sync_api import Browser, CDPSession

from tests.auth.factors import PAGE
from tests.hub import HubProcess
from tests.web.browsing import LOOKS, Tab
from tests.web.catalogue import PASSWORD

OPTIONS = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


def plug_in(tab: Tab) -> tuple[CDPSession, str]:
    """Gives the tab's browser an authenticator."""
    browser = tab.context.new_cdp_session(tab.page)
    browser.send("WebAuthn.enable")
    return browser, browser.send("WebAuthn.addVirtualAuthenticator", {"options": OPTIONS})["authenticatorId"]


def sign_in(tab: Tab, url: str, name: str) -> None:
    """Types name and password."""
    tab.page.goto(f"{url}/sign-in")
    tab.page.fill("#name", name)
    tab.page.fill("#password", PASSWORD)
    tab.page.press("#password", "Enter")


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_made_and_used(
    chromium: Browser, tabs: list[Tab], empty: HubProcess, admin: httpx.Client, size: str, scheme: str
) -> None:
    name, mark, url = f"pia-{size}", f"{size}-{scheme}", empty.url.replace("127.0.0.1", "localhost")
    admin.post("/users", json={"name": name, "password": PASSWORD}).raise_for_status()
    tab = Tab(chromium, size, scheme)
    tabs.append(tab)
    page = tab.page
    session, authenticator = plug_in(tab)
    sign_in(tab, url, name)
    tab.page.wait_for_selector(".who")
    page.goto(url + PAGE)
    page.get_by_text("Add a passkey").click()
    page.get_by_label("Name").fill("laptop")
    page.locator("#passkey-begin-proof").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    tab.check(f"passkey-make-{mark}")
    page.get_by_role("button", name="Make the passkey").click()
    assert len(page.locator(".secret code").inner_text().split()) == 10
    made = session.send("WebAuthn.getCredentials", {"authenticatorId": authenticator})["credentials"]
    assert [one["rpId"] for one in made] == ["localhost"]
    page.goto(url + PAGE)
    for details in page.locator("main summary").all():
        details.click()
    tab.check(f"passkey-list-{mark}")
    tab.fits()

    page.get_by_role("button", name="Sign out").click()
    sign_in(tab, url, name)
    page.get_by_role("button", name="Use a passkey").wait_for()
    tab.check(f"passkey-step-{mark}")
    tab.fits()
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_selector(".who")

    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{url}/sign-in?next=/account")
    tab.check(f"passkey-alone-{mark}")
    session.send("WebAuthn.setUserVerified", {"authenticatorId": authenticator, "isUserVerified": False})
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.get_by_role("alert").wait_for()
    assert "called off" in page.get_by_role("alert").inner_text()
    session.send("WebAuthn.setUserVerified", {"authenticatorId": authenticator, "isUserVerified": True})
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url("**/account")
    assert page.locator(".who").inner_text().endswith(name)


def test_without_javascript_an_app_is_offered(
    chromium: Browser, tabs: list[Tab], empty: HubProcess, admin: httpx.Client
) -> None:
    url = empty.url.replace("127.0.0.1", "localhost")
    admin.post("/users", json={"name": "plain-pia", "password": PASSWORD}).raise_for_status()
    tab = Tab(chromium, scripts=False)
    tabs.append(tab)
    tab.page.goto(f"{url}/sign-in")
    assert not tab.page.get_by_text("Sign in with a passkey").is_visible()
    sign_in(tab, url, "plain-pia")
    tab.page.goto(url + PAGE)
    assert tab.page.get_by_text("Passkeys need JavaScript").is_visible()
    assert not tab.page.get_by_text("Add a passkey").is_visible()
    assert tab.page.get_by_text("Set one up").is_visible()
