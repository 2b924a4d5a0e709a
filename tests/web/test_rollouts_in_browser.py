"""A rollout on real Envoys as it is seen and held on the pages, in a real browser, with and without JavaScript."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.deploy.fleet import Envoy, Fleet, Load, Upstream, ask, until
from tests.deploy.test_live_rollouts import start
from tests.hub import HubProcess
from tests.web.browsing import Tab
from tests.web.deploying import FILTER, fill

WITHIN = 45_000  # milliseconds
NODES = ("edge-1", "edge-2", "edge-3")


class Crew:
    """A fleet of three Envoys that run the first version."""

    def __init__(self, fleet: Fleet, envoys: list[Envoy]) -> None:
        self.fleet = fleet
        self.envoys = envoys
        self.page = f"{fleet.hub.url}/targets/{fleet.name}/deployments/marks"

    def marks(self) -> list[str]:
        """What each Envoy adds to an answer, sorted."""
        return sorted(mark for one in self.envoys for mark in ask(one.listening())[1])

    def becomes(self, *marks: str) -> None:
        """Waits until the Envoys add those."""
        until(lambda: self.marks() == [*marks], f"the Envoys show {marks}")


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub that serves proxies over gRPC, where they tell how they do."""
    with HubProcess(tmp_path_factory.mktemp("edge") / "data", WASMHUB_XDS_LISTEN="127.0.0.1:0") as hub:
        with Fleet(hub, "spare-fleet") as fleet:
            fill(fleet)
        yield hub
        hub.check_log()


@pytest.fixture
def crew(edge: HubProcess, tmp_path: Path) -> Iterator[Crew]:
    with ExitStack() as stack:
        upstream = Upstream()
        stack.callback(upstream.close)
        fleet = stack.enter_context(Fleet(edge, f"crew-{secrets.token_hex(3)}", transport="grpc"))
        key = fleet.new_key()["key"]
        envoys = [start(stack, fleet, tmp_path, upstream, key, node) for node in NODES]
        made = Crew(fleet, envoys)
        fleet.deploy("marks", f"{FILTER}:1.0.0", config={"name": "x"})
        made.becomes("one", "one", "one")
        yield made


def waves_of(page: Page) -> list[str]:
    """The row of waves, as it reads."""
    return [" ".join(one.split()) for one in page.locator("#rollout-now .waves li").all_inner_texts()]


def test_one_is_begun_in_the_form_and_seen_to_go_through_its_waves(
    chromium: Browser, tabs: list[Tab], crew: Crew
) -> None:
    tab = Tab(chromium)
    tabs.append(tab)
    tab.sign_in(crew.fleet.hub, "admin", crew.fleet.hub.admin_password)
    page = tab.page
    page.goto(crew.page)
    expect(page.locator("#rollout")).to_be_hidden()
    page.get_by_role("link", name="Change it").click()
    page.get_by_label("Version (may").fill("2.0.0")
    expect(page.get_by_label("Bake time")).to_be_hidden()
    page.get_by_label("In waves").check()
    page.get_by_label("Waves", exact=True).fill("30, 60, 100")
    page.get_by_label("Bake time").fill("6s")
    page.locator("summary", has_text="Limits").click()
    page.get_by_label("Requests").fill("20")
    tab.check("waves-form-desktop")
    tab.fits()
    page.get_by_role("button", name="Look at what would happen").click()
    assert (
        "watched for 6 s. Limits: errors 1, reloads 0, latency 100, requests 20." in page.locator("main").inner_text()
    )
    tab.check("waves-preview-desktop")

    with ExitStack() as stack:
        for envoy in crew.envoys:
            stack.enter_context(Load(envoy.listening(), 1))
        page.get_by_role("button", name="Deploy it").click()
        row = page.locator("#rollout-now .waves li")
        expect(row.nth(0)).to_contain_text("being watched", timeout=WITHIN)
        assert waves_of(page)[1:] == ["60% to come", "100% to come"] and crew.marks() == ["one", "one", "two"]
        tab.check("waves-first-desktop")
        tab.fits()
        expect(row.nth(1)).to_contain_text("being watched", timeout=WITHIN)
        assert waves_of(page)[0] == "30% healthy" and crew.marks() == ["one", "two", "two"]
        expect(page.locator("#rollout-now .stage")).to_have_text("Done", timeout=WITHIN)
    assert crew.marks() == ["two", "two", "two"] and waves_of(page) == ["30% healthy", "60% healthy", "100% healthy"]
    expect(page.locator("#rollout-timeline li").last).to_contain_text("Revision 2 runs on all 3 proxies.")
    expect(page.locator("#rollout-acts button")).to_have_count(0)
    expect(page.locator("#status")).to_have_text("Ready", timeout=WITHIN)
    tab.check("waves-done-desktop")

    # What begins while the page is open is seen as well.
    crew.fleet.deploy("marks", f"{FILTER}:1.0.0", rollout={"bake": "1h"})
    expect(page.locator("#rollout-title")).to_contain_text("revision 2 to 3", timeout=WITHIN)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#rollout-now .stage")).to_have_text("Paused")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    tab.check("waves-paused-desktop")


@pytest.mark.parametrize(("size", "scripts"), [("desktop", True), ("phone", False)])
def test_one_is_aborted_by_the_button(chromium: Browser, tabs: list[Tab], crew: Crew, size: str, scripts: bool) -> None:
    tab = Tab(chromium, size, "dark", scripts=scripts)
    tabs.append(tab)
    tab.sign_in(crew.fleet.hub, "admin", crew.fleet.hub.admin_password)
    crew.fleet.deploy("marks", f"{FILTER}:2.0.0", rollout={"bake": "1h"})
    crew.becomes("one", "one", "two")
    page = tab.page
    page.goto(f"{crew.fleet.hub.url}/rollouts?state=running")
    tab.check(f"rollouts-{size}-dark")
    tab.fits()
    page.get_by_role("link", name="marks").click()
    page.locator("#rollout summary", has_text="Abort").press("Enter")
    page.get_by_label("Why").fill("the shop is open")
    page.get_by_label("Take revision 2 back").check()
    tab.check(f"waves-abort-{size}-dark")
    tab.fits()
    page.get_by_role("button", name="Abort the rollout").press("Enter")
    expect(page.locator("#rollout-now .stage")).to_have_text("Aborted")
    assert "Aborted by admin: the shop is open." in page.locator("#rollout-timeline").inner_text()
    assert waves_of(page) == ["20% aborted", "50% never begun", "100% never begun"]
    crew.becomes("one", "one", "one")
    page.reload()
    tab.check(f"waves-aborted-{size}-dark")
    tab.fits()
