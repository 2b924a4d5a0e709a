"""A team's way in a real browser: from two sign-ups to a robot that pushes with a real client, and to its end."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page

from tests.clients.home import ClientFailed, Home
from tests.clients.programs import login_crane, pull_crane, push_crane
from tests.hub import HubProcess
from tests.peers import built_filter
from tests.web.browsing import Tab
from tests.web.catalogue import PASSWORD


@pytest.fixture(scope="module")
def open_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub where everybody may sign up."""
    with HubProcess(tmp_path_factory.mktemp("open") / "data", WASMHUB_SIGN_UP="open") as hub:
        yield hub


@pytest.mark.parametrize("scripts", [True, False], ids=["desktop", "phone-without-javascript"])
def test_a_team_goes_from_sign_up_to_a_robots_push(
    chromium: Browser, tabs: list[Tab], open_hub: HubProcess, tmp_path: Path, scripts: bool
) -> None:
    word = "one" if scripts else "two"
    size = "desktop" if scripts else "phone"
    ann, bob = Tab(chromium, size, scripts=scripts), Tab(chromium, size, scripts=scripts)
    tabs.extend((ann, bob))
    ann.look(f"{open_hub.url}/sign-up")
    sign_up(ann.page, f"ann-{word}")
    ann.page.locator(".who").click()
    ann.page.get_by_role("link", name="Teams", exact=True).click()
    ann.page.locator("summary", has_text="Make a team").click()
    ann.page.get_by_label("Name", exact=True).fill(f"edge-{word}")
    ann.page.get_by_role("button", name="Make it").click()
    ann.page.locator("summary", has_text="Invite somebody").click()
    ann.page.locator("#invite-role").select_option("writer")
    ann.page.get_by_role("button", name="Make the link").click()

    bob.look(ann.page.locator(".secret code").inner_text())
    sign_up(bob.page, f"bob-{word}")
    bob.look(f"{open_hub.url}/teams/edge-{word}")
    assert bob.page.get_by_text("You are writer").count() == 1
    bob.page.get_by_role("link", name="Robots", exact=True).click()
    assert bob.page.locator("summary", has_text="Make a robot").count() == 0

    token = make_robot(ann.page, f"repository:edge-{word}/*:push")
    ann.check()

    home = Home(tmp_path, open_hub.host)
    module = built_filter("add-header").read_bytes()
    login_crane(home, f"edge-{word}+ci", token)
    reference = f"{open_hub.host}/edge-{word}/add-header:v1"
    push_crane(home, reference, module)
    with pytest.raises(ClientFailed):
        push_crane(home, f"{open_hub.host}/ann-{word}/add-header:v1", module)

    bob.look(f"{open_hub.url}/r/edge-{word}/add-header")
    assert bob.page.locator("h1").inner_text().startswith(f"edge-{word}/add-header")
    stranger = httpx.get(f"{open_hub.url}/r/edge-{word}/add-header", trust_env=False)
    assert stranger.status_code == 404

    ann.page.get_by_role("link", name="ci", exact=True).click()
    ann.page.locator("summary", has_text="Delete the robot").click()
    ann.page.get_by_label("Type ci to be sure").fill("ci")
    ann.page.get_by_role("button", name="Delete ci").click()
    ann.page.get_by_text("No robot yet.").wait_for()
    with pytest.raises(ClientFailed):
        pull_crane(home, reference)


def sign_up(page: Page, name: str) -> None:
    """Fills in the form of somebody new."""
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Make my account").click()
    page.locator(".who").wait_for()


def make_robot(page: Page, scope: str) -> str:
    """Makes the robot `ci` on the page of its team, and answers its token."""
    page.get_by_role("link", name="Robots", exact=True).click()
    page.locator("summary", has_text="Make a robot").click()
    page.get_by_label("Name", exact=True).fill("ci")
    page.get_by_label("Role").select_option("writer")
    page.get_by_label("Only for").fill(scope)
    page.get_by_role("button", name="Make it").click()
    return page.locator(".secret code").inner_text()
