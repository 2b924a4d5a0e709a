"""Finds what moved of what deployments follow, and has it brought out: by one process in the world at a time.

One query says what moved, from what is in the database alone: nothing is remembered, and pushes do nothing for it but
to wake it. Idle, that query is all that happens.
"""

import asyncio
import contextlib
import logging
import secrets
import time

from anyio.to_thread import run_sync

from deploy.following.bringing import bring
from deploy.leading import LEASE_SECONDS, RENEW, Bell
from deploy.means import Means
from storage.database import StorageError, now
from storage.events import SYSTEM
from storage.followings import REFUSED, Moved, moved_followings, note_following
from storage.leases import give_back_lease, take_lease

log = logging.getLogger("wasmhub.deploy")
LEASE = "followings"
LOOK = 2.0  # seconds between two looks at what other processes were pushed
SOON = 0.2  # seconds until the next look while the reader has not read what moved
SHARE = 50  # unless it is woken, it looks again after a pause of so many times the last look's length, at least
WOKEN_SHARE = 5  # and after so many times when it is
LATER = 60_000  # milliseconds until what failed by a mistake of the hub's own is tried again


class Follower:
    """One process's part. Two at once would do no harm: a revision says what it expects to find."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._database = means.database
        self._holder = secrets.token_hex(8)
        self._bell = Bell()
        self._unread = 0  # looks, one after the other, that found something that has to wait

    def wake(self) -> None:
        """Has the next look begin at once; from any thread."""
        self._bell.ring()

    async def run(self) -> None:
        """Follows until it is cancelled."""
        self._bell.hang()
        while True:
            wait, took = LOOK, 0.0
            try:
                began = time.perf_counter()
                found = await self._database.look(self._moved)
                took = time.perf_counter() - began
                wait = max(LOOK, SHARE * took)
                if found:
                    wait = min(wait, await self._follow())
            except StorageError as error:
                log.warning("what deployments follow is looked at later: %s", error)
            await asyncio.sleep(min(wait, WOKEN_SHARE * took))
            await self._bell.wait(wait)

    def _moved(self) -> list[Moved]:
        with self._database.read() as session:
            return moved_followings(session, now())

    async def _follow(self) -> float:
        """Brings out what moved, if no other process does; the seconds until the next look."""
        if not await self._lease():
            return LOOK
        try:
            renewed, late = asyncio.get_running_loop().time(), False
            # Under the lease it is looked again: whoever held it has done what this process saw before.
            for one in await self._database.look(self._moved):
                moment = asyncio.get_running_loop().time()
                if moment - renewed > RENEW:
                    if not await self._lease():
                        return LOOK
                    renewed = moment
                late |= not await run_sync(self._bring, one)
            self._unread = self._unread + 1 if late else 0
            return min(LOOK, SOON * max(self._unread, 1))
        finally:
            with contextlib.suppress(StorageError):
                await run_sync(give_back_lease, self._database, LEASE, self._holder)

    async def _lease(self) -> bool:
        return await run_sync(take_lease, self._database, LEASE, self._holder, LEASE_SECONDS)

    def _bring(self, one: Moved) -> bool:
        try:
            return bring(self._means, one)
        except StorageError as error:  # such as a full disk, which may be of no matter to the others
            log.warning("%s/%s follows %s later: %s", one.target, one.deployment, one.reference, error)
            return False
        except Exception:  # a mistake with one is not to hold up the others, nor to be tried without a pause
            log.exception("%s/%s cannot follow %s", one.target, one.deployment, one.reference)
            message = "a mistake of the hub's own, which its log shows; the hub tries again"
            note_following(self._database, SYSTEM, one, REFUSED, message, now() + LATER)
            return True
