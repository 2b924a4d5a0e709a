"""How many requests were answered: counters that all workers of a hub share."""

import mmap
import time

DOORS = ("registry", "token", "deploy", "health", "web")
STATUSES = 600
_EACH = len(DOORS) * STATUSES


class Counts:
    """Counters by door and status, in memory that processes forked later share.

    Each worker writes its own and reads all, so nobody waits for anybody; a worker that is started in a dead one's
    place goes on with its counters, so that none ever runs backwards.
    """

    def __init__(self, workers: int = 1) -> None:
        self.started = time.time()
        self._all = memoryview(mmap.mmap(-1, workers * _EACH * 8)).cast("Q")
        self.take(0)

    def take(self, worker: int) -> None:
        """Counts from now on as that worker; the first is 0."""
        first = worker * _EACH
        self._own = {door: self._all[first + at * STATUSES :][:STATUSES] for at, door in enumerate(DOORS)}

    def add(self, door: str, status: int) -> None:
        """Counts an answer."""
        self._own[door][status] += 1

    def totals(self) -> dict[tuple[str, int], int]:
        """Door and status -> requests that all workers answered; only what was counted."""
        found: dict[tuple[str, int], int] = {}
        for index, count in enumerate(self._all):
            if count:
                key = DOORS[index % _EACH // STATUSES], index % STATUSES
                found[key] = found.get(key, 0) + count
        return found
