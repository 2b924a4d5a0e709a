"""A deployment set over two fleets of real Envoys under traffic: what is refused in the first wave is taken back, and
the second is never touched.
"""

import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.deploy.fleet import REFUSES, Envoy, Fleet, Load, Upstream, ask, header_filter, until
from tests.deploy.polling import Set
from tests.deploy.test_live_rollouts import breaking_filter, start
from tests.engines import free_port
from tests.hub import HubProcess


class Sets:
    """Two fleets, one over gRPC and one over REST, with two Envoys each, and a set with a wave for each."""

    def __init__(self, fleets: tuple[Fleet, Fleet], envoys: tuple[list[Envoy], list[Envoy]]) -> None:
        self.fleets, self.envoys = fleets, envoys
        self.set = Set(fleets[0].http, f"live-{fleets[0].name}")
        self.name = f"live-{fleets[0].name}"

    def members(self, **first: Any) -> list[dict[str, Any]]:
        """A wave for each fleet."""
        return [{"target": self.fleets[0].name, **first}, {"target": self.fleets[1].name, "wave": 2}]

    def push(self, tag: str, module: bytes) -> str:
        """A version of the filter."""
        return self.fleets[0].push(f"live-{self.fleets[0].name}", tag, module)

    def shows(self, number: int, *marks: str) -> bool:
        """Whether all Envoys of that fleet answer with these marks."""
        return all(ask(one.listening()) == (200, [*marks]) for one in self.envoys[number])


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sets]:
    folder = tmp_path_factory.mktemp("sets")
    with ExitStack() as stack:
        hub = stack.enter_context(HubProcess(folder / "data", WASMHUB_XDS_LISTEN=f"127.0.0.1:{free_port()}"))
        upstream = Upstream()
        stack.callback(upstream.close)
        fleets, envoys = [], []
        for transport in ("grpc", "rest"):
            name = f"{transport}-{secrets.token_hex(4)}"
            fleet = stack.enter_context(Fleet(hub, name, transport=transport, slots=2, refresh_seconds=0.2))
            key = fleet.new_key()["key"]
            envoys.append([start(stack, fleet, folder, upstream, key, f"{transport}-{n}") for n in (1, 2)])
            fleets.append(fleet)
        made = Sets((fleets[0], fleets[1]), (envoys[0], envoys[1]))
        first = made.members(rollout={"waves": [50, 100], "bake": "1s"})
        made.set.apply(*first, reference=made.push("base", header_filter("base")), bake="1s")
        made.set.becomes("done", 60)
        (rollout,) = fleets[0].http.get(f"/api/v1/rollouts?target={fleets[0].name}").json()["rollouts"]
        assert (rollout["from_revision"], rollout["state"]) == (0, "done"), "the first went out in waves too"
        until(lambda: made.shows(0, "base") and made.shows(1, "base"), "all show the first version")
        yield made
        hub.check_log()


def test_a_good_version_reaches_one_fleet_after_the_other(sets: Sets) -> None:
    with ExitStack() as stack:
        loads = [stack.enter_context(Load(one.listening(), 1)) for envoys in sets.envoys for one in envoys]
        sets.set.apply(*sets.members(), reference=sets.push("good", header_filter("good")), bake="4s")
        until(lambda: sets.shows(0, "good"), "the first fleet shows it")
        assert sets.shows(1, "base"), "the second waits"
        time.sleep(2)
        assert sets.shows(1, "base"), "and goes on waiting while the first is watched"
        done = sets.set.becomes("done", 60)
        until(lambda: sets.shows(1, "good"), "the second fleet shows it")
    assert [one.failed for one in loads] == [[]] * 4
    assert done["status"] == "ready" and [one["status"] for one in done["members"]] == ["ready", "ready"]


def test_what_an_envoy_refuses_in_the_first_wave_is_taken_back_and_the_second_is_never_changed(sets: Sets) -> None:
    mark = ask(sets.envoys[1][0].listening())[1][0]
    before = sets.fleets[1].deployment(sets.name)["revision"]["number"]
    with ExitStack() as stack:
        loads = [stack.enter_context(Load(one.listening(), 1)) for envoys in sets.envoys for one in envoys]
        sets.set.apply(*sets.members(), reference=sets.push("bad", header_filter("bad", REFUSES)), bake="1s")
        back = sets.set.becomes("rolled-back", 60)
        until(lambda: sets.shows(0, mark), "the first fleet shows what it showed")
    assert "refused revision" in back["message"] and back["wave"] == 1, back
    assert [(one.failed, one.seen) for one in loads] == [([], {(mark,)})] * 4, "no request saw another version"
    assert sets.fleets[1].deployment(sets.name)["revision"]["number"] == before
    assert [fleet.deployment(sets.name)["status"] for fleet in sets.fleets] == ["ready", "ready"]


def test_a_version_that_does_worse_is_halted_by_the_rollout_of_its_member_and_so_is_the_set(sets: Sets) -> None:
    mark = ask(sets.envoys[1][0].listening())[1][0]
    breaks = sets.push("breaks", breaking_filter("breaks"))
    with ExitStack() as stack:
        loads = [stack.enter_context(Load(one.listening(), 1)) for envoys in sets.envoys for one in envoys]
        members = sets.members(rollout={"waves": [50, 100], "bake": "60s"})
        sets.set.apply(*members, reference=breaks, bake="1s")
        back = sets.set.becomes("rolled-back", 90)
        until(lambda: sets.shows(0, mark), "the first fleet shows what it showed")
    assert "its rollout" in back["message"] and "5xx" in back["message"], back
    assert sum(("breaks",) in one.seen for one in loads) == 1, "one node of four ran it"
    assert all(one.failed == [] for one in loads[2:])


def test_a_hub_that_is_killed_in_the_middle_goes_on_and_all_is_undeployed_in_the_end(sets: Sets) -> None:
    sets.set.apply(*sets.members(), reference=sets.push("late", header_filter("late")), bake="3s")
    until(lambda: sets.shows(0, "late"), "the first fleet shows it")
    sets.fleets[0].hub.kill()
    assert sets.shows(0, "late") and not sets.shows(1, "late"), "Envoys keep what they run"
    sets.fleets[0].hub.start()
    sets.set.becomes("done", 60)
    until(lambda: sets.shows(1, "late"), "the second fleet shows it")
    history = sets.fleets[0].deployment(sets.name)["revisions"]
    assert history[0]["digest"] != history[1]["digest"], "nothing was deployed twice"
    assert sets.set.http.delete(sets.set.path).status_code in (202, 204)
    until(lambda: sets.set.get()["state"] == 404, "the set is gone")
    until(lambda: sets.shows(1), "nothing of it is left on the second fleet")
    until(lambda: sets.shows(0), "nothing of it is left on the first fleet")
