"""What one process in the world does at a time, and what wakes it."""

import asyncio
import contextlib
import logging
import secrets
from abc import ABC, abstractmethod

from anyio.to_thread import run_sync

from storage.database import Database, StorageError
from storage.leases import give_back_lease, take_lease

log = logging.getLogger("wasmhub.deploy")
LEASE_SECONDS = 10
RENEW = 4.0  # seconds; both together are the longest that nobody leads after a leader was killed
LOOK = 1.0  # seconds between two looks while there is something to do
IDLE = 4.0  # and at whether there is
SHARE = 0.2  # of the time that looks take at most: where very much is under way they come later


def pause_after(took: float) -> float:
    """Seconds from the end of a look that took so many to the next one: in time to renew the lease."""
    return min(max(LOOK, took / SHARE - took), RENEW)


class Bell:
    """Rung from any thread, heard in the event loop that waits for it."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def hang(self) -> None:
        """From now on it is heard in this event loop."""
        self._loop = asyncio.get_running_loop()

    def ring(self) -> None:
        """Ends the wait, or the next one at once; nothing where it does not hang yet."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the hub is stopping
                self._loop.call_soon_threadsafe(self._rung.set)

    async def wait(self, seconds: float | None = None) -> None:
        """Until it is rung, or for that long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._rung.wait(), seconds)
        self._rung.clear()


class Leader(ABC):
    """One process's part in what one alone does: it asks for the lease only where there is something to do.

    Whatever it goes by is in the database, so that another process, or this one after a restart, goes on with the same.
    Two at once for a moment must do no harm.
    """

    lease: str  # its name

    def __init__(self, database: Database) -> None:
        self._database = database
        self._holder = secrets.token_hex(8)
        self._bell = Bell()

    def wake(self) -> None:
        """Has the next look begin at once; from any thread."""
        self._bell.ring()

    @abstractmethod
    def any(self) -> bool:
        """Whether there is something to do. In a thread, like `look`."""

    @abstractmethod
    def look(self) -> None:
        """Does what is next."""

    def missed(self) -> None:  # noqa: B027  (most need nothing here)
        """The database could not be asked."""

    async def run(self) -> None:
        """Leads, or waits for something to do, until it is cancelled."""
        self._bell.hang()
        renewed = None
        try:
            while True:
                wait = IDLE
                try:
                    if await self._database.look(self.any):
                        moment = asyncio.get_running_loop().time()
                        if renewed is None or moment - renewed > RENEW:
                            mine = await run_sync(take_lease, self._database, self.lease, self._holder, LEASE_SECONDS)
                            renewed = moment if mine else None
                        if renewed is not None:
                            began = asyncio.get_running_loop().time()
                            await run_sync(self.look)
                            took = asyncio.get_running_loop().time() - began
                            wait = pause_after(took)
                    else:
                        renewed = None
                except StorageError as error:
                    self.missed()
                    log.warning("%s are looked after later: %s", self.lease, error)
                await self._bell.wait(wait)
        finally:
            with contextlib.suppress(StorageError):
                await run_sync(give_back_lease, self._database, self.lease, self._holder)
