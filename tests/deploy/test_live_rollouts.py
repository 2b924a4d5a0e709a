"""Staged rollouts on a fleet of real Envoys under traffic: what is good goes on, what is bad is halted in its wave."""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from deploy.rollouts.waves import place_of
from tests.deploy.fleet import REFUSES, Envoy, Fleet, Load, Upstream, ask, header_filter, until
from tests.deploy.test_live_envoy_grpc import xds_of
from tests.hub import HubProcess

pytestmark = pytest.mark.once("the engines' part is in test_rollouts and test_live_rollouts_replicas")
NODES = [f"edge-{number}" for number in range(1, 6)]
WAVES = [20, 60, 100]
OVER_GRPC = pytest.mark.parametrize("rollouts", ["grpc"], indirect=True)
OVER_BOTH = pytest.mark.parametrize("rollouts", ["grpc", "rest"], indirect=True)


def breaking_filter(value: str, file: str = "breaks.wat") -> bytes:
    """A filter that adds `x-filter: value` and breaks: on each hundredth request, or as the file says."""
    text = (Path(__file__).parent / file).read_text()
    return bytes(wasmtime.wat2wasm(text.replace("{value}", value).replace("{length}", str(len(value)))))


class Rollouts:
    """A fleet of five Envoys under traffic, and its rollouts over the API."""

    def __init__(self, fleet: Fleet, envoys: dict[str, Envoy]) -> None:
        self.fleet = fleet
        self.envoys = envoys

    def begin(self, reference: str, policy: str = "FAIL_CLOSED", **rollout: Any) -> int:
        """Deploys in waves; the rollout's number."""
        wanted = {"waves": WAVES, "bake": "3s", **rollout}
        made = self.fleet.deploy("marks", reference, failure_policy=policy, rollout=wanted)
        number: int = made["rollout"]
        return number

    def get(self, number: int) -> dict[str, Any]:
        """The rollout."""
        answer = self.fleet.http.get(f"/api/v1/rollouts/{number}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def post(self, number: int, verb: str, **body: Any) -> dict[str, Any]:
        """Pauses, resumes or aborts."""
        answer = self.fleet.http.post(f"/api/v1/rollouts/{number}/{verb}", json=body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def becomes(self, number: int, state: str, seconds: float = 60) -> dict[str, Any]:
        """The rollout once it is in that state."""
        return self.once(number, lambda found: found["state"] == state, state, seconds)

    def once(
        self, number: int, holds: Callable[[dict[str, Any]], bool], what: str, seconds: float = 60
    ) -> dict[str, Any]:
        """The rollout once that holds."""
        last: dict[str, Any] = {}

        def look() -> dict[str, Any] | None:
            nonlocal last
            last = self.get(number)
            return last if holds(last) else None

        try:
            found: dict[str, Any] = until(look, what, seconds)
        except AssertionError:
            raise AssertionError(f"rollout is not {what}: {json.dumps(last, indent=1)}") from None
        return found

    def watch(self, number: int, mark: str) -> list[tuple[int, set[str]]]:
        """Which nodes showed a mark in each wave, again and again until the rollout is over."""
        seen = []
        before = self.get(number)
        while before["state"] == "running":
            shown = self.with_mark(mark)
            after = self.get(number)
            if after["wave"] == before["wave"]:
                seen.append((after["wave"], shown))
            before = after
            time.sleep(0.1)
        return seen

    def marks(self) -> dict[str, tuple[int, list[str]]]:
        """What a request to each node gets."""
        return {name: ask(envoy.listening()) for name, envoy in self.envoys.items()}

    def with_mark(self, mark: str) -> set[str]:
        """The nodes that run the filter with that mark."""
        return {name for name, answer in self.marks().items() if answer == (200, [mark])}

    def all_show(self, mark: str) -> None:
        """Waits until every node runs the filter with that mark."""
        until(lambda: self.with_mark(mark) == set(self.envoys), f"all show {mark}")

    def all_pass(self) -> None:
        """Waits until every node lets requests pass without a filter."""
        until(lambda: all(answer == (200, []) for answer in self.marks().values()), "all pass")


def start(
    stack: ExitStack,
    fleet: Fleet,
    folder: Path,
    upstream: Upstream,
    key: str,
    node: str,
    hub: HubProcess | None = None,
    *,
    named: str = "",
) -> Envoy:
    """An Envoy that pushes its statistics each second, to that replica of the hub; `named`: of the fleet of that name,
    asked as this one is.
    """
    envoy = Envoy(fleet, folder / node, upstream, key=key, node=node, xds=xds_of(hub or fleet.hub))
    written = folder / node / "bootstrap.json"
    own = written.read_text().replace(f'"{fleet.name}', f'"{named or fleet.name}')
    written.write_text(json.dumps({**json.loads(own), "stats_flush_interval": "1s"}))
    return stack.enter_context(envoy)


@pytest.fixture(scope="module")
def grpc_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    with HubProcess(tmp_path_factory.mktemp("rollouts") / "data", WASMHUB_XDS_LISTEN="127.0.0.1:0") as hub:
        yield hub
        hub.check_log()


@pytest.fixture(scope="module")
def rollouts(
    grpc_hub: HubProcess, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, upstream: Upstream
) -> Iterator[Rollouts]:
    name = f"{request.param}-{secrets.token_hex(4)}"
    with ExitStack() as stack:
        fleet = stack.enter_context(Fleet(grpc_hub, name, transport=request.param, slots=2, refresh_seconds=0.2))
        key = fleet.new_key()["key"]
        folder = tmp_path_factory.mktemp("envoys")
        envoys = {node: start(stack, fleet, folder, upstream, key, node) for node in NODES}
        for envoy in envoys.values():
            envoy.listening()
        made = Rollouts(fleet, envoys)
        fleet.deploy("marks", fleet.push("marks", "base", header_filter("base")))
        made.all_show("base")
        yield made


@pytest.fixture(scope="module")
def bare(grpc_hub: HubProcess, tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Rollouts]:
    """Five Envoys of one fleet on which nothing was ever deployed: three ask over REST, two over gRPC."""
    name, folder = f"bare-{secrets.token_hex(4)}", tmp_path_factory.mktemp("bare")
    with ExitStack() as stack:
        fleet = stack.enter_context(Fleet(grpc_hub, name, slots=2, refresh_seconds=0.2))
        other = stack.enter_context(Fleet(grpc_hub, f"{name}-over-grpc", slots=2, transport="grpc"))
        key, envoys = fleet.new_key()["key"], {}
        for number, node in enumerate(NODES):
            mine = other if number < 2 else fleet  # the slots of the one, asked for as the other does
            envoys[node] = start(stack, mine, folder, upstream, key, node, named=name)
        for envoy in envoys.values():
            envoy.listening()
        yield Rollouts(fleet, envoys)


def test_a_first_version_goes_through_all_waves_and_the_other_nodes_serve_without_it(bare: Rollouts) -> None:
    good = bare.fleet.push("marks", "first", header_filter("first"))
    bare.all_pass()
    with ExitStack() as stack:
        loads = {name: stack.enter_context(Load(one.listening(), 1)) for name, one in bare.envoys.items()}
        number = bare.begin(good, bake="6s")
        seen = bare.watch(number, "first")
        over = bare.becomes(number, "done")

    assert {wave: max(len(n) for w, n in seen if w == wave) for wave, _ in seen} | {0: 0} == {0: 0, 1: 1, 2: 3, 3: 5}
    assert [(one.failed, one.seen) for one in loads.values()] == [([], {(), ("first",)})] * 5
    healthy = [one for one in over["events"] if one["kind"] == "healthy"]
    assert [one["wave"] for one in healthy] == [1, 2, 3] and healthy[0]["figures"]["old"]["proxies"] == 4
    assert [one["figures"]["compared_with"] for one in healthy[:2]] == ["nodes not changed yet"] * 2
    assert (over["from_revision"], over["to_revision"]) == (0, 1)
    assert bare.fleet.deployment("marks")["status"] == "ready"
    bare.fleet.undeploy("marks")
    bare.all_pass()


def test_a_first_version_that_breaks_or_is_refused_is_taken_back_to_nothing(bare: Rollouts) -> None:
    breaks = bare.fleet.push("marks", "first-breaks", breaking_filter("breaks"))
    refused = bare.fleet.push("marks", "first-refused", header_filter("refused", REFUSES))
    with ExitStack() as stack:
        loads = {name: stack.enter_context(Load(one.listening(), 1)) for name, one in bare.envoys.items()}
        over = bare.becomes(bare.begin(breaks, bake="60s"), "rolled-back")
        bare.all_pass()
        touched = {name for name, load in loads.items() if load.failed or load.seen != {()}}
        for load in loads.values():
            load.failed.clear()
            load.look_anew()
        left = bare.fleet.deployment("marks")
        second = bare.becomes(bare.begin(refused), "rolled-back")
        bare.all_pass()

    assert len(touched) == 1 and over["wave"] == 1, "the first wave of five is one node"
    halted = next(one for one in over["events"] if one["kind"] == "halted")
    assert "were answered with 5xx" in halted["message"] and halted["figures"]["old"]["proxies"] == 4
    assert over["back_revision"] is None and left["status"] == "stalled" and left["slot"] is None
    assert f"rollout {over['id']} took revision 1 back, and nothing of it runs" in left["message"]
    assert second["from_revision"] == 0 and "refused revision 2" in second["message"]
    assert [(one.failed, one.seen) for one in loads.values()] == [([], {()})] * 5, "what is refused was never run"
    bare.fleet.undeploy("marks")


@OVER_GRPC  # over REST it is the first version above that goes through all waves
def test_a_good_version_goes_through_all_waves_and_no_request_fails(rollouts: Rollouts) -> None:
    good = rollouts.fleet.push("marks", "good", header_filter("good"))
    with ExitStack() as stack:
        loads = {name: stack.enter_context(Load(one.listening(), 1)) for name, one in rollouts.envoys.items()}
        number = rollouts.begin(good, bake="8s")
        seen = rollouts.watch(number, "good")
        over = rollouts.becomes(number, "done")

    assert {wave: max(len(n) for w, n in seen if w == wave) for wave, _ in seen} | {0: 0} == {0: 0, 1: 1, 2: 3, 3: 5}
    assert [one.failed for one in loads.values()] == [[]] * 5
    kinds = [(one["kind"], one["wave"]) for one in over["events"]]
    waves = [(kind, wave) for wave in (1, 2, 3) for kind in ("wave", "baking", "healthy")]
    assert kinds == [("started", 0), *waves, ("done", 3)], over["events"]
    healthy = next(one for one in over["events"] if one["kind"] == "healthy")
    assert healthy["figures"]["new"]["requests"] >= 50 and healthy["figures"]["new"]["errors"] == 0
    assert healthy["figures"]["compared_with"] == "nodes not changed yet", healthy
    assert rollouts.fleet.deployment("marks")["status"] == "ready"


@OVER_BOTH
@pytest.mark.parametrize(
    ("policy", "says"), [("FAIL_CLOSED", "were answered with 5xx"), ("FAIL_RELOAD", "its VM broke")]
)
def test_a_version_that_breaks_on_one_request_of_a_hundred_is_halted_in_its_first_wave(
    rollouts: Rollouts, policy: str, says: str
) -> None:
    before = rollouts.fleet.deployment("marks")
    mark = rollouts.marks()["edge-1"][1][0]
    bad = rollouts.fleet.push("marks", f"breaks-{policy.lower()}", breaking_filter("breaks"))
    touched: set[str] = set()
    with ExitStack() as stack:
        loads = {name: stack.enter_context(Load(one.listening(), 1)) for name, one in rollouts.envoys.items()}
        number = rollouts.begin(bad, policy, bake="60s")
        while (found := rollouts.get(number))["state"] == "running":
            touched |= {name for name, load in loads.items() if ("breaks",) in load.seen}
            time.sleep(0.1)
        assert found["wave"] == 1
        over = rollouts.becomes(number, "rolled-back")
        rollouts.all_show(mark)
        # Some requests of each Envoy go out over other connections, which `marks` makes.
        touched |= {name for name, load in loads.items() if ("breaks",) in load.seen}

    assert len(touched) == 1, "the first wave of five is one node"
    halted = next(one for one in over["events"] if one["kind"] == "halted")
    assert says in halted["message"] and says in over["message"], halted
    assert halted["figures"]["new"]["proxies"] == 1
    assert halted["figures"]["new"]["errors" if policy == "FAIL_CLOSED" else "reloads"] > 0
    assert halted["figures"]["old"]["errors"] == 0 and halted["figures"]["old"]["proxies"] == 4
    for name, load in loads.items():
        assert name in touched or (load.failed == [] and ("breaks",) not in load.seen), f"{name} never ran it"
    after = rollouts.fleet.deployment("marks")
    assert [(one["number"], one["action"]) for one in after["revisions"][:2]] == [
        (over["back_revision"], "rollback"),
        (over["to_revision"], "deploy"),
    ]
    assert after["revision"]["digest"] == before["revision"]["digest"]
    assert after["revision"]["created_by"] is None, "nobody did, the hub itself did"
    assert after["status"] == "ready", after["message"]


@OVER_GRPC
def test_a_version_that_eats_memory_until_it_gets_no_more_is_halted(rollouts: Rollouts) -> None:
    mark = rollouts.marks()["edge-1"][1][0]
    bad = rollouts.fleet.push("marks", "hungry", breaking_filter("hungry", "hungry.wat"))
    with ExitStack() as stack:
        loads = [stack.enter_context(Load(one.listening(), 1)) for one in rollouts.envoys.values()]
        number = rollouts.begin(bad, bake="60s")
        over = rollouts.becomes(number, "rolled-back")
        rollouts.all_show(mark)
    assert over["wave"] == 1 and "were answered with 5xx" in over["message"]
    assert sum(load.failed != [] for load in loads) == 1, "the first wave of five is one node"


@OVER_GRPC
def test_a_version_that_an_envoy_refuses_is_halted(rollouts: Rollouts) -> None:
    mark = rollouts.marks()["edge-1"][1][0]
    bad = rollouts.fleet.push("marks", "refused", header_filter("refused", REFUSES))
    with ExitStack() as stack:
        loads = [stack.enter_context(Load(one.listening(), 1)) for one in rollouts.envoys.values()]
        number = rollouts.begin(bad)
        over = rollouts.becomes(number, "rolled-back")
        rollouts.all_show(mark)
    assert over["wave"] == 1 and "refused revision" in over["message"]
    assert [one.failed for one in loads] == [[]] * 5
    assert [one["kind"] for one in over["events"]] == ["started", "wave", "halted", "rolled-back"]


@OVER_GRPC
def test_it_is_paused_resumed_and_aborted(rollouts: Rollouts) -> None:
    mark = rollouts.marks()["edge-1"][1][0]
    other = rollouts.fleet.push("marks", "other", header_filter("other"))
    number = rollouts.begin(other, bake="1s", limits={"requests": 1_000_000})
    rollouts.once(number, lambda found: found["wave"] == 1, "in its first wave")
    rollouts.post(number, "pause")
    first = until(lambda: rollouts.with_mark("other"), "the first wave shows")
    time.sleep(4)
    paused = rollouts.get(number)
    assert (paused["state"], paused["wave"]) == ("paused", 1) and rollouts.with_mark("other") == first

    refused = rollouts.fleet.put("marks", config="x")
    assert refused.status_code == 409 and f"wasmhub rollout abort {number}" in refused.text
    again = rollouts.fleet.http.post(f"/api/v1/rollouts/{number}/pause")
    assert again.status_code == 409 and "is paused" in again.text

    rollouts.post(number, "resume")
    rollouts.once(number, lambda found: found["wave"] == 2, "in its second wave")
    until(lambda: len(rollouts.with_mark("other")) == 3, "the second wave shows")
    assert first < rollouts.with_mark("other"), "waves only grow"
    aborted = rollouts.post(number, "abort", why="the shop is open")
    assert aborted["state"] == "aborted" and aborted["message"] == "aborted by admin: the shop is open"
    rollouts.all_show(mark)
    late = rollouts.fleet.http.post(f"/api/v1/rollouts/{number}/resume")
    assert late.status_code == 409 and "is aborted" in late.text
    kinds = [one["kind"] for one in rollouts.get(number)["events"]]
    assert [one for one in kinds if one in ("paused", "resumed", "aborted")] == ["paused", "resumed", "aborted"]
    unknown = [one for one in rollouts.get(number)["events"] if one["kind"] == "unknown"]
    assert unknown and "health is not known" in unknown[0]["message"], "too little traffic is not taken for health"


@OVER_GRPC
def test_a_node_that_joins_and_a_hub_that_is_killed_change_no_order(
    rollouts: Rollouts, tmp_path: Path, upstream: Upstream
) -> None:
    mark = rollouts.marks()["edge-1"][1][0]
    late = rollouts.fleet.push("marks", "late", header_filter("late"))
    number = rollouts.begin(late, bake="6s")
    first = until(lambda: rollouts.with_mark("late"), "the first wave shows")
    rollouts.once(number, lambda found: "watched for" in found["message"], "being watched")
    began = time.monotonic()

    rollouts.fleet.hub.kill()
    time.sleep(1)
    assert rollouts.with_mark("late") == first, "Envoys keep what they run"
    rollouts.fleet.hub.start()

    fresh = (f"fresh-{one}" for one in range(1000))
    new = next(one for one in fresh if _after_first_wave(number, one, first))
    key = rollouts.fleet.new_key()["key"]
    with ExitStack() as stack:
        joined = start(stack, rollouts.fleet, tmp_path, upstream, key, new)
        joined.shows(mark)
        assert rollouts.with_mark("late") == first
        seen = rollouts.watch(number, "late")
        assert rollouts.get(number)["state"] == "done"
        joined.shows("late")
    assert time.monotonic() - began > 3 * 6 - 3, "each wave was watched for its time"
    assert {1: first} == {wave: names for wave, names in seen if wave == 1}
    assert max(len(names) for wave, names in seen if wave == 2) < 5


def _after_first_wave(number: int, name: str, first: set[str]) -> bool:
    """Whether the first wave does not come to a node of that name."""
    return place_of(number, name) > max(place_of(number, one) for one in first)
