"""Statements that go to the database's driver as they stand: what each request asks, and what each push writes."""

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy.orm import Session

Values = Mapping[str, Any]


class Statement:
    """SQL with `:name` for its values.

    Through the mapper a statement costs more than the work that it asks for: fifteen times as much processor time for
    a look-up by key. So what runs with every request is one of these, and only in the functions of this room. Values
    go to the driver as they are (JSON as its text), and nothing that was added to the session is flushed before.
    """

    def __init__(self, sql: str) -> None:
        self._sql = sql

    def first(self, session: Session, values: Values) -> Any:
        """The first row as a tuple, or None."""
        return _driver(session).execute(self._sql, values).fetchone()

    def value(self, session: Session, values: Values) -> Any:
        """The first column of the first row, or None."""
        row = _driver(session).execute(self._sql, values).fetchone()
        return None if row is None else row[0]

    def all(self, session: Session, values: Values) -> list[Any]:
        """All rows as tuples."""
        return _driver(session).execute(self._sql, values).fetchall()

    def run(self, session: Session, values: Values) -> int:
        """Changes rows and says how many."""
        return _driver(session).execute(self._sql, values).rowcount

    def run_each(self, session: Session, many: Iterable[Values]) -> None:
        """Runs once for each of the values."""
        _driver(session).executemany(self._sql, many)


def _driver(session: Session) -> sqlite3.Connection:
    """The session's own connection, within its transaction."""
    found: sqlite3.Connection | None = session.info.get("driver")
    if found is None:
        driver: Any = session.connection().connection.driver_connection
        session.info["driver"] = found = driver
    return found
