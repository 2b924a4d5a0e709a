"""Compares what the database says is stored with the bytes that are, and mends what differs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select, update
from sqlmodel import col

from storage.blobs.files import FileBlobs
from storage.blobs.store import BlobStore
from storage.blobs.store import Stored as Kept
from storage.blobs.verified import is_sound, readable, verified
from storage.clock import read_clock
from storage.database import Database, StorageError, now
from storage.events import SYSTEM, record
from storage.garbage import doom_unnamed, find_unnamed
from storage.tables import Blob, DoomedCopy

BATCH = 200
DAY = 86_400_000  # milliseconds


@dataclass(frozen=True)
class BlobRow:
    """A blob as its row has it."""

    id: int
    digest: str
    key: str
    size: int


@dataclass
class Findings:
    """What a check found; each list holds digests, but for `orphans`, which holds keys."""

    blobs: int = 0
    bytes: int = 0
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)  # of the wrong size or, where the bytes were read, of a wrong hash
    mended: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)  # bytes, older than a day, that no row names

    @property
    def sound(self) -> bool:
        """Whether everything that the database names is there as it should be."""
        return len(self.mended) == len(self.missing) + len(self.damaged)


class Second:
    """A second copy of the hub, such as a backup's folder: where damaged blobs are mended from."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, digest: str) -> Iterable[bytes] | None:
        """The bytes of that digest, in chunks; None if they are not there either. Opened anew: a backup is replaced."""
        kept = self._folder / "hub.db"
        if not kept.is_file():
            raise StorageError(f"{self._folder} holds no backup to mend from")
        database = Database(kept)
        try:
            with database.read() as session:
                asked = select(col(Blob.key), col(Blob.size))
                found = session.execute(asked.where(col(Blob.digest) == digest, col(Blob.damaged_at).is_(None))).first()
        finally:
            database.close()
        return None if found is None else readable(FileBlobs(self._folder / "blobs"), found[0], found[1])


class Check:
    """One check of everything. Safe to run beside a hub that serves: nothing is judged by what came meanwhile."""

    def __init__(self, database: Database, blobs: BlobStore, second: Second | None) -> None:
        self.findings = Findings()
        self._database = database
        self._blobs = blobs
        self._second = second

    def compare(self, *, deep: bool, repair: bool) -> Findings:
        """Looks at each blob and each stored copy. `deep` reads and hashes all bytes; `repair` mends what it can.

        What cannot be mended is marked as damaged: readers are told so, and the next push of those bytes heals it.
        """
        began = now()
        there = {one.key: one.size for one in _listed(self._blobs) if one.state is None}
        for one in _blob_rows(self._database):
            self.findings.blobs += 1
            self.findings.bytes += one.size
            self._look(one, there.get(one.key), deep=deep, repair=repair)
        self._find_orphans(began - DAY, repair=repair)
        return self.findings

    def _look(self, one: BlobRow, size: int | None, *, deep: bool, repair: bool) -> None:
        if size == one.size and (not deep or is_sound(self._blobs, one.key, one.size, one.digest)):
            return
        if size is None and (is_sound(self._blobs, one.key, one.size, one.digest) or not _still(self._database, one)):
            return  # It came since the store was listed, or was collected since its row was read.
        (self.findings.missing if size is None else self.findings.damaged).append(one.digest)
        if repair:
            if self._second is not None and mend(self._database, self._blobs, one, self._second):
                self.findings.mended.append(one.digest)
            else:
                mark_damaged(self._database, one.digest, one.key)

    def _find_orphans(self, before: int, *, repair: bool) -> None:
        """Copies that are older than any request and that no row names."""
        batch: list[Kept] = []
        for one in _listed(self._blobs):
            if one.modified < before:
                batch.append(one)
            if len(batch) == BATCH:
                self._judge(batch, repair=repair)
                batch = []
        self._judge(batch, repair=repair)

    def _judge(self, kept: list[Kept], *, repair: bool) -> None:
        with self._database.read() as session:
            unnamed = find_unnamed(session, [one.key for one in kept])
        self.findings.orphans += [one.key for one in kept if one.key in unnamed]
        if repair and unnamed:
            doom_unnamed(self._database, [(one.key, one.state) for one in kept if one.key in unnamed], 0)


def mend(database: Database, blobs: BlobStore, one: BlobRow, second: Second) -> bool:
    """Stores a blob's bytes anew, from a second copy. Returns whether they were to be had there, sound."""
    chunks = second.find(one.digest)
    if chunks is None:
        return False
    with verified(blobs, blobs.new_key(), chunks, one.digest) as key:
        if key is None:
            return False
        mended = _replace(database, one, key)
    if not mended:
        blobs.discard(key)
    return mended


def mark_damaged(database: Database, digest: str, key: str) -> None:
    """Says that a blob's bytes are wrong or gone: nobody is given them any more, and a push of them is taken."""
    with database.write() as session:
        asked = select(Blob).where(col(Blob.digest) == digest, col(Blob.key) == key, col(Blob.damaged_at).is_(None))
        found = session.execute(asked).scalar_one_or_none()
        if found is not None:
            found.damaged_at = now()
            session.flush()
            record(session, SYSTEM, "blob.damage", digest, detail={"key": key, "size": found.size})


def oldest_checked(database: Database, *, before: int, limit: int) -> list[BlobRow]:
    """Sound blobs neither looked at nor pushed since `before`, those not looked at for longest first."""
    with database.read() as session:
        asked = select(col(Blob.id), col(Blob.digest), col(Blob.key), col(Blob.size)).where(
            col(Blob.checked_at) < before, col(Blob.damaged_at).is_(None)
        )
        return [BlobRow(*row) for row in session.execute(asked.order_by(col(Blob.checked_at)).limit(limit))]


def mark_checked(database: Database, ids: list[int]) -> None:
    """Says that the bytes of these blobs were found to be right just now."""
    with database.write() as session:
        session.execute(update(Blob).where(col(Blob.id).in_(ids)).values(checked_at=now()))


def _replace(database: Database, one: BlobRow, key: str) -> bool:
    """Gives a blob a new copy, dooming the old one. Returns False if its row changed meanwhile."""
    with database.write() as session:
        found = session.execute(
            select(Blob).where(col(Blob.id) == one.id, col(Blob.key) == one.key)
        ).scalar_one_or_none()
        if found is None:
            return False
        found.key, found.damaged_at, found.checked_at = key, None, now()
        if session.execute(select(DoomedCopy).where(col(DoomedCopy.key) == one.key)).first() is None:
            session.add(DoomedCopy(key=one.key, doomed_at=read_clock(session)))
        session.flush()
        record(session, SYSTEM, "blob.mend", one.digest, detail={"key": key})
        return True


def _still(database: Database, one: BlobRow) -> bool:
    with database.read() as session:
        return bool(session.execute(select(col(Blob.key)).where(col(Blob.id) == one.id)).scalar() == one.key)


def _listed(blobs: BlobStore) -> Iterator[Kept]:
    """All that lies in the store, in key order."""
    last = ""
    while found := blobs.list(last, BATCH):
        yield from found
        last = found[-1].key


def _blob_rows(database: Database) -> Iterator[BlobRow]:
    """All blobs that are not known to be damaged, in short readings."""
    last = 0
    while True:
        with database.read() as session:
            asked = select(col(Blob.id), col(Blob.digest), col(Blob.key), col(Blob.size)).where(
                col(Blob.id) > last, col(Blob.damaged_at).is_(None)
            )
            found = [BlobRow(*row) for row in session.execute(asked.order_by(col(Blob.id)).limit(BATCH))]
        if not found:
            return
        yield from found
        last = found[-1].id
