"""Whether the hub can serve, part by part: each is asked for a moment, seldom, and by one question at a time."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.to_thread

from storage.database import StorageError

log = logging.getLogger("wasmhub")
PATIENCE = 1.5  # seconds that a part has to answer; whoever asks waits no longer, however slow the part is
FRESH = 1.0  # seconds for which an answer holds, so that asking often costs nothing
OK = "ok"
WITHOUT = "the hub works without it"


class Part:
    """Something that the hub stands on. For one event loop."""

    def __init__(self, name: str, check: Callable[[], Awaitable[str | None]], *, needed: bool = True) -> None:
        """`check` says what is wrong, or None. It may take any time, and raise anything."""
        self.name = name
        self.needed = needed
        self._check = check
        self._task: asyncio.Task[str | None] | None = None
        self._began = 0.0
        self._said: str | None = None
        self._until = 0.0

    async def look(self) -> str | None:
        """What is wrong with it, or None."""
        if self._task is None:
            if time.monotonic() < self._until:
                return self._said
            self._began = time.monotonic()
            self._task = asyncio.create_task(self._ask())
        # A question that is still under way is waited for, never joined by another one.
        await asyncio.wait({self._task}, timeout=max(0.0, self._began + PATIENCE - time.monotonic()))
        return self._said if self._task is None else f"did not answer within {PATIENCE} s"

    async def _ask(self) -> str | None:
        try:
            self._said = await self._check()
        except Exception:
            log.exception("asking the part %s failed", self.name)
            self._said = "failed; see the hub's log"
        finally:
            self._task = None
            self._until = time.monotonic() + FRESH
        return self._said


class Readiness:
    """All parts, and whether the hub is about to stop."""

    def __init__(self, parts: list[Part]) -> None:
        self._parts = parts
        self.draining = False  # set when a stop was asked for: whoever balances load sends nothing more

    async def look(self) -> tuple[bool, dict[str, Any]]:
        """Whether the hub can serve, and the parts by name with "ok" or what is wrong."""
        said = await asyncio.gather(*(part.look() for part in self._parts))
        ready, words = not self.draining, {}
        for part, trouble in zip(self._parts, said, strict=True):
            ready = ready and (trouble is None or not part.needed)
            words[part.name] = OK if trouble is None else trouble if part.needed else f"{trouble}; {WITHOUT}"
        return ready, {"ready": ready, "draining": self.draining, "parts": words}

    async def parts(self) -> dict[str, str]:
        """The parts alone."""
        _, found = await self.look()
        words: dict[str, str] = found["parts"]
        return words


def blocking(ping: Callable[[], None]) -> Callable[[], Awaitable[str | None]]:
    """A check by a call that blocks and raises StorageError if something is wrong, in a thread kept for it."""
    limiter = anyio.CapacityLimiter(1)

    async def check() -> str | None:
        try:
            await anyio.to_thread.run_sync(ping, limiter=limiter)
        except StorageError as error:
            return str(error)
        return None

    return check
