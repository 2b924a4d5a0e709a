"""Rollouts over the API with nodes that poll by hand: fields, refusals, who gets what, and what the audit log says."""

import secrets
from typing import Any

import httpx
import pytest

from deploy.fleets.ecds import content_of
from deploy.rollouts.waves import place_of
from tests.deploy.fleet import Fleet, header_filter, until
from tests.deploy.polling import Polling, Set
from tests.deploy.test_polls import Node, is_empty
from tests.hub import HubProcess


def begin(fleet: Fleet, *nodes: Node, **rollout: Any) -> int:
    """A deployment with a second revision on its way; the nodes run the first."""
    for tag in ("1", "2"):
        fleet.push(f"r-{fleet.name}", tag, header_filter(f"v{tag}"))
    fleet.deploy("marks", f"admin/r-{fleet.name}:1")
    for node in nodes:
        assert node.poll() is not None and node.poll() is None
    made = fleet.deploy("marks", f"admin/r-{fleet.name}:2", rollout=rollout)
    assert made["status"] in ("progressing", "waiting")
    number: int = made["rollout"]
    return number


@pytest.mark.parametrize(
    ("rollout", "says"),
    [
        ([], "rollout must be an object"),
        ({"wave": [100]}, "there is no field 'wave'"),
        ({"waves": []}, "waves must be rising"),
        ({"waves": [20, 50]}, "end with 100"),
        ({"waves": [50, 50, 100]}, "waves must be rising"),
        ({"waves": [0, 100]}, "waves must be rising"),
        ({"waves": ["20", 100]}, "waves must be rising"),
        ({"waves": [True, 100]}, "waves must be rising"),
        ({"waves": 100}, "waves must be rising"),
        ({"bake": 60}, "bake must be a time"),
        ({"bake": "0s"}, "bake must be a time"),
        ({"bake": "8d"}, "bake must be a time"),
        ({"bake": "60"}, "bake must be a time"),
        ({"limits": []}, "limits must be an object"),
        ({"limits": {"error": 1}}, "there is no field 'error'"),
        ({"limits": {"errors": -1}}, "limits.errors must be a number from 0 to 100"),
        ({"limits": {"requests": "many"}}, "limits.requests must be a number"),
    ],
)
def test_what_cannot_be_meant_is_refused(fleet: Fleet, rollout: Any, says: str) -> None:
    answer = fleet.put("marks", reference="admin/none:1", rollout=rollout)
    assert answer.status_code == 400 and says in answer.text, answer.text


def test_a_rollout_moves_nothing(fleet: Fleet) -> None:
    reference = fleet.push(f"r-{fleet.name}", "1", header_filter("v1"))
    fleet.deploy("marks", reference)
    fleet.deploy("beside", reference)
    between = fleet.put("new", reference=reference, order=1, rollout={})
    assert between.status_code == 409, "another has that order"
    fleet.http.put(f"{fleet.path}/deployments/beside", json={"order": 9})
    between = fleet.put("new", reference=reference, order=5, rollout={})
    assert between.status_code == 409 and "at order 5 another filter" in between.text, between.text
    moved = fleet.put("marks", order=5, rollout={})
    assert moved.status_code == 400 and "change its order by itself" in moved.text
    assert fleet.deployment("marks")["rollout"] is None
    assert fleet.http.get(f"/api/v1/rollouts?target={fleet.name}").json() == {"rollouts": []}


def test_proxies_that_read_files_get_no_waves(hub: HubProcess) -> None:
    with Fleet(hub, f"files-{secrets.token_hex(4)}", transport="file") as fleet:
        reference = fleet.push(f"r-{fleet.name}", "1", header_filter("v1"))
        fleet.deploy("marks", reference)
        refused = fleet.put("marks", reference=reference, rollout={})
        assert (
            refused.status_code == 409
            and "which of them has a version, whether it took it and how requests do with it is not known"
            in refused.text
        )


def test_a_first_deployment_reaches_nodes_in_waves_and_goes_back_to_nothing(fleet: Fleet) -> None:
    """Nodes that it has not come to have what they had; what was taken back stays to be looked at, and runs nowhere."""
    for tag in ("1", "2"):
        fleet.push(f"r-{fleet.name}", tag, header_filter(f"v{tag}"))
    key = fleet.new_key()["key"]
    nodes = [Node(fleet, key, f"edge-{number}") for number in range(5)]
    assert [is_empty(node.poll()) for node in nodes] == [True] * 5
    made = fleet.deploy("marks", f"admin/r-{fleet.name}:1", rollout={"waves": [20, 100], "bake": "1h"})
    number = made["rollout"]

    def runs() -> list[str]:
        for node in [one for one in nodes for _ in range(2)]:
            node.poll()
        return sorted(content_of(one.version[1]).partition(".")[2].partition(".")[0] for one in nodes)

    until(lambda: runs() == ["", "", "", "", "r1"], "one node has it")
    found = until(lambda: _with(fleet, number, " s more"), "it is watched")
    assert found["from_revision"] == 0 and "1 of 1 proxies run it" in found["message"]
    assert fleet.deployment("marks")["message"].endswith("1 of 5 proxies run revision 1")
    late = (Node(fleet, key, f"late-{one}") for one in range(1000))
    first = next(place_of(number, one.name) for one in nodes if one.version[1] != "empty")
    assert is_empty(next(one for one in late if place_of(number, one.name) > first).poll()), "it opens its port without"

    aborted = fleet.http.post(f"/api/v1/rollouts/{number}/abort", json={"why": "the shop is open"}).json()
    assert aborted["state"] == "aborted" and aborted["back_revision"] is None
    until(lambda: runs() == [""] * 5, "all are back to nothing")
    left = fleet.deployment("marks")
    assert (left["status"], left["slot"], left["ended_at"], left["nodes"]) == ("stalled", None, None, [])
    says = f"aborted by admin: the shop is open; rollout {number} took revision 1 back, and nothing of it runs"
    assert left["message"].startswith(says)
    events = fleet.http.get(f"/api/v1/events?subject={fleet.name}/marks").json()["events"]
    assert [one["action"] for one in events[:2]] == ["deployment.undeploy", "rollout.abort"]
    assert fleet.http.post(f"{fleet.path}/deployments/marks/rollback").status_code == 409


def test_what_went_back_to_nothing_begins_anew_and_is_undeployed_for_good(fleet: Fleet) -> None:
    for tag in ("1", "2"):
        fleet.push(f"r-{fleet.name}", tag, header_filter(f"v{tag}"))
    node = Node(fleet, fleet.new_key()["key"], "edge-0")
    made = fleet.deploy("marks", f"admin/r-{fleet.name}:1", rollout={})
    assert fleet.http.post(f"/api/v1/rollouts/{made['rollout']}/abort").status_code == 200
    unsaid = fleet.put("marks", config={"a": 1})
    assert unsaid.status_code == 400 and "say in the field reference what is to" in unsaid.text, "it was taken back"
    fleet.deploy("other", f"admin/r-{fleet.name}:1")
    assert fleet.deployment("other")["slot"] == 1, "its slot is free, and so is its place in the order"
    again = fleet.deploy("marks", f"admin/r-{fleet.name}:2", rollout={"waves": [100], "bake": "1h"})
    assert (again["slot"], again["revision"]["order"]) == (2, 2)
    assert [one["number"] for one in fleet.deployment("marks")["revisions"]] == [2], "1 is nothing to go back to"
    assert is_empty(node.poll(2)), "the wave begins with the nodes that ask"

    def taken_back() -> dict[str, Any] | None:
        node.poll(2, takes=False)
        return _in(fleet, again["rollout"], "rolled-back", node)

    over = until(taken_back, "one that is refused is taken back too")
    assert over["message"].startswith("edge-0 refused revision 2")
    assert is_empty(Node(fleet, node.key, "edge-0").poll(2)), "one that starts now has nothing there"
    fleet.undeploy("marks")
    assert fleet.http.get(f"{fleet.path}/deployments/marks").status_code == 404
    assert fleet.http.get(f"/api/v1/rollouts/{made['rollout']}").status_code == 404


def test_a_set_whose_first_deployment_goes_out_in_waves_goes_back_to_nothing_with_it(fleet: Fleet) -> None:
    for tag in ("1", "2"):
        fleet.push(f"r-{fleet.name}", tag, header_filter(f"v{tag}"))
    made = Set(fleet.http, f"set-{fleet.name}")
    member, name = {"target": fleet.name, "rollout": {"bake": "1h"}}, f"set-{fleet.name}"

    def there() -> bool:
        return fleet.http.get(f"{fleet.path}/deployments/{name}").status_code == 200

    with Polling(fleet) as node:
        node.refuses = {1, 3}
        made.apply(member, reference=f"admin/r-{fleet.name}:1")
        back = made.becomes("rolled-back")
        assert "its rollout" in back["message"] and "refused revision 1" in back["message"], back
        assert fleet.deployment(name)["slot"] is None and back["members"][0]["revision"] is None
        made.apply(member, reference=f"admin/r-{fleet.name}:2")
        until(lambda: fleet.deployment(name)["rollout"], "it goes out again as a first one")
        assert made.post("abort").status_code == 200
        made.becomes("aborted")
        assert not there(), "what the set itself takes back is as it was before"
        node.refuses = {1}
        made.apply(member, reference=f"admin/r-{fleet.name}:1")
        made.becomes("rolled-back")
        assert there() and made.http.delete(made.path).is_success
        made.becomes(404)
        assert not there(), "what was left to be looked at goes with the set"


def test_only_nodes_of_the_wave_get_the_new_revision_and_all_get_the_old_one_back(fleet: Fleet) -> None:
    key = fleet.new_key()["key"]
    nodes = [Node(fleet, key, f"edge-{number}") for number in range(5)]
    number = begin(fleet, *nodes, waves=[20, 100], bake="1h")

    def runs() -> list[int]:
        for node in nodes:
            node.poll()
        return [int(node.version[1].split(".")[1][1:]) for node in nodes]

    until(lambda: sorted(runs()) == [1, 1, 1, 1, 2], "one node has it")
    runs()
    assert (
        fleet.deployment("marks")["message"] == f"rollout {number} is running in wave 1: 1 of 5 proxies run revision 2"
    )
    found = until(lambda: _with(fleet, number, " s more"), "it is watched")
    assert found["state"] == "running" and "1 of 1 proxies run it" in found["message"]
    assert "health is not known: no statistics" in found["message"]
    assert [one["id"] for one in fleet.http.get("/api/v1/rollouts?open=true").json()["rollouts"]].count(number) == 1

    busy = fleet.http.post(f"{fleet.path}/deployments/marks/rollback")
    assert busy.status_code == 409 and f"rollout abort {number}" in busy.text
    unsaid = fleet.http.post(f"/api/v1/rollouts/{number}/abort", json={"why": "two\nlines"})
    assert unsaid.status_code == 400
    assert fleet.http.post(f"/api/v1/rollouts/{number}/abort").status_code == 200
    until(lambda: runs() == [3] * 5, "all are back, by a revision of its own")
    runs()
    assert fleet.deployment("marks")["status"] == "ready"
    assert fleet.deployment("marks")["rollout"] is None
    assert fleet.http.post(f"/api/v1/rollouts/{number}/abort").status_code == 409

    events = fleet.http.get(f"/api/v1/events?subject={fleet.name}/marks").json()["events"]
    said = [(one["action"], one["detail"].get("rollout")) for one in events]
    assert said[:3] == [("deployment.rollback", number), ("rollout.abort", number), ("deployment.deploy", number)]


def test_a_refusal_without_words_halts_it_too(fleet: Fleet) -> None:
    node = Node(fleet, fleet.new_key()["key"], "edge-1")
    number = begin(fleet, node, waves=[100], bake="1h")
    until(lambda: node.poll(takes=False) is not None, "the new one is served")
    for _ in range(4):
        node.poll()
    over = until(lambda: _in(fleet, number, "rolled-back", node), "it is taken back")
    assert over["message"] == "edge-1 refused revision 2; see the proxy's log for why"
    assert [one["kind"] for one in over["events"]] == ["started", "wave", "halted", "rolled-back"]
    actions = [one["action"] for one in fleet.http.get(f"/api/v1/events?subject={fleet.name}/marks").json()["events"]]
    assert {"rollout.halt", "rollout.back", "deployment.refused"} <= set(actions)


def test_a_timeline_is_followed_as_events_and_goes_on_after_the_last_one_seen(fleet: Fleet) -> None:
    number = begin(fleet, waves=[100])
    path = f"/api/v1/rollouts/{number}"
    with fleet.http.stream("GET", f"{path}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        first = next(line for line in lines if line.startswith("id: "))
        assert next(lines) == "event: started"
        fleet.http.post(f"{path}/pause")
        fleet.http.post(f"{path}/abort")
        assert list(lines)[-3:-1] == ["event: end", "data: {}"]
    again = fleet.http.get(f"{path}/events", headers={"Last-Event-ID": first.removeprefix("id: ")}).text
    assert [line for line in again.splitlines() if line.startswith("event: ")] == [
        "event: paused",
        "event: aborted",
        "event: end",
    ]
    assert fleet.http.get(f"{path}/events", headers={"Last-Event-ID": "x"}).status_code == 400


def test_who_is_signed_out_follows_no_more(fleet: Fleet) -> None:
    path = f"/api/v1/rollouts/{begin(fleet)}"
    made = fleet.http.post("/api/v1/user/tokens", json={"name": f"{fleet.name}-follows"}).json()
    with httpx.Client(base_url=fleet.hub.url, headers={"Authorization": f"Bearer {made['token']}"}) as follower:
        with follower.stream("GET", f"{path}/events", timeout=10) as answer:
            lines = answer.iter_lines()
            assert "event: started" in (next(lines), next(lines), next(lines), next(lines))
            assert fleet.http.delete(f"/api/v1/user/tokens/{made['id']}").status_code == 204
            assert "event: end" not in list(lines), "it ends, although the rollout has not"
        assert follower.get(f"{path}/events").status_code == 401


def test_what_is_asked_wrongly_of_all_is_said(fleet: Fleet) -> None:
    answer = fleet.http.get("/api/v1/rollouts?open=yes")
    assert answer.status_code == 400 and "open must be one of true, false" in answer.text


@pytest.mark.parametrize("number", ["0", "x", "-1", "9" * 16, "9" * 40, "1%00"])
def test_there_is_no_such_rollout(fleet: Fleet, number: str) -> None:
    for method, ending in (("GET", ""), ("GET", "/events"), ("POST", "/abort")):
        assert fleet.http.request(method, f"/api/v1/rollouts/{number}{ending}").status_code == 404


def test_a_rollout_goes_with_its_deployment(fleet: Fleet) -> None:
    number = begin(fleet)
    fleet.undeploy("marks")
    assert fleet.http.get(f"/api/v1/rollouts/{number}").status_code == 404
    assert fleet.http.get(f"/api/v1/rollouts?target={secrets.token_hex(4)}").status_code == 404


def _with(fleet: Fleet, number: int, words: str) -> dict[str, Any] | None:
    found = dict(fleet.http.get(f"/api/v1/rollouts/{number}").json())
    return found if words in found["message"] else None


def _in(fleet: Fleet, number: int, state: str, node: Node) -> dict[str, Any] | None:
    node.poll()
    found = dict(fleet.http.get(f"/api/v1/rollouts/{number}").json())
    return found if found["state"] == state else None
