"""Statements that go to the database's driver as they stand: what each request asks, and what each push writes."""

import re
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy.orm import Session

Values = Mapping[str, Any]
_NAME = re.compile(r"(?<![:\w]):([a-z_]\w*)")


class Statement:
    """SQL with `:name` for its values. `lock` is what PostgreSQL adds; on SQLite a writer is alone anyway.

    Through the mapper a statement costs more than the work that it asks for: fifteen times as much processor time for
    a look-up by key. So what runs with every request is one of these, and only in the functions of this room. Values
    go to the driver as they are (JSON as its text; it comes back as text or as what it says), and nothing that was
    added to the session is flushed before.
    """

    def __init__(self, sql: str, *, lock: str = "") -> None:
        self._sqlite = sql
        self._postgresql = _NAME.sub(r"%(\1)s", f"{sql} {lock}".strip().replace("%", "%%"))

    def first(self, session: Session, values: Values) -> Any:
        """The first row as a tuple, or None."""
        return self._execute(session, values).fetchone()

    def value(self, session: Session, values: Values) -> Any:
        """The first column of the first row, or None."""
        row = self._execute(session, values).fetchone()
        return None if row is None else row[0]

    def all(self, session: Session, values: Values) -> list[Any]:
        """All rows as tuples."""
        found: list[Any] = self._execute(session, values).fetchall()
        return found

    def run(self, session: Session, values: Values) -> int:
        """Changes rows and says how many."""
        changed: int = self._execute(session, values).rowcount
        return changed

    def run_each(self, session: Session, many: Iterable[Values]) -> None:
        """Runs once for each of the values."""
        driver = session.info["driver"]
        sql = self._sqlite if isinstance(driver, sqlite3.Connection) else self._postgresql
        driver.cursor().executemany(sql, many)

    def _execute(self, session: Session, values: Values) -> Any:
        driver = session.info["driver"]
        if isinstance(driver, sqlite3.Connection):
            return driver.execute(self._sqlite, values)
        return driver.execute(self._postgresql, values)
