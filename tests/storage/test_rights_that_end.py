"""Rights that end while something rests on them, on each engine: what is refused, and what goes with them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.database import Database, now
from storage.departures import delete_user
from storage.events import SYSTEM, Actor
from storage.grants import give_grant
from storage.invitations import create_invitation, find_invitation
from storage.names import rename_namespace
from storage.namespaces import create_namespace
from storage.repositories import Viewer, configure_repository, list_names, make_repository
from storage.robots import Nature, create_robot, find_robot
from storage.targets import create_target
from storage.teams import create_team, delete_team, remove_member, set_member
from storage.users import deactivate_user, set_role
from tests.storage.replicas import ENGINES, new_place, opened
from tests.storage.test_teams import LATER, add_repository, add_user, named, pull_facts, refused, roles


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database with nobody in it."""
    with opened(new_place(request.param, tmp_path), 1) as (one,):
        yield one


def test_nothing_is_made_in_a_team_that_was_deleted_meanwhile(database: Database) -> None:
    ann = add_user(database, "ann")
    team = create_team(database, SYSTEM, "acme", owner_id=ann)
    space, repository = named(database, "acme").id, add_repository(database, "acme/a")
    delete_team(database, SYSTEM, team)
    refused("deleted", lambda: make_repository(database, "acme/b", space, SYSTEM))
    refused("removed", lambda: configure_repository(database, repository, SYSTEM, visibility="public"))
    refused(
        "deleted", lambda: create_target(database, SYSTEM, "t", kind="envoy-fleet", namespace_id=space, settings={})
    )
    assert pull_facts(database, "acme/a", ann).visibility == "deleted"
    delete_user(database, SYSTEM, ann, None)  # of a deleted team nobody has to be owner


def test_an_invitation_ends_with_the_right_to_make_it(database: Database) -> None:
    ann, bob = add_user(database, "ann"), add_user(database, "bob", "administrator")
    add_user(database, "root", "administrator")
    team = create_team(database, SYSTEM, "acme", owner_id=ann)
    set_member(database, SYSTEM, team, bob, "owner")

    def invite(secret: str, into: int | None) -> None:
        actor = Actor("user", bob, "bob")
        create_invitation(database, actor, into, role="owner", note="", secret_sha256=secret, expires_at=now() + LATER)

    def is_good(secret: str) -> bool:
        with database.read() as session:
            return find_invitation(session, secret) is not None

    invite("one", team)
    set_member(database, SYSTEM, team, bob, "maintainer")
    assert not is_good("one")
    set_member(database, SYSTEM, team, bob, "owner")
    invite("two", team)
    remove_member(database, SYSTEM, team, bob)
    assert not is_good("two")
    invite("three", team)
    invite("four", None)
    set_role(database, SYSTEM, bob, "user")
    assert not is_good("three") and not is_good("four")
    invite("five", team)
    deactivate_user(database, SYSTEM, bob)
    assert not is_good("five")
    invite("six", team)
    delete_user(database, SYSTEM, bob, None)
    assert not is_good("six")


def test_no_repository_gets_a_name_that_is_too_long(database: Database) -> None:
    ann = add_user(database, "ann")
    create_team(database, SYSTEM, "q", owner_id=ann)
    add_repository(database, "q/" + "b" * 250)
    refused("longer than 255", lambda: rename_namespace(database, SYSTEM, named(database, "q").id, "q" * 10))
    rename_namespace(database, SYSTEM, named(database, "q").id, "q" * 4)


def test_what_is_granted_to_a_team_is_not_its_robots(database: Database) -> None:
    ann = add_user(database, "ann")
    team = create_team(database, SYSTEM, "acme", owner_id=ann)
    create_namespace(database, SYSTEM, "other")
    repository = add_repository(database, "other/a")
    give_grant(database, SYSTEM, repository, named(database, "acme"), "maintainer")
    create_robot(database, SYSTEM, team, "ci", Nature("reader"), None)
    with database.read() as session:
        row = find_robot(session, team, "acme", "ci")
        assert row is not None and list_names(session, Viewer(row.id), last="", limit=9) == []
        assert list_names(session, Viewer(ann), last="", limit=9) == ["other/a"]
    assert roles(database, "other/a", row.id) == set() and roles(database, "other/a", ann) == {"maintainer"}
    assert not pull_facts(database, "other/a", row.id).granted and pull_facts(database, "other/a", ann).granted
