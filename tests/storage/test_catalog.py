"""The catalog on a real database: who sees what, pages, words, versions, and that nothing walks over all rows."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from auth.identity import Identity
from auth.namespaces import resource_of
from auth.permissions import may
from storage import catalog
from storage.database import Database
from storage.events import SYSTEM
from storage.holders import find_copy, list_holders
from storage.manifests import NewManifest, delete_tag, list_referrers, save_manifest
from storage.modules import Facts, Reading, save_reading
from storage.namespaces import find_holding
from storage.people_tables import Grant, Membership, Namespace, Team, User
from storage.repositories import Viewer, can_read_blob, configure_repository, list_names, make_repository
from storage.search import find_words
from storage.tables import Blob, RepositoryBlob
from storage.teams import delete_team

SHA = "ab" * 32
FACTS: dict[str, Any] = {"abi_version": "0.2.1", "sdk": {"name": "Rust", "version": "0.2.2", "marks": []}}
EVERYTHING = Viewer(sees_all=True)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "hub.db")
    opened.migrate()
    yield opened
    opened.close()


def add_user(database: Database, name: str, role: str = "user") -> int:
    with database.write() as session:
        user = User(role=role, created_at=1)
        session.add(user)
        session.flush()
        session.add(Namespace(name=name, kind="user", user_id=user.id, created_at=1))
        return user.id


def add_team(database: Database, name: str, **members: tuple[int, str]) -> int:
    with database.write() as session:
        team = Team(created_at=1)
        session.add(team)
        session.flush()
        session.add(Namespace(name=name, kind="team", team_id=team.id, created_at=1))
        session.add_all(Membership(team_id=team.id, user_id=user, role=role) for user, role in members.values())
        return team.id


def add_repository(database: Database, name: str, visibility: str = "private") -> int:
    with database.read() as session:
        namespace = session.execute(
            text("SELECT id FROM namespaces WHERE name = :name"), {"name": name.partition("/")[0]}
        ).scalar_one()
    repository = make_repository(database, name, namespace, SYSTEM)
    configure_repository(database, repository, SYSTEM, visibility=visibility)
    return repository


def push(database: Database, repository: int, *tags: str, digest: str = "", **more: Any) -> int:
    """A manifest without blobs; returns the id of its row."""
    digest = digest or f"sha256:{next(_NUMBERS):064x}"
    new = NewManifest(digest=digest, media_type="application/json", content=b"{}", **more)
    save_manifest(database, repository, new, tags, actor=SYSTEM, name="n")
    with database.read() as session:
        found: int = session.execute(
            text("SELECT id FROM manifests WHERE repository_id = :r AND digest = :d"), {"r": repository, "d": digest}
        ).scalar_one()
        return found


_NUMBERS = itertools.count(1)


def names(database: Database, viewer: Viewer, words: str = "", *, last: str = "", limit: int = 100) -> list[str]:
    with database.read() as session:
        found = catalog.list_repositories(session, viewer, words=find_words(words), last=last, limit=limit)
        return [entry.name for entry in found]


def test_lists_show_exactly_what_permissions_allow(database: Database) -> None:
    ann, bob = add_user(database, "ann"), add_user(database, "bob")
    add_team(database, "reds", ann=(ann, "reader"))
    blues = add_team(database, "blues", bob=(bob, "reader"))
    gone = add_team(database, "gone", ann=(ann, "owner"), bob=(bob, "owner"))
    for owner in ("ann", "bob", "reds", "blues", "gone"):
        for visibility in ("private", "internal", "public"):
            add_repository(database, f"{owner}/{visibility}", visibility)
    all_names = names(database, EVERYTHING)
    with database.write() as session:
        ids = dict(session.execute(text("SELECT name, id FROM repositories")).all())
        for name, user, team in (
            ("bob/private", ann, None),
            ("reds/private", None, blues),
            ("ann/private", None, gone),
        ):
            session.add(Grant(repository_id=ids[name], user_id=user, team_id=team, role="reader", created_at=1))
    delete_team(database, SYSTEM, gone)

    for identity in (
        Identity(),
        Identity(ann, "ann"),
        Identity(bob, "bob"),
        Identity(99, "eve"),
        Identity(100, "aud", role="auditor"),
        Identity(101, "root", role="administrator"),
    ):
        viewer = identity.viewer()
        with database.read() as session:
            held = {name: find_holding(session, name, identity.user_id) for name in all_names}
        wanted = [name for name, one in held.items() if one and may(identity, "pull", resource_of(one))]
        assert not any(name.startswith("gone/") for name in wanted)
        assert ("bob/private" in wanted) is (identity.name in ("ann", "bob", "aud", "root"))
        assert ("ann/private" in wanted) is (identity.name in ("ann", "aud", "root"))
        assert names(database, viewer) == wanted, identity
        assert names(database, viewer, "p") == [name for name in wanted if not name.endswith("internal")], identity


def test_pages_follow_each_other_without_gap(database: Database) -> None:
    add_user(database, "ann")
    wanted = sorted(f"ann/f{number}" for number in range(7))
    for name in wanted:
        add_repository(database, name, "public")

    for viewer in (EVERYTHING, Viewer(), Viewer(1)):
        found: list[str] = []
        while page := names(database, viewer, last=found[-1] if found else "", limit=3):
            found += page
        assert found == wanted


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("", True),
        ("rate", True),
        ("ratelimit", True),
        ("limit", True),  # a part of a word of the name
        ("imi", True),
        ("RateLimit", True),
        ("ann/rate", True),
        ("ann/ratelimit-basic", True),
        ("rust", True),  # the SDK
        ("0.2.1", True),  # the ABI
        ("token bucket", True),  # the newest version's title
        ("buck", True),
        ("cket", False),  # parts count in names alone
        ("quietly", True),  # the description
        ("rust quietly token ratelimit", True),
        ("rust python", False),
        ("go", False),
        ("oldword", False),  # an older version's title
        ("%", True),  # no word at all
        ("_", False),
        ("naïve", True),
        ("ΝΑΪΥ", False),
        ("' OR 1=1 --", False),
        ("x" * 5000, False),
    ],
)
def test_search(database: Database, asked: str, found: bool) -> None:
    add_user(database, "ann")
    repository = add_repository(database, "ann/ratelimit-basic", "public")
    configure_repository(database, repository, SYSTEM, description="Quietly limits. A naïve one.")
    old = {"org.opencontainers.image.title": "oldword"}
    push(database, repository, "1.0.0", annotations=old)
    new = {"org.opencontainers.image.title": "Token bucket"}
    manifest = push(database, repository, "1.1.0", annotations=new, holds_module=True)
    save_reading(database, manifest, Reading("module", module_sha256=SHA), 1, Facts(SHA, 10, FACTS))
    push(database, repository, "0.9.1", annotations=old)

    assert names(database, Viewer(), asked) == (["ann/ratelimit-basic"] if found else [])


def test_words_go_with_what_said_them(database: Database) -> None:
    add_user(database, "ann")
    repository = add_repository(database, "ann/a", "public")
    push(database, repository, "1.0.0", annotations={"org.opencontainers.image.title": "first"})
    push(database, repository, "2.0.0", annotations={"org.opencontainers.image.title": "second"})
    assert (names(database, Viewer(), "first"), names(database, Viewer(), "second")) == ([], ["ann/a"])

    delete_tag(database, repository, "2.0.0", actor=SYSTEM, name="ann/a")
    assert (names(database, Viewer(), "first"), names(database, Viewer(), "second")) == (["ann/a"], [])


def test_versions_are_newest_first_and_paged(database: Database) -> None:
    add_user(database, "ann")
    repository = add_repository(database, "ann/a")
    wanted = ["2.0.0", "v2.0.0-rc.1", "1.10.0", "1.9.0", "main", "latest"]
    for tag in ("latest", "1.9.0", "2.0.0", f"sha256-{'a' * 64}.sig", "1.10.0", "v2.0.0-rc.1", "main"):
        push(database, repository, tag)
        with database.write() as session:  # a millisecond may hold two pushes
            session.execute(text("UPDATE tags SET updated_at = rowid WHERE name = :name"), {"name": tag})

    with database.read() as session:
        for limit in (1, 2, 5, 100):
            found: list[catalog.Version] = []
            while page := catalog.list_versions(
                session, repository, after=found[-1].cursor if found else "", limit=limit
            ):
                found += page
            assert [version.tag for version in found] == wanted
        assert catalog.count_versions(session, repository) == 6
        entry = catalog.find_entry(session, "ann/a")
        assert entry is not None and entry.newest is not None and entry.newest.tag == "2.0.0"


@pytest.mark.parametrize("cursor", ["x", "1", ".", "-1.a", "٣.a", "9" * 30 + ".a"])
def test_a_false_place_in_a_list_is_named(database: Database, cursor: str) -> None:
    with database.read() as session, pytest.raises(ValueError, match="no place in a list"):
        catalog.list_versions(session, 1, after=cursor, limit=1)


def test_untagged_empty_and_indexed(database: Database) -> None:
    add_user(database, "ann")
    add_repository(database, "ann/empty", "public")
    bare = add_repository(database, "ann/bare", "public")
    push(database, bare, digest="sha256:" + "1" * 64)
    push(database, bare, digest="sha256:" + "2" * 64, subject="sha256:" + "1" * 64)
    both = add_repository(database, "ann/index", "public")
    child = push(database, both, digest="sha256:" + "3" * 64, holds_module=True, annotations={"a": "child"})
    save_reading(database, child, Reading("module", "solo", SHA), 1, Facts(SHA, 10, FACTS))
    push(database, both, digest="sha256:" + "4" * 64)
    push(database, both, "1.0.0", manifests={"sha256:" + "3" * 64: 1, "sha256:" + "4" * 64: 1, "sha256:5": 1})

    with database.read() as session:
        found = {e.name: e.newest for e in catalog.list_repositories(session, Viewer(), limit=9)}
        assert found["ann/empty"] is None
        bare_version, index_version = found["ann/bare"], found["ann/index"]
        assert bare_version is not None and index_version is not None
        assert (bare_version.tag, bare_version.digest[-1], bare_version.reading.state) == (None, "1", "no-module")
        assert (index_version.tag, index_version.reading.sha256) == ("1.0.0", SHA)
        assert index_version.reading.facts == FACTS and index_version.annotations == {"a": "child"}
        assert catalog.list_untagged(session, both, limit=9) == []
        assert names(database, Viewer(), "rust") == ["ann/index"]


def test_what_a_version_says(database: Database) -> None:
    ann = add_user(database, "ann")
    repository = add_repository(database, "ann/a", "public")
    with database.write() as session:
        session.add(Blob(digest="sha256:b", key="k1", size=500, created_at=1, leased_until=1))
        session.flush()
        session.add(RepositoryBlob(repository_id=repository, blob_id=1, created_at=1))
    new = NewManifest("sha256:m", "t", b"{}", blobs={"sha256:b": 500}, holds_module=True)
    by_ann = Identity(ann, "ann").actor()
    save_manifest(database, repository, new, ["1.0.0", "latest"], actor=by_ann, name="ann/a")

    with database.read() as session:
        version = catalog.find_version(session, repository, "latest")
        assert version is not None
        assert (version.size, version.pushed_by, version.reading.state) == (502, "ann", "pending")
        assert catalog.tags_of(session, version.manifest_id, limit=9) == ["1.0.0", "latest"]
        assert find_copy(session, EVERYTHING, SHA) is None

    done = Reading("module", "solo", SHA, "sha256:b", "raw")
    save_reading(database, version.manifest_id, done, 1, Facts(SHA, 10, FACTS))
    with database.read() as session:
        read = catalog.find_version(session, repository, "sha256:m")
        assert read is not None and read.tag is None
        assert read.reading == catalog.ModuleView("module", "solo", SHA, 10, None, FACTS, "sha256:b", "raw")
        for viewer, sees in ((Viewer(), True), (Viewer(9), True)):
            assert (find_copy(session, viewer, SHA) is not None) is sees
            assert list_holders(session, viewer, SHA, limit=5) == ["ann/a"]
    configure_repository(database, repository, SYSTEM, visibility="private")
    with database.read() as session:
        for viewer, sees in ((Viewer(), False), (Viewer(9), False), (Viewer(ann), True)):
            assert (find_copy(session, viewer, SHA) is not None) is sees
            assert bool(list_holders(session, viewer, SHA, limit=5)) is sees


def test_no_page_walks_over_all_rows(database: Database) -> None:
    """The plans of all queries of the catalog: each table is searched along an index, never scanned."""
    queries: list[str] = []
    add_user(database, "ann")
    repository = add_repository(database, "ann/a", "public")
    push(database, repository, "1.0.0")
    with database.read() as session:
        driver = session.info["driver"]
        driver.set_trace_callback(queries.append)
        for viewer in (EVERYTHING, Viewer(), Viewer(1)):
            for words in ((), ("ann", "a")):
                catalog.list_repositories(session, viewer, words=words, last="a", limit=5)
            list_names(session, viewer, last="a", limit=5)
            can_read_blob(session, viewer, "sha256:b", None)
        catalog.list_versions(session, repository, after="1.v1", limit=5)
        catalog.find_version(session, repository, "1.0.0")
        catalog.count_versions(session, repository)
        catalog.tags_of(session, 1, limit=5)
        list_referrers(session, repository, "sha256:b", artifact_type="a/b", last=0, limit=5)
        find_copy(session, Viewer(), SHA)
        driver.set_trace_callback(None)

        assert len(queries) > 30
        for query in queries:
            for *_, line in driver.execute("EXPLAIN QUERY PLAN " + query):
                walks = line.startswith("SCAN") and line.split()[1] not in ("counted", "found", "f", "h", "CONSTANT")
                assert not walks or "(subquery" in line or "LIST" in line, (query, line)
