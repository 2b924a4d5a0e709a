"""A real database and a real blob store in a folder, what clients were told of them, and whether that still holds."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import text

from auth.accounts import ensure_administrator
from auth.bearer import Claims
from registry.access import Caller
from registry.garbage import Sweep
from registry.means import Means
from registry.reading import Reading
from storage.blobs.files import FileBlobs
from storage.clock import Periods, Ticker, set_periods
from storage.database import Database
from storage.deployments import undeploy
from storage.events import SYSTEM
from storage.garbage import UPLOAD_LIFE
from storage.manifests import delete_manifest
from storage.namespaces import create_namespace
from storage.repositories import make_repository
from storage.targets import create_target, find_target
from tests.garbage.turns import IN_FOLDER, Turn, TurnBlobs, TurnDatabase

PERIODS = Periods(lease=10_000, grace=4_000, orphan=20_000)
_BLOBS = "SELECT digest, key FROM blobs"
_HELD = (
    "SELECT r.name, b.digest FROM repository_blobs rb JOIN repositories r ON r.id = rb.repository_id"
    " JOIN blobs b ON b.id = rb.blob_id"
)
_MODULES = "SELECT i.module_sha256 FROM inspections i JOIN blobs b ON b.digest = i.blob_digest"
_MANIFESTS = "SELECT r.name, m.digest FROM manifests m JOIN repositories r ON r.id = m.repository_id"
REPOSITORIES = ("one/a", "one/b")
Place = tuple[str, str]  # repository and digest


class Violation(Exception):
    """Something is not as somebody was told; the text says what."""


@dataclass
class Known:
    """What clients were told and may count on. `clock` is the true time in seconds, which nobody in the hub sees."""

    clock: float = 0.0
    contents: dict[str, bytes] = field(default_factory=dict)  # by digest
    promised: dict[Place, float] = field(default_factory=dict)  # blobs without a manifest, until then
    manifests: dict[Place, list[str]] = field(default_factory=dict)  # the blobs that they name
    unlinked: set[Place] = field(default_factory=set)  # blobs that somebody deleted, for certain or perhaps
    deployed: dict[str, str] = field(default_factory=dict)  # a deployment's module
    deleting: Counter[Any] = field(default_factory=Counter)  # what is being deleted now
    deletes: Counter[Any] = field(default_factory=Counter)  # how often somebody began to delete it

    def asks(self, what: Any) -> tuple[float, int]:
        """Somebody begins to ask; what `holds` and `told` need when the answer is there."""
        return self.clock, -1 if self.deleting[what] else self.deletes[what]

    def holds(self, what: Any, asked: tuple[float, int]) -> bool:
        """Whether an answer still holds when it comes: nobody has deleted the thing meanwhile."""
        return not self.deleting[what] and self.deletes[what] == asked[1]

    def told(self, place: Place, asked: tuple[float, int], seconds: float) -> None:
        """Somebody was told that a blob is there, and can count on it for so long since they asked."""
        if self.holds(place, asked):
            self.unlinked.discard(place)
            self.promised[place] = max(self.promised.get(place, 0), asked[0] + seconds)

    @contextmanager
    def deleted(self, what: Any) -> Iterator[None]:
        """Somebody deletes the thing in this block, or crashes in it."""
        self.deletes[what] += 1
        self.deleting[what] += 1
        try:
            yield
        finally:
            self.deleting[what] -= 1

    def counts_on(self, place: Place) -> bool:
        """Whether somebody may count on a blob without a manifest now."""
        return self.promised.get(place, 0) > self.clock

    def unlinks(self, place: Place) -> None:
        """Somebody begins to take a blob out of a repository."""
        self.unlinked.add(place)
        self.promised.pop(place, None)


class Calls:
    """Who calls stands in the request, as if its token had been verified."""

    async def caller(self, scope: Any) -> Caller:
        """Who calls."""
        found: Caller = scope["caller"]
        return found


class World:
    """The stores, made once; each round begins and ends with nothing in them.

    `place` is where a database is that `build` has made, and `folder` is for blobs.
    """

    def __init__(self, place: Path | str, folder: Path) -> None:
        self.database = Database(place)
        self.blobs = FileBlobs(folder / "blobs")
        self._copies = folder / "blobs/copies"
        for one in self._copies.iterdir():
            if one.name != IN_FOLDER:
                one.rmdir()
        self.repositories = dict(self.rows("SELECT name, id FROM repositories"))
        with self.database.read() as session:
            target = find_target(session, "edge")
        assert target is not None
        self.target = target
        self.caller, self.puller = _caller("pull", "push", "delete"), _caller("pull")
        self._lent = self.database._kind.engine.raw_connection()
        driver: Any = self._lent.driver_connection
        self._look = driver.execute
        self.begin()

    def begin(self) -> None:
        """Begins a round: nobody knows anything, and the replicas have not looked at the clock yet."""
        self.known = Known()
        self._sound: dict[str, tuple[str, int, int, int]] = {}  # by key: what its file was when it was last read
        self.replicas = [self._replica(), self._replica()]

    def _replica(self) -> Ticker:
        return Ticker(self.database, lambda: self.known.clock)

    def means(self, turn: Turn) -> Means:
        """What a request works with when it takes turns."""
        database: Any = TurnDatabase(self.database, turn)
        blobs: Any = TurnBlobs(self.blobs, turn)
        calls: Any = Calls()
        return Means(database, blobs, calls, 2**20, "nobody", lambda: None, PERIODS.orphan / 2000)

    def reading(self, means: Means) -> Reading:
        """What answers reads."""
        return Reading(means.database, means.blobs, means.calls)

    def rows(self, sql: str) -> list[Any]:
        """What the database answers."""
        with self.database.read() as session:
            return list(session.execute(text(sql)).all())

    def check(self) -> None:
        """Raises Violation unless all is as clients were told."""
        blobs, held, stored = (set(self._look(sql).fetchall()) for sql in (_BLOBS, _HELD, _MANIFESTS))
        unsound = {digest for digest, key in blobs if not self._is_sound(digest, key)}
        if unsound:
            raise Violation(f"rows name bytes that are gone: {unsound}")
        for place, named in self.known.manifests.items():
            if place not in stored:
                raise Violation(f"the manifest {place} is gone")
            lost = {(place[0], digest) for digest in named} - held - self.known.unlinked
            if lost:
                raise Violation(f"the manifest {place} has lost {lost}")
        lost = {place for place in self.known.promised if self.known.counts_on(place)} - held
        if lost:
            raise Violation(f"somebody counts on {lost}")
        self._check_deployments()

    def _check_deployments(self) -> None:
        if not self.known.deployed:
            return
        there = {row[0] for row in self._look(_MODULES).fetchall()}
        lost = {name for name, module in self.known.deployed.items() if module not in there}
        if lost:
            raise Violation(f"a deployment has lost its module: {lost}")

    def _is_sound(self, digest: str, key: str) -> bool:
        """Whether a key's bytes have the digest. They are read again only if the file is another one or was written."""
        try:
            found = os.stat(f"{self._copies}/{key[:2]}/{key}")
        except FileNotFoundError:
            return False
        seen = digest, found.st_ino, found.st_size, found.st_mtime_ns
        if self._sound.get(key) == seen:
            return True
        if digest != f"sha256:{hashlib.sha256(self.blobs.read(key)).hexdigest()}":
            return False
        self._sound[key] = seen
        return True

    def pass_time(self, seconds: float, ticks: Sequence[int] = (0, 1), every: float = PERIODS.step / 1000) -> None:
        """Lets true time pass, in which some of the replicas look at the hub's clock as often as that."""
        end = self.known.clock + seconds
        while self.known.clock < end:
            self.known.clock = min(end, self.known.clock + every)
            for replica in ticks:
                self.replicas[replica].tick()

    def jump(self, milliseconds: int) -> None:
        """Sets the hub's clock ahead, as if nobody had done anything for a long time."""
        with self.database.write() as session:
            session.execute(text("UPDATE hub_clock SET reading = reading + :by"), {"by": milliseconds})

    def end(self) -> None:
        """Deletes all that is there; then everything must go."""
        for deployment in ("x", "y"):
            undeploy(self.database, SYSTEM, self.target, deployment)
        for name, digest in self.rows(_MANIFESTS):
            delete_manifest(self.database, self.repositories[name], digest, actor=SYSTEM, name=name)
        sweep = Sweep(self.database, self.blobs, PERIODS)
        self.jump(UPLOAD_LIFE + 1)  # longer than a lease, too
        for phase in ("uploads", "links", "blobs", "orphans"):
            sweep.step(phase, [], False)
        self.jump(2 * PERIODS.orphan)
        sweep.step("copies", [], False)
        left = self.rows("SELECT digest FROM blobs") + self.rows("SELECT key FROM doomed_copies")
        stored = [one.key for one in self.blobs.list("", 100)]
        if left or stored:
            raise Violation(f"nothing refers to it, and it never goes: {left} {stored}")

    def close(self) -> None:
        """Closes the connections."""
        self._lent.close()
        self.database.close()


def build(place: Path | str) -> None:
    """Makes a database for a world."""
    database = Database(place)
    database.migrate()
    ensure_administrator(database, "correct-horse-battery")
    set_periods(database, PERIODS)
    namespace = create_namespace(database, SYSTEM, "one", user_id=1)
    for name in REPOSITORIES:
        make_repository(database, name, namespace, SYSTEM)
    create_target(database, SYSTEM, "edge", kind="envoy-fleet", namespace_id=namespace, settings={})
    database.close()


def _caller(*actions: str) -> Caller:
    access = {name: frozenset(actions) for name in REPOSITORIES}
    return Caller(Claims(1, 0, access, False, 2**40), True, "", "", "")
