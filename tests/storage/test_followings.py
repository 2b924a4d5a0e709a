"""What deployments follow, in the database: what has moved, one revision for each move, and what ends it."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from storage import deployments
from storage.database import Conflict, Database, now
from storage.departures import delete_user
from storage.deployments import DeploymentRow, NewRevision, find_deployment, revisions, save_deployment, undeploy
from storage.events import SYSTEM, Actor
from storage.followings import (
    REFUSED,
    RUNS,
    Moved,
    NewFollowing,
    Overtaken,
    Settle,
    begin_following,
    end_following,
    follow_moved,
    highest_version,
    keep_following,
    moved_followings,
    note_following,
    was_taken_back,
)
from storage.manifests import NewManifest, delete_tag, save_manifest
from storage.namespaces import find_namespace
from storage.repositories import make_repository
from storage.rollout_rows import NewRollout, find_rollout
from storage.rollouts import finish_rollout, take_back_rollout
from storage.targets import SettingsMoved, TargetRow, configure_target, create_target
from storage.users import create_user
from storage.versions import rank
from tests.storage.replicas import ENGINES, at_once, new_place, opened

ANN = Actor("user", 1, "ann")
WAVES = NewRollout((50, 100), 1000, {"errors": 1})


class Place:
    """A fleet with a deployment, at a database that two replicas have opened."""

    def __init__(self, one: Database, two: Database) -> None:
        self.one, self.two = one, two
        self.ann = create_user(one, SYSTEM, "ann", password_hash=None)
        with one.read() as session:
            space = find_namespace(session, "ann")
        assert space is not None
        self.space = space.id
        self.repository = make_repository(one, "ann/waf", space.id, ANN)
        self.target: TargetRow = create_target(
            one, ANN, "edge", kind="envoy-fleet", namespace_id=space.id, settings={"slots": 2}
        )

    def push(self, digest: str, *tags: str) -> None:
        """A manifest, and where tags point."""
        save_manifest(
            self.one, self.repository, NewManifest(digest, "a/b", digest.encode()), tags, actor=ANN, name="ann/waf"
        )

    def deploy(
        self,
        digest: str,
        settle: Settle = end_following,
        *,
        action: str = "deploy",
        by: Database | None = None,
        **more: Any,
    ) -> DeploymentRow:
        """A revision."""
        revision = NewRevision(self.repository, "ann/waf:1", digest, "1" * 64, None, "", "FAIL_CLOSED", 1, action)
        return save_deployment(
            by or self.one,
            ANN,
            self.target,
            "waf",
            revision,
            arrange=lambda _, one, __: {one: 1},
            settle=settle,
            **more,
        )

    def tag(self, tag: str = "1", **more: Any) -> NewFollowing:
        """A tag that is followed."""
        return NewFollowing(self.repository, tag, "", "", "", False, more.get("rollout"), self.ann)

    def range(self, low: str, high: str, *, pre_releases: bool = False) -> NewFollowing:
        """A range that is followed."""
        return NewFollowing(self.repository, "", "the range", rank(low), rank(high), pre_releases, None, self.ann)

    def moved(self, at: int | None = None) -> list[Moved]:
        """What has moved."""
        with self.two.read() as session:
            return moved_followings(session, now() if at is None else at)

    def only(self) -> Moved:
        """The one that has moved."""
        (found,) = self.moved()
        return found

    def follows(self) -> Any:
        """What the deployment follows."""
        with self.one.read() as session:
            found = find_deployment(session, self.target.id, "waf")
        assert found is not None
        return found.follows

    def history(self) -> list[tuple[int, str, str]]:
        """The revisions, newest first."""
        with self.one.read() as session:
            found = find_deployment(session, self.target.id, "waf")
            assert found is not None
            return [(one.number, one.action, one.manifest_digest) for one in revisions(session, found.id)]

    def events(self) -> list[tuple[str, str]]:
        """What was written down of it, oldest first."""
        with self.one.read() as session:
            asked = text("SELECT action, result FROM events WHERE subject = 'edge/waf' ORDER BY id")
            return [tuple(row) for row in session.execute(asked)]


@pytest.fixture(params=ENGINES)
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setattr(deployments, "module_location", lambda session, sha256: ("key", "none"))
    with opened(new_place(request.param, tmp_path)) as (one, two):
        yield Place(one, two)


def test_a_move_is_one_revision_whoever_sees_it(place: Place) -> None:
    place.push("sha256:a", "1")
    place.deploy("sha256:a", begin_following(place.tag()))
    first = place.only()
    assert (first.reference, first.digest, first.fresh, first.user_id) == ("ann/waf:1", "sha256:a", True, place.ann)
    assert note_following(place.one, SYSTEM, first, RUNS) and place.moved() == []
    place.push("sha256:b", "1")
    seen = place.only()

    def bring(database: Database) -> str:
        try:
            place.deploy("sha256:b", follow_moved(seen), action="follow", by=database)
        except Overtaken:
            return "overtaken"
        return "brought"

    assert sorted(at_once([lambda: bring(place.one), lambda: bring(place.two)])) == ["brought", "overtaken"]
    assert place.history() == [(2, "follow", "sha256:b"), (1, "deploy", "sha256:a")]
    assert place.moved() == [] and place.events() == [("deployment.deploy", "done"), ("deployment.follow", "done")]
    place.push("sha256:a", "1")
    assert place.only().digest == "sha256:a", "moved back by its owner it is followed too"


def test_what_a_person_did_meanwhile_holds(place: Place) -> None:
    place.push("sha256:a", "1")
    place.deploy("sha256:a", begin_following(place.tag()))
    seen = place.only()
    place.deploy("sha256:c", keep_following)
    with pytest.raises(Overtaken, match="edge/waf was changed meanwhile"):
        place.deploy("sha256:a", follow_moved(seen), action="follow")
    assert not note_following(place.one, SYSTEM, seen, REFUSED, "late")
    again = place.only()
    undeploy(place.one, ANN, place.target, "waf")
    assert place.moved() == []
    with pytest.raises(Overtaken):
        place.deploy("sha256:a", follow_moved(again), action="follow")
    with place.one.read() as session:
        assert find_deployment(session, place.target.id, "waf") is None, "nor is it made anew"


def test_a_range_is_its_highest_version_and_what_comes_above_it(place: Place) -> None:
    place.push("sha256:a", "1.2.0", "1.10.0", "1.11.0-rc.1", "2.0.0-rc.1", "2.0.0", "latest", "sha256-" + "0" * 64)
    wanted = place.range("1.2.0", "2.0.0-0")
    with place.one.read() as session:
        for pre_releases, highest in ((False, "1.10.0"), (True, "1.11.0-rc.1")):
            found = highest_version(session, place.repository, wanted.low, wanted.high, pre_releases)
            assert found == highest
        assert highest_version(session, place.repository, rank("3.0.0"), "3", False) is None
    place.deploy("sha256:a", begin_following(wanted))
    assert place.only().tag == "1.10.0"
    note_following(place.one, SYSTEM, place.only(), RUNS)
    delete_tag(place.one, place.repository, "1.10.0", actor=ANN, name="ann/waf")
    place.push("sha256:b", "1.9.0")
    assert place.moved() == [], "it never goes down"
    place.push("sha256:c", "1.12.0")
    above = place.only()
    note_following(place.one, SYSTEM, above, REFUSED, "no signature", now() + 60_000)
    assert place.moved() == []
    place.push("sha256:d", "1.11.0")
    assert place.moved() == [], "the highest of the range is still what was refused"
    delete_tag(place.one, place.repository, "1.12.0", actor=ANN, name="ann/waf")
    assert place.only().tag == "1.11.0", "which lies above what runs"
    place.deploy("sha256:a", begin_following(place.range("1.0.0", "2.0.0-0", pre_releases=True)))
    assert place.only().tag == "1.11.0"


def test_a_refusal_is_said_once_and_tried_again_when_it_may_be_otherwise(place: Place) -> None:
    place.push("sha256:a", "1")
    place.deploy("sha256:a", begin_following(place.tag()))
    moment = now()
    assert note_following(place.one, SYSTEM, place.only(), REFUSED, "no signature", moment + 60_000)
    follows = place.follows()
    assert (follows.state, follows.message, follows.seen_tag) == (REFUSED, "no signature", "1")
    assert place.moved() == []
    (again,) = place.moved(moment + 60_000)
    assert (again.fresh, again.tries) == (False, 0)
    assert note_following(place.two, SYSTEM, again, REFUSED, "no signature", moment + 180_000)
    assert place.follows().said_at == follows.said_at, "it is no other refusal"
    configure_target(place.one, ANN, place.target, settings={"slots": 2, "max_filters": 3}, sealed_access=None)
    with pytest.raises(SettingsMoved):
        configure_target(place.two, ANN, place.target, settings={"slots": 2}, sealed_access=None)
    again = place.only()
    assert again.tries == 1
    assert note_following(place.one, SYSTEM, again, REFUSED, "not allowed", None)
    assert place.moved(moment + 10**9) == [], "only when it moves"
    place.push("sha256:b", "1")
    assert place.only().fresh and place.only().tries == 2
    assert note_following(place.one, SYSTEM, place.only(), RUNS)
    assert place.follows().state == RUNS and place.follows().said_at is None
    refused = [one for one in place.events() if one[0] == "deployment.follow"]
    assert refused == [("deployment.follow", "refused")] * 2


def test_it_waits_for_a_rollout_and_brings_nothing_out_that_was_taken_back(place: Place) -> None:
    place.push("sha256:a", "1")
    place.deploy("sha256:a")
    made = place.deploy("sha256:a", begin_following(place.tag(rollout=WAVES)), rollout=WAVES)
    assert place.follows().rollout == WAVES and made.staged is not None
    assert place.moved() == [], "while its rollout is under way"
    with place.one.read() as session:
        under_way = find_rollout(session, made.staged.id)
    assert under_way is not None and finish_rollout(place.one, under_way, "done")
    note_following(place.one, SYSTEM, place.only(), RUNS)
    place.push("sha256:b", "1")
    seen = place.only()
    assert seen.rollout == WAVES
    staged = place.deploy("sha256:b", follow_moved(seen), action="follow", rollout=WAVES).staged
    assert staged is not None
    take_back_rollout(place.one, SYSTEM, staged.id, "worse health")
    follows = place.follows()
    why = f"rollout {staged.id} of it was taken back: worse health; it comes again when somebody deploys it"
    assert (follows.state, follows.message, follows.again_at) == (REFUSED, why, None)
    assert place.history()[0] == (4, "rollback", "sha256:a") and place.moved() == []
    with place.one.read() as session:
        assert was_taken_back(session, seen.deployment_id, "sha256:b") == why
        assert was_taken_back(session, seen.deployment_id, "sha256:a") == ""
    place.push("sha256:c", "1")
    assert place.only().digest == "sha256:c", "the next one is followed"
    by_hand = place.deploy("sha256:c", begin_following(place.tag()), rollout=WAVES).staged
    assert by_hand is not None
    take_back_rollout(place.one, ANN, by_hand.id, "not this")
    assert place.follows() is None, "what a person brought out and took back is not followed"


def test_a_person_who_is_gone_follows_nothing_and_the_row_stays(place: Place) -> None:
    place.push("sha256:a", "1")
    place.deploy("sha256:a", begin_following(place.tag()))
    create_user(place.one, SYSTEM, "bea", password_hash=None)
    with place.one.read() as session:
        heir = find_namespace(session, "bea")
    delete_user(place.one, SYSTEM, place.ann, heir)
    assert place.only().user_id is None and place.follows().by is None


def test_what_moved_is_found_fast_among_many(place: Place) -> None:
    place.push("sha256:a", "1", *(f"1.{number}.0" for number in range(300)))
    place.deploy("sha256:a", begin_following(place.tag()))
    with place.one.write() as session:
        row = session.execute(text("SELECT * FROM deployments")).mappings().one()
        revision = dict(session.execute(text("SELECT * FROM revisions")).mappings().one())
        for number in range(2000):
            values = {
                **row,
                "id": 1000 + number,
                "name": f"d{number}",
                "grant": f"g{number}",
                "revision_id": 5000 + number,
            }
            _insert(session, "deployments", values)
            _insert(session, "revisions", {**revision, "id": 5000 + number, "deployment_id": 1000 + number})
            follow = {"deployment_id": 1000 + number, "repository_id": place.repository, "tag": "", "versions": "^1"}
            follow |= {"low": rank("1.200.0"), "high": rank("2.0.0-0"), "since": 1, "seen_tag": "1.299.0"}
            _insert(session, "followings", {**follow, "seen_digest": "sha256:a"})
    note_following(place.one, SYSTEM, place.only(), RUNS)
    took = []
    for _ in range(5):
        began = time.perf_counter()
        assert place.moved() == []
        took.append(time.perf_counter() - began)
    assert min(took) < 0.5, "a look at 2,000 deployments that follow"
    place.push("sha256:b", "1.300.0")
    assert len(place.moved()) == 1000, "and the others with the next look"


def _insert(session: Any, table: str, values: dict[str, Any]) -> None:
    names = ", ".join(f'"{name}"' for name in values)
    session.execute(text(f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{name}' for name in values)})"), values)


def test_another_repository_of_that_tag_is_none_of_its_business(place: Place) -> None:
    other = make_repository(place.one, "ann/other", place.space, ANN)
    place.push("sha256:a", "1")
    place.deploy("sha256:a", begin_following(place.tag()))
    note_following(place.one, SYSTEM, place.only(), RUNS)
    save_manifest(place.one, other, NewManifest("sha256:z", "a/b", b"z"), ["1"], actor=ANN, name="ann/other")
    assert place.moved() == []
    with pytest.raises(Conflict):
        place.deploy("sha256:a", follow_moved(replace(place_moved(place), deployment_id=77)), action="follow")


def place_moved(place: Place) -> Moved:
    """It, moved."""
    place.push("sha256:b", "1")
    return place.only()
