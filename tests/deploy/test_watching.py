"""A deployment watched over server-sent events: at once, at each change, and no longer than it may be seen."""

import json
import threading
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from auth.door import ApiError
from auth.identity import Identity
from deploy.means import WATCHED, Streams
from tests.auth.people import PASSWORD, People
from tests.deploy.fleet import Fleet, header_filter, until
from tests.hub import HubProcess


def events_of(text: str) -> list[tuple[str, Any]]:
    """The events of an answer."""
    found = []
    for block in text.split("\n\n"):
        parts = dict(line.partition(": ")[::2] for line in block.splitlines())
        if "event" in parts:
            found.append((parts["event"], json.loads(parts["data"])))
    return found


def test_the_first_event_comes_at_once_and_others_with_each_change(fleet: Fleet) -> None:
    fleet.push("watched", "1", header_filter("one"))
    fleet.deploy("marks", "admin/watched:1")
    path = f"{fleet.path}/deployments/marks/events"
    once = fleet.http.get(f"{path}?seconds=0")
    assert once.headers["content-type"].startswith("text/event-stream")
    [(event, first)] = events_of(once.text)
    assert event == "deployment" and first["status"] == "waiting" and first["revision"]["number"] == 1

    changer = threading.Timer(1.5, lambda: fleet.deploy("marks", "admin/watched:1", config="a"))
    remover = threading.Timer(4, lambda: fleet.undeploy("marks"))
    changer.start()
    remover.start()
    seen = events_of(fleet.http.get(f"{path}?seconds=20").text)
    assert [event for event, _ in seen] == ["deployment", "deployment", "gone"]
    assert [said["revision"]["number"] for _, said in seen[:2]] == [1, 2]


def test_who_loses_the_right_sees_no_more(fleet: Fleet, hub: HubProcess, people: People) -> None:
    name = fleet.name.replace("edge", "watcher")
    people.user(name)
    people.team(f"{name}-team", **{name: "reader"})
    made = fleet.http.post("/api/v1/targets", json={"name": f"{name}-fleet", "namespace": f"{name}-team"})
    assert made.status_code == 201, made.text
    fleet.push("seen", "1", header_filter("one"))
    path = f"/api/v1/targets/{name}-fleet/deployments/marks"
    assert fleet.http.put(path, json={"reference": "admin/seen:1"}).status_code == 201

    def leave() -> None:
        assert fleet.http.delete(f"/api/v1/teams/{name}-team/members/{name}").status_code == 204

    with httpx.Client(base_url=hub.url, auth=(name, PASSWORD), timeout=30, trust_env=False) as watcher:
        assert watcher.get(f"{path}/events?seconds=0").status_code == 200
        leaving = threading.Timer(1, leave)
        leaving.start()
        seen = events_of(watcher.get(f"{path}/events?seconds=20").text)
        assert [event for event, _ in seen] == ["deployment", "gone"]
        assert watcher.get(f"{path}/events").status_code == 404
    fleet.http.delete(path)


def test_nobody_takes_all_the_places_of_those_who_watch(fleet: Fleet, hub: HubProcess) -> None:
    fleet.push("watched", "1", header_filter("one"))
    fleet.deploy("marks", "admin/watched:1")
    path = f"{fleet.path}/deployments/marks/events?seconds=60"
    token = fleet.http.post("/api/v1/user/tokens", json={"name": fleet.name}).json()["token"]
    with (
        httpx.Client(
            base_url=hub.url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
            trust_env=False,
            limits=httpx.Limits(max_connections=100),
        ) as client,
        ExitStack() as streams,
    ):
        opened = [streams.enter_context(client.stream("GET", path)) for _ in range(WATCHED)]
        assert {one.status_code for one in opened} == {200}
        refused = client.get(path)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_requests")
        assert f"you follow {WATCHED} deployments already" in refused.text and refused.headers["retry-after"]

        opened[0].close()
        until(lambda: client.get(f"{path[:-2]}0").status_code == 200, "who has left counts no more", seconds=3)


def test_places_are_counted_before_an_answer_begins_and_each_has_a_share() -> None:
    places = Streams("deployments", most=3, share=2)
    first = places.begin(Identity(1, "one"))
    places.begin(Identity(1, "one"))
    with pytest.raises(ApiError, match="you follow 2 deployments already") as mine:
        places.begin(Identity(1, "one"))
    last = places.begin(Identity(2, "two"))
    with pytest.raises(ApiError, match="too many deployments are being followed") as all_taken:
        places.begin(Identity(3, "three"))
    assert (mine.value.status, all_taken.value.status) == (429, 503)
    places.end(last)
    places.end(last)
    places.end(first)
    places.begin(Identity(1, "one"))
    places.begin(Identity(3, "three"))


def test_bad_requests_are_refused(fleet: Fleet) -> None:
    path = f"{fleet.path}/deployments"
    assert fleet.http.get(f"{path}/none/events").status_code == 404
    fleet.push("watched", "1", header_filter("one"))
    fleet.deploy("marks", "admin/watched:1")
    for query in ("seconds=61", "seconds=-1", "seconds=x", "second=1"):
        assert fleet.http.get(f"{path}/marks/events?{query}").status_code == 400, query
    assert httpx.get(f"{fleet.hub.url}{path}/marks/events", trust_env=False).status_code == 401
