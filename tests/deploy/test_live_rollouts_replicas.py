"""A rollout on two replicas: each Envoy tells one of them, one of them decides, and the other goes on when it dies."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.balancer import Replicas, wait_until_ready
from tests.deploy.fleet import Fleet, Load, Upstream, header_filter, until
from tests.deploy.test_live_rollouts import NODES, Rollouts, breaking_filter, start
from tests.engines import free_port

pytestmark = pytest.mark.once("it chooses its engines itself")


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    folder = tmp_path_factory.mktemp("rollouts") / "hub"
    made = Replicas(folder, WASMHUB_DRAIN_SECONDS="0")
    for hub in made.hubs:  # a port that a replica keeps: its Envoys come back to it
        hub.settings = {**hub.settings, "WASMHUB_XDS_LISTEN": f"127.0.0.1:{free_port()}"}
    with made as running:
        yield running
        for hub in running.hubs:
            hub.check_log()


@pytest.fixture
def rollouts(replicas: Replicas, tmp_path: Path) -> Iterator[Rollouts]:
    with ExitStack() as stack:
        upstream = Upstream()
        stack.callback(upstream.close)
        name = f"two-{secrets.token_hex(4)}"
        fleet = stack.enter_context(Fleet(replicas, name, transport="delta-grpc", slots=1))
        key = fleet.new_key()["key"]
        hubs = [replicas.hubs[number % 2] for number in range(len(NODES))]
        envoys = {
            node: start(stack, fleet, tmp_path, upstream, key, node, hub) for node, hub in zip(NODES, hubs, strict=True)
        }
        made = Rollouts(fleet, envoys)
        fleet.deploy("marks", fleet.push("marks", "base", header_filter("base")))
        made.all_show("base")
        yield made


def test_what_each_replica_was_told_counts(rollouts: Rollouts) -> None:
    bad = rollouts.fleet.push("marks", "bad", breaking_filter("breaks"))
    with ExitStack() as stack:
        loads = {name: stack.enter_context(Load(one.listening(), 1)) for name, one in rollouts.envoys.items()}
        number = rollouts.begin(bad, bake="60s", limits={"requests": 300})
        over = rollouts.becomes(number, "rolled-back")
        rollouts.all_show("base")
    halted = next(one for one in over["events"] if one["kind"] == "halted")
    assert over["wave"] == 1 and halted["figures"]["new"]["proxies"] == 1
    assert halted["figures"]["old"]["proxies"] == 4, "two or three of these tell the other replica"
    assert sum(("breaks",) in load.seen for load in loads.values()) == 1


def test_the_other_replica_goes_on_where_one_was_killed(replicas: Replicas, rollouts: Rollouts) -> None:
    good = rollouts.fleet.push("marks", "good", header_filter("good"))
    number = rollouts.begin(good, bake="3s")
    first = until(lambda: rollouts.with_mark("good"), "the first wave shows")
    for hub in replicas.hubs:
        wave = rollouts.get(number)["wave"]
        hub.kill()
        seen = rollouts.with_mark("good")
        assert len(seen) <= (1, 3, 5)[wave - 1], "no node is ahead of its wave"
        hub.start()
        wait_until_ready(hub)
    seen_in_waves = rollouts.watch(number, "good")
    over = rollouts.becomes(number, "done")
    rollouts.all_show("good")
    assert first and all(len(names) <= (1, 3, 5)[wave - 1] for wave, names in seen_in_waves)
    assert [one["wave"] for one in over["events"] if one["kind"] == "wave"] == [1, 2, 3], "each wave began once"
