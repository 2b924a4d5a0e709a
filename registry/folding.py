"""Folds what namespaces came to hold into their sums, in one process at a time, every few seconds."""

import logging
import secrets

import anyio
import anyio.to_thread

from storage.database import Database, StorageError
from storage.leases import give_back_lease, take_lease
from storage.usage import Meter
from storage.usage_upkeep import fold, waits

log = logging.getLogger("wasmhub.folding")
LEASE = "usage"
LEASE_SECONDS = 60
EVERY = 3.0  # seconds


class Folding:
    """One process's part. Two at once would do no harm: each change is taken by one of them."""

    def __init__(self, database: Database, meter: Meter) -> None:
        self._database = database
        self._meter = meter
        self._holder = secrets.token_hex(8)

    async def run(self) -> None:
        """Folds until it is cancelled."""
        while True:
            await anyio.sleep(EVERY)
            try:
                await anyio.to_thread.run_sync(self._turn)
            except StorageError as error:
                log.warning("what namespaces hold is folded later: %s", error)

    def _turn(self) -> None:
        with self._database.read() as session:
            there = waits(session)
        if not there or not take_lease(self._database, LEASE, self._holder, LEASE_SECONDS):
            return
        try:
            while fold(self._database, self._meter):
                pass
        finally:
            give_back_lease(self._database, LEASE, self._holder)
