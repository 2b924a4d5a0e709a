"""Copies a whole hub, rows and bytes, into another set of engines: a backup, a restore and a move are this one thing.

Bytes are copied while the hub goes on, since a copy never changes and its key is never used again. Then one moment of
the database is held, the few copies that it names and that came since are fetched, and its rows are written to the
other database in one transaction. So what the other set names is always there, and an interrupted run has only to be
started again: bytes that arrived are not sent twice.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table, delete, func, insert, select, text
from sqlalchemy.orm import Session
from sqlmodel import col

from storage.all_tables import METADATA
from storage.blobs.store import BlobStore, Stored
from storage.blobs.verified import readable, verified
from storage.database import Database
from storage.errors import StorageError
from storage.tables import Blob, Hub

# What belongs to processes that run, not to what the hub knows.
LEFT_OUT = frozenset({"uploads", "leases", "doomed_copies", "garbage_collections", "device_logins"})
ROWS = 500  # read and written at a time; of manifests, which may be large, WIDE_ROWS
WIDE_ROWS = 16
BATCH = 500


@dataclass
class Progress:
    """How far a copying is: what is there to be copied, and what has been."""

    blobs: int = 0
    bytes: int = 0
    blobs_looked_at: int = 0
    bytes_looked_at: int = 0
    blobs_done: int = 0  # of those looked at, what had to be copied
    bytes_done: int = 0
    rows_done: int = 0
    damaged: list[str] = field(default_factory=list)  # digests whose bytes are wrong or gone; they are left behind


@dataclass(frozen=True)
class Place:
    """A database and the blob store that goes with it."""

    database: Database
    blobs: BlobStore


class Copying:
    """One run. `tell` is called after each blob and each batch of rows, with the progress until then."""

    def __init__(self, source: Place, target: Place, tell: Callable[[Progress], None]) -> None:
        self.progress = Progress()
        self._source = source
        self._target = target
        self._tell = tell
        self._there: dict[str, str] = {}  # an upload's key -> the key of the copy that it became there
        self._damaged: set[str] = set()

    def copy_bytes(self) -> None:
        """Copies what the target has not yet. May be repeated, and run while the hub serves."""
        for one in _begun(self._target.blobs):  # by a run that was cut off in the middle of a blob
            self._target.blobs.discard(one.key, one.state)
        self._there = {_upload_of(key): key for key in _keys(self._target.blobs)}
        with self._source.database.read() as session:
            total = session.execute(select(func.count(), func.coalesce(func.sum(col(Blob.size)), 0))).one()
        self.progress.blobs, self.progress.bytes = int(total[0]), int(total[1])
        for key, digest, size in _blobs(self._source.database):
            self.progress.blobs_looked_at += 1
            self.progress.bytes_looked_at += size
            self._copy_blob(key, digest, size)  # what is gone may have been collected: the rows will tell
            self._tell(self.progress)

    def copy_rows(self) -> None:
        """Copies one moment of the database, and first the bytes that it names and that are not there yet.

        The target's tables must be new and empty: raises StorageError if they hold a hub already.
        """
        with self._source.database.read() as reading, self._target.database.write() as writing:
            for session in (reading, writing):
                _be_patient(session)
            if writing.execute(select(Hub)).first() is not None:
                raise StorageError("the database to copy to holds a hub already; name an empty one")
            for key, digest, size in _blobs_of(reading):
                if not self._copy_blob(key, digest, size):
                    self._damaged.add(key)
                    self.progress.damaged.append(digest)
            tables = [table for table in METADATA.sorted_tables if table.name not in LEFT_OUT]
            for table in reversed(tables):
                writing.execute(delete(table))  # what migrations put there
            for table in tables:
                self._copy_table(reading, writing, table)
            _set_counters(reading, writing)

    def prune(self) -> int:
        """Removes copies from the target that its rows do not name, and says how many; for a backup taken again."""
        with self._target.database.read() as session:
            named = set(session.execute(select(col(Blob.key))).scalars())
        gone = [key for key in _keys(self._target.blobs) if key not in named]
        for key in gone:
            self._target.blobs.discard(key)
        return len(gone)

    def _copy_blob(self, key: str, digest: str, size: int) -> bool:
        """Copies one blob if the target has it not yet. Returns whether it is there now."""
        if _upload_of(key) in self._there:
            return True
        bytes_there = readable(self._source.blobs, key, size)
        with verified(self._target.blobs, _upload_of(key), bytes_there, digest) as kept:
            if kept is None:
                return False
        self._there[_upload_of(key)] = kept
        self.progress.blobs_done += 1
        self.progress.bytes_done += size
        return True

    def _copy_table(self, reading: Session, writing: Session, table: Table) -> None:
        rows = WIDE_ROWS if table.name == "manifests" else ROWS
        asked = select(table).order_by(*table.primary_key.columns)
        for part in reading.execute(asked, execution_options={"yield_per": rows}).mappings().partitions(rows):
            batch = [self._changed(table.name, dict(row)) for row in part]
            writing.execute(insert(table), batch)
            self.progress.rows_done += len(batch)
            self._tell(self.progress)

    def _changed(self, table: str, row: dict[str, Any]) -> dict[str, Any]:
        """A row as the target gets it: with its own key, and damaged where the bytes stayed behind."""
        if table == "blobs":
            if row["key"] in self._damaged and row["damaged_at"] is None:
                row["damaged_at"] = row["created_at"]
            row["key"] = self._there.get(_upload_of(row["key"]), row["key"])
        return row


def hub_id_of(database: Database) -> str:
    """Whose database this is. Raises StorageError if no hub has started on it yet."""
    with database.read() as session:
        found: str | None = session.execute(select(col(Hub.hub_id))).scalar()
    if found is None:
        raise StorageError("no hub has ever started on this database; there is nothing to copy")
    return found


def _keys(blobs: BlobStore) -> Iterator[str]:
    """The keys of all whole copies of a store, in order."""
    return (one.key for one in _listed(blobs) if one.state is None)


def _begun(blobs: BlobStore) -> list[Stored]:
    """What uploads have left that became no copies."""
    return [one for one in _listed(blobs) if one.state is not None]


def _listed(blobs: BlobStore) -> Iterator[Stored]:
    last = ""
    while found := blobs.list(last, BATCH):
        yield from found
        last = found[-1].key


def _upload_of(key: str) -> str:
    """The key of the upload that a copy was, which stays the same in every store that it is copied to."""
    return key.partition(".")[0]


def _blobs(database: Database) -> Iterator[tuple[str, str, int]]:
    """Key, digest and size of all blobs, in short readings, so that no moment is held for long."""
    last = 0
    while True:
        with database.read() as session:
            asked = select(col(Blob.id), col(Blob.key), col(Blob.digest), col(Blob.size)).where(col(Blob.id) > last)
            found = session.execute(asked.order_by(col(Blob.id)).limit(BATCH)).all()
        if not found:
            return
        for one in found:
            yield one[1], one[2], one[3]
        last = found[-1][0]


def _blobs_of(session: Session) -> Iterator[tuple[str, str, int]]:
    """Key, digest and size of all blobs that this moment names."""
    asked = select(col(Blob.key), col(Blob.digest), col(Blob.size)).order_by(col(Blob.id))
    for one in session.execute(asked, execution_options={"yield_per": BATCH}):
        yield one[0], one[1], one[2]


def _be_patient(session: Session) -> None:
    """Lets the transaction stand idle while bytes are copied: PostgreSQL would end it after a minute."""
    if session.get_bind().dialect.name != "sqlite":
        session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


def _set_counters(reading: Session, writing: Session) -> None:
    """Lets ids go on where they were, so that none is given a second time."""
    last = _counters(reading)
    for table in METADATA.sorted_tables:
        if table.name in LEFT_OUT or not table.dialect_options["sqlite"]["autoincrement"]:
            continue
        highest = max(writing.execute(select(func.max(table.c.id))).scalar() or 0, last.get(table.name, 0))
        if highest:
            _set_counter(writing, table.name, highest)


def _counters(session: Session) -> dict[str, int]:
    if session.get_bind().dialect.name == "sqlite":
        asked = text("SELECT name, seq FROM sqlite_sequence")
    else:
        asked = text("SELECT sequencename, last_value FROM pg_sequences WHERE last_value IS NOT NULL")
    return {row[0].removesuffix("_id_seq"): row[1] for row in session.execute(asked)}


def _set_counter(session: Session, table: str, number: int) -> None:
    asked = {"table": table, "number": number}
    if session.get_bind().dialect.name != "sqlite":
        session.execute(text("SELECT setval(pg_get_serial_sequence(:table, 'id'), :number)"), asked)
        return
    session.execute(text("DELETE FROM sqlite_sequence WHERE name = :table"), asked)
    session.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:table, :number)"), asked)
