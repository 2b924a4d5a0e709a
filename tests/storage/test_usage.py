"""What namespaces hold: whatever changes it is counted, nobody waits for another, and nothing is lost in between."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from storage.database import Database
from storage.errors import OverQuota
from storage.events import SYSTEM, Actor
from storage.garbage import unlink_unused
from storage.manifests import NewManifest, save_manifest, unlink_blob
from storage.namespaces import find_namespace
from storage.removals import remove_teams
from storage.repositories import make_repository
from storage.teams import GRACE, create_team, delete_team
from storage.uploads import link_stored_blob, save_blob
from storage.usage import Limits, Meter, find_use, most_used, set_quota
from storage.usage_upkeep import fold, recount
from storage.users import create_user
from tests.storage.replicas import ENGINES, at_once, new_place, opened

ANN = Actor("user", 1, "ann", "192.0.2.7")
Pair = list[Database]


@pytest.fixture(params=ENGINES)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    """A database of each engine, opened by two replicas, with the team edge."""
    with opened(new_place(request.param, tmp_path)) as found:
        create_user(found[0], SYSTEM, "ann", password_hash=None)
        create_team(found[0], SYSTEM, "edge", owner_id=1)
        yield found


def space(database: Database, name: str = "edge") -> int:
    """The id of a namespace."""
    with database.read() as session:
        found = find_namespace(session, name)
    assert found is not None
    return found.id


def held(database: Database, name: str = "edge") -> int:
    """What it holds."""
    with database.read() as session:
        found = find_use(session, space(database, name))
    assert found is not None
    return found.bytes


def counted(database: Database) -> int:
    """The same, counted."""
    with database.read() as session:
        asked = "SELECT SUM(b.size) FROM repository_blobs rb JOIN blobs b ON b.id = rb.blob_id"
        return int(session.execute(text(asked)).scalar() or 0)


def digest(number: int) -> str:
    """Of some blob."""
    return f"sha256:{number:064x}"


def push(database: Database, repository: int, number: int, size: int = 100, meter: Meter | None = None) -> None:
    """A blob."""
    copy = (f"key-{repository}-{number}", size)
    save_blob(database, repository, digest(number), copy, upload_id=None, actor=ANN, meter=meter or Meter())


def events(database: Database) -> list[str]:
    """What was told of quotas."""
    with database.read() as session:
        rows = session.execute(text("SELECT action FROM events WHERE action LIKE 'quota.%' ORDER BY id"))
        return [row[0] for row in rows]


def test_whatever_changes_it_is_counted_before_and_after_folding(pair: Pair) -> None:
    one, two = pair
    first, second = (make_repository(one, f"edge/{name}", space(one), ANN) for name in ("first", "second"))
    steps = [
        (lambda: push(one, first, 1), 100),
        (lambda: push(two, first, 1), 100),  # again
        (lambda: push(two, first, 2, 50), 150),
        (
            lambda: link_stored_blob(
                one, second, digest(1), upload_id=None, actor=ANN, action="blob.mount", meter=Meter()
            ),
            250,
        ),
        (lambda: unlink_blob(two, first, digest(2), actor=ANN, name="edge/first"), 200),
        (lambda: unlink_blob(two, first, digest(2), actor=ANN, name="edge/first"), 200),
    ]
    for act, expected in steps:
        act()
        assert held(one) == held(two) == expected == counted(one)
        fold(two, Meter())
        assert held(one) == expected
    with one.read() as session:
        assert session.execute(text("SELECT count(*) FROM usage_changes")).scalar() == 0


def test_garbage_collection_and_the_end_of_a_team_lower_it(pair: Pair) -> None:
    one, _ = pair
    repository = make_repository(one, "edge/first", space(one), ANN)
    for number in (1, 2):
        push(one, repository, number)
    manifest = NewManifest(digest(9), "a/b", b"{}", blobs={digest(1): 100})
    save_manifest(one, repository, manifest, ["v1"], actor=ANN, name="edge/first")
    with one.write() as session:
        session.execute(text("UPDATE blobs SET leased_until = -1"))
    unlink_unused(one, [], False)
    assert held(one) == 100 == counted(one)
    with one.read() as session:
        team = session.execute(text("SELECT id FROM teams")).scalar_one()
    create_team(one, SYSTEM, "other", owner_id=1)
    delete_team(one, ANN, team)
    assert held(one) == 100, "it may come back"
    with one.write() as session:
        session.execute(text("UPDATE hub_clock SET reading = reading + :by"), {"by": GRACE + 1})
    cursor: list[int] | None = []
    while cursor is not None:
        cursor = remove_teams(one, cursor, False).cursor
    while fold(one, Meter()):
        pass
    assert counted(one) == 0
    with one.read() as session:
        assert session.execute(text("SELECT SUM(bytes) FROM usage")).scalar() in (0, None)


@pytest.mark.parametrize("pair", ["postgresql"], indirect=True)  # a file has one writer at a time
def test_pushes_to_one_namespace_do_not_wait_for_one_another(pair: Pair) -> None:
    one, two = pair
    repositories = [make_repository(one, f"edge/{name}", space(one), ANN) for name in ("first", "second")]
    counted_in, go_on = threading.Event(), threading.Event()

    class Slow(Meter):
        def take(self, *asked: object) -> None:
            super().take(*asked)  # type: ignore[arg-type]
            counted_in.set()
            assert go_on.wait(20)

    waiting = threading.Thread(target=push, args=(one, repositories[0], 1), kwargs={"meter": Slow()})
    waiting.start()
    assert counted_in.wait(20)
    push(two, repositories[1], 2)  # commits while the other has counted and not committed
    fold(two, Meter())
    assert held(two) == 100
    go_on.set()
    waiting.join()
    fold(two, Meter())
    assert held(two) == 200


def test_pushes_and_foldings_at_once_lose_nothing(pair: Pair) -> None:
    repositories = [make_repository(pair[0], f"edge/r{number}", space(pair[0]), ANN) for number in range(4)]

    def some(place: int) -> None:
        for number in range(10):
            push(pair[place % 2], repositories[place], place * 100 + number, 7)
            if number % 3 == 0:
                fold(pair[place % 2], Meter())

    at_once([lambda place=place: some(place) for place in range(4)])  # type: ignore[misc]
    assert held(pair[0]) == 4 * 10 * 7 == counted(pair[0])


def test_a_push_beyond_the_quota_is_refused_whole_and_what_is_there_may_be_pushed_again(pair: Pair) -> None:
    one, _ = pair
    meter = Meter(Limits(250, 0))
    repository = make_repository(one, "edge/first", space(one), ANN, meter)
    for number in (1, 2):
        push(one, repository, number, meter=meter)
    with pytest.raises(OverQuota, match=r"edge holds 200 bytes of the 250 bytes that it may, and this adds 100 bytes"):
        push(one, repository, 3, meter=meter)
    assert held(one) == 200
    with one.read() as session:
        assert session.execute(text("SELECT count(*) FROM blobs")).scalar() == 2, "nothing of it is left"
    push(one, repository, 2, meter=meter)
    push(one, repository, 4, 50, meter)
    with pytest.raises(OverQuota):
        push(one, repository, 5, 1, meter)
    push(one, repository, 6, 0, meter)
    set_quota(one, ANN, space(one), Limits(300, None))
    push(one, repository, 5, 50, meter)
    set_quota(one, ANN, space(one), Limits(0, None))
    push(one, repository, 7, 10_000, meter)
    set_quota(one, ANN, space(one), Limits(None, None))
    with pytest.raises(OverQuota):
        push(one, repository, 8, 1, meter)


def test_a_push_begins_where_there_is_room_by_what_was_seen_a_moment_ago(pair: Pair) -> None:
    one, two = pair
    meter = Meter(Limits(250, 0))
    repository = make_repository(one, "edge/first", space(one), ANN, meter)
    meter.refuse_full(one, space(one), 250)
    with pytest.raises(OverQuota):
        meter.refuse_full(one, space(one), 251)
    push(one, repository, 1, 250, meter)
    with pytest.raises(OverQuota):
        meter.refuse_full(one, space(one), 0)
    unlink_blob(two, repository, digest(1), actor=ANN, name="edge/first")
    meter.refuse_full(one, space(one), 250)  # who made room is not told that there is none


def test_repositories_have_a_quota_of_their_own(pair: Pair) -> None:
    one, _ = pair
    meter = Meter(Limits(0, 1))
    make_repository(one, "edge/first", space(one), ANN, meter)
    make_repository(one, "edge/first", space(one), ANN, meter)
    with pytest.raises(OverQuota, match="edge has 1 repositories and may have 1"):
        make_repository(one, "edge/second", space(one), ANN, meter)
    set_quota(one, ANN, space(one), Limits(None, 2))
    make_repository(one, "edge/second", space(one), ANN, meter)


def test_a_quota_that_is_nearly_used_is_told_once(pair: Pair) -> None:
    one, _ = pair
    meter = Meter(Limits(1000, 0))
    repository = make_repository(one, "edge/first", space(one), ANN, meter)
    told = []
    for number, size in ((1, 790), (2, 20), (3, 20), (4, 170)):
        push(one, repository, number, size, meter)
        fold(one, meter)
        told.append(events(one))
    assert told == [[], ["quota.warn"], ["quota.warn"], ["quota.warn", "quota.reach"]]
    assert meter.warning(space(one)) == "edge holds 100% of the 1 KB that it may"
    for number in (1, 3):
        unlink_blob(one, repository, digest(number), actor=ANN, name="edge/first")
        fold(one, meter)
    push(one, repository, 5, 650, meter)
    fold(one, meter)
    assert events(one)[2:] == ["quota.warn"], "it had left that level"


def test_a_sum_that_differs_is_corrected_while_pushes_go_on(pair: Pair) -> None:
    one, two = pair
    repository = make_repository(one, "edge/first", space(one), ANN)
    push(one, repository, 1)
    with one.write() as session:
        session.execute(text("INSERT INTO usage_changes (namespace_id, bytes) VALUES (:n, 9)"), {"n": space(one)})
    push(two, repository, 2)
    assert held(one) == 209
    cursor: list[int] | None = []
    while cursor is not None:
        cursor = recount(one, cursor, False).cursor
    assert held(one) == 200
    fold(one, Meter())
    assert held(one) == 200


def test_namespaces_come_by_what_they_hold(pair: Pair) -> None:
    one, _ = pair
    for number, size in enumerate((30, 10, 20, 20)):
        create_team(one, SYSTEM, f"t{number}", owner_id=1)
        push(one, make_repository(one, f"t{number}/x", space(one, f"t{number}"), ANN), number, size)
    fold(one, Meter())
    found, after = [], None
    while True:
        with one.read() as session:
            rows = most_used(session, after=after, limit=2)
        if not rows:
            break
        found += [(use.namespace, use.bytes, use.repositories) for use, _ in rows]
        after = rows[-1][1]
    assert found == [("t0", 30, 1), ("t3", 20, 1), ("t2", 20, 1), ("t1", 10, 1)]
