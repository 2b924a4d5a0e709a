"""Teams, grants, old names, invitations and departures on each engine: what commands leave, and what they refuse."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage.database import Conflict, Database, StorageError, now
from storage.departures import delete_user
from storage.events import SYSTEM
from storage.grants import give_grant, grants, take_grant
from storage.invitations import (
    accept_invitation,
    create_invitation,
    create_password_reset,
    find_invitation,
    find_password_reset,
    invitations,
    take_back_invitation,
)
from storage.names import forget_name, old_names, rename_namespace
from storage.namespaces import (
    Holding,
    NamespaceRow,
    add_namespace,
    create_namespace,
    find_holding,
    find_namespace,
    find_namespace_holding,
)
from storage.people_tables import Invitation
from storage.pulls import Facts, Question
from storage.repositories import Viewer, list_names, make_repository
from storage.sets import NewSetRevision, begin_set_revision
from storage.teams import (
    configure_team,
    create_team,
    delete_team,
    find_team,
    members,
    remove_member,
    restore_team,
    set_member,
    teams,
)
from storage.tokens import create_access_token
from storage.users import activate_user, create_user, deactivate_user, find_user, users
from tests.storage.replicas import ENGINES, new_place, opened

LATER = 2**50


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database with nobody in it."""
    with opened(new_place(request.param, tmp_path), 1) as (one,):
        yield one


def add_user(database: Database, name: str, role: str = "user") -> int:
    """A user who cannot sign in."""
    made = create_user(database, SYSTEM, name, password_hash=None, role=role)
    assert made is not None
    return made


def named(database: Database, name: str) -> NamespaceRow:
    """The namespace of that name."""
    with database.read() as session:
        found = find_namespace(session, name)
    assert found is not None
    return found


def add_repository(database: Database, name: str) -> int:
    """A repository in a namespace that is there."""
    return make_repository(database, name, named(database, name.partition("/")[0]).id, SYSTEM)


def holding(database: Database, name: str, user_id: int | None = None) -> Holding | None:
    """Who holds a name, as somebody asks for it."""
    with database.read() as session:
        return find_holding(session, name, user_id)


def roles(database: Database, name: str, user_id: int) -> set[str]:
    """Somebody's roles on a repository, on which the statement of the hot path agrees."""
    held = holding(database, name, user_id)
    assert held is not None
    facts = pull_facts(database, name, user_id)
    assert facts.repository_id is not None
    assert bool(held.roles) == bool(facts.team_role or facts.granted)
    return set(held.roles)


def pull_facts(database: Database, name: str, user_id: int | None) -> Facts:
    """What a pull rests on."""

    async def ask() -> Facts:
        watch = database.watch()
        try:
            return (await watch.facts(Question(user_id, name)))[1]
        finally:
            watch.close()

    return asyncio.run(ask())


def roster(database: Database, team: int) -> dict[str, str]:
    """Who is in a team."""
    with database.read() as session:
        return {one.name: one.role for one in members(session, team)}


def refused(word: str, call: Callable[[], object]) -> None:
    """Says that a command is refused with a sentence that has this word."""
    with pytest.raises(Conflict, match=word):
        call()


def test_a_team_always_has_an_owner(database: Database) -> None:
    ann, bob, eve = (add_user(database, name) for name in ("ann", "bob", "eve"))
    team = create_team(database, SYSTEM, "acme", owner_id=ann)
    refused("last owner of acme", lambda: remove_member(database, SYSTEM, team, ann))
    refused("last owner of acme", lambda: set_member(database, SYSTEM, team, ann, "reader"))
    set_member(database, SYSTEM, team, bob, "owner")
    set_member(database, SYSTEM, team, ann, "writer")
    set_member(database, SYSTEM, team, eve, "reader")
    refused("only owner of acme", lambda: delete_user(database, SYSTEM, bob, None))
    remove_member(database, SYSTEM, team, eve)
    remove_member(database, SYSTEM, team, eve)
    assert roster(database, team) == {"ann": "writer", "bob": "owner"}
    refused("gone|removed", lambda: set_member(database, SYSTEM, team, 999, "reader"))


def test_lists_of_teams_and_members_come_in_pages(database: Database) -> None:
    ann = add_user(database, "ann")
    people = [add_user(database, f"u{number}") for number in range(5)]
    made = [create_team(database, SYSTEM, f"t{number}", owner_id=ann) for number in range(5)]
    for user in people:
        set_member(database, SYSTEM, made[0], user, "reader")
    with database.read() as session:
        assert [one.name for one in teams(session, Viewer(ann), after="t1", limit=2)] == ["t2", "t3"]
        assert [(one.name, one.role) for one in teams(session, Viewer(people[0]))] == [("t0", "reader")]
        assert [one.role for one in teams(session, Viewer(people[0], True), limit=2)] == ["reader", None]
        assert [one.user_id for one in members(session, made[0], after=people[1], limit=2)] == people[2:4]


def test_new_repositories_are_as_visible_as_the_team_says(database: Database) -> None:
    team = create_team(database, SYSTEM, "acme", owner_id=add_user(database, "ann"))
    add_repository(database, "acme/a")
    configure_team(database, SYSTEM, team, default_visibility="internal", description="x")
    add_repository(database, "acme/b")
    shown = [found.visibility for name in ("acme/a", "acme/b") if (found := holding(database, name))]
    assert shown == ["private", "internal"]


def test_grants(database: Database) -> None:
    ann, bob, eve = (add_user(database, name) for name in ("ann", "bob", "eve"))
    team = create_team(database, SYSTEM, "blues", owner_id=eve)
    repository = add_repository(database, "ann/a")
    assert (roles(database, "ann/a", bob), roles(database, "ann/a", eve)) == (set(), set())

    give_grant(database, SYSTEM, repository, named(database, "bob"), "reader")
    give_grant(database, SYSTEM, repository, named(database, "bob"), "writer")
    give_grant(database, SYSTEM, repository, named(database, "blues"), "maintainer")
    give_grant(database, SYSTEM, repository, named(database, "eve"), "reader")
    assert (roles(database, "ann/a", bob), roles(database, "ann/a", eve)) == ({"writer"}, {"maintainer"})
    with database.read() as session:
        assert [(one.name, one.role) for one in grants(session, repository)] == [
            ("blues", "maintainer"),
            ("bob", "writer"),
            ("eve", "reader"),
        ]
        assert list_names(session, Viewer(bob), last="", limit=9) == ["ann/a"]

    delete_team(database, SYSTEM, team)
    assert roles(database, "ann/a", eve) == {"reader"}
    take_grant(database, SYSTEM, repository, named(database, "bob"))
    take_grant(database, SYSTEM, repository, named(database, "bob"))
    assert roles(database, "ann/a", bob) == set()
    delete_user(database, SYSTEM, bob, None)
    assert ann != bob


def test_a_deleted_team_is_there_for_nobody_and_can_be_given_back(database: Database) -> None:
    ann = add_user(database, "ann")
    team = create_team(database, SYSTEM, "acme", owner_id=ann, default_visibility="public")
    add_repository(database, "acme/a")
    delete_team(database, SYSTEM, team)
    for name in ("acme/a", "acme/new"):
        held = holding(database, name, ann)
        assert held is not None and (held.repository_id, held.visibility) == (None, "deleted")
    assert pull_facts(database, "acme/a", ann).visibility == "deleted"
    with database.read() as session:
        for viewer in (Viewer(), Viewer(ann), Viewer(ann, True)):
            assert list_names(session, viewer, last="", limit=9) == []
        assert [bool(one.deleted_at) for one in teams(session, Viewer(ann))] == [True]
    refused("deleted", lambda: set_member(database, SYSTEM, team, ann, "owner"))
    refused("taken", lambda: create_team(database, SYSTEM, "acme", owner_id=ann))

    restore_team(database, SYSTEM, team)
    held = holding(database, "acme/a", ann)
    assert held is not None and (held.visibility, held.roles) == ("public", {"owner"})


def test_an_old_name_goes_on_answering_and_cannot_be_taken(database: Database) -> None:
    ann = add_user(database, "ann")
    create_team(database, SYSTEM, "acme", owner_id=ann)
    repository = add_repository(database, "acme/a/b")
    create_namespace(database, SYSTEM, "acme-too")
    other = add_repository(database, "acme-too/x")
    namespace = named(database, "acme").id
    rename_namespace(database, SYSTEM, namespace, "zenith")
    for name in ("acme/a/b", "zenith/a/b"):
        held = holding(database, name, ann)
        assert held is not None and (held.repository_id, held.name) == (repository, "zenith/a/b")
    made = holding(database, "acme/new", ann)
    assert made is not None and (made.name, made.roles) == ("zenith/new", {"owner"})
    left = holding(database, "acme-too/x")
    assert left is not None and left.repository_id == other
    with database.read() as session:
        found = find_team(session, "acme", ann)
        assert found is not None and found.name == "zenith"
        by_old = find_namespace_holding(session, "acme", ann)
        assert by_old is not None and by_old.name == "zenith"
    refused("old name", lambda: create_namespace(database, SYSTEM, "acme"))
    refused("old name", lambda: rename_namespace(database, SYSTEM, named(database, "ann").id, "acme"))

    rename_namespace(database, SYSTEM, namespace, "acme")  # its own old name it may have again
    with database.read() as session:
        assert old_names(session, namespace) == ["zenith"]
    forget_name(database, SYSTEM, namespace, "zenith")
    assert holding(database, "zenith/a/b") is None
    create_namespace(database, SYSTEM, "zenith")
    refused("not an old name", lambda: forget_name(database, SYSTEM, namespace, "zenith"))


def test_an_invitation_is_good_once_and_for_a_time(database: Database) -> None:
    ann, bob = add_user(database, "ann"), add_user(database, "bob")
    team = create_team(database, SYSTEM, "acme", owner_id=ann)

    def invite(secret: str, role: str = "writer", until: int = LATER) -> int:
        if until != LATER:
            with database.write() as session:
                row = Invitation(
                    team_id=team,
                    role=role,
                    note="",
                    secret_sha256=secret,
                    created_by="ann",
                    created_at=1,
                    expires_at=until,
                )
                session.add(row)
                session.flush()
                return row.id
        made = create_invitation(
            database, SYSTEM, team, role=role, note="for bob", secret_sha256=secret, expires_at=until
        )
        return made.id

    invite("one")
    invite("two", "reader")
    invite("old", until=now() - 1)
    accept_invitation(database, SYSTEM, bob, "one")
    refused("expired", lambda: accept_invitation(database, SYSTEM, bob, "one"))
    refused("expired", lambda: accept_invitation(database, SYSTEM, bob, "old"))
    accept_invitation(database, SYSTEM, bob, "two")
    assert roster(database, team) == {"ann": "owner", "bob": "writer"}  # no link takes a role away

    number = invite("three")
    refused("no invitation", lambda: take_back_invitation(database, SYSTEM, None, number))
    take_back_invitation(database, SYSTEM, team, number)
    invite("four")
    delete_team(database, SYSTEM, team)
    with database.read() as session:
        assert find_invitation(session, "three") is None
        assert find_invitation(session, "four") is None
        assert [one.note for one in invitations(session, team)] == ["for bob"]


def test_the_newest_reset_alone_is_good(database: Database) -> None:
    ann = add_user(database, "ann")
    for secret in ("one", "two"):
        create_password_reset(database, SYSTEM, ann, "ann", secret_sha256=secret, expires_at=LATER)
    with database.read() as session:
        assert (find_password_reset(session, "one"), find_password_reset(session, "two")) == (None, ann)
    create_password_reset(database, SYSTEM, ann, "ann", secret_sha256="three", expires_at=now() - 1)
    with database.read() as session:
        assert find_password_reset(session, "three") is None


def test_who_may_not_sign_in_gets_no_reset(database: Database) -> None:
    ann = add_user(database, "ann")
    create_password_reset(database, SYSTEM, ann, "ann", secret_sha256="one", expires_at=LATER)
    deactivate_user(database, SYSTEM, ann)
    for number in (ann, 999):
        with pytest.raises(Conflict, match="ann may not sign in"):
            create_password_reset(database, SYSTEM, number, "ann", secret_sha256="two", expires_at=LATER)
    activate_user(database, SYSTEM, ann)
    with database.read() as session:
        assert find_password_reset(session, "one") is None  # what was open does not come back


def test_a_deployment_set_holds_its_namespace(database: Database) -> None:
    ann = add_user(database, "ann")
    new = NewSetRevision("apply", {"members": []}, [], None)
    begin_set_revision(database, SYSTEM, named(database, "ann").id, "limits", new, after=0)
    refused("owns what is in ann", lambda: delete_user(database, SYSTEM, ann, None))
    team = create_team(database, SYSTEM, "crew", owner_id=ann)
    begin_set_revision(database, SYSTEM, named(database, "crew").id, "limits", new, after=0)
    refused("crew still has the deployment set limits; delete its sets", lambda: delete_team(database, SYSTEM, team))


def test_who_leaves_hands_over_what_they_own(database: Database) -> None:
    ann, bob = add_user(database, "ann"), add_user(database, "bob")
    repository = add_repository(database, "ann/a")
    create_access_token(database, SYSTEM, ann, name="x", hint="h", secret_sha256="s", expires_at=None)
    refused("owns what is in ann", lambda: delete_user(database, SYSTEM, ann, None))
    refused("their own heir", lambda: delete_user(database, SYSTEM, ann, named(database, "ann")))
    delete_user(database, SYSTEM, ann, named(database, "bob"))
    held = holding(database, "ann/a", bob)
    assert held is not None and (held.repository_id, held.owner_user_id) == (repository, bob)
    with database.read() as session:
        assert find_user(session, "ann") is None
        assert [one.name for one in users(session)] == ["bob"]
    refused("taken", lambda: create_user(database, SYSTEM, "ann", password_hash=None))

    eve = add_user(database, "eve")
    delete_user(database, SYSTEM, eve, None)
    assert add_user(database, "eve") != eve
    boss = add_user(database, "boss", "administrator")
    refused("last administrator", lambda: delete_user(database, SYSTEM, boss, None))
    with database.write() as session:
        add_namespace(session, SYSTEM, "plain")


def test_what_is_done_for_somebody_who_was_removed_meanwhile_is_refused(database: Database) -> None:
    ann, bob = add_user(database, "ann"), add_user(database, "bob")
    team = create_team(database, SYSTEM, "acme", owner_id=ann)
    delete_user(database, SYSTEM, bob, None)
    with pytest.raises(StorageError, match="removed in the same moment"):
        create_access_token(database, SYSTEM, bob, name="t", hint="t", secret_sha256="0", expires_at=None)
    refused("removed", lambda: set_member(database, SYSTEM, team, bob, "reader"))
