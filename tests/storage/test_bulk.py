"""Bulk: its rows are those of the real commands."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from storage.bulk import Part, Pushed, fill
from storage.bulk_rows import COLUMNS
from storage.database import Database
from storage.events import SYSTEM, Actor
from storage.manifests import NewManifest, save_manifest
from storage.modules import Facts, Reading, save_reading
from storage.namespaces import find_namespace
from storage.repositories import configure_repository, make_repository
from storage.uploads import link_stored_blob, save_blob
from storage.users import create_user
from tests.storage.replicas import ENGINES, new_place

EMPTY = ("sha256:" + "e" * 64, ("key-empty", 2))
FACTS = Facts("ab" * 32, 10, {"abi_version": "0.2.1", "sdk": {"name": "Rust"}})
MODULE = Reading("module", "solo", FACTS.sha256, "sha256:" + "1" * 64, "raw")
TITLE = "org.opencontainers.image.title"
TIMES = ("created_at", "pushed_at", "leased_until", "updated_at", "read_at", "at", "checked_at")


def manifest(number: int, **more: Any) -> NewManifest:
    """A manifest over the empty blob."""
    content = {"media_type": "application/vnd.oci.image.manifest.v1+json", "content": b"{%d}" % number}
    return NewManifest(f"sha256:{number:064x}", **content, **{"blobs": {EMPTY[0]: 2}, **more})


LAYER = ("sha256:" + "1" * 64, ("key-1", 500))
FIRST = manifest(1, blobs={EMPTY[0]: 2, LAYER[0]: 500}, holds_module=True, annotations={TITLE: "Token bucket"})
# What comes into which repository, in this order; each is one part.
PARTS = [
    Part("ann/first", 0, "public", dict([EMPTY, LAYER]), [Pushed(FIRST, ["1.0.0", "latest"], MODULE, FACTS, 3)]),
    Part("ann/second", 0, "private", dict([EMPTY]), [Pushed(manifest(2), ["v1"])]),
    Part("ann/none", 0, "internal"),
    Part("ann/first", 0, "public", {}, [Pushed(manifest(3, annotations={TITLE: "newer"}), ["1.1.0"])]),
    Part(
        "ann/first", 0, "public", {}, [Pushed(manifest(4, subject=FIRST.digest, artifact_type="a/b", annotations={}))]
    ),
    Part("ann/index", 0, "private", dict([EMPTY]), [Pushed(FIRST_CHILD := manifest(5), [], MODULE, FACTS, 3)]),
    Part("ann/index", 0, "private", {}, [Pushed(manifest(6, blobs={}, manifests={FIRST_CHILD.digest: 9}), ["2.0.0"])]),
]


@pytest.fixture(params=ENGINES)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Database, Database]]:
    """Two databases of an engine with one user each."""
    opened = []
    for name in ("bulk", "commands"):
        (tmp_path / name).mkdir()
        opened.append(Database(new_place(request.param, tmp_path / name)))
    for database in opened:
        database.migrate()
        create_user(database, SYSTEM, "ann", password_hash=None)
    yield opened[0], opened[1]
    for database in opened:
        database.close()


def act(database: Database, part: Part, actor: Actor, namespace: int) -> None:
    """The commands of the pushes that leave a part behind."""
    name = part.repository
    with database.read() as session:
        found = session.execute(text("SELECT id FROM repositories WHERE name = :name"), {"name": name}).scalar()
    repository = make_repository(database, name, namespace, actor)
    if found is None:
        configure_repository(database, repository, actor, visibility=part.visibility)
    for digest, copy in part.blobs.items():
        asked: dict[str, Any] = {"upload_id": None, "actor": actor}
        if not link_stored_blob(database, repository, digest, action="blob.push", **asked):
            save_blob(database, repository, digest, copy, **asked)
    for one in part.pushed:
        save_manifest(database, repository, one.manifest, one.tags, actor=actor, name=name)
        if one.reading is None:
            continue
        with database.read() as session:
            manifest_id = session.execute(text("SELECT max(id) FROM manifests")).scalar_one()
        save_reading(database, manifest_id, one.reading, one.reader_version, one.facts)


def rows(database: Database, table: str) -> list[dict[str, Any]]:
    """A table's rows with all their columns, times apart."""
    with database.read() as session:
        found = [dict(row) for row in session.execute(text(f"SELECT * FROM {table}")).mappings()]
    for row in found:
        for name in TIMES:
            if row.get(name) is not None:
                row[name] = "some time"
    return sorted(found, key=repr)


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_bulk_writes_what_the_commands_write(pair: tuple[Database, Database], at_once: int) -> None:
    bulk, commands = pair
    actor = Actor("user", 1, "ann", "127.0.0.1")
    with commands.read() as session:
        namespace = find_namespace(session, "ann")
    assert namespace is not None
    parts = [Part(one.repository, namespace.id, one.visibility, one.blobs, one.pushed) for one in PARTS]

    for start in range(0, len(parts), at_once):
        fill(bulk, parts[start : start + at_once], actor=actor, at=1000)
    for part in parts:
        act(commands, part, actor, namespace.id)

    for table in COLUMNS:
        assert rows(bulk, table) == rows(commands, table), table
        assert rows(bulk, table) or table == "modules"
    # Ids go on where bulk stopped.
    more = [make_repository(database, "ann/more", namespace.id, actor) for database in pair]
    assert more[0] == more[1]
