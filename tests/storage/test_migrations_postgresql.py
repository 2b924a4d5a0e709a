"""Migrations on PostgreSQL: the same tables as on SQLite, from nothing and under rows that are there."""

import json
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect, text

from storage.all_tables import METADATA
from storage.database import Database
from tests.storage.replicas import new_place
from tests.storage.test_migrations import BEGUN_ANEW, ROWS, SCRIPTS, quoted

COLUMNS = text(
    "SELECT table_name, column_name, data_type, collation_name, is_nullable, column_default"
    " FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version' ORDER BY 1, 2"
)
INDEXES = text(
    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version' ORDER BY 1"
)
CONSTRAINTS = text(
    "SELECT CAST(conrelid AS regclass)::text, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace AND CAST(conrelid AS regclass)::text <> 'alembic_version'"
    " ORDER BY 1, 2"
)


def engine_of(place: str) -> Engine:
    """A way into a database that is not the hub's own."""
    return create_engine(place.replace("postgresql://", "postgresql+psycopg://"))


def shape(engine: Engine) -> list[list[tuple[object, ...]]]:
    """Columns, indexes and constraints, as the engine has them."""
    with engine.connect() as connection:
        return [[tuple(row) for row in connection.execute(query)] for query in (COLUMNS, INDEXES, CONSTRAINTS)]


@pytest.fixture
def place(tmp_path: Path) -> str:
    """An empty database."""
    return str(new_place("postgresql", tmp_path, tables=False))


def test_they_make_the_tables(place: str, tmp_path: Path) -> None:
    for _ in range(2):  # a second start changes nothing
        database = Database(place)
        database.migrate()
        database.close()
    migrated, described = engine_of(place), engine_of(str(new_place("postgresql", tmp_path, tables=False)))
    with migrated.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
    METADATA.create_all(described)
    assert shape(migrated) == shape(described)
    migrated.dispose()
    described.dispose()


def test_rows_outlive_every_migration(place: str) -> None:
    engine = engine_of(place)
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        known = {table: {one["name"] for one in inspect(connection).get_columns(table)} for table in ROWS}
        for table, row in ROWS.items():
            kept = {name: value for name, value in row.items() if name in known[table]}
            marks = ", ".join(f":{name}" for name in kept)
            connection.execute(text(f"INSERT INTO {table} ({quoted(kept)}) VALUES ({marks})"), kept)

    database = Database(place)
    database.migrate()
    database.close()
    with engine.connect() as connection:
        for table, row in ROWS.items():
            names = [name for name in row if name in known[table]]
            (found,) = connection.execute(text(f"SELECT {quoted(names)} FROM {table}")).all()
            told = [json.dumps(value) if isinstance(value, dict) else value for value in found]
            now = row | BEGUN_ANEW.get(table, {})
            assert told == [now[name] for name in names], table
    engine.dispose()
