"""Robots in storage, on each engine: what they are, and what they never become."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from storage.database import Conflict, Database, now
from storage.events import SYSTEM
from storage.names import rename_namespace
from storage.namespaces import InvalidName, find_holding, find_namespace, find_namespace_holding, namespaces
from storage.people_tables import AccessToken
from storage.robots import (
    MOST_TOKENS,
    OVERLAP,
    Nature,
    NewSecret,
    RobotRow,
    configure_robot,
    create_robot,
    delete_robot,
    find_robot,
    robots,
    rotate_robot,
)
from storage.scopes import read_scopes
from storage.teams import create_team, delete_team, members, restore_team, set_member
from storage.tokens import (
    access_tokens,
    create_access_token,
    create_refresh_token,
    find_access_token,
    find_refresh_token,
)
from storage.users import create_user, find_user, identity_row, login_row, users
from tests.storage.replicas import ENGINES, new_place, opened

SCOPES = read_scopes(["repository:acme/*:pull"])


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A hub with the user `ann`, who owns the team `acme`, which has the robot `ci`."""
    with opened(new_place(request.param, tmp_path), 1) as (made,):
        ann = create_user(made, SYSTEM, "ann", password_hash=None)
        assert ann is not None
        team = create_team(made, SYSTEM, "acme", owner_id=ann)
        create_robot(made, SYSTEM, team, "ci", Nature("writer", "pushes", scopes=SCOPES), NewSecret("whb_1", "one"))
        yield made


def team_of(database: Database, name: str = "acme") -> int:
    with database.read() as session:
        row = find_namespace(session, name)
    assert row is not None and row.team_id is not None
    return row.team_id


def robot_of(database: Database, name: str = "ci", team: str = "acme") -> RobotRow:
    with database.read() as session:
        row = find_robot(session, team_of(database, team), team, name)
    assert row is not None
    return row


def refused(words: str, command: Callable[[], Any]) -> None:
    with pytest.raises(Conflict, match=words):
        command()


def events(database: Database) -> list[tuple[str, str]]:
    with database.read() as session:
        return [(one[0], one[1]) for one in session.execute(text("SELECT action, subject FROM events ORDER BY id"))]


def test_a_robot_is_in_its_team_and_nowhere_else(database: Database) -> None:
    robot = robot_of(database)
    assert (robot.name, robot.login, robot.role, robot.scopes) == ("ci", "acme+ci", "writer", SCOPES)
    with database.read() as session:
        who = identity_row(session, robot.id)
        assert who is not None and (who.name, who.role, who.kind) == ("acme+ci", "user", "robot")
        found = find_access_token(session, "one")
        assert found is not None and (found.user_id, found.scopes) == (robot.id, SCOPES)
        held = find_namespace_holding(session, "acme", robot.id)
        assert held is not None and held.roles == {"writer"}
        assert [one.name for one in users(session)] == ["ann"]
        assert [one.name for one in members(session, team_of(database))] == ["ann"]
        assert [one.name for one in namespaces(session)] == ["acme", "ann"]
        for nothing in (
            find_user(session, "acme+ci"),
            login_row(session, "acme+ci"),
            find_namespace(session, "acme+ci"),
            find_namespace_holding(session, "acme+ci", robot.id),
            find_holding(session, "acme+ci/a", robot.id),
        ):
            assert nothing is None
    team = create_team(database, SYSTEM, "other", owner_id=1)
    refused("removed meanwhile", lambda: set_member(database, SYSTEM, team, robot.id, "owner"))


def test_names_of_robots(database: Database) -> None:
    team = team_of(database)
    for name in ("", "CI", "a+b", "a/b", "x" * 65, "a b", "\0"):
        with pytest.raises(InvalidName, match="no name for a robot"):
            create_robot(database, SYSTEM, team, name, Nature("reader"), NewSecret("h", "x"))
    refused("has a robot named 'ci'", lambda: create_robot(database, SYSTEM, team, "ci", Nature("reader"), secret(9)))
    for number, name in enumerate(("b", "a", "v2")):
        create_robot(database, SYSTEM, team, name, Nature("reader"), secret(number))
    with database.read() as session:
        assert [one.name for one in robots(session, team, "acme")] == ["a", "b", "ci", "v2"]
        assert [one.name for one in robots(session, team, "acme", after="a", limit=2)] == ["b", "ci"]


def secret(number: int) -> NewSecret:
    return NewSecret(f"whb_{number}", f"secret-{number}")


def test_a_rotated_token_lives_on_for_a_while(database: Database) -> None:
    robot = robot_of(database)
    rotate_robot(database, SYSTEM, robot.id, secret(2), overlap=OVERLAP)
    with database.read() as session:
        old, new = (find_access_token(session, one) for one in ("one", "secret-2"))
    assert old is not None and old.expires_at is not None and abs(old.expires_at - now() - OVERLAP) < 60_000
    assert new is not None and new.expires_at is None and new.scopes == SCOPES

    rotate_robot(database, SYSTEM, robot.id, secret(3), overlap=2 * OVERLAP)
    with database.read() as session:
        again = find_access_token(session, "one")
        assert again is not None and again.expires_at == old.expires_at  # it does not live longer by that
        before = identity_row(session, robot.id)
    rotate_robot(database, SYSTEM, robot.id, secret(4), overlap=0)
    with database.read() as session:
        after = identity_row(session, robot.id)
        assert before is not None and after is not None and after.generation == before.generation + 1
        assert [find_access_token(session, one) for one in ("one", "secret-2", "secret-3")] == [None] * 3
        assert [one.hint for one in access_tokens(session, robot.id)] == ["whb_4"]

    for number in range(5, 4 + MOST_TOKENS):
        rotate_robot(database, SYSTEM, robot.id, secret(number), overlap=OVERLAP)
    refused("without an overlap", lambda: rotate_robot(database, SYSTEM, robot.id, secret(99), overlap=OVERLAP))
    rotate_robot(database, SYSTEM, robot.id, secret(99), overlap=0)
    assert ("robot.rotate", "acme+ci") in events(database)


def test_who_has_expired_or_was_ended_signs_in_no_more(database: Database) -> None:
    robot = robot_of(database)
    with database.read() as session:
        found = find_access_token(session, "one")
    assert found is not None
    create_refresh_token(
        database, SYSTEM, found, generation=0, client="c", secret_sha256="refresh", expires_at=now() + 10**9
    )
    soon = now() + 3_600_000

    def signs_in() -> list[bool]:
        with database.read() as session:
            return [
                find_access_token(session, "one") is not None,
                find_refresh_token(session, "refresh") is not None,
                identity_row(session, robot.id) is not None,
            ]

    configure_robot(database, SYSTEM, robot.id, Nature("reader", expires_at=soon))
    with database.read() as session:
        for one in (find_access_token(session, "one"), find_refresh_token(session, "refresh")):
            assert one is not None and (one.expires_at, one.scopes) == (soon, None)
        who = identity_row(session, robot.id)
        assert who is not None and who.generation == 1
    assert robot_of(database).role == "reader"
    configure_robot(database, SYSTEM, robot.id, Nature("reader", expires_at=now() - 1))
    assert signs_in() == [False, False, False]
    configure_robot(database, SYSTEM, robot.id, Nature("reader", active=False))
    assert signs_in() == [True, True, False]
    configure_robot(database, SYSTEM, robot.id, Nature("reader"))
    assert signs_in() == [True, True, True]
    delete_team(database, SYSTEM, team_of(database))
    assert signs_in() == [True, True, False]
    refused("deleted", lambda: create_robot(database, SYSTEM, 1, "late", Nature("reader"), secret(7)))
    restore_team(database, SYSTEM, 1)
    with database.read() as session:
        who = identity_row(session, robot.id)
        assert who is not None and who.generation == 5


def test_a_team_that_is_renamed_takes_its_robots_along(database: Database) -> None:
    create_team(database, SYSTEM, "acme2", owner_id=1)
    create_robot(database, SYSTEM, team_of(database, "acme2"), "ci", Nature("reader"), secret(5))
    with database.read() as session:
        space = find_namespace(session, "acme")
    assert space is not None
    rename_namespace(database, SYSTEM, space.id, "zenith")
    robot = robot_of(database, team="zenith")
    assert robot.login == "zenith+ci"
    assert robot.scopes == read_scopes(["repository:zenith/*:pull"])
    assert robot_of(database, team="acme2").login == "acme2+ci"
    # Who still writes the old name means today's.
    nature = Nature("reader", scopes=read_scopes(["repository:acme/a:push", "repository:acme2/*:pull"]))
    configure_robot(database, SYSTEM, robot.id, nature)
    assert robot_of(database, team="zenith").scopes == read_scopes(
        ["repository:zenith/a:push", "repository:acme2/*:pull"]
    )
    scopes = read_scopes(["repository:acme/*:pull", "repository:ac*:pull", "target:acme/x:pull"])
    add = {"name": "old", "hint": "", "secret_sha256": "0" * 64, "expires_at": None}
    create_access_token(database, SYSTEM, 1, **add, scopes=scopes)
    with database.read() as session:
        (token,) = (row for row in access_tokens(session, 1) if row.name == "old")
    assert token.scopes == read_scopes(["repository:zenith/*:pull", "repository:ac*:pull", "target:acme/x:pull"])


def test_a_deleted_robot_is_gone_with_its_tokens(database: Database) -> None:
    robot = robot_of(database)
    delete_robot(database, SYSTEM, robot.id)
    with database.read() as session:
        assert find_access_token(session, "one") is None
        for left in ("users WHERE kind = 'robot'", "namespaces WHERE kind = 'robot'", "robots"):
            assert session.execute(text(f"SELECT count(*) FROM {left}")).scalar_one() == 0
        assert session.query(AccessToken).count() == 0
    for command in (
        lambda: delete_robot(database, SYSTEM, robot.id),
        lambda: configure_robot(database, SYSTEM, robot.id, Nature("reader")),
        lambda: rotate_robot(database, SYSTEM, robot.id, secret(1), overlap=0),
        lambda: delete_robot(database, SYSTEM, 1),  # a person
    ):
        refused("the robot was deleted", command)
    create_robot(database, SYSTEM, team_of(database), "ci", Nature("reader"), secret(2))
    assert [one for one in events(database) if one[0].startswith("robot")] == [
        ("robot.create", "acme+ci"),
        ("robot.delete", "acme+ci"),
        ("robot.create", "acme+ci"),
    ]
