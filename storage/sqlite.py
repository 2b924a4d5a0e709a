"""SQLite: how connections to the file are made, how transactions begin, and what its errors mean to people."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from storage.errors import Gone, StorageError
from storage.pulls import ONE_ON_SQLITE, Facts, Question

READERS = 16
MORE_READERS = 64  # for a moment; each costs a file handle and little memory
BUSY_SECONDS = 30


class SQLite:
    """A database in a file, for the processes of one machine.

    Writers take turns within the process (SQLite has one writer), so that none polls for the file's lock.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path
        self._turn = threading.Lock()
        self.engine: Engine = create_engine(
            f"sqlite:///{path}",
            poolclass=QueuePool,
            pool_size=READERS,
            max_overflow=MORE_READERS,
            pool_use_lifo=True,  # what a connection remembers of the file is of use again, and the others stay small
            hide_parameters=True,  # hashes of secrets are among them, and errors are logged
            connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False, "isolation_level": None},
        )
        event.listen(self.engine, "connect", _prepare)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Waits until no other thread of this process writes."""
        with self._turn:
            yield

    def begin_read(self, driver: Any) -> None:
        """Begins a transaction that sees one moment."""
        driver.execute("BEGIN")

    def end_read(self, driver: Any) -> None:
        """Nothing: the pool rolls it back."""

    def begin_write(self, driver: Any, beside: bool) -> None:
        """Begins a transaction that is alone in the world."""
        driver.execute("BEGIN IMMEDIATE")

    def begin_migration(self, driver: Any) -> None:
        """Begins a transaction that may change tables."""
        driver.execute("BEGIN IMMEDIATE")

    def watch(self) -> "SQLiteWatch":
        """A connection of its own that tells whether anything was committed since; for one thread."""
        return SQLiteWatch(self._path)

    def is_lost(self, error: BaseException) -> bool:
        """Whether the connection is of no use any more; a file's never is."""
        return False

    def renew(self) -> None:
        """Has all connections made anew: there is no need to."""

    def explain(self, error: BaseException) -> StorageError | None:
        """The engine's own words for full, read-only and busy as a sentence; None for what nobody can do anything."""
        return explain(error)

    def explain_start(self, error: StorageError) -> str:
        """The same for whoever starts the hub."""
        return str(error)


class SQLiteWatch:
    """Tells in about a microsecond whether any connection of any process committed since the last look."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA busy_timeout = 1000")
        self._look = self._connection.cursor().execute

    async def version(self) -> object:
        """A number that changes with each commit made on another connection."""
        try:
            return self._look("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error as error:
            raise explain(error) or error from error

    async def facts(self, question: Question) -> tuple[object, Facts]:
        """What the answer to a pull rests on, and a version that is no newer: a few look-ups by key."""
        version = await self.version()
        try:
            row = self._look(ONE_ON_SQLITE, question._asdict()).fetchone()
        except sqlite3.Error as error:
            raise explain(error) or error from error
        return version, Facts(*row)

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()


def explain(error: BaseException) -> StorageError | None:
    """What an error of the engine means to a user; None if it is the hub's own fault."""
    if not isinstance(error, DBAPIError | sqlite3.Error):
        return None
    words = str(error.orig if isinstance(error, DBAPIError) else error)
    if "FOREIGN KEY constraint failed" in words:
        return Gone()
    return next((StorageError(sentence) for sign, sentence in _TROUBLE.items() if sign in words), None)


def _prepare(connection: Any, record: Any) -> None:
    _use_wal(connection)
    for pragma in (
        "synchronous = FULL",  # a commit is on disk before it is answered
        "foreign_keys = ON",
        "cache_size = -8000",  # KiB of each connection; the system's own cache holds the rest
        "journal_size_limit = 67108864",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _use_wal(connection: Any) -> None:
    """Has the file write ahead. Of two that first do so at once, SQLite refuses one without waiting for its timeout."""
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > give_up:
                raise
        time.sleep(0.01)


_TROUBLE = {
    "disk is full": "the disk that holds the database is full; free some space and try again",
    "readonly database": "the database cannot be written; make the data folder writable",
    "disk I/O error": "the disk that holds the database failed; see the hub's log",
    "database is locked": "the database is busy; try again in a moment",
    "not a database": "the file that the database should be in is no database; put the right one in its place",
    "malformed": "the database is damaged; put a backup back",
    "unable to open database": "the database cannot be opened; check the data folder and its permissions",
}
