"""Rows that wait to be written all at once, and the ids that the database would have given them."""

import sqlite3
from collections import defaultdict
from collections.abc import Collection
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.orm import Session

# In the order in which they refer to one another. Columns that are not named keep their defaults.
COLUMNS = {
    "repositories": "id, namespace_id, name, visibility, description, generation, created_at, pushed_at",
    "blobs": "id, digest, key, size, created_at, checked_at, leased_until",
    "repository_blobs": "repository_id, blob_id, created_at",
    "manifests": "id, repository_id, digest, media_type, artifact_type, subject, annotations, content, pushed_by,"
    " created_at",
    "links": "manifest_id, digest, repository_id, kind, size",
    "tags": "repository_id, name, rank, manifest_id, updated_by, updated_at",
    "modules": "sha256, size, reader_version, facts, read_at",
    "inspections": "manifest_id, state, reader_version, format, module_sha256, blob_digest, wrapping, reason",
    "search_words": "word, repository_id",
    "usage_changes": "namespace_id, bytes",
    "events": "at, actor_kind, actor_id, actor_name, address, action, subject, repository_id, detail, team_id",
}
ASKED_AT_ONCE = 500
CACHE = 262_144  # KiB of the SQLite connection that writes: many rows land all over the indexes


class Rows:
    """Rows by table, for one transaction of `Database.write()`, which is alone in the world."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._driver: Any = session.info["driver"]
        self._postgres = not isinstance(self._driver, sqlite3.Connection)
        self._waiting: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        self._last: dict[str, int] = {}  # the highest id that was given, by table

    def add(self, table: str, *values: Any) -> None:
        """Adds a row with values for the table's columns in COLUMNS."""
        self._waiting[table].append(values)

    def new_id(self, table: str) -> int:
        """The id of the table's next row: never one that was given before."""
        if table not in self._last:
            self._last[table] = highest_id(self._session, table)
        self._last[table] += 1
        return self._last[table]

    def write(self) -> None:
        """Writes all rows."""
        driver = self._driver
        if self._postgres:
            driver.patience = None
            driver.execute("SET LOCAL statement_timeout = 0")
        else:
            driver.execute(f"PRAGMA cache_size = -{CACHE}")
        for table, columns in COLUMNS.items():
            rows = self._waiting.pop(table, [])
            if table == "search_words":
                rows.sort()  # neighbours land on the same pages of the index
            if self._postgres:
                with driver.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row(row)
            else:
                marks = ", ".join("?" * (columns.count(",") + 1))
                driver.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)
        if self._postgres:
            driver.execute("ANALYZE")  # as the server itself would have, had the rows come one by one
            for table, last in self._last.items():
                self._session.execute(
                    text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), :last)"), {"last": last}
                )


def highest_id(session: Session, table: str) -> int:
    """The highest id that a row of the table was ever given."""
    if isinstance(session.info["driver"], sqlite3.Connection):
        asked = text(f"SELECT seq FROM sqlite_sequence WHERE name = '{table}'")
    else:
        name = session.execute(text(f"SELECT pg_get_serial_sequence('{table}', 'id')")).scalar_one()
        asked = text(f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {name}")
    return int(session.execute(asked).scalar() or 0)


def find_ids(
    session: Session, table: str, column: str, values: Collection[str], *, wanted: str = "id"
) -> dict[str, Any]:
    """The `wanted` of those rows whose column has one of the values, by that value."""
    query = text(f"SELECT {column}, {wanted} FROM {table} WHERE {column} IN :values").bindparams(
        bindparam("values", expanding=True)
    )
    asked, found = sorted(values), {}
    for start in range(0, len(asked), ASKED_AT_ONCE):
        found.update(
            {row[0]: row[1] for row in session.execute(query, {"values": asked[start : start + ASKED_AT_ONCE]})}
        )
    return found
