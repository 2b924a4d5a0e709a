"""A deployment set over two fleets of real Envoys as it is seen and held on its page, in a real browser."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.deploy.fleet import Envoy, Fleet, Upstream
from tests.deploy.polling import Set
from tests.hub import HubProcess
from tests.web.browsing import Tab
from tests.web.deploying import FILTER, fill

WITHIN = 45_000  # milliseconds


class Shops:
    """Two fleets with an Envoy each, and a set whose first revision runs on both."""

    def __init__(self, fleets: list[Fleet], envoys: list[Envoy]) -> None:
        self.hub, self.fleets, self.envoys = fleets[0].hub, fleets, envoys
        self.name = f"set-{fleets[0].name}"
        self.set = Set(fleets[0].http, self.name)
        self.page = f"{self.hub.url}/sets/admin/{self.name}"

    def apply(self, tag: str, bake: str = "0s") -> None:
        """The filter on the first fleet, then on the second."""
        members = [{"target": one.name, "wave": number} for number, one in enumerate(self.fleets, 1)]
        self.set.apply(*members, reference=f"{FILTER}:{tag}", config={"name": "x"}, bake=bake)

    def show(self, first: str, second: str) -> None:
        """Waits until the Envoys add those marks."""
        for envoy, mark in zip(self.envoys, (first, second), strict=True):
            envoy.shows(mark)


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub with a filter in three versions."""
    with HubProcess(tmp_path_factory.mktemp("edge") / "data") as hub:
        with Fleet(hub, "spare-fleet") as fleet:
            fill(fleet)
        yield hub
        hub.check_log()


@pytest.fixture
def shops(edge: HubProcess, tmp_path: Path) -> Iterator[Shops]:
    with ExitStack() as stack:
        upstream = Upstream()
        stack.callback(upstream.close)
        fleets = [stack.enter_context(Fleet(edge, f"shop-{secrets.token_hex(3)}")) for _ in range(2)]
        envoys = []
        for fleet in fleets:
            (tmp_path / fleet.name).mkdir()
            key = fleet.new_key()["key"]
            envoys.append(stack.enter_context(Envoy(fleet, tmp_path / fleet.name, upstream, key=key)))
        made = Shops(fleets, envoys)
        made.apply("1.0.0")
        made.set.becomes("done", 60)
        made.show("one", "one")
        yield made


def test_a_set_is_seen_to_go_and_one_that_is_refused_to_come_back(
    chromium: Browser, tabs: list[Tab], shops: Shops
) -> None:
    tab = Tab(chromium)
    tabs.append(tab)
    tab.sign_in(shops.hub, "admin", shops.hub.admin_password)
    page = tab.page
    page.goto(shops.page)
    expect(page.locator("#status")).to_have_text("Ready")
    shops.apply("2.0.0", bake="5s")
    page.reload()
    expect(page.locator("#standing")).to_contain_text("watched for", timeout=WITHIN)
    expect(page.locator("#members .badge")).to_have_text("now")
    shops.show("two", "one")
    tab.check("set-first-wave-desktop")
    tab.fits()
    expect(page.locator("#status")).to_have_text("Ready", timeout=WITHIN)
    expect(page.locator("#timeline li").last).to_contain_text("All 2 deployments have revision 2.")
    expect(page.locator("#acts button")).to_have_count(0)
    shops.show("two", "two")

    shops.apply("3.0.0", bake="5s")
    page.reload()
    expect(page.locator("#timeline")).to_contain_text("All is back", timeout=WITHIN)
    expect(page.locator("#revisions li").first).to_contain_text("Halted and taken back")
    shops.show("two", "two")
    tab.check("set-taken-back-desktop")
    tab.fits()


@pytest.mark.parametrize(("size", "scripts"), [("desktop", True), ("phone", False)])
def test_one_is_paused_aborted_and_rolled_back_by_the_buttons(
    chromium: Browser, tabs: list[Tab], shops: Shops, size: str, scripts: bool
) -> None:
    tab = Tab(chromium, size, "dark", scripts=scripts)
    tabs.append(tab)
    tab.sign_in(shops.hub, "admin", shops.hub.admin_password)
    shops.apply("2.0.0", bake="1h")
    shops.show("two", "one")
    page = tab.page
    page.goto(f"{shops.hub.url}/sets")
    tab.check(f"sets-{size}-dark")
    tab.fits()
    page.get_by_role("link", name=shops.name).click()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#status")).to_have_text("Paused")
    page.locator("#acts summary", has_text="Abort").press("Enter")
    page.get_by_label("Why").fill("the shop is open")
    page.get_by_label("Take revision 2 back").check()
    tab.check(f"set-abort-{size}-dark")
    tab.fits()
    page.get_by_role("button", name="Abort it").press("Enter")
    expect(page.locator(".done")).to_contain_text("Aborted")
    shops.show("one", "one")
    shops.set.becomes("aborted")
    page.goto(shops.page)
    expect(page.locator("#status")).to_have_text("Ready")
    page.locator("#revisions summary", has_text="Roll back").first.press("Enter")
    page.get_by_role("button", name="Roll back to 1").press("Enter")
    expect(page.locator(".done")).to_contain_text("goes out again")
    shops.set.becomes("done", 60)
