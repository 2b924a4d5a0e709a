"""Rollouts in the database: one at a time, each step by one, the way back in one step, and what nodes count."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from storage import deployments, rollout_rows
from storage.database import Conflict, Database, now
from storage.deployments import NewRevision, find_deployment, revisions, save_deployment, slot_revisions, undeploy
from storage.events import SYSTEM, Actor
from storage.namespaces import find_namespace
from storage.nodes import SlotRow, add_node, find_node, save_slot, slot_nodes
from storage.repositories import make_repository
from storage.rollout_rows import (
    NewRollout,
    RolloutRow,
    any_watched,
    find_rollout,
    rollout_events,
    rollout_figures,
    target_rollouts,
    watched_rollouts,
)
from storage.rollouts import (
    Counted,
    Line,
    add_figures,
    finish_rollout,
    move_rollout,
    pause_rollout,
    resume_rollout,
    take_back_rollout,
)
from storage.targets import TargetRow, create_target, delete_target
from storage.users import create_user
from tests.storage.replicas import ENGINES, at_once, new_place, opened

ANN = Actor("user", 1, "ann")
WAVES = NewRollout((50, 100), 1000, {"errors": 1})


class Place:
    """A fleet with a deployment, at a database that two replicas have opened."""

    def __init__(self, one: Database, two: Database) -> None:
        self.one, self.two = one, two
        create_user(one, SYSTEM, "ann", password_hash=None)
        with one.read() as session:
            space = find_namespace(session, "ann")
        assert space is not None
        self.repository = make_repository(one, "ann/limits", space.id, ANN)
        self.target: TargetRow = create_target(
            one, ANN, "edge", kind="envoy-fleet", namespace_id=space.id, settings={"slots": 2}
        )
        self.deploy("a")

    def deploy(self, config: str, rollout: NewRollout | None = None) -> int | None:
        """A revision; the number of its rollout."""
        revision = NewRevision(
            self.repository, "ann/limits:1", "sha256:1", "1" * 64, config, "", "FAIL_CLOSED", 1, "deploy"
        )
        made = save_deployment(
            self.one, ANN, self.target, "limits", revision, arrange=lambda placed, one, order: {one: 1}, rollout=rollout
        )
        return made.staged.id if made.staged else None

    def rollout(self, number: int) -> RolloutRow:
        """The rollout as it stands."""
        with self.two.read() as session:
            found = find_rollout(session, number)
        assert found is not None
        return found

    def begun(self, config: str = "b") -> RolloutRow:
        """A rollout that was begun just now."""
        number = self.deploy(config, WAVES)
        assert number is not None
        return self.rollout(number)


@pytest.fixture(params=ENGINES)
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setattr(deployments, "module_location", lambda session, sha256: ("key", "none"))
    with opened(new_place(request.param, tmp_path)) as (one, two):
        yield Place(one, two)


def test_one_at_a_time_and_each_step_once(place: Place) -> None:
    rollout = place.begun()
    assert (rollout.state, rollout.wave, rollout.cut, rollout.waves) == ("running", 0, 0, (50, 100))
    assert (rollout.from_revision, rollout.to_revision, rollout.created_by) == (1, 2, "ann")
    with pytest.raises(Conflict, match=f"wasmhub rollout abort {rollout.id}"):
        place.deploy("c")

    def move(database: Database) -> bool:
        line = Line("wave", "wave 1")
        return move_rollout(database, rollout, wave=1, cut=99, baking_since=None, lines=[line])

    assert sorted(at_once([lambda: move(place.one), lambda: move(place.two)])) == [False, True]
    with place.two.read() as session:
        assert [one.kind for one in rollout_events(session, rollout.id)] == ["started", "wave"]
        found = find_deployment(session, place.target.id, "limits")
        assert found is not None and found.staged is not None
        assert (found.staged.cut, found.staged.revision, found.staged.wave) == (99, 2, 1)
        ((slot, (_, cut, *_)),) = slot_revisions(session, [place.target.id])[place.target.id].items()
        assert (slot, cut) == (1, 99)
    late = place.rollout(rollout.id)
    assert move_rollout(place.one, late, wave=1, cut=5, baking_since=now(), lines=[])
    assert place.rollout(rollout.id).cut == 99, "a cut never falls"


def test_it_is_paused_resumed_and_done(place: Place) -> None:
    rollout = place.begun()
    assert pause_rollout(place.one, ANN, rollout).state == "paused"
    with pytest.raises(Conflict, match="is paused, and only one that is running can be paused"):
        pause_rollout(place.two, ANN, rollout)
    assert not move_rollout(place.one, rollout, wave=1, cut=1, baking_since=None, lines=[])
    assert resume_rollout(place.two, ANN, rollout).state == "running"
    assert finish_rollout(place.one, place.rollout(rollout.id), "all have it", [Line("healthy", "fine", {"x": 1}, 2)])
    over = place.rollout(rollout.id)
    assert over.state == "done" and over.ended_at is not None
    with place.one.read() as session:
        assert not any_watched(session) and watched_rollouts(session) == []
        events = rollout_events(session, rollout.id)
        assert [one.kind for one in events] == ["started", "paused", "resumed", "healthy", "done"]
        assert (events[3].figures, events[3].wave) == ({"x": 1}, 2)
        assert rollout_events(session, rollout.id, after=events[3].id) == events[4:]
        found = find_deployment(session, place.target.id, "limits")
        assert found is not None and found.staged is None and found.current.number == 2
    place.deploy("c")


@pytest.mark.parametrize(("actor", "state"), [(SYSTEM, "halted"), (ANN, "aborted")])
def test_the_way_back_is_a_revision_of_its_own_and_is_taken_once(place: Place, actor: Actor, state: str) -> None:
    rollout = place.begun()

    def back(database: Database) -> str:
        try:
            return take_back_rollout(database, actor, rollout.id, "9% failed", {"new": 1}).state
        except Conflict as conflict:
            return str(conflict)

    found = sorted(at_once([lambda: back(place.one), lambda: back(place.two)]))
    assert found == sorted([state, f"rollout {rollout.id} is over: {state}"])
    over = place.rollout(rollout.id)
    assert (over.back_revision, over.why, over.ended_at is None) == (3, "9% failed", state == "halted")
    with place.one.read() as session:
        deployment = find_deployment(session, place.target.id, "limits")
        assert deployment is not None and deployment.staged is None
        history = [(one.number, one.action, one.config, one.created_by) for one in revisions(session, deployment.id)]
        who = "ann" if actor is ANN else None
        assert history == [(3, "rollback", "a", who), (2, "deploy", "b", "ann"), (1, "deploy", "a", "ann")]
        written = session.execute(text("SELECT action FROM events WHERE subject = 'edge/limits' ORDER BY id")).scalars()
        verb = "rollout.halt" if state == "halted" else "rollout.abort"
        assert [*written][-2:] == [verb, "deployment.rollback"]
    if state == "halted":
        assert finish_rollout(place.two, over, "nobody runs it")
        assert place.rollout(rollout.id).state == "rolled-back"
    place.deploy("c", WAVES)


def test_a_first_revision_goes_back_to_nothing_and_the_next_begins_anew(place: Place) -> None:
    undeploy(place.one, ANN, place.target, "limits")
    rollout = place.begun("first")
    assert (rollout.from_revision, rollout.to_revision) == (0, 1)
    over = take_back_rollout(place.one, SYSTEM, rollout.id, "9% failed", {"new": 1})
    assert (over.state, over.back_revision, over.slot) == ("halted", None, None)
    with place.two.read() as session:
        left = find_deployment(session, place.target.id, "limits")
        assert left is not None and left.taken_back and left.staged is None and left.slot is None
        assert slot_revisions(session, [place.target.id]) == {place.target.id: {}}
        written = session.execute(text("SELECT action FROM events WHERE subject = 'edge/limits' ORDER BY id")).scalars()
        assert [*written][-2:] == ["rollout.halt", "deployment.undeploy"]
        assert any_watched(session), "its nodes are on their way back"
    again = place.begun("second")
    assert (again.from_revision, again.to_revision) == (0, 2)
    with place.two.read() as session:
        now_there = find_deployment(session, place.target.id, "limits")
        assert now_there is not None and not now_there.taken_back and now_there.seen is None
        assert [one.number for one in revisions(session, now_there.id)] == [2]
        assert [one.id for one in target_rollouts(session, place.target.id)] == [again.id, rollout.id]
    take_back_rollout(place.one, ANN, again.id, "enough")
    delete_target(place.two, ANN, place.target)
    with place.one.read() as session:
        assert find_rollout(session, again.id) is None


def test_what_nodes_count_is_summed_and_goes_with_them(place: Place) -> None:
    rollout = place.begun()
    names = ("edge-1", "edge-2")
    for name in names:
        add_node(place.one, place.target.id, name, "envoy", limit=9, forget_before=0, yield_before=0)
    with place.one.read() as session:
        first, second = (found.id for name in names if (found := find_node(session, place.target.id, name)))
    figures = {"managers": {"in": [10, 1]}, "times": {"5": 10}, "reloads": 0}
    more = {"managers": {"in": [5, 0], "out": [1, 1]}, "times": {"5": 4, "10": 1}, "reloads": 2}

    def count(database: Database, counted: dict[str, object], node: int = first, changed: bool = True) -> None:
        add_figures(database, [Counted(rollout.id, node, 1, changed, counted)])

    count(place.one, figures)
    at_once([lambda: count(place.one, more), lambda: count(place.two, more)])
    count(place.two, figures, second, False)
    add_figures(place.one, [Counted(rollout.id, 999, 1, True, more), Counted(999, first, 1, True, more)])
    with place.two.read() as session:
        found = {(one.node, one.wave, one.changed): one.figures for one in rollout_figures(session, rollout.id)}
    assert found == {
        ("edge-1", 1, True): {"managers": {"in": [20, 1], "out": [2, 2]}, "times": {"5": 18, "10": 2}, "reloads": 4},
        ("edge-2", 1, False): figures,
    }
    for number in range(3):  # a proxy that comes again and again with other names
        count(place.one, {**figures, "managers": {f"{number}-{one}": [1, 0] for one in range(9)}}, second, False)
    with place.two.read() as session:
        (row,) = [one for one in rollout_figures(session, rollout.id) if one.node == "edge-2"]
    assert len(row.figures["managers"]) == 16 and row.figures["managers"]["in"] == [10, 1]
    undeploy(place.one, ANN, place.target, "limits")
    with place.two.read() as session:
        assert rollout_figures(session, rollout.id) == [] and target_rollouts(session, place.target.id) == []


def test_a_timeline_that_is_long_shows_its_newest_lines(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout_rows, "SHOWN_EVENTS", 3)
    rollout = place.begun()
    for _ in range(3):
        pause_rollout(place.one, ANN, rollout)
        resume_rollout(place.one, ANN, rollout)
    with place.two.read() as session:
        found = rollout_events(session, rollout.id)
        assert [one.kind for one in found] == ["resumed", "paused", "resumed"]
        assert rollout_events(session, rollout.id, after=found[1].id) == found[2:]


def test_nodes_are_read_with_one_slot(place: Place) -> None:
    node = add_node(place.one, place.target.id, "edge-1", "envoy", limit=9, forget_before=0, yield_before=0)
    add_node(place.one, place.target.id, "edge-2", "envoy", limit=9, forget_before=0, yield_before=0)
    assert node is not None
    runs = SlotRow("d1.r1.x.a1", True, "d1.r1.x.a1", ("d1.r2.y",), "no such root")
    assert save_slot(place.one, node.id, 1, SlotRow(), runs, refusal=None)
    assert save_slot(place.one, node.id, 2, SlotRow(), replace(runs, why=""), refusal=None)
    with place.two.read() as session:
        found = slot_nodes(session, place.target.id, 1)
    assert [(one.name, one.slots) for one in found] == [("edge-1", {1: runs}), ("edge-2", {})]


def test_old_rollouts_are_forgotten(place: Place) -> None:
    for number in range(23):
        rollout = place.begun(f"c{number}")
        take_back_rollout(place.one, ANN, rollout.id, "enough")
    with place.one.read() as session:
        assert len(target_rollouts(session, place.target.id)) == 20
