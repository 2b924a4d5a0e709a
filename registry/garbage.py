"""Collects garbage beside pushes: when it is due or asked for, in small steps, with a share of the time only."""

import logging
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable

import anyio
import anyio.to_thread

from storage.audit import forget_events
from storage.blobs.store import BlobStore
from storage.clock import Periods, Ticker, set_periods
from storage.database import Database, StorageError
from storage.derived import remove_derived
from storage.errors import Gone
from storage.garbage import (
    LOOKED_AT,
    Copy,
    Cursor,
    Step,
    delete_blobs,
    doom_unnamed,
    end_uploads,
    find_doomed,
    find_unnamed,
    forget_doomed,
    unlink_unused,
)
from storage.garbage_runs import Run, begin_run, end_run, find_open, is_due, save_progress, schedule_run
from storage.housekeeping import forget_expired
from storage.leases import give_back_lease, take_lease
from storage.removals import remove_teams
from storage.usage_upkeep import recount

log = logging.getLogger("wasmhub.garbage")
LEASE = "garbage-collection"
LEASE_SECONDS = 60
LOOK = 1.0  # seconds between two looks at the clock and at what was asked for
PACE = 3  # times as long as a step took, nothing is done
LONGEST_PAUSE = 2.0  # seconds
SAVED = 5.0  # seconds after which a run writes down how far it is
PHASES = ("teams", "derived", "uploads", "links", "blobs", "copies", "orphans", "expired", "events", "usage")
DRY_PHASES = PHASES[:5]  # the others finish what a run before has begun

STEPS = {
    "teams": remove_teams,
    "derived": remove_derived,
    "uploads": end_uploads,
    "links": unlink_unused,
    "blobs": delete_blobs,
    "expired": forget_expired,
    "usage": recount,
}


class Ending(Exception):
    """The hub stops; another process, or this one after its next start, goes on with the run."""


class Sweep:
    """The steps of a run: each is bounded, and where the next begins is known to the run's row."""

    def __init__(self, database: Database, blobs: BlobStore, periods: Periods, events_kept: int = 0) -> None:
        self._database = database
        self._blobs = blobs
        self._periods = periods
        self._events_kept = events_kept

    def step(self, phase: str, cursor: Cursor, dry_run: bool) -> Step:
        """Does one step of a phase."""
        if phase == "copies":
            return self._remove_copies(cursor)
        if phase == "orphans":
            return self._doom_orphans(cursor)
        if phase == "events":
            return forget_events(self._database, cursor, dry_run, self._events_kept)
        return STEPS[phase](self._database, cursor, dry_run)

    def _remove_copies(self, cursor: Cursor) -> Step:
        """Removes the bytes of copies that were doomed long enough ago that nobody can still be reading them."""
        copies, further = find_doomed(self._database, cursor, self._periods.grace + self._periods.step)
        gone = [copy for copy in copies if self._discard(copy)]
        if gone:
            forget_doomed(self._database, gone)
        return Step(further, {"copies": len(gone)})

    def _discard(self, copy: Copy) -> bool:
        """Removes a copy's bytes. One that cannot be removed, locked by its bucket say, holds up no other."""
        try:
            self._blobs.discard(copy.key, copy.state)
        except StorageError as error:
            self._blobs.ping()  # raises where it is not this copy alone
            log.warning("the copy %s cannot be removed, which the next run tries again: %s", copy.key, error)
            return False
        return True

    def _doom_orphans(self, cursor: Cursor) -> Step:
        """Dooms what lies in the blob store and no row names; it goes unless a row does by the end of its time."""
        (after,) = cursor or ("",)
        listed = self._blobs.list(after, LOOKED_AT)
        if not listed:
            return Step(None)
        with self._database.read() as session:
            unnamed = find_unnamed(session, [one.key for one in listed])
        found = [(one.key, one.state) for one in listed if one.key in unnamed]
        doomed = doom_unnamed(self._database, found, self._periods.orphan - self._periods.grace) if found else 0
        further = [listed[-1].key] if len(listed) == LOOKED_AT else None
        return Step(further, {"looked_at": len(listed), "orphans": doomed})


class Collector:
    """One process's part in collecting garbage. Of all processes one at a time does; two would do no harm.

    `interval` is in seconds; 0: only when somebody asks. `note` is told what was done, by its name and how often.
    `events_kept` is how long the audit log goes back, in milliseconds; 0: to the beginning.
    """

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        periods: Periods,
        interval: int,
        note: Callable[[str, int], None],
        events_kept: int = 0,
    ) -> None:
        self._database = database
        self._sweep = Sweep(database, blobs, periods, events_kept)
        self._periods = periods
        self._interval = interval * 1000
        self._holder = secrets.token_hex(8)
        self._ticker = Ticker(database)
        self._ending = threading.Event()
        self._held_at: float | None = None  # when this process took the lease, or made it longer
        self._note = note

    async def run(self) -> None:
        """Moves the hub's clock on and collects, until it is cancelled; `close` comes first."""
        await self._try(lambda: set_periods(self._database, self._periods))
        while True:
            await self._try(self._turn)
            await anyio.sleep(min(LOOK, self._periods.step / 4000))

    def close(self) -> None:
        """Ends a run after the step that it is at."""
        self._ending.set()

    async def _try(self, act: Callable[[], None]) -> None:
        try:
            await anyio.to_thread.run_sync(act)
        except Ending:
            pass
        except Exception as error:
            # Nothing that a step does rests on what somebody else may remove: that would be a mistake of its own.
            if isinstance(error, StorageError) and not isinstance(error, Gone):
                log.warning("collecting garbage waits: %s", error)
                await anyio.sleep(LOOK)
                return
            log.exception("collecting garbage failed; it goes on in a moment")
            await anyio.sleep(10 * LOOK)

    def _turn(self) -> None:
        self._ticker.tick()
        with self._database.read() as session:
            run = find_open(session)
            due = run is None and self._interval > 0 and is_due(session, self._interval)
        if run is None and not due:
            return
        if not self._hold():
            return
        if due:
            schedule_run(self._database)
        with self._database.read() as session:
            run = find_open(session)
        self._note("collecting", 1)
        try:
            if run is not None:
                self._collect(run)
        finally:
            self._note("collecting", -1)
            self._held_at = None
            give_back_lease(self._database, LEASE, self._holder)

    def _collect(self, run: Run) -> None:
        """Does a run, or goes on with one, to its end."""
        begin_run(self._database, run.id)
        figures = Counter(run.figures)
        reason = None
        try:
            self._phases(run, figures)
        except Gone:
            raise
        except StorageError as error:
            reason = str(error)
        end_run(self._database, run.id, dict(figures), reason)
        self._note("failed" if reason else "finished", 1)
        if reason is not None:
            log.warning("garbage collection %d failed: %s; the next one goes on", run.id, reason)
        elif any(count for name, count in figures.items() if name != "looked_at"):
            log.info("garbage collection %d: %s", run.id, ", ".join(f"{name} {figures[name]}" for name in figures))

    def _phases(self, run: Run, figures: "Counter[str]") -> None:
        phases = DRY_PHASES if run.dry_run else PHASES
        begun = phases.index(run.phase) if run.phase in phases else 0
        saved = time.monotonic()
        for phase in phases[begun:]:
            cursor: Cursor | None = (run.cursor if phase == run.phase else None) or []
            save_progress(self._database, run.id, phase, cursor, dict(figures))
            while cursor is not None:
                cursor = self._paced(phase, cursor, run.dry_run, figures)
                if cursor is not None and time.monotonic() - saved > SAVED:
                    save_progress(self._database, run.id, phase, cursor, dict(figures))
                    saved = time.monotonic()

    def _paced(self, phase: str, cursor: Cursor, dry_run: bool, figures: "Counter[str]") -> Cursor | None:
        """One step, its figures, and a pause; where the next one begins."""
        began = time.monotonic()
        done = self._sweep.step(phase, cursor, dry_run)
        figures.update(done.figures)
        for name, count in done.figures.items():
            if not dry_run:
                self._note(name, count)
        if done.cursor is not None and self._ending.wait(min(LONGEST_PAUSE, PACE * (time.monotonic() - began))):
            raise Ending
        self._ticker.tick()
        if not self._hold():
            raise Ending  # this process was away for so long that another one has taken over
        return done.cursor

    def _hold(self) -> bool:
        """Takes the lease, or makes it longer when a third of it is over."""
        moment = time.monotonic()
        if self._held_at is not None and moment - self._held_at < LEASE_SECONDS / 3:
            return True
        held = take_lease(self._database, LEASE, self._holder, LEASE_SECONDS)
        self._held_at = moment if held else None
        return held
