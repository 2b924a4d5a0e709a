"""Deployment sets in the database: a deployment and the set that changed it are one step, and so is the way back."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from storage.database import Conflict, Database
from storage.deployments import DeploymentRow, NewRevision, find_deployment, save_deployment
from storage.events import SYSTEM, Actor
from storage.namespaces import find_namespace
from storage.repositories import make_repository
from storage.set_ends import complete_set, end_set, forget_set, take_back_set
from storage.set_rows import MemberRow, SetRow, any_watched_set, find_set, set_events, set_members
from storage.set_steps import MovedOn
from storage.sets import NewMember, NewSetRevision, begin_set_revision, move_set, note_change, pause_set
from storage.targets import TargetRow, create_target
from storage.users import create_user
from tests.storage.replicas import ENGINES, at_once, new_place, opened

ANN = Actor("user", 1, "ann")


class Place:
    """Two fleets, and a set over both, at a database that two replicas have opened."""

    def __init__(self, one: Database, two: Database) -> None:
        self.one, self.two = one, two
        create_user(one, SYSTEM, "ann", password_hash=None)
        with one.read() as session:
            space = find_namespace(session, "ann")
        assert space is not None
        self.space = space.id
        self.repository = make_repository(one, "ann/limits", space.id, ANN)
        settings = {"slots": 2}
        self.targets: list[TargetRow] = [
            create_target(one, ANN, name, kind="envoy-fleet", namespace_id=space.id, settings=settings)
            for name in ("edge", "shop")
        ]

    def begin(self, after: int, *names: str) -> SetRow:
        """A revision of the set with these targets, one a wave."""
        there = {one.name: one.id for one in self.targets}
        members = [NewMember(there[name], name, "limits", wave) for wave, name in enumerate(names, 1)]
        spec = {"members": [{"wave": one.wave} for one in members], "bake": 0}
        new = NewSetRevision("apply", spec, members, None)
        return begin_set_revision(self.one, ANN, self.space, "all", new, after=after)

    def deploy(self, database: Database, row: SetRow, member: MemberRow, config: str = "a") -> DeploymentRow:
        """What the set does with a member."""
        target = next(one for one in self.targets if one.id == member.target_id)
        revision = NewRevision(
            self.repository, "ann/limits:1", "sha256:1", "1" * 64, config, "", "FAIL_CLOSED", 1, "deploy"
        )
        note = partial(note_change, row, member, "")
        return save_deployment(
            database, ANN, target, "limits", revision, arrange=lambda placed, one, order: {one: 1}, note=note
        )

    def now(self, row: SetRow) -> tuple[SetRow, list[MemberRow]]:
        """The set and its members."""
        with self.one.read() as session:
            found = find_set(session, row.id)
            assert found is not None
            return found, set_members(session, row.id)

    def number(self, target: str) -> int:
        """The revision that a fleet's deployment has; 0: it is not there."""
        with self.one.read() as session:
            found = find_deployment(session, next(one.id for one in self.targets if one.name == target), "limits")
        return found.current.number if found is not None else 0


@pytest.fixture(params=ENGINES)
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """On each engine."""
    monkeypatch.setattr("storage.deployments.module_location", lambda *_: ("key", "none"))
    with opened(new_place(request.param, tmp_path), 2) as (one, two):
        yield Place(one, two)


def test_of_two_processes_one_deploys_and_the_other_changes_nothing(place: Place) -> None:
    row = place.begin(0, "edge", "shop")
    _, (first, second) = place.now(row)
    tries = [partial(_tried, place, database, row, first) for database in (place.one, place.two)]
    assert sorted(at_once([*tries])) == ["MovedOn", "deployed"]
    assert (place.number("edge"), place.number("shop")) == (1, 0)
    found, (first, second) = place.now(row)
    assert (first.moved, first.given, first.before, first.carries) == (True, 1, 0, 1)
    assert (second.moved, second.before) == (False, None) and found.step == row.step + 1


def test_a_set_that_is_paused_meanwhile_deploys_nothing(place: Place) -> None:
    row = place.begin(0, "edge")
    pause_set(place.one, ANN, row)
    with pytest.raises(MovedOn):
        place.deploy(place.two, row, place.now(row)[1][0])
    assert place.number("edge") == 0
    assert not move_set(place.two, row, wave=1, baking_since=None, lines=())


def test_the_way_back_is_one_step_and_leaves_what_others_changed(place: Place) -> None:
    row = place.begin(0, "edge", "shop")
    for number in (0, 1):
        now, members = place.now(row)
        place.deploy(place.one, now, members[number])
    complete_set(place.one, place.now(row)[0], "done")
    with place.one.read() as session:
        assert not any_watched_set(session)

    second = place.begin(1, "edge", "shop")
    for number in (0, 1):
        now, members = place.now(second)
        place.deploy(place.one, now, members[number], "b")
    stale = place.now(second)[0]
    target = place.targets[1]
    mine = NewRevision(place.repository, "ann/limits:1", "sha256:1", "1" * 64, "mine", "", "FAIL_CLOSED", 1, "deploy")
    save_deployment(place.one, ANN, target, "limits", mine, arrange=lambda placed, one, order: {one: 1})
    take_back_set(place.one, SYSTEM, stale, "worse")
    assert (place.number("edge"), place.number("shop")) == (3, 3)
    with place.one.read() as session:
        said = [one.message for one in set_events(session, row.id) if one.kind == "back"]
    assert said == [
        "shop/limits stays as it is: it was changed since, by revision 3",
        "edge/limits is as before, by revision 3",
    ]
    with pytest.raises(Conflict, match="nothing under way"):
        take_back_set(place.one, ANN, stale, "again")


def test_a_set_goes_with_the_last_of_its_deployments_and_may_be_made_anew(place: Place) -> None:
    row = place.begin(0, "edge")
    place.deploy(place.one, row, place.now(row)[1][0])
    with pytest.raises(Conflict, match="sets abort ann/all"):
        place.begin(1, "edge")
    end_set(place.one, ANN, place.now(row)[0])
    assert place.number("edge") == 0
    with pytest.raises(Conflict, match="being taken away"):
        place.begin(1, "edge")
    forget_set(place.one, place.now(row)[0])
    assert place.begin(0, "edge").number == 1


def test_a_deployment_that_is_not_the_sets_is_not_taken(place: Place) -> None:
    mine = NewRevision(place.repository, "ann/limits:1", "sha256:1", "1" * 64, "mine", "", "FAIL_CLOSED", 1, "deploy")
    row = place.begin(0, "edge")
    target = place.targets[0]
    save_deployment(place.one, ANN, target, "limits", mine, arrange=lambda placed, one, order: {one: 1})
    with pytest.raises(Conflict, match="is not this set's"):
        place.deploy(place.one, row, place.now(row)[1][0])
    assert place.number("edge") == 1


def _tried(place: Place, database: Database, row: SetRow, member: MemberRow) -> str:
    try:
        place.deploy(database, row, member)
    except MovedOn:
        return "MovedOn"
    return "deployed"
