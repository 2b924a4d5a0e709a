"""The database: opening it, migrating it, reading from it and writing to it."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session as OrmSession
from sqlalchemy.pool import QueuePool

from storage.statements import Statement

READERS = 16
BUSY_SECONDS = 30
_BEGIN = Statement("BEGIN IMMEDIATE")


class StorageError(Exception):
    """The store cannot do what was asked; the text is fit for a user (disk full, read-only, busy)."""


class Conflict(StorageError):
    """The command contradicts what is stored; the text names the thing."""


def now() -> int:
    """The present time in milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


class Database:
    """One database. Every `write()` is one transaction, durable when the block ends; `read()` sees one moment.

    Writers take turns within the process (SQLite has one writer), so that none polls for the file's lock.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._turn = threading.Lock()
        self._engine = _engine(path)
        self._idle: list[sqlite3.Connection] = []  # for statements of readers; as many as threads ever read at once

    def migrate(self) -> None:
        """Brings the tables to the newest migration, wholly or not at all. Safe to call at each start."""
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with _translated(), self._engine.begin() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError:
                raise StorageError(
                    f"{self.path} was written by a newer version of the hub; start that one, or put a backup back"
                ) from None

    @contextmanager
    def read(self) -> Iterator[OrmSession]:
        """A session for looking things up; nothing that it changes is kept.

        What it asks by `Statement` goes over a connection of our own, so that a look-up costs little more than itself.
        """
        with _translated(), self._reader() as driver:
            options: Any = {"autoflush": False, "expire_on_commit": False, "info": {"driver": driver}}
            with OrmSession(self._engine, **options) as session:
                yield session

    @contextmanager
    def write(self) -> Iterator[OrmSession]:
        """A session for one command: committed at the end of the block, rolled back if it raises."""
        with self._turn, _translated(), OrmSession(self._engine, expire_on_commit=False) as session:
            _BEGIN.run(session, {})
            yield session
            session.commit()

    def ping(self) -> None:
        """Asks the database something. Raises StorageError if it cannot answer."""
        with self.read() as session:
            session.execute(text("SELECT 1 FROM users LIMIT 1"))

    def watch(self) -> "Watch":
        """A connection of its own that tells whether anything was committed since; for one thread."""
        return Watch(self.path)

    def close(self) -> None:
        """Closes the pooled connections."""
        self._engine.dispose()
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction of its own, which ends with the block."""
        try:
            driver = self._idle.pop()
        except IndexError:
            driver = _connect(self.path)
        driver.execute("BEGIN")
        try:
            yield driver
        finally:
            driver.execute("ROLLBACK")
            self._idle.append(driver)


class Watch:
    """Tells in about a microsecond whether any connection of any process committed since the last look."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA busy_timeout = 1000")
        self._look = self._connection.cursor().execute

    def version(self) -> int:
        """A number that changes with each commit made on another connection."""
        row: tuple[int] = self._look("PRAGMA data_version").fetchone()
        return row[0]

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None)
    _prepare(connection, None)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _engine(path: Path) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=QueuePool,
        pool_size=READERS,
        max_overflow=READERS,
        hide_parameters=True,  # hashes of secrets are among them, and errors are logged
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False, "isolation_level": None},
    )
    event.listen(engine, "connect", _prepare)
    return engine


def _prepare(connection: Any, record: Any) -> None:
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",  # a commit is on disk before it is answered
        "foreign_keys = ON",
        "cache_size = -1000",  # KiB of each connection; the system's own cache holds the rest
        "journal_size_limit = 67108864",
    ):
        connection.execute(f"PRAGMA {pragma}")


@contextmanager
def _translated() -> Iterator[None]:
    """Turns the engine's own words for full, read-only and busy into sentences."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        words = str(error.orig if isinstance(error, DBAPIError) else error)
        for sign, sentence in _TROUBLE.items():
            if sign in words:
                raise StorageError(sentence) from error
        raise


_TROUBLE = {
    "disk is full": "the disk that holds the database is full; free some space and try again",
    "readonly database": "the database cannot be written; make the data folder writable",
    "disk I/O error": "the disk that holds the database failed; see the hub's log",
    "database is locked": "the database is busy; try again in a moment",
    "not a database": "the file that the database should be in is no database; put the right one in its place",
    "malformed": "the database is damaged; put a backup back",
    "unable to open database": "the database cannot be opened; check the data folder and its permissions",
}
