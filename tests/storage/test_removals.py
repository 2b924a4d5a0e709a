"""Teams whose time to be restored is over, on each engine: what goes, what stays, and that no step is long."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from storage.database import Database, now
from storage.events import SYSTEM
from storage.garbage import AT_ONCE, Cursor
from storage.namespaces import find_namespace
from storage.people_tables import Team
from storage.removals import remove_teams
from storage.repositories import make_repository
from storage.tables import Blob, Deployment, Manifest, RepositoryBlob, Revision, Target, Upload
from storage.teams import GRACE, create_team, delete_team, restore_team
from storage.users import create_user
from tests.storage.replicas import ENGINES, new_place, opened

DIGEST = "sha256:" + "0" * 64
MANY = AT_ONCE + 1


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database with two teams of one owner; in one are a repository with much in it, one with little, one empty."""
    with opened(new_place(request.param, tmp_path), 1) as (one,):
        owner = create_user(one, SYSTEM, "ann", password_hash=None)
        assert owner is not None
        for name in ("acme", "other"):
            create_team(one, SYSTEM, name, owner_id=owner)
        space = _namespace(one, "acme")
        much, little, _ = [make_repository(one, f"acme/{name}", space, SYSTEM) for name in ("much", "little", "none")]
        with one.write() as session:
            for number in range(MANY):
                session.add(_manifest(much, f"sha256:{number:064}"))
            session.add(Blob(id=1, digest=DIGEST, key="k", size=1, created_at=1, leased_until=0, checked_at=1))
            session.add(_manifest(little, DIGEST))
            session.flush()
            session.add(RepositoryBlob(repository_id=little, blob_id=1, created_at=1))
            session.add(Upload(id="u", repository_id=little, key="half", created_at=1, touched_at=1))
        yield one


def test_nothing_goes_before_its_time(database: Database) -> None:
    delete_team(database, SYSTEM, team_id(database, "acme"))
    pass_time(database, GRACE - 1)
    assert removed(database) == {"teams": 0}
    restore_team(database, SYSTEM, team_id(database, "acme"))
    pass_time(database, GRACE)
    assert removed(database) == {"teams": 0} and count(database, "repositories") == 3


def test_all_goes_but_for_bytes_which_are_left_to_the_steps_after(database: Database) -> None:
    delete_team(database, SYSTEM, team_id(database, "acme"))
    pass_time(database, GRACE)
    assert removed(database, dry_run=True) == {"teams": 1} and count(database, "repositories") == 3
    assert removed(database) == {"teams": 1}
    for table in ("repositories", "manifests", "repository_blobs", "uploads"):
        assert count(database, table) == 0, table
    assert count(database, "blobs") == 1
    with database.read() as session:
        assert session.execute(text("SELECT key FROM doomed_copies")).scalars().all() == ["half"]
        events = session.execute(text("SELECT action, subject FROM events ORDER BY id DESC LIMIT 4")).all()
        assert [tuple(one) for one in reversed(events)] == [
            *(("repository.remove", f"acme/{name}") for name in ("much", "little", "none")),
            ("team.remove", "acme"),
        ]
    assert team_id(database, "other")
    create_team(database, SYSTEM, "acme", owner_id=1)  # the name is free again


def test_no_step_removes_more_than_it_may(database: Database) -> None:
    delete_team(database, SYSTEM, team_id(database, "acme"))
    pass_time(database, GRACE)
    before, cursor, most = count(database, "manifests"), Cursor(), 0
    while (step := remove_teams(database, cursor, False)).cursor is not None:
        cursor, left = step.cursor, count(database, "manifests")
        before, most = left, max(most, before - left)
    assert most == AT_ONCE


def test_what_somebody_else_runs_stays_until_they_do_not(database: Database) -> None:
    with database.write() as session:
        space = _namespace(database, "other")
        session.add(Target(id=1, name="t", kind="envoy-fleet", namespace_id=space, settings={}, created_at=1))
        session.flush()
        session.add(Deployment(id=1, target_id=1, name="d", grant="g", created_at=1))
        session.flush()
        repository = session.execute(text("SELECT id FROM repositories WHERE name = 'acme/little'")).scalar_one()
        session.add(_revision(repository))
    delete_team(database, SYSTEM, team_id(database, "acme"))
    pass_time(database, GRACE)
    assert removed(database) == {"teams": 0}
    assert count(database, "repositories") == 1 and count(database, "manifests") == 1
    with database.write() as session:
        session.execute(text("DELETE FROM deployments"))
    assert removed(database) == {"teams": 1} and count(database, "manifests") == 0


def test_a_team_that_cannot_go_holds_up_nothing(database: Database) -> None:
    delete_team(database, SYSTEM, team_id(database, "acme"))
    with database.write() as session:
        space = _namespace(database, "acme")
        session.add(Target(id=1, name="t", kind="envoy-fleet", namespace_id=space, settings={}, created_at=1))
    delete_team(database, SYSTEM, team_id(database, "other"))
    pass_time(database, GRACE)
    assert removed(database) == {"teams": 1} and team_id(database, "acme")


def removed(database: Database, *, dry_run: bool = False) -> Counter[str]:
    """What all steps of a run count together."""
    figures, cursor = Counter({"teams": 0}), Cursor()
    for _ in range(100):
        step = remove_teams(database, cursor, dry_run)
        figures.update(step.figures)
        if step.cursor is None:
            return figures
        cursor = step.cursor
    raise AssertionError("it does not end")


def pass_time(database: Database, milliseconds: int) -> None:
    """Moves the hub's clock on."""
    with database.write() as session:
        session.execute(text("UPDATE hub_clock SET reading = reading + :passed"), {"passed": milliseconds})


def count(database: Database, table: str) -> int:
    """The rows of a table."""
    with database.read() as session:
        return int(session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def team_id(database: Database, name: str) -> int:
    """The id of the team of that name."""
    with database.read() as session:
        namespace = find_namespace(session, name)
        assert namespace is not None and session.get(Team, namespace.team_id) is not None
        return int(namespace.team_id or 0)


def _namespace(database: Database, name: str) -> int:
    with database.read() as session:
        found = find_namespace(session, name)
    assert found is not None
    return found.id


def _manifest(repository: int, digest: str) -> Manifest:
    return Manifest(repository_id=repository, digest=digest, media_type="x", content=b"", created_at=now())


def _revision(repository: int) -> Revision:
    return Revision(
        deployment_id=1,
        number=1,
        repository_id=repository,
        reference="acme/little:v1",
        manifest_digest=DIGEST,
        module_sha256="0" * 64,
        order=1,
        created_at=1,
        action="deploy",
    )
