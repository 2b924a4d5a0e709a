"""Scopes: how they are read, and that lists in SQL show what permissions allow, on each engine."""

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest

from auth.identity import Identity
from auth.namespaces import resource_of
from auth.permissions import Resource, may
from storage.catalog import list_repositories
from storage.database import Database
from storage.events import SYSTEM
from storage.namespaces import create_namespace, find_holding
from storage.people_tables import Grant
from storage.repositories import can_read_blob, configure_repository, list_names, make_repository
from storage.scopes import BadScope, Scope, length, read_scope, read_scopes, spans, within, write_scopes
from storage.search import find_words
from storage.tables import Blob, RepositoryBlob
from storage.targets import create_target, targets
from storage.teams import create_team
from storage.users import create_user
from tests.storage.replicas import ENGINES, new_place, opened

NAMES = ("edg/a", "edge-two/a", "edge.x/a", "edge/a", "edge/a-b", "edge/a.b", "edge/a/b", "edge/ab", "edge/b", "edgf/a")
OWNERS = ("edg", "edge-two", "edge.x", "edge", "edgf")
PATTERNS = ("*", "e*", "edge*", "edge/*", "edge/a*", "edge/a", "edge/a/*", "edge/ab", "edge.*", "edgf/a", "edge-two/a")


@pytest.fixture(params=ENGINES, scope="module")
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A hub with users `ann` (1), who owns some, and `bob` (2), who was granted one; all hold one blob."""
    with opened(new_place(request.param, tmp_path_factory.mktemp("scopes")), 1) as (made,):
        _fill(made)
        yield made


def _fill(database: Database) -> None:
    ann, bob = (create_user(database, SYSTEM, name, password_hash=None) for name in ("ann", "bob"))
    assert (ann, bob) == (1, 2)
    for number, owner in enumerate(OWNERS):
        if number % 2:
            create_team(database, SYSTEM, owner, owner_id=1)
        else:
            create_namespace(database, SYSTEM, owner, user_id=1 if number < 4 else 2)
    with database.read() as session:
        held = [find_holding(session, name, None) for name in NAMES]
    with database.write() as session:
        blob = Blob(digest="sha256:b", key="k1", size=500, created_at=1, leased_until=1)
        session.add(blob)
        session.flush()
        blob_id = blob.id
    for number, one in enumerate(held):
        assert one is not None
        made = make_repository(database, NAMES[number], one.namespace_id, SYSTEM)
        configure_repository(database, made, SYSTEM, visibility=("private", "internal", "public")[number % 3])
        with database.write() as session:
            session.add(RepositoryBlob(repository_id=made, blob_id=blob_id, created_at=1))
            if NAMES[number] == "edge/ab":
                session.add(Grant(repository_id=made, user_id=2, role="reader", created_at=1))
        place = one.namespace_id
        create_target(
            database, SYSTEM, f"t-{number}", kind="envoy-fleet", namespace_id=place, settings={"number": number}
        )


WHO = [Identity(1, "ann"), Identity(2, "bob"), Identity(99, "eve"), Identity(100, "root", role="administrator")]


@pytest.mark.parametrize("seed", range(12))
def test_lists_show_exactly_what_permissions_allow(database: Database, seed: int) -> None:
    chance = random.Random(seed)
    for whole in WHO:
        chosen = chance.sample(PATTERNS, seed % 5)
        scopes = [f"repository:{pattern}:pull" for pattern in chosen]
        scopes += [f"target:t-{chance.choice(['*', '1', '1*', '3'])}:deploy" for _ in range(seed % 3)]
        identity = replace(whole, scopes=read_scopes(scopes))
        viewer = identity.viewer()
        with database.read() as session:
            held = {name: find_holding(session, name, identity.user_id) for name in NAMES}
            wanted = [name for name, one in held.items() if one and may(identity, "pull", resource_of(one))]
            for limit in (1, 2, 100):
                found: list[str] = []
                while page := list_names(session, viewer, last=found[-1] if found else "", limit=limit):
                    found += page
                assert found == wanted, (scopes, whole)
            for words in ((), find_words("edg"), find_words("a")):
                entries = list_repositories(session, viewer, words=words, limit=100)
                assert {one.name for one in entries} <= {*wanted}
                assert len(entries) == len(wanted) or words
            assert can_read_blob(session, viewer, "sha256:b", None) is bool(wanted)
            for name in NAMES:
                assert can_read_blob(session, viewer, "sha256:b", (name,)) is (name in wanted), (name, scopes)
            seen = [one.name for one in targets(session, viewer)]
            every = targets(session, whole.viewer())
        expected = [
            one.name
            for one in every
            if may(
                identity,
                "pull",
                Resource(one.owner_user_id, frozenset({one.role or ""}), kind="target", name=one.name),
            )
        ]
        assert seen == expected


def test_a_scope_says_what_it_is() -> None:
    for text, expected in (
        ("repository:a/b:pull", Scope("repository", "a/b", False, frozenset({"pull"}))),
        ("repository:a/*:push", Scope("repository", "a/", True, frozenset({"pull", "push"}))),
        ("repository:*:*", Scope("repository", "", True, frozenset({"pull", "push", "delete"}))),
        ("target:edge:deploy", Scope("target", "edge", False, frozenset({"pull", "deploy"}))),
    ):
        assert read_scope(text) == expected
        assert read_scope(expected.text()) == expected


def test_scopes_are_bounded_and_given_once() -> None:
    scopes = read_scopes(["target:a:pull", "target:a:pull", "target:b:pull"])
    assert write_scopes(scopes) == ["target:a:pull", "target:b:pull"]
    assert write_scopes(None) is None and length(scopes) == 26
    for many in ([f"target:a{number}:pull" for number in range(21)], [f"target:{'a' * 200}{n}:pull" for n in range(9)]):
        with pytest.raises(BadScope, match="at most 20 scopes of 1500 characters"):
            read_scopes(many)


def test_what_scopes_let_through_adds_up() -> None:
    scopes = read_scopes(["repository:a/*:pull", "repository:a/b:push", "target:a/b:deploy"])
    assert within(scopes, "repository", "a/b") == {"pull", "push"}
    assert within(scopes, "repository", "a/bc") == {"pull"}
    assert within(scopes, "repository", "a") == within(scopes, "team", "a/b") == within(scopes, "", "") == frozenset()
    assert within((), "repository", "a/b") == frozenset()


def test_spans_are_in_order_and_apart() -> None:
    scopes = read_scopes([f"repository:{pattern}:pull" for pattern in ("b", "a/*", "a/b*", "a/x", "target")])
    found = spans(scopes, "repository")
    assert [upto for _, upto in found] == ["a/\x7f", "b", "target"]
    assert all(before < upto for before, upto in found)
    assert all(one[1] <= two[0] for one, two in pairwise(found))
    assert spans(scopes, "target") == []


def test_scopes_follow_a_namespace_to_its_new_name() -> None:
    for before, after in (
        ("repository:edge/*:pull", "repository:border/*:pull"),
        ("repository:edge/a:pull,push", "repository:border/a:pull,push"),
        ("repository:edge*:pull", "repository:edge*:pull"),
        ("repository:edges/*:pull", "repository:edges/*:pull"),
        ("target:edge:pull", "target:edge:pull"),
        (f"repository:edge/{'x' * 250}:pull", f"repository:edge/{'x' * 250}:pull"),
    ):
        assert read_scope(before).renamed("edge", "border").text() == after
