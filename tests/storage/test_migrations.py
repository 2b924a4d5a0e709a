"""Migrations: they make the tables that storage.tables describes, from nothing and under rows that are there."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

import storage.tables
from storage.all_tables import METADATA
from storage.database import NEWEST, Database

SCRIPTS = Path(storage.tables.__file__).parent / "migrations"
# One row for each table of the first migration, in an order that foreign keys allow.
ROWS: dict[str, dict[str, object]] = {
    "users": {"id": 1, "role": "administrator", "active": True, "generation": 0, "created_at": 1},
    "teams": {"id": 1, "created_at": 1},
    "memberships": {"team_id": 1, "user_id": 1, "role": "owner"},
    "namespaces": {"id": 1, "name": "acme", "kind": "user", "user_id": 1, "created_at": 1},
    "access_tokens": {"id": 1, "user_id": 1, "name": "ci", "hint": "whp_", "secret_sha256": "a", "created_at": 1},
    "refresh_tokens": {
        "id": 1,
        "user_id": 1,
        "access_token_id": 1,
        "client": "docker",
        "secret_sha256": "b",
        "created_at": 1,
        "expires_at": 2,
    },
    "sessions": {"id": 1, "user_id": 1, "secret_sha256": "c", "created_at": 1, "expires_at": 2},
    "signing_keys": {"kid": "k", "public_jwk": "{}", "sealed_private": b"s", "created_at": 1},
    "repositories": {
        "id": 1,
        "namespace_id": 1,
        "name": "acme/filter",
        "visibility": "private",
        "description": "",
        "generation": 0,
        "created_at": 1,
    },
    "blobs": {"id": 1, "digest": "sha256:aa", "key": "k1", "size": 3, "created_at": 1, "leased_until": 2},
    "repository_blobs": {"repository_id": 1, "blob_id": 1, "created_at": 1},
    "uploads": {
        "id": "u",
        "repository_id": 1,
        "key": "k2",
        "offset": 5,
        "algorithm": "sha256",
        "created_at": 1,
        "touched_at": 1,
    },
    "manifests": {
        "id": 1,
        "repository_id": 1,
        "digest": "sha256:bb",
        "media_type": "a/b",
        "content": b"{}",
        "created_at": 1,
    },
    "links": {"manifest_id": 1, "digest": "sha256:aa", "kind": "blob", "size": 3},
    "tags": {"repository_id": 1, "name": "1.2.3", "manifest_id": 1, "updated_at": 1},
    "modules": {"sha256": "cc", "size": 3, "reader_version": 1, "facts": "{}", "read_at": 1},
    "inspections": {"manifest_id": 1, "state": "pending", "reader_version": 0},
    "events": {
        "id": 1,
        "at": 1,
        "actor_kind": "user",
        "actor_name": "acme",
        "address": "",
        "action": "manifest.push",
        "subject": "acme/filter",
    },
    "targets": {"id": 1, "name": "edge", "kind": "envoy-fleet", "namespace_id": 1, "settings": "{}", "created_at": 1},
    "target_keys": {"id": 1, "target_id": 1, "hint": "whk", "secret_sha256": "d", "created_at": 1},
    "deployments": {"id": 1, "target_id": 1, "name": "f", "grant": "g", "created_at": 1},
    "nodes": {"id": 1, "target_id": 1, "name": "n", "version": "", "seen_at": 1},
}
# Times that go by the hub's own clock since there is one begin anew.
BEGUN_ANEW = {"blobs": {"leased_until": 86_400_000}, "uploads": {"touched_at": 0}}


def upgrade(path: Path, revision: str) -> None:
    """Brings the database at the path to a revision."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def quoted(names: Iterable[str]) -> str:
    """Column names as SQL has them: `offset` is a word of its own."""
    return ", ".join(f'"{name}"' for name in names)


def columns(database: sqlite3.Connection, table: str) -> set[str]:
    """Names of a table's columns."""
    return {row[1] for row in database.execute(f"PRAGMA table_info({table})")}


def shape(path: Path) -> dict[str, list[list[tuple[object, ...]]]]:
    """Columns, foreign keys and indexes of each table, as the engine has them; their order says nothing."""
    connection = sqlite3.connect(path)
    found = {}
    for (table,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
        indexes = [row[1:] for row in connection.execute(f"PRAGMA index_list({table})")]
        indexed = [
            (*index[1:], *[row[2] for row in connection.execute(f"PRAGMA index_info({index[0]})")]) for index in indexes
        ]
        info = [row[1:] for row in connection.execute(f"PRAGMA table_info({table})")]
        keys = [row[2:] for row in connection.execute(f"PRAGMA foreign_key_list({table})")]
        autoincrement = connection.execute(
            "SELECT sql LIKE '%AUTOINCREMENT%' FROM sqlite_schema WHERE name = ?", [table]
        )
        found[table] = [sorted(rows, key=str) for rows in (info, keys, indexed)] + [autoincrement.fetchall()]
    connection.close()
    return found


def test_the_newest_is_known_by_its_file() -> None:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    assert ScriptDirectory.from_config(config).get_heads() == [NEWEST]


def test_they_make_the_tables(tmp_path: Path) -> None:
    database = Database(tmp_path / "hub.db")
    database.migrate()
    database.close()
    engine = create_engine(f"sqlite:///{tmp_path / 'hub.db'}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        difference = compare_metadata(context, METADATA)
    engine.dispose()
    assert difference == []

    engine = create_engine(f"sqlite:///{tmp_path / 'described.db'}")
    METADATA.create_all(engine)
    engine.dispose()
    migrated, described = shape(tmp_path / "hub.db"), shape(tmp_path / "described.db")
    del migrated["alembic_version"]
    assert migrated == described


def test_a_second_start_changes_nothing(tmp_path: Path) -> None:
    schemas = []
    for _ in range(2):
        database = Database(tmp_path / "hub.db")
        database.migrate()
        database.close()
        with sqlite3.connect(tmp_path / "hub.db") as connection:
            schemas.append(connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall())
        connection.close()
    assert schemas[0] == schemas[1]


def test_they_form_one_line() -> None:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    assert len(ScriptDirectory.from_config(config).get_heads()) == 1


def test_rows_outlive_every_migration(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    upgrade(path, "0001")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA foreign_keys = ON")
    for table, row in ROWS.items():
        known = {name: value for name, value in row.items() if name in columns(connection, table)}
        marks = ", ".join("?" * len(known))
        connection.execute(f"INSERT INTO {table} ({quoted(known)}) VALUES ({marks})", list(known.values()))
    connection.commit()
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    left_out = tables - ROWS.keys() - {"alembic_version", "sqlite_sequence", "revisions", "node_slots"}
    connection.close()
    assert not left_out

    database = Database(path)
    database.migrate()
    database.close()
    connection = sqlite3.connect(path)
    for table, row in ROWS.items():
        kept = [name for name in row if name in columns(connection, table)]
        found = connection.execute(f"SELECT {quoted(kept)} FROM {table}").fetchall()
        now = row | BEGUN_ANEW.get(table, {})
        assert found == [tuple(now[name] for name in kept)], table
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
