"""Reads what is stored again, a share each day, so that bytes that rot are found before somebody needs them."""

import logging
import secrets
import time
from collections.abc import Callable

import anyio
import anyio.to_thread

from storage.blobs.store import BlobStore
from storage.blobs.verified import is_sound
from storage.checking import BlobRow, Second, mark_checked, mark_damaged, mend, oldest_checked
from storage.database import Database, StorageError, now
from storage.leases import take_lease

log = logging.getLogger("wasmhub.scrub")
BATCH = 20
DAY = 86_400_000  # milliseconds
LOOK_AGAIN = 60.0  # seconds, when everything was looked at
LEASE = 600  # seconds; longer than the largest blob takes
RATE = 20 * 2**20  # bytes a second, so that readers do not feel it


class Scrub:
    """Hashes each blob anew every so many days; the replica that holds the lease does it for all.

    `note` is told what was done, by its name and how often.
    """

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        second: Second | None,
        days: float,
        note: Callable[[str, int], None],
    ) -> None:
        self._note = note
        self._database = database
        self._blobs = blobs
        self._second = second
        self._days = days
        self._holder = secrets.token_hex(8)

    async def run(self) -> None:
        """Scrubs until it is cancelled; not at all if the days are 0."""
        while self._days > 0:
            try:
                bytes_read = await anyio.to_thread.run_sync(self._batch, abandon_on_cancel=False)
            except StorageError as error:
                log.warning("scrubbing waits: %s", error)
                bytes_read = None
            except Exception:
                log.exception("scrubbing failed; it goes on in %s seconds", LOOK_AGAIN)
                bytes_read = None
            await anyio.sleep(LOOK_AGAIN if bytes_read is None else bytes_read / RATE)

    def _batch(self) -> int | None:
        """Looks at the blobs whose turn it is, and says how many bytes that was; None: there was nothing to do."""
        before = now() - int(self._days * DAY)
        waiting = oldest_checked(self._database, before=before, limit=BATCH)
        if not waiting or not take_lease(self._database, "scrub", self._holder, LEASE):
            return None
        sound: list[int] = []
        began, size = time.monotonic(), 0
        for one in waiting:
            if time.monotonic() - began > LEASE / 2:
                break
            size += one.size
            self._note("scrubbed", 1)
            if is_sound(self._blobs, one.key, one.size, one.digest):
                sound.append(one.id)
            else:
                self._treat(one)
        if sound:
            mark_checked(self._database, sound)
        return size

    def _treat(self, one: BlobRow) -> None:
        """Mends a blob, or keeps it from being served."""
        self._note("damaged", 1)
        if self._mend(one):
            log.warning("the stored bytes of %s were damaged; they were mended from the second copy", one.digest)
            return
        mark_damaged(self._database, one.digest, one.key)
        log.error("the stored bytes of %s are damaged; pulls of it fail until it is pushed again", one.digest)

    def _mend(self, one: BlobRow) -> bool:
        try:
            return self._second is not None and mend(self._database, self._blobs, one, self._second)
        except StorageError as error:
            log.warning("%s cannot be mended: %s", one.digest, error)
            return False
