"""What a hub did since its start, for /metrics: counters that all its workers share."""

import mmap
import time

DOORS = ("registry", "token", "deploy", "health", "web")
STATUSES = 600
REMOVED = ("teams", "derived", "uploads", "links", "blobs", "copies", "orphans", "expired", "events")
WORK = ("collecting", "finished", "failed", "looked_at", "bytes", *REMOVED, "scrubbed", "damaged")
_REQUESTS = len(DOORS) * STATUSES
_EACH = _REQUESTS + len(WORK)


class Counts:
    """Requests by door and status and work done beside them, in memory that processes forked later share.

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
        self._work = self._all[first + _REQUESTS :][: len(WORK)]
        self._work[WORK.index("collecting")] = 0  # whoever was here before does so no more

    def add(self, door: str, status: int) -> None:
        """Counts an answer."""
        self._own[door][status] += 1

    def note(self, work: str, by: int = 1) -> None:
        """Counts some of the work named in WORK."""
        self._work[WORK.index(work)] += by

    def totals(self) -> dict[tuple[str, int], int]:
        """Door and status -> requests that all workers answered; only what was counted."""
        found: dict[tuple[str, int], int] = {}
        for index, count in enumerate(self._all):
            place = index % _EACH
            if count and place < _REQUESTS:
                key = DOORS[place // STATUSES], place % STATUSES
                found[key] = found.get(key, 0) + count
        return found

    def work(self) -> dict[str, int]:
        """What of WORK all workers did."""
        return {name: sum(self._all[_REQUESTS + at :: _EACH]) for at, name in enumerate(WORK)}
