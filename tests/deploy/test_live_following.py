"""What is pushed reaches real Envoys by itself: a tag that moves, a higher version, in waves, and no failed request."""

import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.deploy.fleet import REFUSES, Envoy, Fleet, Load, Upstream, header_filter, until
from tests.deploy.test_live_rollouts import NODES, Rollouts, breaking_filter, start
from tests.hub import HubProcess

pytestmark = pytest.mark.once("the engines' part is in test_following")


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    running = Upstream()
    yield running
    running.close()


@pytest.fixture
def rollouts(tmp_path: Path, upstream: Upstream) -> Iterator[Rollouts]:
    """Five Envoys that are told over gRPC, by a hub of their own."""
    with ExitStack() as stack:
        hub = stack.enter_context(HubProcess(tmp_path / "data", WASMHUB_XDS_LISTEN="127.0.0.1:0"))
        fleet = stack.enter_context(Fleet(hub, f"five-{secrets.token_hex(4)}", transport="delta-grpc", slots=1))
        key = fleet.new_key()["key"]
        envoys = {node: start(stack, fleet, tmp_path, upstream, key, node) for node in NODES}
        yield Rollouts(fleet, envoys)
        hub.check_log()


def test_a_push_moves_the_tag_and_the_envoy_shows_it(fleet: Fleet, tmp_path: Path, upstream: Upstream) -> None:
    name = f"moved-{secrets.token_hex(4)}"
    reference = fleet.push(name, "1", header_filter("one"))
    with Envoy(fleet, tmp_path / "envoy", upstream, key=fleet.new_key()["key"]) as envoy:
        fleet.deploy("marks", reference, follow="tag")
        envoy.shows("one")
        with Load(envoy.listening()) as load:
            for mark in ("two", "three", "one"):
                fleet.push(name, "1", header_filter(mark))
                began = time.monotonic()
                envoy.shows(mark)
                assert time.monotonic() - began < 10
        assert load.failed == [] and load.seen == {("one",), ("two",), ("three",)}
        fleet.deploy("marks", reference, follow="tag")
        found = fleet.becomes("marks", "ready")
        assert [one["action"] for one in found["revisions"]] == ["deploy", "follow", "follow", "follow", "deploy"]
        bad = fleet.push(name, "1", header_filter("bad", REFUSES))
        stalled = fleet.becomes("marks", "stalled")
        assert stalled["revision"]["reference"] == bad and envoy.marks() == ["one"], "an Envoy keeps what it runs"
        fleet.push(name, "1", header_filter("good"))
        envoy.shows("good")
        assert fleet.becomes("marks", "ready")["revision"]["number"] == 7


def test_a_higher_version_goes_out_in_the_same_waves(rollouts: Rollouts) -> None:
    fleet, name = rollouts.fleet, f"waves-{secrets.token_hex(4)}"
    fleet.deploy("marks", fleet.push(name, "1.0.0", header_filter("base")))
    rollouts.all_show("base")
    waves = {"waves": [20, 100], "bake": "10s", "limits": {"requests": 300}}
    made = fleet.deploy("marks", f"admin/{name}:1.0.0", rollout=waves, follow="^1")
    rollouts.becomes(made["rollout"], "done")
    with ExitStack() as stack:
        loads = {node: stack.enter_context(Load(one.listening(), 1)) for node, one in rollouts.envoys.items()}
        fleet.push(name, "1.1.0", breaking_filter("breaks"))
        bad = until(lambda: fleet.deployment("marks")["rollout"], "it is on its way")
        over = rollouts.becomes(bad, "rolled-back")
        rollouts.all_show("base")
        assert over["wave"] == 1 and over["waves"] == [20, 100]
        assert sum(("breaks",) in load.seen for load in loads.values()) == 1
    follow = fleet.deployment("marks")["follow"]
    assert follow["state"] == "refused" and follow["waves"] == [20, 100]
    assert follow["message"].startswith(f"does not follow admin/{name}:1.1.0: rollout {bad} of it was taken back: ")
    time.sleep(3)
    assert fleet.deployment("marks")["rollout"] is None, "what was taken back does not come again by itself"
    fleet.push(name, "1.1.1", header_filter("good"))
    good = until(lambda: fleet.deployment("marks")["rollout"], "the next one is on its way")
    assert all(len(nodes) <= (0, 1, 5)[wave] for wave, nodes in rollouts.watch(good, "good"))
    assert rollouts.becomes(good, "done")["limits"] == over["limits"]
    rollouts.all_show("good")
    assert fleet.deployment("marks")["follow"]["state"] == "follows"
