"""Deployment sets over the API, on fleets whose nodes poll: waves, what halts them, the way back, and who may."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from copy import copy
from typing import Any

import httpx
import pytest

from tests.auth.people import People
from tests.deploy.fleet import Fleet, header_filter, until
from tests.deploy.polling import Polling, Set
from tests.hub import HubProcess


class World:
    """Two fleets with a node each, a filter in two versions, and a set."""

    def __init__(self, one: Fleet, two: Fleet, nodes: tuple[Polling, Polling]) -> None:
        self.one, self.two, self.nodes = one, two, nodes
        self.repository = f"s-{one.name}"
        for tag in ("1", "2"):
            one.push(self.repository, tag, header_filter(f"v{tag}"))
        self.set = Set(one.http, f"set-{one.name}")
        self.name = f"set-{one.name}"

    def apply(self, tag: str, **body: Any) -> dict[str, Any]:
        """The filter on the first fleet, then on the second."""
        return self.set.apply(*self.members(), reference=self.reference(tag), **body)

    def members(self) -> list[dict[str, Any]]:
        """One in each of two waves."""
        return [{"target": self.one.name, "wave": 1}, {"target": self.two.name, "wave": 2}]

    def reference(self, tag: str) -> str:
        """A version."""
        return f"admin/{self.repository}:{tag}"

    def numbers(self) -> list[int]:
        """Which revisions the deployments have."""
        return [fleet.deployment(self.name)["revision"]["number"] for fleet in (self.one, self.two)]

    def there(self) -> list[bool]:
        """Where it is deployed at all."""
        path = f"/deployments/{self.name}"
        return [fleet.http.get(fleet.path + path).status_code == 200 for fleet in (self.one, self.two)]


@pytest.fixture
def world(hub: HubProcess) -> Iterator[World]:
    with ExitStack() as stack:
        one, two = (stack.enter_context(Fleet(hub, f"edge-{secrets.token_hex(4)}")) for _ in range(2))
        nodes = stack.enter_context(Polling(one)), stack.enter_context(Polling(two))
        yield World(one, two, nodes)


def test_a_set_goes_out_wave_by_wave_and_goes_on_when_it_is_changed(world: World) -> None:
    made = world.apply("1", bake="1s")
    assert (made["state"], made["wave"], made["waves"], made["revision"]) == ("running", 0, 2, 1)
    first = world.set.says("watched for 1 s")
    assert first["status"] == "running" and world.there() == [True, False], "the second wave waits"
    done = world.set.becomes("done")
    assert done["status"] == "ready" and done["message"] == "2 of 2 deployments are ready with revision 1"
    assert [one["status"] for one in done["members"]] == ["ready", "ready"]
    waves = [(kind, wave) for wave in (1, 2) for kind in ("wave", "changed", "baking", "passed")]
    assert world.set.kinds(1) == [("started", 0), *waves, ("done", 2)]

    changed = world.apply("2", config={"a": 1})
    assert changed["revision"] == 2
    world.set.becomes("done")
    assert world.numbers() == [2, 2]
    assert world.two.deployment(world.name)["revision"]["config"] == '{"a": 1}'
    revisions = world.set.get()["revisions"]
    assert [(one["number"], one["state"], one["asked_by"]) for one in revisions] == [
        (2, "done", "admin"),
        (1, "done", "admin"),
    ]


def test_what_a_proxy_refuses_halts_the_set_and_the_next_wave_is_never_changed(world: World) -> None:
    world.apply("1")
    world.set.becomes("done")
    world.nodes[0].refuses = {2}
    world.apply("2")
    back = world.set.becomes("rolled-back")
    assert f"{world.one.name}/{world.name} is stalled: node edge-1 refused revision 2" in back["message"]
    assert world.numbers() == [3, 1], "the first went back, the second was never changed"
    runs = [fleet.deployment(world.name)["revision"]["digest"] for fleet in (world.one, world.two)]
    assert runs[0] == runs[1] and back["status"] == "ready"
    assert world.one.deployment(world.name)["revision"]["action"] == "rollback"
    assert [one["set_revision"] for one in back["members"]] == [1, 1]
    assert world.set.kinds(2) == [
        ("started", 0),
        ("wave", 1),
        ("changed", 1),
        ("halted", 1),
        ("back", 1),
        ("rolled-back", 1),
    ]
    events = world.one.http.get(f"/api/v1/events?subject=admin/{world.name}").json()["events"]
    assert [one["action"] for one in events][:3] == ["set.back", "set.halt", "set.apply"]


def test_the_first_deployment_goes_back_to_nothing(world: World) -> None:
    world.nodes[1].refuses = {1}
    world.apply("1")
    back = world.set.becomes("rolled-back")
    assert "is stalled" in back["message"] and world.there() == [False, False]
    order = [one["message"] for one in back["events"] if one["kind"] == "back"]
    assert [world.two.name in order[0], world.one.name in order[1]] == [True, True], "the last wave goes back first"


def test_a_set_that_is_to_stop_stays_as_it_is_and_is_resumed_or_aborted(world: World) -> None:
    world.nodes[1].refuses = {1}
    world.apply("1", on_failure="stop")
    stopped = world.set.becomes("stopped")
    assert "is stalled" in stopped["message"] and world.there() == [True, True]
    assert stopped["status"] == "stalled"
    assert world.set.post("resume").status_code == 200
    world.set.becomes("stopped")
    aborted = world.set.post("abort", why="not today")
    assert aborted.status_code == 200, aborted.text
    said = world.set.becomes("aborted")["message"]
    assert said == "revision 1 was taken back: aborted by admin: not today; nothing of it is deployed"
    assert world.there() == [False, False]
    assert world.set.post("abort").status_code == 409


def test_a_set_is_paused_resumed_and_changed_by_nobody_meanwhile(world: World) -> None:
    world.apply("1", bake="1s")
    assert world.set.post("pause").json()["state"] == "paused"
    busy = world.set.put(*world.members(), reference=world.reference("2"))
    assert busy.status_code == 409 and f"wasmhub sets abort admin/{world.name}" in busy.text
    again = world.set.post("pause")
    assert again.status_code == 409 and "only one that is running can be paused" in again.text
    assert world.set.post("rollback").status_code == 409
    assert world.there()[1] is False
    assert world.set.post("resume").json()["state"] == "running"
    world.set.becomes("done")


def test_a_set_goes_back_to_an_earlier_revision_also_where_a_target_is_closed(world: World) -> None:
    world.apply("1")
    world.set.becomes("done")
    world.apply("2")
    world.set.becomes("done")
    world.two.http.patch(world.two.path, json={"settings": {"freeze": {"why": "moving"}}})
    unknown = world.set.post("rollback", revision=9)
    assert unknown.status_code == 409 and "earlier revisions: 1" in unknown.text
    back = world.set.post("rollback")
    assert back.status_code == 200 and (back.json()["revision"], back.json()["action"]) == (3, "rollback"), back.text
    world.set.becomes("done")
    for fleet in (world.one, world.two):
        history = fleet.deployment(world.name)["revisions"]
        assert history[0]["digest"] == history[2]["digest"] != history[1]["digest"]


def test_a_closed_target_holds_its_member_back_and_fails_nothing(world: World) -> None:
    world.two.http.patch(world.two.path, json={"settings": {"freeze": {"why": "moving"}}})
    world.apply("1")
    held = world.set.says("is frozen: moving")
    assert held["state"] == "running" and held["wave"] == 2 and world.there() == [True, False]
    assert "is frozen: moving" in held["members"][1]["waits_for"]
    world.two.http.patch(world.two.path, json={"settings": {}})
    world.set.becomes("done")


def test_all_reasons_are_told_at_once_by_member_and_nothing_happens(world: World) -> None:
    world.two.deploy("other", world.reference("1"))
    world.one.http.patch(world.one.path, json={"settings": {"max_filters": 0, "freeze": {"why": "x"}}})
    refused = world.set.put(
        {"target": world.one.name},
        {"target": world.two.name, "deployment": "other"},
        {"target": world.two.name, "deployment": "third", "placement": {"namespace": "web"}, "wave": 2},
        reference=world.reference("1"),
    )
    assert refused.status_code in (400, 422), refused.text
    said = {one["member"]: one["message"] for one in refused.json()["error"]["reasons"]}
    assert "is not this set's" in said[f"{world.two.name}/other"]
    assert "there is no field 'namespace'" in said[f"{world.two.name}/third"]
    assert world.set.get()["state"] == 404 and world.there() == [False, False]


def test_what_a_set_has_no_more_is_undeployed_in_the_end_and_all_goes_with_it(world: World) -> None:
    world.apply("1")
    world.set.becomes("done")
    world.set.apply({"target": world.one.name}, reference=world.reference("2"))
    done = world.set.becomes("done")
    assert world.there() == [True, False] and len(done["members"]) == 1
    gone = world.set.http.delete(world.set.path)
    assert gone.status_code in (202, 204)
    until(lambda: world.set.get()["state"] == 404, "the set is gone")
    assert world.there() == [False, False]


def test_who_changes_a_deployment_meanwhile_halts_the_set_and_keeps_what_they_made(world: World) -> None:
    world.apply("1")
    world.set.becomes("done")
    world.apply("2", bake="1h")
    world.set.says("watched for")
    world.one.deploy(world.name, world.reference("1"), config="mine")
    back = world.set.becomes("rolled-back")
    assert "was changed by somebody else: it has revision 3, not 2" in back["message"]
    assert world.one.deployment(world.name)["revision"]["config"] == "mine"


def test_what_was_deployed_by_hand_in_the_place_of_a_member_is_refused_before_anything_happens(world: World) -> None:
    world.apply("1")
    world.set.becomes("done")
    world.two.undeploy(world.name)
    world.two.deploy(world.name, world.reference("1"))
    refused = world.set.put(*world.members(), reference=world.reference("2"))
    assert refused.status_code == 422 and "was deployed by itself" in refused.text, refused.text
    assert world.set.get()["revision"] == 1 and world.numbers() == [1, 1]


def test_members_without_room_on_their_fleet_are_refused_before_anything_happens(world: World) -> None:
    both = [{"target": world.one.name, "deployment": name} for name in ("a", "b")]
    order = world.set.put(*both, reference=world.reference("1"), order=5)
    assert order.status_code == 422 and "is that of a; choose another number" in order.text, order.text
    many = [{"target": world.one.name, "deployment": f"d{number}"} for number in range(9)]
    slots = world.set.put(*many, reference=world.reference("1"))
    assert slots.status_code == 422 and f"all 8 slots of target {world.one.name} are taken" in slots.text, slots.text
    assert world.set.get()["state"] == 404
    world.set.apply(*both, reference=world.reference("1"))


def test_what_is_stopped_goes_back_to_the_newest_that_went_through(world: World) -> None:
    for number, tag in enumerate(("1", "2"), 1):
        world.apply(tag)
        assert world.set.becomes("done")["revision"] == number
    world.nodes[0].refuses = {3}
    world.apply("1", on_failure="stop", config="x")
    world.set.becomes("stopped")
    back = world.set.post("rollback")
    assert back.status_code == 200, back.text
    assert world.set.get()["revisions"][0]["of"] == 2
    busy = world.set.post("rollback")
    assert busy.status_code == 409 and "is running: wait until that is done" in busy.text, busy.text


def test_the_way_out_is_named_where_a_target_of_an_earlier_revision_is_gone(world: World) -> None:
    first = world.members()[0]
    with Fleet(world.one.hub, f"gone-{world.one.name}", transport="file") as gone:
        world.set.apply(first, {"target": gone.name, "wave": 2}, reference=world.reference("1"))
        world.set.says("nobody has fetched the files")
        assert gone.http.get(f"{gone.path}/files", params={"folder": "/etc/envoy", "by": "me"}).status_code == 200
        world.set.becomes("done")
        world.set.apply(first, reference=world.reference("2"))
        world.set.becomes("done")
        until(lambda: gone.http.delete(gone.path).status_code == 204, "nothing is left there")
    back = world.set.post("rollback")
    assert back.status_code == 404 and "go back to another, or apply the set anew" in back.text, back.text


def test_two_sets_never_have_the_same_deployment(world: World) -> None:
    world.apply("1")
    other = Set(world.one.http, f"other-{world.one.name}")
    refused = other.put({"target": world.one.name, "deployment": world.name}, reference=world.reference("1"))
    assert refused.status_code == 422 and "another deployment set has" in refused.text


def test_a_rollout_of_a_member_is_part_of_its_wave(world: World) -> None:
    waves = {"waves": [50, 100], "bake": "1s"}
    members = [{"target": world.one.name, "rollout": waves}, {"target": world.two.name, "wave": 2}]
    world.set.apply(*members, reference=world.reference("1"))
    until(lambda: any(world.there()) and world.one.deployment(world.name)["rollout"], "the first goes in waves too")
    assert world.there() == [True, False]
    world.set.becomes("done")
    world.set.apply(*members, reference=world.reference("2"))
    until(lambda: world.one.deployment(world.name)["rollout"], "its rollout is under way")
    assert world.numbers()[1] == 1
    world.set.becomes("done")
    done = world.one.http.get(f"/api/v1/rollouts?target={world.one.name}").json()["rollouts"]
    assert [(one["state"], one["from_revision"]) for one in done] == [("done", 1), ("done", 0)]

    world.set.apply(*members, reference=world.reference("1"))
    number = until(lambda: world.one.deployment(world.name)["rollout"], "the next is under way")
    assert world.set.post("abort").status_code == 200
    world.set.becomes("aborted")
    assert world.one.http.get(f"/api/v1/rollouts/{number}").json()["state"] == "aborted"
    assert world.numbers() == [4, 2]


def test_strangers_see_nothing_and_who_lost_a_right_takes_no_further_wave(
    world: World, people: People, hub: HubProcess
) -> None:
    tag = secrets.token_hex(4)
    ann = people.user(f"ann-{tag}")
    people.team(f"team-{tag}", **{f"ann-{tag}": "maintainer"})
    people.user(f"bea-{tag}")
    own = {"name": f"own-{tag}", "namespace": f"team-{tag}", "settings": {"refresh_seconds": 0.2}}
    assert world.one.http.post("/api/v1/targets", json=own).status_code == 201
    assert ann
    with _as(hub, people, f"ann-{tag}") as http, _as(hub, people, f"bea-{tag}") as stranger:
        mine = Set(http, f"mine-{tag}", f"team-{tag}")
        hidden = mine.put({"target": own["name"]}, {"target": world.one.name}, reference=world.reference("1"))
        assert hidden.status_code == 404 and "you may not see it" in hidden.text
        filter_ = world.one.oci
        filter_.push_filter(f"team-{tag}/f", "1", header_filter("x"))
        mine.apply(
            {"target": own["name"]},
            {"target": own["name"], "deployment": "two", "wave": 2},
            reference=f"team-{tag}/f:1",
        )
        mine.says("wave 1 of 2")
        for method, ending in (("GET", ""), ("GET", "/events"), ("POST", "/pause"), ("DELETE", "")):
            assert stranger.request(method, mine.path + ending).status_code == 404
        assert stranger.get("/api/v1/sets").json()["sets"] == []
        assert [one["name"] for one in http.get("/api/v1/sets").json()["sets"]] == [f"mine-{tag}"]

        reader = world.one.http.put(f"/api/v1/teams/team-{tag}/members/ann-{tag}", json={"role": "reader"})
        assert reader.status_code in (200, 204), reader.text
        assert http.post(f"{mine.path}/pause").status_code == 403
        seen = Set(world.one.http, f"mine-{tag}", f"team-{tag}")
        with Polling(_fleet(world.one, own["name"])):
            back = seen.becomes("rolled-back")
        assert f"two cannot be deployed for ann-{tag}: you may not deploy target {own['name']}" in back["message"]


def test_a_target_elsewhere_is_named_to_nobody_who_may_not_see_it(
    world: World, people: People, hub: HubProcess
) -> None:
    tag = secrets.token_hex(4)
    team, hidden = f"team-{tag}", f"hidden-{tag}"
    people.user(f"ann-{tag}")
    people.user(f"bea-{tag}")
    people.team(team, **{f"ann-{tag}": "maintainer", f"bea-{tag}": "owner"})
    for name, namespace in ((f"own-{tag}", team), (hidden, f"ann-{tag}")):
        own = {"name": name, "namespace": namespace, "settings": {"refresh_seconds": 0.2}}
        assert world.one.http.post("/api/v1/targets", json=own).status_code == 201
    for version in ("1", "2"):
        world.one.oci.push_filter(f"{team}/f", version, header_filter(f"v{version}"))
    nodes = Polling(_fleet(world.one, f"own-{tag}")), Polling(_fleet(world.one, hidden))
    with _as(hub, people, f"ann-{tag}") as http, _as(hub, people, f"bea-{tag}") as other, nodes[0], nodes[1]:
        mine, seen = Set(http, f"mine-{tag}", team), Set(other, f"mine-{tag}", team)
        waves = {"waves": [50, 100], "bake": "1h"}
        mine.apply({"target": f"own-{tag}"}, {"target": hidden}, reference=f"{team}/f:1")
        mine.becomes("done")
        mine.apply({"target": f"own-{tag}", "rollout": waves}, {"target": hidden}, reference=f"{team}/f:2")
        mine.says("rollout")
        until(lambda: mine.get()["members"][1]["revision"] == 2, "the hidden one was changed")
        assert http.delete(f"/api/v1/targets/{hidden}/deployments/mine-{tag}").status_code == 204
        assert "was undeployed meanwhile" in mine.becomes("rolled-back")["message"] and seen.get()["state"] == 404
        for path in (f"/api/v1/rollouts?target=own-{tag}", f"/api/v1/teams/{team}/events"):
            answer = other.get(path)
            assert answer.status_code == 200 and "taken back" in answer.text, answer.text
            assert hidden not in answer.text
        mine.apply({"target": f"own-{tag}"}, reference=f"{team}/f:1")
        mine.becomes("done")
        until(lambda: seen.get()["state"] == "done", "the set has no hidden target any more")
        for answer in (other.get(seen.path), other.get(f"{seen.path}/events")):
            assert answer.status_code == 200 and hidden not in answer.text, answer.text
        assert hidden in http.get(mine.path).text


def test_a_token_that_is_narrowed_to_its_targets_is_enough(world: World, people: People, hub: HubProcess) -> None:
    secret = people.token(people.user("admin"), scopes=[f"target:{world.one.name}:deploy", "repository:admin/*:pull"])
    with httpx.Client(base_url=hub.url, headers={"Authorization": f"Bearer {secret}"}, trust_env=False) as http:
        mine = Set(http, world.name)
        assert mine.put(*world.members(), reference=world.reference("1")).status_code == 404
        mine.apply({"target": world.one.name}, reference=world.reference("1"))
        assert mine.becomes("done")["status"] == "ready"
        world.apply("2")
        assert mine.get()["state"] == 404, "it has a deployment now that the token may not see"


def test_a_timeline_is_followed_to_its_end(world: World) -> None:
    world.apply("1")
    lines = world.one.http.get(f"{world.set.path}/events", timeout=60).text.splitlines()
    kinds = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    assert (kinds[0], kinds[-2:]) == ("started", ["done", "end"])
    assert world.one.http.get(f"{world.set.path}/events", headers={"Last-Event-ID": "x"}).status_code == 400


def _as(hub: HubProcess, people: People, name: str) -> httpx.Client:
    bearer = {"Authorization": f"Bearer {people.token(people.user(name))}"}
    return httpx.Client(base_url=hub.url, headers=bearer, timeout=30, trust_env=False)


def _fleet(other: Fleet, name: str) -> Fleet:
    """A fleet that was made otherwise."""
    made = copy(other)
    made.name, made.path = name, f"/api/v1/targets/{name}"
    return made
