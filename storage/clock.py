"""The hub's own clock: what garbage collection goes by, because the clocks of machines jump.

One row holds its reading. Any process may move it on by the time that it has itself measured since it last saw the
reading, with a clock that cannot be set, and by one step at most. So the reading never goes back and, but for the last
step, never goes faster than real time: not with many replicas, nor when a machine's clock is set, nor after a pause.
When no hub runs it stands still, and every promise that is counted by it waits.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.orm import Session

from storage.database import Database
from storage.statements import Statement

MOST_STEP = 300_000  # milliseconds
LEAST_STEP = 200

# What other statements of this room put in the place of a time.
READING = "(SELECT reading FROM hub_clock WHERE id = 1)"
LEASED_UNTIL = "(SELECT reading + lease FROM hub_clock WHERE id = 1)"

_READ = Statement("SELECT reading, lease, step FROM hub_clock WHERE id = 1")
_MOVE = Statement("UPDATE hub_clock SET reading = :reading WHERE id = 1 AND reading < :reading")
_SET = Statement(
    "UPDATE hub_clock SET lease = :lease, step = :step WHERE id = 1 AND (lease <> :lease OR step <> :step)"
)


@dataclass(frozen=True)
class Periods:
    """How long things wait, in milliseconds. The same on all replicas: who starts last says so."""

    lease: int  # a pushed blob for its manifest
    grace: int  # bytes that nothing names, until they are removed
    orphan: int  # bytes that were never named, until they are taken for left behind

    @property
    def step(self) -> int:
        """The most by which the clock moves at once: small beside what is counted by it."""
        return max(LEAST_STEP, min(MOST_STEP, self.lease // 4, self.grace // 4))


def read_clock(session: Session) -> int:
    """The reading, in milliseconds since the clock began."""
    reading: int = _READ.first(session, {})[0]
    return reading


def lease_end(session: Session) -> int:
    """By the hub's clock, when a lease that is given now ends."""
    reading, lease, _ = _READ.first(session, {})
    return int(reading + lease)


def set_periods(database: Database, periods: Periods) -> None:
    """Writes down what the hub's statements count with. The step is on top of a lease: it may be over at once."""
    asked = {"lease": periods.lease + periods.step, "step": periods.step}
    with database.read() as session:
        _, lease, step = _READ.first(session, {})
    if (lease, step) != (asked["lease"], asked["step"]):
        with database.write() as session:
            _SET.run(session, asked)


class Ticker:
    """One process's part in moving the clock on. `monotonic` gives seconds and cannot be set."""

    def __init__(self, database: Database, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._monotonic = monotonic
        self._seen: tuple[int, float] | None = None  # a reading, and a moment when it had been read

    def tick(self) -> int:
        """Moves the clock on, if half a step has passed and nobody else did; the reading."""
        with self._database.read() as session:
            reading, _, step = _READ.first(session, {})
        moment = self._monotonic()
        if self._seen is None or self._seen[0] != reading:
            self._seen = reading, moment
            return int(reading)
        passed = min(step, int((moment - self._seen[1]) * 1000))
        if passed < step // 2:
            return int(reading)
        with self._database.write() as session:
            _MOVE.run(session, {"reading": reading + passed})
        # What the commit took is not counted: the reading may have been asked for meanwhile.
        self._seen = reading + passed, self._monotonic()
        return int(reading + passed)
