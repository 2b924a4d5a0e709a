"""Which nodes a wave takes in, what a rollout does next, and when health counts as worse."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from deploy.fleets import polls
from deploy.fleets.ecds import content_key, deployment_of
from deploy.fleets.polls import Poll
from deploy.leading import pause_after
from deploy.rollouts import stats_door
from deploy.rollouts.figures import Sample, difference, quantile, summed
from deploy.rollouts.health import HEALTHY, LIMITS, UNKNOWN, WORSE, Health, judge_health
from deploy.rollouts.stats_door import Teller
from deploy.rollouts.stats_messages import STATS_MESSAGE, sample_of
from deploy.rollouts.waves import EVERYBODY, cut_for, next_step, place_of
from storage.deployments import DeploymentRow, RevisionRow, Staged
from storage.nodes import NodeRow, SlotRow
from storage.rollout_rows import FiguresRow, RolloutRow
from storage.rollouts import Counted, add_figures
from storage.targets import TargetRow

AT, LIVE = 10_000_000, 60_000
USUAL = {name: usual for name, (usual, *_) in LIMITS.items()}
OLD, NEW = content_key(7, 1, "old"), content_key(7, 2, "new")
RAN = SlotRow(served=f"{OLD}.a1", delivered=True, running=f"{OLD}.a1")
RUNS = SlotRow(served=f"{NEW}.a1", delivered=True, running=f"{NEW}.a1")
GIVEN = replace(RUNS, running=f"{OLD}.a1")
REFUSED = replace(RAN, refused=(NEW,), why="no such root")
FINE = Health(HEALTHY, "fine", {})
NAMES = sorted((f"n{number}" for number in range(10)), key=lambda name: place_of(3, name))
CUT = place_of(3, NAMES[1]) + 1  # two of ten
ROW = RolloutRow(
    id=3,
    deployment_id=7,
    from_revision=1,
    to_revision=2,
    waves=(20, 50, 100),
    bake=30_000,
    limits=USUAL,
    state="running",
    wave=1,
    cut=CUT,
    baking_since=None,
    back_revision=None,
    why="",
    created_at=AT - 600_000,
    ended_at=None,
    target_id=1,
    target="edge",
    deployment="limits",
    slot=4,
    created_by="ann",
)


def fleet(*first: SlotRow | None, away: int = 0) -> list[NodeRow]:
    """Ten nodes, of which the first have these slots and the others run what was before; `away` of the first are."""
    slots = [*first, *[RAN] * (10 - len(first))]
    return [
        NodeRow(at, name, "envoy 1.40.0", AT - (90_000 if at < away else 1_000), {4: slot} if slot else {})
        for at, (name, slot) in enumerate(zip(NAMES, slots, strict=True))
    ]


def step(
    row: RolloutRow, nodes: list[NodeRow], health: Health = FINE, watched: int = 10 * LIVE, closed: str = ""
) -> Any:
    """What is next."""
    return next_step(row, nodes, health, at=AT, live=LIVE, watched=watched, closed=closed)


def test_waves_only_grow_and_a_new_node_falls_into_one() -> None:
    cuts = [cut_for(3, NAMES, share, 0) for share in (1, 20, 50, 100)]
    inside = [[name for name in NAMES if place_of(3, name) < cut] for cut in cuts]
    assert [len(names) for names in inside] == [1, 2, 5, 10] and cuts[-1] == EVERYBODY
    assert cut_for(3, NAMES, 20, cuts[2]) == cuts[2], "never back"
    assert cut_for(3, [], 20, 5) == 5
    many = [place_of(3, f"later-{number}") < cuts[2] for number in range(2000)]
    assert 0.2 < sum(many) / len(many) < 0.9
    assert [place_of(4, name) for name in NAMES] != [place_of(3, name) for name in NAMES], "another order each time"


def test_a_wave_begins_bakes_and_passes() -> None:
    begun = step(replace(ROW, wave=0, cut=0), fleet())
    assert (begun.do, begun.wave, begun.cut, begun.lines[0].kind) == ("move", 1, CUT, "wave")
    assert begun.lines[0].message == f"wave 1 of 3 (20%): 2 of 10 proxies: {', '.join(sorted(NAMES[:2]))}"
    late = step(ROW, fleet(RUNS, GIVEN))
    assert late.do == "wait" and late.message.endswith(f"1 of 2 proxies run it; {NAMES[1]} not yet")
    bakes = step(ROW, fleet(RUNS, RUNS))
    assert (bakes.do, bakes.baking_since, bakes.cut, bakes.wave) == ("move", AT, CUT, 1)
    baking = replace(ROW, baking_since=AT - 10_000)
    assert "watched for 20 s more; fine" in step(baking, fleet(RUNS, RUNS)).message
    over = replace(ROW, baking_since=AT - 30_000)
    assert step(over, fleet(RUNS, None)).do == "wait", "one that came later is waited for"
    passed = step(over, fleet(RUNS, RUNS))
    assert (passed.do, passed.wave, passed.baking_since) == ("move", 2, None)
    assert [(one.kind, one.wave) for one in passed.lines] == [("healthy", 1), ("wave", None)]
    assert passed.cut == place_of(3, NAMES[4]) + 1
    last = replace(over, wave=3, cut=EVERYBODY)
    done = step(last, fleet(*[RUNS] * 10))
    assert (done.do, done.message) == ("finish", "revision 2 runs on all 10 proxies")
    assert step(replace(over, state="paused"), fleet(RUNS, RUNS)).message.startswith("paused; ")
    unknown = step(over, fleet(RUNS, RUNS), Health(UNKNOWN, "health is not known: no statistics", {}))
    assert unknown.lines[0].kind == "unknown" and "nothing was refused and the time is over" in unknown.lines[0].message


@pytest.mark.parametrize("state", ["running", "paused"])
def test_what_is_refused_worse_or_deadly_is_halted(state: str) -> None:
    row = replace(ROW, state=state, baking_since=AT - 1)
    refused = step(row, fleet(RUNS, REFUSED))
    assert (refused.do, refused.message) == ("halt", f"{NAMES[1]} refused revision 2: no such root")
    worse = step(row, fleet(RUNS, RUNS), Health(WORSE, "9% failed", {}))
    assert (worse.do, worse.message) == ("halt", "worse health with revision 2: 9% failed")
    gone = step(row, fleet(RUNS, RUNS, away=2))
    assert gone.do == "halt" and gone.message.endswith("went away after running revision 2")
    all_gone = step(row, [replace(one, seen_at=AT - 90_000) for one in fleet(RUNS, RUNS)])
    assert all_gone.do == "wait", "a replica that died takes all of them with it"
    half = [
        replace(one, seen_at=AT - 90_000) if at % 2 == 0 or at == 1 else one for at, one in enumerate(fleet(RUNS, RUNS))
    ]
    assert step(row, half).do == "wait"
    assert step(row, fleet(RAN, RAN, REFUSED)).do != "halt", "of another deployment's time, or not in the wave"


def test_after_a_restart_nobody_is_missed_at_once_and_nobody_jumps_ahead() -> None:
    row = replace(ROW, baking_since=AT - 30_000)
    waits = step(row, fleet(RUNS, RUNS, away=2), watched=5_000)
    assert waits.do == "wait" and "waits for" in waits.message
    assert step(row, fleet(RUNS, RUNS), watched=5_000).do == "move", "who was away for a moment is not waited for"
    alone = step(ROW, fleet(GIVEN, GIVEN, away=2))
    assert alone.do == "move" and alone.wave == 1 and alone.cut > CUT, "the next take the place of who never ran it"
    assert "no proxy of edge asks" in step(replace(ROW, wave=0, cut=0), []).message


def test_no_wave_begins_on_a_closed_target_and_what_is_bad_is_taken_back() -> None:
    shut = "edge is frozen: moving"
    assert step(replace(ROW, wave=0, cut=0), fleet(), closed=shut).message.endswith(f"first wave; {shut}")
    over = replace(ROW, baking_since=AT - 30_000)
    assert step(over, fleet(RUNS, RUNS), closed=shut).message.endswith(f"the next wave waits: {shut}")
    assert step(over, fleet(RUNS, REFUSED), closed=shut).do == "halt"
    assert step(replace(over, wave=3, cut=EVERYBODY), fleet(*[RUNS] * 10), closed=shut).do == "finish"


def test_it_is_over_once_nobody_runs_it_any_more() -> None:
    row = replace(ROW, state="halted", why="9% failed")
    assert step(row, fleet(RUNS, RAN)).message == f"9% failed; {NAMES[0]} still to go back"
    assert step(row, fleet(RAN, RAN)).do == "finish"


def test_a_first_one_is_held_against_nodes_that_run_nothing_and_looked_for_in_every_slot() -> None:
    row = replace(ROW, from_revision=0)
    passes = SlotRow(served="empty", running="empty")
    said = [stats_door._changed(row, one) for one in fleet(RUNS, passes, RAN, replace(passes, served=NEW), None)[:5]]
    assert said == [True, False, None, None, None], "RAN is of a revision that was taken back before"
    assert [stats_door._changed(ROW, one) for one in fleet(RUNS, passes, RAN)[:3]] == [True, None, False]
    back = replace(row, state="halted", slot=None, why="9% failed")
    assert step(back, fleet(RUNS, passes)).message == f"9% failed; {NAMES[0]} still to go back"
    assert step(back, fleet(passes, passes)).do == "finish"


def test_a_node_out_of_the_first_wave_does_not_hold_what_was_taken_back() -> None:
    """It was away while the first rollout was taken back, and the deployment stands in another slot by now."""
    revision = RevisionRow(2, 1, "a/b:1", "sha256:1", "1" * 64, None, "", "FAIL_CLOSED", 1, "deploy", AT, "a/b", None)
    staged = Staged(9, 2, 0, 0, "running", 0)
    placed = DeploymentRow(7, 1, "edge", "limits", 4, "grant", AT, None, None, revision, staged)
    ran = NodeRow(1, "n1", "envoy", AT, {2: RAN})
    asked = Poll("n1", "envoy", "edge/slot-2", "edge", 2, RAN.running)
    assert polls._decide(polls._View(ran, [placed], None, [], 2), asked, RAN).serve == "empty"
    there = replace(asked, slot=4, echoed="")
    view = polls._View(ran, [placed], placed, [revision], 4)
    assert polls._decide(view, there, SlotRow()).serve == "empty", "a node that starts now opens its port"
    now_in = replace(view, placed=replace(placed, staged=replace(staged, cut=EVERYBODY)))
    assert deployment_of(str(polls._decide(now_in, there, SlotRow()).serve)) == 7


def counted(node: str, changed: bool, requests: int, errors: int = 0, wave: int = 1, **more: Any) -> FiguresRow:
    """What a node has counted."""
    figures = {"managers": {"ingress": [requests, errors]}, "times": {"10": requests}, "reloads": 0, **more}
    return FiguresRow(node, wave, changed, figures, AT)


@pytest.mark.parametrize(
    ("rows", "word", "says"),
    [
        ([], UNKNOWN, "health is not known: no statistics"),
        ([counted("a", True, 49)], UNKNOWN, "only 49 requests"),
        ([counted("a", True, 500)], HEALTHY, "there is nothing to compare it with"),
        ([counted("a", True, 500, 2)], HEALTHY, "0.40% of 500"),
        ([counted("a", True, 100, 3)], WORSE, "3.00% of 100 requests to ingress were answered with 5xx"),
        ([counted("a", True, 100, 3), counted("b", False, 1000)], WORSE, "nodes not changed yet: 0.00% of 1000"),
        ([counted("a", True, 100, 4), counted("b", False, 1000, 40)], HEALTHY, "4.00% of 100"),
        ([counted("a", True, 100, 5), counted("b", False, 1000, 30)], HEALTHY, "5.00%"),  # as chance has it
        ([counted("a", True, 10_000, 500), counted("b", False, 10_000, 300)], WORSE, "5.00%"),
        ([counted("a", True, 100, 9), counted("b", True, 900, wave=2)], WORSE, "9.00% of 100"),
        ([counted("a", True, 100), counted("a", False, 1000, 99, wave=0)], HEALTHY, "the same nodes before: 9.90%"),
        ([counted("a", True, 100, reloads=1), counted("b", False, 100)], WORSE, "made anew once in 100 requests"),
        ([counted("a", True, 9, reloads=1)], WORSE, "its VM broke"),
        ([counted("a", True, 100, reloads=1), counted("b", False, 100, reloads=1)], HEALTHY, "0.00%"),
        ([counted("a", True, 100, times={"250": 100}), counted("b", False, 100)], WORSE, "up to 238 ms, and 10 ms"),
        ([counted("a", True, 100, times={"25": 100}), counted("b", False, 100)], WORSE, "24 ms, and 10 ms"),
        ([counted("a", True, 100, times={"15": 100}), counted("b", False, 100)], HEALTHY, "within 14 ms"),
    ],
)
def test_health(rows: list[FiguresRow], word: str, says: str) -> None:
    health = judge_health(rows, 1, USUAL)
    assert (health.word, says in health.message) == (word, True), health


def test_a_manager_that_does_worse_is_not_hidden_by_one_that_is_busier() -> None:
    managers = {"busy": [100_000, 0], "small": [200, 10]}
    rows = [FiguresRow("a", 1, True, {"managers": managers, "times": {}, "reloads": 0}, AT)]
    health = judge_health(rows, 1, USUAL)
    assert health.word == WORSE and "5.00% of 200 requests to small" in health.message


def test_limits_are_those_of_the_rollout() -> None:
    rows = [counted("a", True, 100, 9, reloads=2)]
    assert judge_health(rows, 1, USUAL | {"errors": 50, "reloads": 2}).word == HEALTHY
    assert judge_health(rows, 1, USUAL | {"errors": 50, "reloads": 2, "requests": 101}).word == UNKNOWN


def test_what_is_counted_between_two_messages() -> None:
    before = Sample({"in": [100, 5]}, {}, {"p": {"vm_reload_success": 2}, "q": {"vm_reload_success": 9}})
    after = Sample({"in": [150, 6], "out": [7, 0]}, {"5": 50}, {"p": {"vm_reload_success": 3}})
    assert difference(before, after, "p") == {
        "managers": {"in": [50, 1], "out": [7, 0]},
        "times": {"5": 50},
        "reloads": 1,
    }
    anew = Sample({"in": [9, 9]}, {}, {})
    assert difference(after, anew, "p")["managers"] == {"in": [9, 9]}, "a proxy that was started anew counts from 0"
    both = summed([difference(before, after, "p"), difference(after, anew, "p")], 2)
    assert (both.requests, both.errors, both.reloads) == (66, 10, 1)


def test_whatever_a_proxy_says_is_judged_and_stays_small() -> None:
    rows = [counted("a", True, 100, 5_000), counted("b", False, 1000, 20_000)]
    assert judge_health(rows, 1, USUAL).message.startswith("100.00% of 100 requests failed")
    message = STATS_MESSAGE()
    histogram = _family(message, "http.in.downstream_rq_time").histogram
    bounds = [float("-inf"), -5.0, 0.5, 25.0, 3_600_000.0, 1e308, float("inf"), float("nan")]
    for number, bound in enumerate([*bounds, *(1 + index / 1000 for index in range(9000))]):
        histogram.bucket.add(upper_bound=bound, cumulative_count=number + 1)
    for name in ("a\0b", "<b>" * 40, "", "x" * 101, *(f"m{number}" for number in range(99))):
        _family(message, f"http.{name}.downstream_rq_completed").counter.value = float("inf")
        _family(message, f"wasm.{name}.vm_reload_success").counter.value = 1
    said = sample_of(message)
    assert [*said.times][:6] == ["0.01", "0.5", "25", "3.6e+06", "inf", "1"] and len(said.times) < 120
    assert said.times["inf"] == 3 and sum(said.times.values()) == len(bounds) + 9000
    assert quantile({float(bound): count for bound, count in said.times.items()}, 0.95) is not None
    assert [*said.managers] == ["in", *(f"m{number}" for number in range(15))] and len(said.reloads) == 64
    teller = Teller(TargetRow(1, "edge", "envoy", {}, AT, "ann", None, None), "key")
    for number in range(90):
        teller.hear(Sample({f"{number}-{one}": [1, 0] for one in range(16)}, {}, {f"{number}": {}}))
    assert (len(teller.latest.managers), len(teller.latest.reloads)) == (16, 64)


def test_what_was_counted_before_a_rollout_is_not_the_rollouts() -> None:
    under_way: list[RolloutRow] = [ROW]
    written: list[Counted] = []
    node = fleet()[5]

    async def run(work: Callable[..., Any], *given: Any) -> Any:
        if work is add_figures:
            written.extend(given[1])
            return None
        return list(under_way), {one.id: {node.name: node} for one in under_way}, {"key"}

    async def next_rollout() -> None:
        door = stats_door.StatsDoor(cast(Any, None), run, lambda key: None)
        teller = Teller(TargetRow(1, "edge", "envoy", {}, AT, "ann", None, None), "key", node.name)
        door.tellers.add(teller)

        async def says(completed: int, errors: int) -> None:
            teller.hear(Sample({"in": [completed, errors]}, {}, {}))
            await door._write()

        await says(10, 0)
        await says(20, 3)
        teller.hear(Sample({"in": [30, 4]}, {}, {}))  # in the moment in which the rollout ends
        under_way.clear()
        await door._write()
        under_way.append(replace(ROW, id=4))
        await door._write()
        await says(60, 20)
        await says(65, 20)

    asyncio.run(next_rollout())
    counts = [(one.rollout_id, one.figures["managers"]["in"]) for one in written]
    assert counts == [(3, [10, 3]), (4, [5, 0])], "16 errors came between the two"


def _family(message: Any, name: str) -> Any:
    """The one metric of a new family of a message."""
    family = message.metrics.add(name=name)
    return family.metric.add()


@pytest.mark.parametrize(("took", "pause"), [(0.0, 1.0), (0.01, 1.0), (0.5, 2.0), (30.0, 4.0)])
def test_looks_take_a_fifth_of_the_time_and_the_lease_is_kept(took: float, pause: float) -> None:
    assert pause_after(took) == pytest.approx(pause)


def test_quantiles() -> None:
    assert quantile({}, 0.95) is None
    assert quantile({10.0: 100}, 0.95) == 9.5
    assert quantile({10.0: 90, 100.0: 10}, 0.95) == 55
    assert quantile({10.0: 1, float("inf"): 99}, 0.95) == 10
