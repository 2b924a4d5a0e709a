"""The controller: one process in the world passes over every target that the hub writes to, and starts again when
something there, or here, has changed.

Each target has a worker of its own, so that one that is dead, slow or wrong holds up nobody else.
"""

import asyncio
import contextlib
import logging
import random
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from anyio.to_thread import run_sync

from auth.control_plane import ControlPlane
from auth.outgoing import Outgoing, OutgoingRefused
from auth.secrets import SecretKey
from deploy.leading import LEASE_SECONDS, RENEW, Bell
from deploy.meshes.cluster_pass import ClusterPass
from deploy.meshes.consul_pass import ConsulPass, ConsulRefused
from deploy.meshes.desired import Desires
from deploy.meshes.gloo_pass import GlooPass
from deploy.meshes.kinds import CONSUL, GLOO
from deploy.meshes.kubeconfig import access_of
from deploy.meshes.kubernetes import Refused
from deploy.meshes.passing import Pass
from storage.database import Conflict, Database, StorageError, now
from storage.leases import give_back_lease, take_lease
from storage.meshes import AWAY, TargetSeen, save_target_seen, target_seen, wanted_passes
from storage.targets import TargetRow, find_target_by_id

log = logging.getLogger("wasmhub.deploy")
LEASE = "deployments"
LOOK = 0.5  # seconds between two looks at what commands have changed
AGAIN = 300.0  # seconds after which a target is passed over although nothing is known to have changed
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0  # seconds after a pass that failed, or that left something stalled
LONGEST_PASS = 120.0  # seconds
AT_ONCE = 16  # passes under way, and as many over targets that were away, which wait for none but each other
TRIES = 3  # of a pass beside which somebody has changed the hub's own rows


@dataclass
class Worker:
    """What works on one target."""

    target_id: int
    wanted: int
    news: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    failures: int = 0  # passes that have failed since the last that did not


class Controller:
    """One process's part. Two at once would do no harm: every write says what it expects to find."""

    def __init__(self, database: Database, secret_key: SecretKey, outgoing: Outgoing, hub_id: str) -> None:
        self._database = database
        self._secret_key = secret_key
        self._outgoing = outgoing
        desires = Desires(database, secret_key, hub_id)
        self._clusters = ClusterPass(desires)
        self._merging: dict[str, GlooPass | ConsulPass] = {
            CONSUL: ConsulPass(desires, outgoing),
            GLOO: GlooPass(desires),
        }
        self._holder = secrets.token_hex(8)
        self._workers: dict[int, Worker] = {}
        self._turns, self._late_turns = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(AT_ONCE)
        self._bell = Bell()

    def wake(self) -> None:
        """Has the next look begin at once; from any thread."""
        self._bell.ring()

    async def run(self) -> None:
        """Leads, or waits to lead, until it is cancelled."""
        self._bell.hang()
        try:
            while True:
                try:
                    await self._lead()
                except StorageError as error:
                    log.warning("targets are looked after later: %s", error)
                await self._stop_all()
                await self._bell.wait(RENEW)  # the first target of all rings it
        finally:
            await self._stop_all()
            with contextlib.suppress(StorageError):
                await run_sync(give_back_lease, self._database, LEASE, self._holder)

    async def _lead(self) -> None:
        """Leads for as long as the lease is this process's."""
        renewed = None
        while True:
            moment = asyncio.get_running_loop().time()
            if renewed is None or moment - renewed > RENEW:
                # Nobody waits for a target where there is none: then the lease is not even asked for.
                if not await self._database.look(self._any) or not await run_sync(
                    take_lease, self._database, LEASE, self._holder, LEASE_SECONDS
                ):
                    return
                renewed = moment
            await self._look()
            await self._bell.wait(LOOK)

    def _any(self) -> bool:
        return bool(self._wanted())

    def _wanted(self) -> dict[int, int]:
        with self._database.read() as session:
            return wanted_passes(session)

    async def _look(self) -> None:
        """Starts workers for new targets, stops those of targets that are gone, and tells the others of news."""
        wanted = await self._database.look(self._wanted)
        for gone in self._workers.keys() - wanted.keys():
            await _stop(self._workers.pop(gone))
        for target_id, number in wanted.items():
            worker = self._workers.get(target_id)
            if worker is None or worker.task is None or worker.task.done():
                worker = self._workers[target_id] = Worker(target_id, number)
                worker.task = asyncio.create_task(self._work(worker))
            elif worker.wanted != number:
                worker.wanted = number
                worker.news.set()

    async def _stop_all(self) -> None:
        workers, self._workers = list(self._workers.values()), {}
        for worker in workers:
            await _stop(worker)

    async def _work(self, worker: Worker) -> None:
        """Passes over one target again and again."""
        while True:
            target = None
            try:
                target = await run_sync(self._target, worker)
                if target is None:
                    return
                await self._serve(worker, target)
            except Exception as error:  # whatever it is, the next try must not come at once, nor never
                worker.failures += 1
                await self._say_away(target, error)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(worker.news.wait(), _wait(worker.failures))

    async def _serve(self, worker: Worker, target: TargetRow) -> None:
        """Passes over a target whenever there is news, until it changes or something goes wrong."""
        access = access_of(self._secret_key.unseal(target.sealed_access or b""))
        plane = ControlPlane(self._outgoing, access)
        try:
            troubled = 0  # passes one after the other that left something stalled
            while True:
                worker.news.clear()
                number = worker.wanted
                async with self._late_turns if worker.failures else self._turns, asyncio.timeout(LONGEST_PASS):
                    found = await self._pass(plane, target)
                worker.failures = 0
                await self._say_reached(target, number)
                troubled = troubled + 1 if any(done.trouble for done in found.done.values()) else 0
                async with self._watching(plane, target, found, worker.news):
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(worker.news.wait(), _again(found, troubled))
                if worker.wanted != number:
                    return  # a command may have changed the target itself
        finally:
            await plane.close()

    async def _pass(self, plane: ControlPlane, target: TargetRow) -> Pass:
        for _ in range(TRIES):
            with contextlib.suppress(Conflict):
                return await self._passes(target).run(plane, target)
        raise Conflict(f"{target.name} changes all the time")

    def _passes(self, target: TargetRow) -> ClusterPass | ConsulPass | GlooPass:
        return self._merging.get(target.kind, self._clusters)

    @contextlib.asynccontextmanager
    async def _watching(
        self, plane: ControlPlane, target: TargetRow, found: Pass, news: asyncio.Event
    ) -> AsyncIterator[None]:
        """Has whatever happens to the target's objects be news."""
        task = asyncio.create_task(self._passes(target).watch(plane, target, found, news))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _target(self, worker: Worker) -> TargetRow | None:
        with self._database.read() as session:
            seen = target_seen(session, worker.target_id)
            if seen is not None and seen.status == AWAY:
                worker.failures = max(worker.failures, 1)  # as another process has found
            return find_target_by_id(session, worker.target_id)

    async def _say_reached(self, target: TargetRow, number: int) -> None:
        seen = TargetSeen("reached", "", None, now())
        await run_sync(lambda: save_target_seen(self._database, target.id, seen, done=number))

    async def _say_away(self, target: TargetRow | None, error: Exception) -> None:
        said = _sentence(error)
        log.info("%s: %s", target.name if target is not None else "a target", said)
        if target is None:
            return
        seen = TargetSeen(AWAY, said, None, now())
        with contextlib.suppress(StorageError):
            await run_sync(lambda: save_target_seen(self._database, target.id, seen, done=None))


def _sentence(error: Exception) -> str:
    """What went wrong with a pass, with the way out."""
    if isinstance(error, Refused) and error.status == 401:
        return "the cluster does not know the hub: its token or certificate has ended; give the target a new kubeconfig"
    if not isinstance(error, OutgoingRefused | Refused | ConsulRefused | StorageError | ValueError | TimeoutError):
        log.error("a pass ended by a mistake of the hub's own", exc_info=error)
        return "a pass ended by a mistake of the hub's own, which its log shows; the hub tries again"
    return str(error) or "it did not answer in time"


def _wait(failures: int) -> float:
    """Seconds until the next try after so many that failed."""
    wait: float = FIRST_WAIT * 2 ** min(failures, 16)
    return min(LONGEST_WAIT, wait) * random.uniform(0.5, 1)  # noqa: S311


def _again(found: Pass, troubled: int) -> float:
    """Seconds until the next pass, if nothing happens before. Nobody tells when a policy, a right or a kind of object
    changes, so what is stalled is tried again.
    """
    usual = _wait(troubled) if troubled else AGAIN * random.uniform(0.8, 1)  # noqa: S311
    return usual if found.again is None else min(found.again, usual)


async def _stop(worker: Worker) -> None:
    if worker.task is not None:
        worker.task.cancel()
        await asyncio.gather(worker.task, return_exceptions=True)
