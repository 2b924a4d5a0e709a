"""The pages of rollouts as programs see them: who sees and holds one, and how one is asked for in the form."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.auth.people import PASSWORD
from tests.hub import HubProcess
from tests.web.deploying import FILTER, MESH, crewed_hub
from tests.web.people_pages import alert_of, done, forms_of, send, signed_in

TEAM = "wave-crew"
TARGET = "wave-fleet"
PAGE = f"/targets/{TARGET}/deployments/marks"
FORM = f"/targets/{TARGET}/deploy"
TYPED: dict[str, Any] = {"filter": FILTER, "version": "2.0.0", "name": "marks", "c-name": "x", "config_as": "fields"}
STAGED = {**TYPED, "rollout": "yes"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub with a team, its fleet, which no proxy asks for, and a filter that everybody may read."""
    with crewed_hub(tmp_path_factory.mktemp("pages") / "data", TEAM, TARGET) as hub:
        yield hub


@pytest.fixture
def browser(running: HubProcess) -> Iterator[httpx.Client]:
    """The team's maintainer."""
    with signed_in(running, "maintainer", PASSWORD) as client:
        yield client


@pytest.fixture
def marks(browser: httpx.Client, running: HubProcess) -> Iterator[httpx.Client]:
    """The API, where `marks` runs on the fleet."""
    auth = ("admin", running.admin_password)
    with httpx.Client(base_url=f"{running.url}/api/v1", auth=auth, timeout=30, trust_env=False) as api:
        made = api.put(PAGE, json={"reference": f"{FILTER}:1.0.0", "config": {"name": "x"}})
        assert made.status_code == 201, made.text
        yield api
        api.delete(PAGE)


@pytest.fixture
def rollout(marks: httpx.Client) -> str:
    """The number of a rollout that is under way."""
    made = marks.put(PAGE, json={"reference": f"{FILTER}:2.0.0", "rollout": {"bake": "1h"}})
    assert made.status_code == 200, made.text
    return str(made.json()["rollout"])


def numbers(browser: httpx.Client, path: str) -> list[str]:
    """The rollouts that a list shows."""
    return re.findall(r"\?rollout=(\d+)#", browser.get(path).text)


def test_who_may_not_deploy_sees_it_and_holds_nothing(running: HubProcess, rollout: str, marks: httpx.Client) -> None:
    with signed_in(running, "reader", PASSWORD) as reader:
        page = reader.get(PAGE)
        assert forms_of(page) == set() and f"Rollout {rollout}" in page.text and "to come" in page.text
        assert f"?rollout={rollout}" in reader.get("/rollouts").text
        for form in ("pause", "resume", "abort"):
            assert send(reader, PAGE, form, rollout=rollout, sure="yes").status_code == 403
    with signed_in(running, "stranger", PASSWORD) as stranger:
        assert (
            PAGE not in stranger.get("/rollouts").text
            and "Nothing has been rolled out" in stranger.get("/rollouts").text
        )
        hidden, absent = stranger.get(f"/rollouts?target={TARGET}"), stranger.get("/rollouts?target=no-fleet")
        assert hidden.status_code == absent.status_code == 404
        assert hidden.text.replace(TARGET, "no-fleet") == absent.text
        assert send(stranger, PAGE, "abort", rollout=rollout, sure="yes").status_code == 404
    with httpx.Client(base_url=running.url, trust_env=False) as nobody:
        assert nobody.get("/rollouts").headers["location"] == "/sign-in?next=/rollouts"
    assert marks.get(f"/rollouts/{rollout}").json()["state"] == "running"


def test_it_is_paused_resumed_and_aborted(browser: httpx.Client, rollout: str, marks: httpx.Client) -> None:
    here = {"rollout": rollout}
    assert forms_of(browser.get(PAGE)) == {"pause", "abort", "rollback", "undeploy"}
    assert browser.post(PAGE, data={"form": "abort", "sure": "yes", **here}).status_code == 403, "no token of the page"

    assert done(browser, PAGE, "pause", **here) == f"{PAGE}#rollout"
    assert "resume" in forms_of(browser.get(PAGE)) and "Paused by maintainer." in browser.get(PAGE).text
    again = send(browser, PAGE, "pause", **here)
    assert again.status_code == 409 and "is paused, and only one that is running" in alert_of(again)
    done(browser, PAGE, "resume", **here)

    unsure = send(browser, PAGE, "abort", **here)
    assert unsure.status_code == 400 and alert_of(unsure) == "Say that you are sure to abort it: tick the box."
    assert marks.get(f"/rollouts/{rollout}").json()["state"] == "running"
    assert done(browser, PAGE, "abort", sure="yes", why="<b>shop</b> opens", **here) == f"{PAGE}?done=abort"
    page = browser.get(PAGE)
    assert "Aborted by maintainer: &lt;b&gt;shop&lt;/b&gt; opens." in page.text and "abort" not in forms_of(page)
    assert marks.get(PAGE).json()["revision"]["action"] == "rollback"
    over = send(browser, PAGE, "abort", sure="yes", **here)
    assert over.status_code == 409 and "is over" in alert_of(over)


def test_a_number_of_another_deployment_is_none_here(browser: httpx.Client, rollout: str, marks: httpx.Client) -> None:
    beside = PAGE.replace("marks", "beside")
    assert marks.put(beside, json={"reference": f"{FILTER}:1.0.0", "config": {"name": "y"}}).status_code == 201
    try:
        for number in (rollout, "999999", "x", ""):
            answer = send(browser, beside, "pause", rollout=number)
            assert answer.status_code == 404 and "rollout" in alert_of(answer), number
        for number in (rollout, "999999", "%00"):
            assert browser.get(f"{beside}?rollout={number}").status_code == 404
        assert 'id="rollout" aria-label="Rollout" hidden' in browser.get(beside).text
    finally:
        marks.delete(beside)


def test_earlier_ones_are_a_link_away(browser: httpx.Client, rollout: str, marks: httpx.Client) -> None:
    done(browser, PAGE, "abort", rollout=rollout, sure="yes")
    newer = str(marks.put(PAGE, json={"reference": f"{FILTER}:2.0.0", "rollout": {}}).json()["rollout"])
    page = browser.get(PAGE).text
    assert f"Rollout {newer}" in page and "All 2 rollouts of marks" in page
    earlier = browser.get(f"{PAGE}?rollout={rollout}")
    assert (
        f'Rollout {rollout} <span class="aside">an earlier one' in earlier.text and "The newest rollout" in earlier.text
    )
    assert "abort" not in forms_of(earlier)

    assert numbers(browser, f"/rollouts?target={TARGET}&deployment=marks") == [newer, rollout]
    assert numbers(browser, "/rollouts?state=aborted") == [rollout] and numbers(
        browser, "/rollouts?state=nonsense"
    ) == [newer, rollout]
    assert "No rollout is like that" in browser.get("/rollouts?state=done").text


def test_the_form_previews_and_begins_one(browser: httpx.Client, marks: httpx.Client) -> None:
    assert "In waves" in browser.get(f"{FORM}?filter={FILTER}&name=marks").text
    assert "In waves" in browser.get(f"{FORM}?filter={FILTER}&name=new").text, "a first one too"
    wanted = {"waves": "10, 60%,100", "bake": "10m", "limit-errors": "0.5", "limit-latency": ""}
    page = send(browser, FORM, "preview", **STAGED, **wanted)
    assert page.status_code == 200 and "Each wave is watched for 600 s. Limits: errors 0.5, reloads 0," in page.text
    assert forms_of(page) == {"deploy", "edit"}
    back = send(browser, FORM, "edit", **STAGED, **wanted)
    assert 'value="10, 60%,100"' in back.text and 'name="rollout" type="checkbox" value="yes" checked' in back.text

    assert done(browser, FORM, "deploy", **STAGED, **wanted) == f"{PAGE}?done=deploy"
    made = marks.get(f"/rollouts/{marks.get(PAGE).json()['rollout']}").json()
    assert (made["waves"], made["bake_seconds"], made["created_by"]) == ([10, 60, 100], 600, "maintainer")
    assert made["limits"] == {"errors": 0.5, "reloads": 0, "latency": 100, "requests": 50}

    beside = send(browser, FORM, "preview", **TYPED)
    assert beside.status_code == 409 and "is being rolled out" in alert_of(beside)


def test_a_first_one_is_begun_taken_back_and_stays_to_be_looked_at(browser: httpx.Client, marks: httpx.Client) -> None:
    assert marks.delete(PAGE).status_code == 204
    done(browser, FORM, "deploy", **STAGED, waves="50,100", bake="10m")
    number = str(marks.get(PAGE).json()["rollout"])
    page = browser.get(PAGE).text
    assert "nothing to revision 1" in page and "Every proxy drops it. Nothing ran there before." in page
    done(browser, PAGE, "abort", rollout=number, sure="yes")
    page = browser.get(f"{PAGE}?done=abort").text
    for said in (
        ">Aborted. Every proxy drops it.<",
        "Stalled",
        "and nothing of it runs",
        "drops it when it asks",
        "Change it",
    ):
        assert said in page, said
    assert "What runs" not in page and "What was taken back" in page and 'class="badge">current' not in page
    assert "roll back" not in page, "there is nothing to go back to"
    assert f"Rollout {number}" in page and "Nothing to revision 1" in browser.get("/rollouts").text
    anew = send(browser, FORM, "preview", **STAGED, waves="50,100", bake="10m").text
    assert "marks is new on wave-fleet." in anew and "Nothing would change" not in anew


def test_without_the_tick_all_get_it_at_once(browser: httpx.Client, marks: httpx.Client) -> None:
    done(browser, FORM, "deploy", **TYPED, waves="nonsense", bake="never")
    assert marks.get(PAGE).json()["rollout"] is None


@pytest.mark.parametrize(
    ("typed", "status", "said"),
    [
        ({"waves": "50,20"}, 400, "Waves must be rising whole numbers of percent"),
        ({"waves": "some"}, 400, "Waves must be rising whole numbers of percent"),
        ({"bake": "long"}, 400, "Bake must be a time of at most 7 days"),
        ({"limit-errors": "few"}, 400, "The field 'errors' must be a number"),
        ({"limit-errors": "101"}, 400, "Limits.errors must be a number from 0 to 100"),
        ({"limit-nothing": "1"}, 400, "There is no field 'nothing' here"),
        ({"order": "7"}, 400, "A rollout cannot move a filter past others"),
    ],
)
def test_what_cannot_be_is_said_before(
    browser: httpx.Client, marks: httpx.Client, typed: dict[str, str], status: int, said: str
) -> None:
    for form in ("preview", "deploy"):
        page = send(browser, FORM, form, **{**STAGED, **typed})
        assert page.status_code == status and alert_of(page).startswith(said), page.text
    assert marks.get(PAGE).json()["revision"]["number"] == 1


def test_a_mesh_has_no_waves(running: HubProcess) -> None:
    with signed_in(running, "admin", running.admin_password) as browser:
        form = f"/targets/{MESH}/deploy"
        assert "In waves" not in browser.get(f"{form}?filter={FILTER}").text
        refused = send(browser, form, "preview", **STAGED)
        assert refused.status_code == 409 and "is a mesh, whose own control plane" in alert_of(refused)
