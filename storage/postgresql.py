"""PostgreSQL: how connections are made, how transactions begin, and what its errors mean to people."""

import asyncio
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.types.string import StrDumperUnknown
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from storage.errors import Gone, StorageError
from storage.pulls import ALL_ON_POSTGRESQL, Facts, Question

POOL_SECONDS = 10.0  # that a thread waits for one of the connections
LOOK_SECONDS = 10.0  # that a look at the version may take, connecting and all
BEGIN_SECONDS = 12.0  # that the server may take to begin a transaction: longer than it waits for locks
ANSWER_SECONDS = 35.0  # that it may take for any other answer: longer than it lets a statement run
# What the server is told at the start of each connection; the URL may say otherwise. A lost network is noticed within
# 25 seconds.
_DEFAULTS = {
    "application_name": "wasmhub",
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
    "client_encoding": "UTF8",
}
_OPTIONS = {
    "synchronous_commit": "on",  # a commit is on disk before it is answered
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
    "timezone": "UTC",
}
# Transactions of commands hold this lock: hot ones share it, all others have it alone. (The bytes of "wasmhub".)
_LOCK = int.from_bytes(b"wasmhub", "big")
_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_ALONE = f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock({_LOCK})"
_BESIDE = f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock_shared({_LOCK})"
# Whoever starts while another replica migrates waits for it, however long that takes.
_MIGRATE = (
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0;"
    f" SELECT pg_advisory_xact_lock({_LOCK})"
)
# Equal snapshots see the same transactions: if two looks say the same, nothing was committed between them.
_LOOK = "SELECT CAST(pg_current_snapshot() AS text)"
# A look finds single rows by their keys: planned once, as it is written, whatever the tables hold at that moment.
_LOOKING = (
    "-c plan_cache_mode=force_generic_plan -c join_collapse_limit=1 -c jit=off"
    " -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
)


class _Connection(psycopg.Connection[Any]):
    """A connection that is given up when the server says nothing for too long, though the network takes all."""

    patience: float | None = ANSWER_SECONDS

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Waits for an answer. Raises OperationalError, as for a lost connection, if there is none."""
        return super().wait(gen, interval, self.patience if timeout is None else timeout)


class PostgreSQL:
    """A database on a server, for any number of processes on any number of machines."""

    def __init__(self, url: str, connections: int) -> None:
        self.name = "the database that WASMHUB_DATABASE_URL names"
        self._parameters = _parameters(url)
        self._renewed = 0.0
        self.engine: Engine = create_engine(
            "postgresql+psycopg://",
            creator=self._connect,
            poolclass=QueuePool,
            pool_size=connections - 1,  # the watch has the last
            max_overflow=0,
            pool_timeout=POOL_SECONDS,
            isolation_level="AUTOCOMMIT",  # transactions begin and end by our own words
            hide_parameters=True,  # hashes of secrets are among them, and errors are logged
        )
        event.listen(self.engine, "connect", _note_birth)
        event.listen(self.engine, "checkout", self._refuse_old)

    def turn(self) -> AbstractContextManager[None]:
        """Nothing to wait for in the process: the server lets writers take turns."""
        return nullcontext()

    def begin_read(self, driver: Any) -> None:
        """Begins a transaction that sees one moment and cannot write."""
        _begin(driver, _READ)

    def end_read(self, driver: Any) -> None:
        """Ends it by COMMIT. After a ROLLBACK the driver would forget, at one more round trip, all that it prepared."""
        if driver.info.transaction_status == TransactionStatus.INTRANS:
            driver.execute("COMMIT")

    def begin_write(self, driver: Any, beside: bool) -> None:
        """Begins a transaction that is alone in the world, or beside others that say so; each statement sees anew."""
        _begin(driver, _BESIDE if beside else _ALONE)

    def begin_migration(self, driver: Any) -> None:
        """Begins a transaction that is alone in the world and may take its time, all of it."""
        driver.patience = None
        driver.execute(_MIGRATE)

    def watch(self) -> "PostgreSQLWatch":
        """A connection of its own that tells whether anything was committed since; for one event loop."""
        return PostgreSQLWatch(self._parameters)

    def is_lost(self, error: BaseException) -> bool:
        """Whether the connection that failed so is of no use any more."""
        found = error.orig if isinstance(error, DBAPIError) else error
        if not isinstance(found, psycopg.OperationalError):
            return False
        return found.sqlstate is None or found.sqlstate in _LOST or found.sqlstate.startswith("08")

    def renew(self) -> None:
        """Has all connections made anew: where one was lost, the others of its age are lost too."""
        self._renewed = time.monotonic()

    def explain(self, error: BaseException) -> StorageError | None:
        """An error that a user can act on as a sentence; None for one that is the hub's own fault."""
        return explain(error)

    def explain_start(self, error: StorageError) -> str:
        """The same for whoever starts the hub: with the setting's name, and the driver's own word for the reason."""
        cause = error.__cause__
        if not isinstance(cause, psycopg.OperationalError) or cause.sqlstate is not None:
            return str(error) if "WASMHUB_" in str(error) else f"WASMHUB_DATABASE_URL: {error}"
        reason = (str(cause).strip() or "no answer").splitlines()[0].rpartition(" failed: ")[2]
        return f"WASMHUB_DATABASE_URL: the database cannot be used: {reason}"

    def _connect(self) -> Any:
        made = _Connection.connect(**self._parameters, autocommit=True, prepare_threshold=2)
        made.adapters.register_dumper(str, _Text)
        return made

    def _refuse_old(self, driver: Any, record: Any, proxy: Any) -> None:
        if record.info["born"] <= self._renewed:
            raise DisconnectionError


class _Text(StrDumperUnknown):
    """Texts as PostgreSQL can hold them: in the place of NUL, which it cannot, stands the sign for what is no text.

    So nothing is found under a name that holds a NUL, and nobody's bad input is an error of the database.
    """

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", "\ufffd") if "\0" in obj else obj)


class PostgreSQLWatch:
    """Tells whether anything at all was committed since the last look, and what the answers to pulls rest on.

    Those who ask while a query is under way share the next one, never the one under way: it may have looked before
    they asked. So a pull's look begins after the pull did, and many cost little more than one.
    """

    def __init__(self, parameters: dict[str, Any]) -> None:
        self._parameters = {**parameters, "options": f"{parameters['options']} {_LOOKING}"}
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._connected = 0  # how often; after a failover another server may give the same answer for other contents
        self._waiting: list[tuple[Question | None, asyncio.Future[Any]]] = []
        self._looking: asyncio.Task[None] | None = None

    async def version(self) -> object:
        """Something that is equal only if nothing was committed between. Raises StorageError if it cannot be had."""
        return (await self._answer(None))[0]

    async def facts(self, question: Question) -> tuple[object, Facts]:
        """What the answer to a pull rests on, and the version at which that is so. Raises StorageError."""
        version, row = await self._answer(question)
        return version, Facts(*row)

    def close(self) -> None:
        """Closes the connection."""
        if self._looking is not None:
            self._looking.cancel()
        self._disconnect()

    async def _answer(self, question: Question | None) -> Any:
        mine: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, mine))
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        return await mine

    async def _look(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting = self._waiting, []
                version, rows, trouble = await self._ask([one for one, _ in asked if one is not None])
                found = iter(rows)
                for question, one in asked:
                    row = next(found, None) if question is not None else None
                    if one.done():  # whoever asked has gone away
                        continue
                    if trouble is not None:
                        one.set_exception(trouble)
                    else:
                        one.set_result((version, row))
        finally:
            self._looking = None

    async def _ask(self, questions: list[Question]) -> tuple[object, list[Any], StorageError | None]:
        """The version and a row for each question, or why they cannot be had; a lost connection is made anew once."""
        again = self._connection is not None
        while True:
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    return *await self._query(questions), None
            except (psycopg.Error, OSError, TimeoutError) as error:
                self._disconnect()
                if not again or isinstance(error, TimeoutError):
                    return None, [], explain(error) or StorageError(UNREACHABLE)
                again = False

    async def _query(self, questions: list[Question]) -> tuple[object, list[Any]]:
        if self._connection is None:
            self._connection = await psycopg.AsyncConnection.connect(
                **self._parameters, autocommit=True, prepare_threshold=0
            )
            self._connected += 1
        if not questions:
            (row,) = await (await self._connection.execute(_LOOK)).fetchall()
            return (self._connected, row[0]), []
        columns = [list(column) for column in zip(*questions, strict=True)]
        rows = await (await self._connection.execute(ALL_ON_POSTGRESQL, columns)).fetchall()
        return (self._connected, rows[0][0]), [row[1:] for row in rows]

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.pgconn.finish()
            self._connection = None


def explain(error: BaseException) -> StorageError | None:
    """What an error of the driver, of the server or of the pool means to a user; None if it is the hub's own fault."""
    if isinstance(error, PoolTimeout | TimeoutError):
        return StorageError("the database is busy: all connections to it are in use; try again in a moment")
    found = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(found, psycopg.Error):
        return None
    state = found.sqlstate
    if state is None:
        return StorageError(UNREACHABLE) if isinstance(found, psycopg.OperationalError) else None
    if state == "23503":  # what a row refers to is not there
        return Gone()
    sentence = _TROUBLE.get(state) or _TROUBLE.get(state[:2])
    return None if sentence is None else StorageError(sentence)


def _parameters(url: str) -> dict[str, Any]:
    """What the driver is told. Raises StorageError if the URL is malformed; its text never holds the password."""
    try:
        given = conninfo_to_dict(url)
    except psycopg.Error:
        raise StorageError(
            "WASMHUB_DATABASE_URL cannot be read; it must be such as postgresql://user:password@host:5432/database"
        ) from None
    options = " ".join(f"-c {name}={value}" for name, value in _OPTIONS.items())
    return {**_DEFAULTS, **given, "options": f"{options} {given.get('options', '')}".strip()}


def _begin(driver: Any, words: str) -> None:
    driver.patience = BEGIN_SECONDS
    driver.execute(words)
    driver.patience = ANSWER_SECONDS


def _note_birth(driver: Any, record: Any) -> None:
    record.info["born"] = time.monotonic()


UNREACHABLE = "the database cannot be reached; try again in a moment"
_DAMAGED = "the database is damaged; put a backup back"
_LOST = {"57P01", "57P02", "57P03", "57P05", "25P03"}
_BUSY = "the database is busy; try again in a moment"
# By SQLSTATE, or by its class (PostgreSQL's manual, appendix A).
_TROUBLE = {
    "08": UNREACHABLE,
    "25006": "the database cannot be written: the server is a standby or read-only",
    "25P03": _BUSY,
    "28": "the database refuses the user name or the password",
    "3D000": "there is no database of that name",
    "40": _BUSY,
    "42501": "the database does not let the hub's user do that; make it the owner of the database",
    "53100": "the disk that holds the database is full; free some space and try again",
    "53200": "the database has no memory left; try again in a moment",
    "53300": "the database takes no more connections; try again in a moment, or lower WASMHUB_DATABASE_CONNECTIONS",
    "55P03": _BUSY,
    "57014": "the database took too long to answer; try again in a moment",
    "57": UNREACHABLE,
    "58": "the disk that holds the database failed; see the database's log",
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
}
