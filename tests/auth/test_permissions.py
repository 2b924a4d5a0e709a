"""Roles, visibility and names that are not taken yet: what each makes of a person's rights."""

import timeit
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from auth.identity import ANONYMOUS, Identity
from auth.namespaces import may_create_namespace, rights
from auth.permissions import (
    ACTIONS,
    ALL,
    REGISTRY_ACTIONS,
    SITE_ROLES,
    TEAM_ROLES,
    VISIBILITY,
    Resource,
    allowed,
    may,
    table,
)
from storage.namespaces import DELETED, Holding, name_problem
from storage.scopes import read_scopes, within
from tests.auth.people import People

ANN = Identity(1, "ann")
ADMIN = Identity(2, "admin", "administrator")
AUDITOR = Identity(3, "eve", "auditor")
NONE: frozenset[str] = frozenset()
PULL = frozenset({"pull"})
SEES = frozenset({"pull", "audit"})


@pytest.mark.parametrize(
    ("identity", "private", "internal", "public"),
    [
        (ANONYMOUS, NONE, NONE, PULL),
        (ANN, NONE, PULL, PULL),
        (AUDITOR, SEES, SEES, SEES),
        (ADMIN, ALL, ALL, ALL),
        (Identity(5, "owner"), ALL, ALL, ALL),
    ],
)
def test_allowed(identity: Identity, private: frozenset[str], internal: frozenset[str], public: frozenset[str]) -> None:
    for visibility, actions in (("private", private), ("internal", internal), ("public", public)):
        resource = Resource(owner_user_id=5, visibility=visibility)
        assert allowed(identity, resource) == actions
        assert {action for action in ACTIONS if may(identity, action, resource)} == actions
        # Nobody's: neither "no owner" nor "no user" ever match each other.
        assert allowed(ANONYMOUS, Resource(visibility="private")) == NONE


@pytest.mark.parametrize("role", TEAM_ROLES)
def test_roles_add_up(role: str) -> None:
    assert allowed(ANN, Resource(5, frozenset({role}))) == TEAM_ROLES[role]
    assert allowed(ANN, Resource(5, frozenset({role, "reader", "king"}), "public")) == TEAM_ROLES[role]


@pytest.mark.parametrize("visibility", VISIBILITY)
@pytest.mark.parametrize("role", [*TEAM_ROLES, None])
@pytest.mark.parametrize("whole", [ANN, AUDITOR, ADMIN, Identity(5, "owner")], ids=lambda one: one.name)
def test_scopes_narrow_and_never_add(whole: Identity, role: str | None, visibility: str) -> None:
    roles = frozenset({role} - {None})
    resource = Resource(5, roles, visibility, "repository", "edge/a")
    before, everybody = allowed(whole, resource), allowed(ANONYMOUS, resource)
    for texts, let_through in (
        ([], NONE),
        (["repository:edge/a:pull"], PULL),
        (["repository:edge/*:pull,push"], frozenset({"pull", "push"})),
        (["repository:*:*"], REGISTRY_ACTIONS),
        (["repository:edge/b:*", "repository:edge:*", "target:*:*"], NONE),
    ):
        identity = replace(whole, scopes=read_scopes(texts))
        assert allowed(identity, resource) == before & let_through | everybody
        assert rights(identity, "fresh/a", None, "everyone") == within(identity.scopes or (), "repository", "fresh/a")
        # A team and whatever else has no kind that scopes know.
        assert allowed(identity, replace(resource, kind="", name="")) == everybody


def test_a_decision_on_a_narrowed_token_takes_no_time() -> None:
    scopes = read_scopes([f"repository:team-{number}/*:pull" for number in range(20)])
    identity, resource = replace(ANN, scopes=scopes), Resource(5, frozenset({"writer"}), "private", "repository", "x/y")
    best = min(timeit.repeat(lambda: allowed(identity, resource), number=1000, repeat=20)) / 1000
    assert best < 25e-6  # some 4 microseconds on a machine that does nothing else


def test_what_was_deleted_is_there_for_nobody() -> None:
    for identity in (ANONYMOUS, ANN, ADMIN, Identity(5, "owner")):
        assert allowed(identity, Resource(5, frozenset(TEAM_ROLES), DELETED)) == NONE


def test_the_table_that_people_read_is_the_one_that_decides() -> None:
    def by(identity: Identity, visibility: str = "private", *roles: str) -> frozenset[str]:
        return allowed(identity, Resource(5, frozenset(roles), visibility))

    expected = [
        *(by(ANONYMOUS, visibility) for visibility in VISIBILITY),
        *(by(ANN, visibility) for visibility in VISIBILITY),
        *(by(ANN, "private", role) for role in TEAM_ROLES),
        by(Identity(5, "owner")),
        *(by(Identity(3, role, role)) for role in SITE_ROLES if SITE_ROLES[role]),
    ]
    assert [frozenset(actions) for _, actions in table()] == expected


def test_the_docs_show_the_table() -> None:
    lines = (Path(__file__).parents[2] / "docs" / "permissions.md").read_text().splitlines()
    shown = [f"| {who} | {', '.join(actions) or 'nothing'} |" for who, actions in table()]
    shown += [f"| {action} | {sentence} |" for action, sentence in ACTIONS.items()]
    assert [line for line in lines if line.startswith("| ") and not line.startswith(("| who |", "| action |"))] == shown


@pytest.mark.parametrize(
    ("rule", "anonymous", "user", "auditor", "administrator"),
    [
        ("admins", False, False, False, True),
        ("everyone", False, True, True, True),
        ("nobody", False, False, False, False),
        ("a rule that is none", False, False, False, False),
    ],
)
def test_namespaces_by_push(rule: str, anonymous: bool, user: bool, auditor: bool, administrator: bool) -> None:
    expected = [(ANONYMOUS, anonymous), (ANN, user), (AUDITOR, auditor), (ADMIN, administrator)]
    for identity, may_create in expected:
        assert may_create_namespace(identity, rule) is may_create
        assert rights(identity, "fresh/a", None, rule) == (ALL if may_create else NONE)
        assert rights(identity, "v2/a", None, rule) == NONE
        assert rights(identity, "Bad Name/a", None, rule) == NONE
    assert not may_create_namespace(replace(ANN, robot=True), rule)


def test_rights_under_a_namespace_that_is_there() -> None:
    assert rights(ANN, "ann/new", Holding(1, "ann/new", 1), "nobody") == ALL
    assert rights(ANN, "ben/new", Holding(2, "ben/new", 9), "everyone") == NONE
    assert rights(ANN, "ben/shown", Holding(2, "ben/shown", 9, frozenset(), 3, "public"), "nobody") == PULL


@pytest.mark.parametrize("name", ["a", "0", "a-b", "a--b", "a__b", "a.b", "a_b", "library", "x" * 64])
def test_good_names(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize(
    "name",
    ["", "A", "a/b", "a..b", "a___b", "-a", "a-", ".a", "a b", "ä", "a\n", "x" * 65, "v2", "api", "token", "anonymous"],
)
def test_bad_names(name: str) -> None:
    assert name_problem(name)


def test_errors_of_the_database_show_no_values(people: People, word: str) -> None:
    user_id = people.user(word)
    statement = (
        "INSERT INTO users (id, password_hash, role, active, generation, created_at) VALUES (:u, :h, '', TRUE, 0, 0)"
    )
    with pytest.raises(IntegrityError) as caught:
        people.run(statement, u=user_id, h="a-hash-of-a-password")
    assert "a-hash-of-a-password" not in str(caught.value)
