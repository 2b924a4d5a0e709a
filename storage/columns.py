"""Columns as the tables write them: one function for each kind."""

from typing import Any

from sqlalchemy import JSON, BigInteger, Integer, Text, false
from sqlmodel import Field

ID = BigInteger().with_variant(Integer, "sqlite")
# Names sort and compare by bytes on every engine; SQLite does so by itself.
BYTEWISE = Text().with_variant(Text(collation="C"), "postgresql")
# Ids are never given twice, even after the newest row is deleted: events and caches keep them.
NEVER_REUSED = {"sqlite_autoincrement": True}


def row_id() -> Any:
    """The primary key."""
    return Field(default=None, primary_key=True, sa_type=ID)


def ref(column: str, ondelete: Any = "RESTRICT", *, index: bool = False, key: bool = False) -> Any:
    """A row of another table; `key` makes it part of the primary key."""
    return Field(foreign_key=column, ondelete=ondelete, sa_type=ID, index=index, primary_key=key)


def maybe_ref(column: str, ondelete: Any = "RESTRICT", *, index: bool = False) -> Any:
    """A row of another table, or none."""
    return Field(default=None, foreign_key=column, ondelete=ondelete, sa_type=ID, index=index, nullable=True)


def maybe_number(*, index: bool = False) -> Any:
    """The number of a row that may be gone, or none: whoever removes that row looks after these."""
    return Field(default=None, sa_type=ID, index=index, nullable=True)


def time() -> Any:
    """Milliseconds since 1970, UTC."""
    return Field(sa_type=BigInteger)


def maybe_json() -> Any:
    """A JSON value, or none."""
    return Field(default=None, sa_type=JSON(none_as_null=True), nullable=True)


def maybe_time() -> Any:
    """Milliseconds since 1970, UTC, or none."""
    return Field(default=None, sa_type=BigInteger, nullable=True)


def number(kind: Any = BigInteger, *, index: bool = False) -> Any:
    """A number that begins at 0, also in rows that were there before the column."""
    return Field(default=0, sa_type=kind, index=index, sa_column_kwargs={"server_default": "0"})


def words(default: str = "") -> Any:
    """A text that is `default` at first, also in rows that were there before the column."""
    return Field(default=default, sa_column_kwargs={"server_default": default})


def no() -> Any:
    """A truth that is false at first, also in rows that were there before the column."""
    return Field(default=False, sa_column_kwargs={"server_default": false()})
