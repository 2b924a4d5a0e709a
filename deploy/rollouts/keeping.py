"""What one process in the world does while there is anything to do: by a lease, with a look at it each second."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable

from anyio.to_thread import run_sync

from storage.database import Database, StorageError
from storage.leases import give_back_lease, take_lease

log = logging.getLogger("wasmhub.deploy")
LEASE_SECONDS = 10
RENEW = 4.0  # seconds; both together are the longest that work stands still after its holder was killed
LOOK = 1.0  # seconds between two looks at what is under way
IDLE = 4.0  # and at whether there is anything


class Keeper:
    """One process's part. Two at once do no harm where every step says what it expects to find.

    `lease` is the name of the work; `any_` says whether there is any, `look` does what is due, `failed` is told when
    the database could not be asked.
    """

    def __init__(
        self,
        database: Database,
        lease: str,
        any_: Callable[[], bool],
        look: Callable[[], None],
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._lease = lease
        self._any = any_
        self._look = look
        self._failed = failed
        self._holder = secrets.token_hex(8)
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def wake(self) -> None:
        """Has the next look begin at once; from any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the hub is stopping
                self._loop.call_soon_threadsafe(self._wake.set)

    async def run(self) -> None:
        """Does what is due, or waits for something to be, until it is cancelled."""
        self._loop = asyncio.get_running_loop()
        renewed = None
        try:
            while True:
                wait = IDLE
                try:
                    if await self._database.look(self._any):
                        moment = self._loop.time()
                        if renewed is None or moment - renewed > RENEW:
                            took = await run_sync(take_lease, self._database, self._lease, self._holder, LEASE_SECONDS)
                            renewed = moment if took else None
                        if renewed is not None:
                            await run_sync(self._look)
                            wait = LOOK
                    else:
                        renewed = None
                except StorageError as error:
                    self._failed()
                    log.warning("%s are looked after later: %s", self._lease, error)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), wait)
                self._wake.clear()
        finally:
            with contextlib.suppress(StorageError):
                await run_sync(give_back_lease, self._database, self._lease, self._holder)
