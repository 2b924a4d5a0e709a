"""The database: opening it, migrating it, reading from it and writing to it, on SQLite or on PostgreSQL."""

import asyncio
import importlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

from sqlalchemy import Connection, Engine, PoolProxiedConnection, text
from sqlalchemy.orm import Session as OrmSession

from storage.errors import Conflict as Conflict
from storage.errors import StorageError as StorageError
from storage.postgresql import PostgreSQL, PostgreSQLWatch
from storage.sqlite import SQLite, SQLiteWatch

CONNECTIONS = 16  # to PostgreSQL; one of them watches
LOOKING = 3  # threads that look things up in a file at once: more fight for the interpreter, and all get less done
# The revision of the newest migration, which the names of their files begin with.
NEWEST = max(path.name.partition("_")[0] for path in (Path(__file__).parent / "migrations/versions").glob("*_*.py"))
_CLOCK = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
Watch = SQLiteWatch | PostgreSQLWatch
Found = TypeVar("Found")
Values = TypeVarTuple("Values")


def now() -> int:
    """The present time in milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def clock(session: OrmSession) -> int:
    """The database's own time in milliseconds since 1970, UTC: the same for all replicas, whatever their clocks say."""
    if isinstance(session.info["driver"], sqlite3.Connection):
        return now()  # the one clock of the one machine
    found: int = session.info["driver"].execute(_CLOCK).fetchone()[0]
    return found


class Database:
    """One database: a SQLite file (a path) or PostgreSQL (a URL, with at most that many connections in its pool).

    Every `write()` is one transaction, durable when the block ends; `read()` sees one moment.
    """

    def __init__(self, where: Path | str, connections: int = CONNECTIONS) -> None:
        self._kind = SQLite(where) if isinstance(where, Path) else PostgreSQL(where, connections)
        self._lookers = ThreadPoolExecutor(LOOKING if isinstance(where, Path) else connections, "look")

    def migrate(self) -> None:
        """Brings the tables to the newest migration, wholly or not at all. Safe to call at each start.

        Raises StorageError with a sentence for whoever starts the hub if the database cannot be used.
        """
        try:
            self._migrate()
        except StorageError as error:
            raise StorageError(self._kind.explain_start(error)) from error

    def _migrate(self) -> None:
        with self._connection(self._kind.begin_migration) as lent:
            connection = Connection(self._kind.engine, connection=lent)
            with connection.begin():
                if _migrated_to(connection) != [NEWEST]:
                    importlib.import_module("storage.migrating").upgrade(connection, self._kind.name)

    @contextmanager
    def read(self) -> Iterator[OrmSession]:
        """A session for looking things up, all at one moment; nothing that it changes is kept."""
        with self._connection(self._kind.begin_read) as lent, _Session(self._kind.engine, lent) as session:
            session.autoflush = False
            try:
                yield session
            finally:
                self._kind.end_read(session.info["driver"])  # the mapper may have taken a lost one out of `lent`

    async def look(self, find: Callable[[*Values], Found], *values: *Values) -> Found:
        """What `find` finds with `read`, in a thread beside the event loop once it is its turn."""
        return await asyncio.get_running_loop().run_in_executor(self._lookers, find, *values)

    @contextmanager
    def write(self, *, beside: bool = False) -> Iterator[OrmSession]:
        """A session for one command: committed at the end of the block, rolled back if it raises.

        The command is alone in the world: no other changes anything meanwhile. One that says `beside` may run while
        others that say so do, on an engine that can: it must be right whatever they commit between its statements.
        """

        def begin(driver: Any) -> None:
            self._kind.begin_write(driver, beside)

        with self._kind.turn(), self._connection(begin) as lent, _Session(self._kind.engine, lent) as session:
            yield session
            session.flush()
            session.info["driver"].execute("COMMIT")

    def ping(self) -> None:
        """Asks the database something. Raises StorageError if it cannot answer."""
        with self.read() as session:
            session.execute(text("SELECT 1 FROM users LIMIT 1"))

    def watch(self) -> Watch:
        """A connection of its own that tells whether anything was committed since; for one thread."""
        return self._kind.watch()

    def close(self) -> None:
        """Closes the pooled connections."""
        self._lookers.shutdown(wait=False)
        self._kind.engine.dispose()

    @contextmanager
    def _connection(self, begin: Callable[[Any], None]) -> Iterator[PoolProxiedConnection]:
        """A connection of the pool on which a transaction has begun; what is not committed is rolled back."""
        lent = None
        try:
            lent = self._begun(begin)
            yield lent
        except Exception as error:
            if self._kind.is_lost(error):
                self._kind.renew()
                if lent is not None and lent.is_valid:  # the mapper may have seen it first
                    lent.invalidate(error)
            explained = self._kind.explain(error)
            if explained is None:
                raise
            raise explained from error
        finally:
            if lent is not None:
                lent.close()

    def _begun(self, begin: Callable[[Any], None]) -> PoolProxiedConnection:
        """A connection on which a transaction has begun; one that was lost while it was idle is replaced."""
        lent = self._kind.engine.raw_connection()
        try:
            begin(lent.driver_connection)
        except Exception as error:
            if not self._kind.is_lost(error):
                lent.close()
                raise
            self._kind.renew()
            lent.invalidate(error)
            lent.close()
        else:
            return lent
        lent = self._kind.engine.raw_connection()
        try:
            begin(lent.driver_connection)
        except Exception:
            lent.close()
            raise
        return lent


def _migrated_to(connection: Connection) -> list[str]:
    """The revisions that the database's tables are at: one, or none where there is nothing."""
    if not connection.dialect.has_table(connection, "alembic_version"):
        return []
    return list(connection.execute(text("SELECT version_num FROM alembic_version")).scalars())


class _Session(OrmSession):
    """A session over one connection, whose transaction has begun.

    Statements go to that connection's driver. The mapper's own way to it is made only for those who use the mapper.
    """

    def __init__(self, engine: Engine, lent: PoolProxiedConnection) -> None:
        super().__init__(expire_on_commit=False, info={"driver": lent.driver_connection})
        self._engine = engine
        self._lent = lent
        self._bound: Connection | None = None

    def get_bind(self, *args: Any, **options: Any) -> Connection:
        """The session's connection, for the mapper."""
        if self._bound is None:
            self._bound = Connection(self._engine, connection=self._lent)
        return self._bound
