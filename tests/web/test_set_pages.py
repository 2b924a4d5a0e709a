"""The pages of deployment sets as programs see them: who sees and holds one, and what cannot be is said."""

from collections.abc import Iterator

import httpx
import pytest

from tests.auth.people import PASSWORD
from tests.deploy.fleet import until
from tests.hub import HubProcess
from tests.web.deploying import FILTER, crewed_hub
from tests.web.people_pages import alert_of, done, forms_of, send, signed_in

TEAM, TARGET = "crew", "crew-fleet"
API = f"/sets/{TEAM}/limits"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub with a team, its fleet, which no proxy asks for, and a filter that everybody may read."""
    with crewed_hub(tmp_path_factory.mktemp("sets") / "data", TEAM, TARGET) as hub:
        yield hub


@pytest.fixture
def browser(running: HubProcess) -> Iterator[httpx.Client]:
    """The team's maintainer."""
    with signed_in(running, "maintainer", PASSWORD) as client:
        yield client


@pytest.fixture
def api(running: HubProcess) -> Iterator[httpx.Client]:
    """The API, where a set of the team is under way."""
    auth = ("maintainer", PASSWORD)
    with httpx.Client(base_url=f"{running.url}/api/v1", auth=auth, timeout=30, trust_env=False) as client:
        made = client.put(API, json=body("1.0.0"))
        assert made.status_code == 201, made.text
        yield client
        client.delete(API)
        until(lambda: client.get(API).status_code == 404, "it is gone")


def body(tag: str) -> dict[str, object]:
    """A set with two waves."""
    members = [{"target": TARGET}, {"target": TARGET, "deployment": "second", "wave": 2}]
    return {"reference": f"{FILTER}:{tag}", "config": {"name": "x"}, "members": members}


def test_who_may_not_deploy_sees_it_and_holds_nothing(running: HubProcess, api: httpx.Client) -> None:
    until(lambda: "wave 1 of 2" in api.get(API).json()["message"], "the first wave begins")
    with signed_in(running, "reader", PASSWORD) as reader:
        page = reader.get(API)
        assert page.status_code == 200 and forms_of(page) == set()
        assert "Under way" in page.text and "Wave 2" in page.text and "It is not deployed yet." in page.text
        assert f'href="{API}"' in reader.get("/sets").text
        for form in ("pause", "resume", "abort", "rollback", "delete"):
            assert send(reader, API, form, sure="yes", revision="1", confirm="limits").status_code == 403
    with signed_in(running, "stranger", PASSWORD) as stranger:
        assert API not in stranger.get("/sets").text and "There is none that you may see" in stranger.get("/sets").text
        hidden, absent = stranger.get(API), stranger.get(f"/sets/{TEAM}/absent")
        assert hidden.status_code == absent.status_code == 404
        assert hidden.text.replace("limits", "absent") == absent.text
        assert send(stranger, API, "abort", sure="yes").status_code == 404
    with httpx.Client(base_url=running.url, trust_env=False) as nobody:
        assert nobody.get("/sets").headers["location"] == "/sign-in?next=/sets"
        assert nobody.get(API).headers["location"] == f"/sign-in?next={API}"
    assert api.get(API).json()["state"] == "running"


def test_what_a_member_follows_by_itself_is_said_before_a_revision_ends_it(
    browser: httpx.Client, api: httpx.Client
) -> None:
    until(lambda: api.get(API).json()["members"][0]["revision"], "the first is deployed")
    follows = {"reference": f"{FILTER}:1.0.0", "follow": "tag"}
    assert api.put(f"/targets/{TARGET}/deployments/limits", json=follows).status_code == 200
    until(lambda: api.get(API).json()["state"] == "halted", "somebody else changed it")
    page = " ".join(browser.get(API).text.split())
    assert f"limits follows the tag {FILTER}:1.0.0 by itself; the next revision of the set ends that." in page


def test_it_is_paused_resumed_aborted_rolled_back_and_removed(browser: httpx.Client, api: httpx.Client) -> None:
    assert forms_of(browser.get(API)) == {"pause", "abort", "delete"}
    assert browser.post(API, data={"form": "abort", "sure": "yes"}).status_code == 403, "no token of the page"
    assert done(browser, API, "pause") == API
    assert "resume" in forms_of(browser.get(API)) and "Paused by maintainer." in browser.get(API).text
    again = send(browser, API, "pause")
    assert again.status_code == 409 and "is paused, and only one that is running" in alert_of(again)
    done(browser, API, "resume")

    unsure = send(browser, API, "abort")
    assert unsure.status_code == 400 and alert_of(unsure) == "Say that you are sure to abort it: tick the box."
    assert done(browser, API, "abort", sure="yes", why="<b>shop</b> opens") == f"{API}?done=abort"
    page = browser.get(API)
    assert "Aborted by maintainer: &lt;b&gt;shop&lt;/b&gt; opens." in page.text and "abort" not in forms_of(page)

    assert api.put(API, json=body("2.0.0")).status_code == 200
    done(browser, API, "abort", sure="yes")
    unknown = send(browser, API, "rollback", revision="9")
    assert unknown.status_code == 409 and "earlier revisions: 1" in alert_of(unknown)
    assert done(browser, API, "rollback", revision="1") == f"{API}?done=rollback"
    assert (api.get(API).json()["revision"], api.get(API).json()["action"]) == (3, "rollback")
    assert "As revision 1 was, by maintainer" in " ".join(browser.get(API).text.split())

    wrong = send(browser, API, "delete", confirm="limit")
    assert wrong.status_code == 400 and "ype the name limits" in alert_of(wrong)
    assert done(browser, API, "delete", confirm="limits") == "/sets"
    until(lambda: browser.get(API).status_code == 404, "it is gone")
    assert api.get(f"/deployments?target={TARGET}").json()["deployments"] == []
