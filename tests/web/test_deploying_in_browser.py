"""From a filter's page to a real Envoy and back by the pages alone, in a real browser, with and without JavaScript."""

import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.deploy.fleet import Envoy, Fleet, Upstream
from tests.deploy.test_live_envoy_grpc import xds_of
from tests.hub import HubProcess
from tests.web.browsing import LOOKS, Tab
from tests.web.deploying import FILTER, MESH, add_mesh, fill

WITHIN = 30_000  # milliseconds


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub that serves proxies over gRPC too, with the filter and a mesh that is away."""
    with HubProcess(tmp_path_factory.mktemp("edge") / "data", WASMHUB_XDS_LISTEN="127.0.0.1:0") as hub:
        with Fleet(hub, "fleet-of-the-pictures") as fleet:
            fill(fleet)
        add_mesh(hub)
        yield hub
        hub.check_log()


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    running = Upstream()
    yield running
    running.close()


@pytest.fixture
def fleet(edge: HubProcess) -> Iterator[Fleet]:
    """A fleet whose Envoys say over gRPC why they refuse."""
    with Fleet(edge, f"edge-{secrets.token_hex(3)}", transport="delta-grpc") as made:
        yield made


@pytest.fixture
def envoy(fleet: Fleet, tmp_path: Path, upstream: Upstream) -> Iterator[Envoy]:
    key = fleet.new_key()["key"]
    with Envoy(fleet, tmp_path / "envoy", upstream, key=key, xds=xds_of(fleet.hub)) as running:
        yield running


def stands(page: Page, headline: str, scripts: bool) -> None:
    """Waits until the page says so: by itself, or when it is looked at again."""
    sign = page.locator("#status")
    if scripts:
        expect(sign).to_have_text(headline, timeout=WITHIN)
        return
    for _ in range(60):
        if sign.inner_text() == headline:
            return
        page.wait_for_timeout(300)
        page.get_by_role("link", name="Look again").click()
    raise AssertionError(sign.inner_text())


def go_on(page: Page, button: str) -> None:
    page.get_by_role("button", name=button).click()


@pytest.mark.parametrize(("size", "scripts"), [("desktop", True), ("phone", False)])
def test_a_filter_is_deployed_refused_rolled_back_and_undeployed(
    chromium: Browser, tabs: list[Tab], fleet: Fleet, envoy: Envoy, size: str, scripts: bool
) -> None:
    tab = Tab(chromium, size, "light" if scripts else "dark", scripts=scripts)
    tabs.append(tab)
    tab.sign_in(fleet.hub, "admin", fleet.hub.admin_password)
    assert envoy.marks() == []
    deploy_by_form(tab, fleet, f"{size}-way")
    stands(tab.page, "Ready", scripts)
    envoy.shows("one")
    config = fleet.deployment("marks")["revision"]["config"]
    assert config == '{"name": "x-filter", "level": "warn", "hosts": ["shop.example", "edge.example"]}'
    tab.check(f"{size}-way-ready")
    tab.fits()

    deploy_what_is_refused(tab)
    stands(tab.page, "Stalled", scripts)
    see_the_refusal(tab, fleet, f"{size}-way")
    assert envoy.marks() == ["one"]

    page = tab.page
    page.locator("summary", has_text="Roll back to revision 1").click()
    go_on(page, "Roll back to 1")
    stands(page, "Ready", scripts)
    assert page.locator("#revisions").get_by_text("Rolled back by admin").count() == 1
    assert fleet.deployment("marks")["revision"]["number"] == 3 and envoy.marks() == ["one"]
    tab.check(f"{size}-way-back")

    page.locator("summary", has_text="Undeploy marks").click()
    page.get_by_label("Type marks to be sure").fill("mark")
    go_on(page, "Undeploy it")
    assert page.get_by_role("alert").first.inner_text() == "Type the name marks to undeploy it."
    page.get_by_label("Type marks to be sure").fill("marks")
    go_on(page, "Undeploy it")
    page.wait_for_url(f"**/deployments?target={fleet.name}*")
    envoy.shows()


def deploy_by_form(tab: Tab, fleet: Fleet, picture: str) -> None:
    """From the filter's page, with a config that is refused at first."""
    page = tab.page
    page.goto(f"{fleet.hub.url}/r/{FILTER}?version=1.0.0")
    page.get_by_role("link", name="Deploy", exact=True).click()
    page.get_by_label("Target").select_option(fleet.name)
    go_on(page, "Go on")
    assert page.get_by_label("Version (may").input_value() == "1.0.0"
    page.get_by_label("Name of the deployment").fill("marks")
    page.get_by_label("level").select_option("warn")
    go_on(page, "Look at what would happen")
    assert "is a required property" in page.locator(".reasons").inner_text()
    tab.check(f"{picture}-refused")
    tab.fits()
    go_on(page, "Change what was typed")
    assert page.get_by_label("level").input_value() == "warn"
    page.get_by_label("name", exact=True).fill("x-filter")
    page.get_by_label("hosts").fill("shop.example\nedge.example")
    go_on(page, "Look at what would happen")
    assert page.locator("#checks").inner_text() == "Nothing speaks against it"
    tab.check(f"{picture}-preview")
    tab.fits()
    go_on(page, "Deploy it")
    page.wait_for_url(f"**/targets/{fleet.name}/deployments/marks?done=deploy*")


def deploy_what_is_refused(tab: Tab) -> None:
    """Another version on the deployment's page, which keeps its config."""
    page = tab.page
    page.get_by_role("link", name="Change it").click()
    assert page.get_by_label("Version (may").input_value() == "1.0.0"
    page.get_by_label("Version (may").fill("3.0.0")
    assert page.get_by_label("name", exact=True).input_value() == "x-filter"
    go_on(page, "Look at what would happen")
    assert page.locator(".differences").inner_text().count("sha256:") == 2
    go_on(page, "Deploy it")


def see_the_refusal(tab: Tab, fleet: Fleet, picture: str) -> None:
    """Envoy's own words, on the pages of the deployment and of its target; ends on the former."""
    page = tab.page
    said = page.locator("#standing").inner_text()
    assert "edge-1 refused revision 2: Unable to create Wasm plugin" in said, said
    assert "Unable to create Wasm plugin" in page.locator("#proxies p.bad").inner_text()
    tab.check(f"{picture}-stalled")
    tab.fits()
    page.goto(f"{fleet.hub.url}/targets/{fleet.name}")
    assert "Refused marks, revision 2: Unable to create Wasm plugin" in page.locator("main").inner_text()
    tab.check(f"{picture}-target")
    tab.fits()
    page.goto(f"{fleet.hub.url}/targets/{fleet.name}/deployments/marks")


def test_what_others_do_shows_on_the_open_page(chromium: Browser, tabs: list[Tab], fleet: Fleet, envoy: Envoy) -> None:
    fleet.deploy("marks", f"{FILTER}:1.0.0", config={"name": "x"})
    tab = Tab(chromium)
    tabs.append(tab)
    tab.sign_in(fleet.hub, "admin", fleet.hub.admin_password)
    page = tab.page
    page.goto(f"{fleet.hub.url}/targets/{fleet.name}/deployments/marks")
    stands(page, "Ready", True)
    page.locator("summary", has_text="Undeploy marks").click()
    page.get_by_label("Type marks to be sure").fill("mar")

    fleet.deploy("marks", f"{FILTER}:2.0.0")
    expect(page.locator("#standing")).to_contain_text("run revision 2", timeout=WITHIN)
    expect(page.locator("#revisions li").first).to_contain_text(f"{FILTER}:2.0.0", timeout=WITHIN)
    assert page.get_by_label("Type marks to be sure").input_value() == "mar", "what is being typed stays"
    fleet.undeploy("marks")
    expect(page.locator("#gone")).to_be_visible(timeout=WITHIN)


PAGES = {
    "targets": "/targets",
    "fleet": "/targets/fleet-of-the-pictures",
    "mesh": f"/targets/{MESH}",
    "deployments": "/deployments",
    "deployments-narrowed": "/deployments?target=fleet-of-the-pictures&status=waiting",
    "no-deployment": "/deployments?repository=admin/none",
    "no-target": "/deployments?target=none",
    "deployment": "/targets/fleet-of-the-pictures/deployments/marks",
    "deployment-on-mesh": f"/targets/{MESH}/deployments/marks",
    "deployment-earlier-rollout": "/targets/fleet-of-the-pictures/deployments/marks?rollout=1",
    "rollouts": "/rollouts",
    "no-rollout": "/rollouts?state=done",
    "deploy-choice": f"/deploy?filter={FILTER}&version=2.0.0",
    "deploy-form": f"/targets/fleet-of-the-pictures/deploy?filter={FILTER}&version=1.0.0",
    "deploy-form-mesh": f"/targets/{MESH}/deploy?filter={FILTER}",
    "deploy-in-waves": f"/targets/fleet-of-the-pictures/deploy?filter={FILTER}&name=marks",
    "deploy-change": f"/targets/{MESH}/deploy?filter={FILTER}&name=marks",
    "absent-target": "/targets/none",
}


@pytest.fixture(scope="module")
def shown(edge: HubProcess) -> HubProcess:
    """The hub with deployments in several states."""
    with Fleet(edge, "fleet-of-others", envoy_version="1.20") as fleet:
        place = "/api/v1/targets/fleet-of-the-pictures/deployments/marks"
        for tag in ("1.0.0", "2.0.0"):
            body = {"reference": f"{FILTER}:{tag}", "config": {"name": f"x-{tag}", "level": "warn"}}
            assert fleet.http.put(place, json=body).status_code in (200, 201)
        rollout = fleet.http.put(place, json={"reference": f"{FILTER}:1.0.0", "rollout": {}}).json()["rollout"]
        aborted = fleet.http.post(f"/api/v1/rollouts/{rollout}/abort", json={"why": "too early"})
        assert (rollout, aborted.status_code) == (1, 200), aborted.text
        assert fleet.http.put(place, json={"reference": f"{FILTER}:1.0.0", "rollout": {}}).status_code == 200
        fleet.deploy("marks", f"{FILTER}:1.0.0", config={"name": "x"}, force=True)
        placed = {"namespace": "shop", "labels": {"app": "web"}, "ports": [80, 8080]}
        body = {"reference": f"{FILTER}:1.0.0", "config": {"name": "x"}, "placement": placed}
        made = fleet.http.put(f"/api/v1/targets/{MESH}/deployments/marks", json=body)
        assert made.status_code == 201, made.text
    return edge


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_every_page_fits_and_is_whole(
    chromium: Browser, tabs: list[Tab], shown: HubProcess, size: str, scheme: str
) -> None:
    tab = Tab(chromium, size, scheme)
    tabs.append(tab)
    tab.sign_in(shown, "admin", shown.admin_password)
    for name, path in PAGES.items():
        tab.look(shown.url + path, f"{name}-{size}-{scheme}")
        tab.fits()
        for tick in tab.page.locator("#staged").all():  # what it hides is to be seen too
            tick.check()
            tab.check(f"{name}-staged-{size}-{scheme}")
            tab.fits()
        tab.open_all(f"{name}-open-{size}-{scheme}")
    page = tab.page

    page.goto(f"{shown.url}/targets/{MESH}")
    go_on(page, "Ask the target now")
    assert "cannot be reached" in page.get_by_role("alert").inner_text()
    tab.check(f"mesh-asked-{size}-{scheme}")
    tab.fits()

    page.goto(f"{shown.url}/targets/{MESH}/deploy?filter={FILTER}&version=1.0.0&name=marks")
    assert page.get_by_label("Workloads with the labels").input_value() == "app=web"
    page.get_by_label("most").fill("3")
    page.get_by_role("textbox", name="rules").fill('[{"host": "x"}]')
    go_on(page, "Write the config as JSON")
    assert '"rules": [' in page.get_by_label("What the filter is given").input_value()
    tab.check(f"deploy-as-json-{size}-{scheme}")
    tab.fits()
    go_on(page, "Fill the config into fields")
    assert page.get_by_label("most").input_value() == "3"
    page.get_by_label("Ports").fill("none")
    go_on(page, "Look at what would happen")
    assert page.get_by_role("alert").inner_text().startswith("The field 'Ports' must be port numbers")
    tab.check(f"deploy-mistyped-{size}-{scheme}")
    page.get_by_label("Ports").fill("8080")
    go_on(page, "Look at what would happen")
    assert page.locator("#objects").count() == 1
    assert re.search("would change there is not known", page.locator("main").inner_text())
    tab.check(f"deploy-foreseen-{size}-{scheme}")
    tab.fits()
