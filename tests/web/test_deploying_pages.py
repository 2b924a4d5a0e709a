"""The pages of targets and deployments as programs see them: who sees what, what is typed wrong, lists by the page."""

import re
import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.auth.people import PASSWORD
from tests.deploy.fleet import Fleet, header_filter
from tests.hub import HubProcess
from tests.web.deploying import FILTER, MESH, crewed_hub
from tests.web.people_pages import alert_of, done, forms_of, send, signed_in

TEAM = "edge-crew"
TARGET = "crew-fleet"
PAGE = f"/targets/{TARGET}/deployments/marks"
FORM = f"/targets/{TARGET}/deploy"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub with a team, its target, and a filter that everybody may read."""
    with crewed_hub(tmp_path_factory.mktemp("pages") / "data", TEAM, TARGET) as hub:
        yield hub


@pytest.fixture
def admin(running: HubProcess) -> Iterator[httpx.Client]:
    auth = ("admin", running.admin_password)
    with httpx.Client(base_url=running.url, auth=auth, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def marks(admin: httpx.Client) -> Iterator[str]:
    """A deployment with three revisions, on the team's target."""
    path = f"/api/v1/targets/{TARGET}/deployments/marks"
    for tag in ("1.0.0", "2.0.0", "3.0.0"):
        made = admin.put(path, json={"reference": f"{FILTER}:{tag}", "config": {"name": tag}})
        assert made.status_code in (200, 201), made.text
    yield path
    admin.delete(path)


@pytest.fixture
def browser(running: HubProcess) -> Iterator[httpx.Client]:
    """The team's maintainer."""
    with signed_in(running, "maintainer", PASSWORD) as client:
        yield client


def test_who_may_not_deploy_looks_and_has_no_buttons(running: HubProcess, marks: str) -> None:
    with signed_in(running, "reader", PASSWORD) as reader:
        page = reader.get(PAGE)
        assert forms_of(page) == set() and "What it changed" in page.text
        assert "/modules/" not in page.text, "the grant lets anybody fetch the module"
        assert TARGET in reader.get("/targets").text and TARGET in reader.get("/deployments").text
        assert send(reader, PAGE, "undeploy").status_code == 403
        assert reader.get(f"{FORM}?filter={FILTER}").status_code == 403
        assert "There is no target that you may deploy to" in reader.get("/deploy").text
    with signed_in(running, "maintainer", PASSWORD) as maintainer:
        assert forms_of(maintainer.get(PAGE)) == {"rollback", "undeploy"}
        assert f"<option>{TARGET}</option>" in maintainer.get("/deploy").text


def test_to_strangers_there_is_nothing(running: HubProcess, marks: str) -> None:
    with signed_in(running, "stranger", PASSWORD) as stranger:
        for path in (PAGE, f"/targets/{TARGET}", f"{FORM}?filter={FILTER}", f"/deployments?target={TARGET}"):
            hidden, absent = stranger.get(path), stranger.get(path.replace(TARGET, "no-fleet"))
            assert hidden.status_code == absent.status_code == 404, path
            assert hidden.text.replace(TARGET, "no-fleet") == absent.text, path
        assert TARGET not in stranger.get("/targets").text and "marks" not in stranger.get("/deployments").text
    with httpx.Client(base_url=running.url, trust_env=False) as nobody:
        for path in ("/targets", "/deployments", "/deploy", PAGE, f"/targets/{TARGET}", f"{FORM}?filter={FILTER}"):
            assert nobody.get(path).headers["location"].startswith("/sign-in?next=/"), path


def test_a_form_of_another_site_deploys_nothing(browser: httpx.Client, admin: httpx.Client, marks: str) -> None:
    typed = {"filter": FILTER, "version": "1.0.0", "name": "forged", "form": "deploy", "c-name": "x"}
    for csrf in ({}, {"csrf": "x"}):
        assert browser.post(FORM, data={**typed, **csrf}).status_code == 403
        for form in ("undeploy", "rollback"):
            data = {"form": form, "confirm": "marks", "revision": "1", **csrf}
            assert browser.post(PAGE, data=data).status_code == 403
    names = [one["name"] for one in admin.get(f"/api/v1/deployments?target={TARGET}").json()["deployments"]]
    assert names == ["marks"]
    assert admin.get(marks).json()["revision"]["number"] == 3


def test_all_reasons_at_once_and_what_forces(browser: httpx.Client, admin: httpx.Client) -> None:
    rules = {"envoy_version": "1.20", "max_filters": 1}
    assert admin.patch(f"/api/v1/targets/{TARGET}", json={"settings": rules}).status_code == 200
    beside = f"/api/v1/targets/{TARGET}/deployments/beside"
    assert admin.put(beside, json={"reference": f"{FILTER}:1.0.0", "config": {"name": "x"}}).status_code == 201
    try:
        typed: dict[str, Any] = {"filter": FILTER, "version": "1.0.0", "name": "forced", "config_as": "fields"}
        both = send(browser, FORM, "preview", **typed)
        assert "It cannot be deployed like this: 2 reasons" in both.text
        assert "is a required property" in both.text and "(max_filters); undeploy one, or ask" in both.text
        assert forms_of(both) == {"edit"}, "a config that does not fit cannot be forced"

        typed["c-name"] = "x"
        one = send(browser, FORM, "preview", **typed)
        assert "can be forced" in one.text and forms_of(one) == {"preview", "edit"}
        refused = send(browser, FORM, "deploy", **typed)
        assert refused.status_code == 422 and "(max_filters)" in refused.text
        forced = send(browser, FORM, "preview", **typed, force="yes")
        assert "forced: " in forced.text.lower() and forms_of(forced) == {"deploy", "edit"}
        there = done(browser, FORM, "deploy", **typed, force="yes")
        assert there == f"/targets/{TARGET}/deployments/forced?done=deploy"
        rows = admin.get("/api/v1/events?action=deployment.deploy&actor=maintainer").json()["events"]
        assert "max_filters" in rows[0]["detail"]["forced"][0]
    finally:
        admin.patch(f"/api/v1/targets/{TARGET}", json={"settings": {}})
        for name in ("beside", "forced"):
            admin.delete(f"/api/v1/targets/{TARGET}/deployments/{name}")


@pytest.mark.parametrize(
    ("typed", "status", "said"),
    [
        ({"name": "Marks!"}, 400, "'Marks!' is no name for a deployment: use lower-case letters"),
        ({"order": "first"}, 400, "Order must be a whole number from 1 to 9999."),
        ({"failure_policy": "FAIL"}, 400, "Failure_policy must be one of FAIL_CLOSED"),
        ({"version": "9.9.9"}, 404, f"{FILTER.capitalize()} has no 9.9.9; push it first."),
        ({"version": "sha256:beef"}, 400, f"'{FILTER}@sha256:beef' is no reference"),
        ({"c-most": "many"}, 400, "The field 'most' must be a whole number."),
    ],
)
def test_what_is_mistyped_is_said_and_kept(
    browser: httpx.Client, typed: dict[str, str], status: int, said: str
) -> None:
    page = send(browser, FORM, "preview", filter=FILTER, **{"version": "1.0.0", "name": "kept", **typed})
    assert page.status_code == status, page.text
    assert alert_of(page).startswith(said)
    for value in typed.values():
        assert value.replace("'", "&#39;") in page.text


def test_a_form_is_not_taken_for_what_it_is_not(browser: httpx.Client) -> None:
    assert send(browser, FORM, "other", filter=FILTER).status_code == 400
    assert send(browser, FORM, "preview", filter="no/such", name="x").status_code == 404
    assert send(browser, FORM, "preview", name="x").status_code == 400
    assert send(browser, FORM, "preview", filter=FILTER, name="x", config="y" * 1_100_000).status_code == 413
    many = {f"c-{number}": "x" for number in range(120)}
    assert send(browser, FORM, "preview", filter=FILTER, name="x", **many).status_code == 400
    assert browser.get("/deploy", params={"filter": "a/b", "target": "../x?y"}).headers["location"] == (
        "/targets/..%2Fx%3Fy/deploy?filter=a%2Fb"
    )


def test_rolling_back_and_changing(browser: httpx.Client, admin: httpx.Client, marks: str) -> None:
    assert done(browser, PAGE, "rollback", revision="1") == f"{PAGE}?done=rollback"
    assert admin.get(marks).json()["revision"]["reference"] == f"{FILTER}:1.0.0"
    gone = send(browser, PAGE, "rollback", revision="77")
    assert gone.status_code == 409 and "cannot go back to 77; earlier revisions: 3, 2, 1" in alert_of(gone)
    page = browser.get(f"{FORM}?filter={FILTER}&name=marks").text
    assert re.search(r'name="c-name"[^>]* value="1\.0\.0"', page) and re.search(r'name="order"[^>]* value="1"', page)
    assert re.search(r'name="version"[^>]* value="1\.0\.0"', page), "the version stays what it is"
    # What the fields cannot say is opened as JSON.
    assert admin.put(marks, json={"config": {"name": " x "}}).status_code == 200
    assert 'name="config_as" value="text"' in browser.get(f"{FORM}?filter={FILTER}&name=marks").text
    same = send(browser, FORM, "preview", filter=FILTER, name="marks", version="1.0.0", config='{"name": " x "}')
    assert "Nothing would change" not in same.text, "without config_as the fields count, and they are empty"
    assert "is a required property" in same.text


def test_lists_are_narrowed_and_paged(browser: httpx.Client, admin: httpx.Client, marks: str) -> None:
    big = f"big-{secrets.token_hex(3)}"
    body = {"name": big, "namespace": TEAM, "settings": {"slots": 32}}
    assert admin.post("/api/v1/targets", json=body).status_code == 201
    names = [f"one-{number:02}" for number in range(31)]
    for name in names:
        made = admin.put(
            f"/api/v1/targets/{big}/deployments/{name}", json={"reference": f"{FILTER}:1.0.0", "config": {"name": "x"}}
        )
        assert made.status_code == 201, made.text
    seen, path = [], f"/deployments?target={big}"
    for _ in range(3):
        page = browser.get(path).text
        seen += re.findall(rf'href="/targets/{big}/deployments/([^"]+)"', page)
        following = re.search(r'rel="next" href="([^"]+)"', page)
        if following is None:
            break
        path = following[1].replace("&amp;", "&")
    assert seen == names
    across, path = [], f"/deployments?repository={FILTER}&status=waiting"
    for _ in range(4):
        page = browser.get(path).text
        across += re.findall(r'href="/targets/([^"/]+)/deployments/([^"]+)"', page)
        following = re.search(r'rel="next" href="([^"]+)"', page)
        if following is None:
            break
        path = following[1].replace("&amp;", "&")
    assert across == [*((big, name) for name in names), (TARGET, "marks")]
    assert "Nothing like that runs" in browser.get("/deployments?status=ready").text
    assert "marks" in browser.get(f"/deployments?target={TARGET}&status=nonsense&after=%00").text
    assert f"All {len(names)} deployments" in browser.get(f"/targets/{big}").text
    for name in names:
        admin.delete(f"/api/v1/targets/{big}/deployments/{name}")
    admin.delete(f"/api/v1/targets/{big}")


def test_a_target_s_page_shows_rules_and_no_secret(running: HubProcess, admin: httpx.Client) -> None:
    key = admin.post("/api/v1/targets/own-fleet/keys").json()["key"]
    rules = {"policy": {"capabilities": {"http_calls": "deny"}}}
    set_rules = admin.patch("/api/v1/targets/own-fleet", json={"settings": rules})
    assert set_rules.status_code == 200, set_rules.text
    with signed_in(running, "admin", running.admin_password) as browser:
        page = browser.get("/targets/own-fleet").text
        assert "denies http_calls" in page and re.search(r"<dt>Keys</dt><dd>1</dd>", page)
        assert key not in page and "wasmhub targets keys create own-fleet" in page
        asked = send(browser, f"/targets/{MESH}", "reach")
        assert asked.status_code == 200 and "cannot be reached" in alert_of(asked)
        no_mesh = send(browser, "/targets/own-fleet", "reach")
        assert no_mesh.status_code == 409 and "is an Envoy fleet" in no_mesh.text


def test_no_page_runs_what_others_wrote(running: HubProcess, admin: httpx.Client) -> None:
    evil = "<script>alert(1)</script>"
    path = "/api/v1/targets/own-fleet/deployments/evil"
    with Fleet(running, f"spare-{secrets.token_hex(3)}") as spare:
        reference = spare.push("evil", "1", header_filter("evil"))
    made = admin.put(path, json={"reference": reference, "config": evil, "root_id": evil})
    assert made.status_code == 201, made.text
    with signed_in(running, "admin", running.admin_password) as browser:
        for page in (
            "/targets/own-fleet/deployments/evil",
            "/targets/own-fleet/deploy?filter=admin/evil&name=evil",
            "/deploy?filter=%3Cscript%3Ealert(1)%3C/script%3E",
            "/deployments?repository=%3Cscript%3Ealert(1)%3C/script%3E",
        ):
            text = browser.get(page).text
            assert "&lt;script&gt;alert(1)" in text and evil not in text, page
    admin.delete(path)
