"""A work queue: each key at most once, never twice at a time, and later and later while it fails."""

import asyncio
import random
from collections.abc import Hashable
from typing import Generic, TypeVar

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds after a failure

Key = TypeVar("Key", bound=Hashable)


def wait_after(failures: int) -> float:
    """Seconds until the next try."""
    wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(failures - 1, 10))
    return wait * random.uniform(0.8, 1.2)  # noqa: S311  (so that not all come at once)


class Queue(Generic[Key]):
    """Keys that are due now or later, for one event loop."""

    def __init__(self) -> None:
        self._due: dict[Key, float] = {}
        self._busy: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._news = asyncio.Event()

    def add(self, key: Key, seconds: float = 0.0) -> None:
        """Has a key be due in so many seconds, unless it is due before that."""
        when = asyncio.get_running_loop().time() + seconds
        if key not in self._due or when < self._due[key]:
            self._due[key] = when
            self._news.set()

    async def take(self) -> Key:
        """The key that has waited longest, once one is due. `done` or `failed` must follow."""
        while True:
            self._news.clear()
            free = [(when, number) for number, (key, when) in enumerate(self._due.items()) if key not in self._busy]
            wait = None
            if free:
                when, number = min(free)
                wait = when - asyncio.get_running_loop().time()
                if wait <= 0:
                    key = list(self._due)[number]
                    del self._due[key]
                    self._busy.add(key)
                    return key
            try:
                await asyncio.wait_for(self._news.wait(), wait)
            except TimeoutError:
                continue

    def done(self, key: Key, again: float | None) -> None:
        """A key was worked on; it is due again after so many seconds, or only when it is added."""
        self._failures.pop(key, None)
        self._free(key, again)

    def failed(self, key: Key) -> None:
        """A key is tried again, a little later each time."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        self._free(key, wait_after(failures))

    def _free(self, key: Key, again: float | None) -> None:
        self._busy.discard(key)
        if again is not None:
            self.add(key, again)
        self._news.set()
