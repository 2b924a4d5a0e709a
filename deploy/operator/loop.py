"""The operator as a whole: leads or waits to lead, watches, and has each FilterDeployment be made true."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from auth.control_plane import ControlPlane
from auth.outgoing import OutgoingRefused
from deploy.meshes.kinds import MESHES
from deploy.meshes.kubernetes import Cluster, Kind, Refused
from deploy.operator.election import RENEW, SECONDS, Election
from deploy.operator.inside import NotInside, token_inside
from deploy.operator.queue import Queue
from deploy.operator.reconcile import Again, Reconciler
from deploy.operator.resource import FILTERS, HUB, PLACE, Filter, Key
from deploy.targets.plan import DEPLOYMENT_LABEL, HUB_LABEL, TARGET_LABEL, Object

log = logging.getLogger("wasmhub.operator")
AT_ONCE = 4  # that are worked on at a time
UNKNOWN_KIND = 60.0  # seconds after which a kind that the cluster does not know, or does not show, is asked for again
NOTHING_TO_DO = 10.0  # the same of FilterDeployments
OURS = f"{HUB_LABEL}={HUB},{TARGET_LABEL}={PLACE}"


class Operator:
    """One of those that may run in a cluster. `namespaces` are those that it looks after; none: all."""

    def __init__(
        self, plane: ControlPlane, folder: Path, election: Election, reconciler: Reconciler, namespaces: Sequence[str]
    ) -> None:
        self._plane = plane
        self._folder = folder
        self._election = election
        self._reconciler = reconciler
        self._places: Sequence[str | None] = list(namespaces) or [None]
        self._cluster = Cluster(plane)
        self._queue: Queue[Key] = Queue()
        self._specs: dict[Key, Any] = {}  # what of each would change what is to be done

    async def run(self) -> None:
        """Leads, or waits to lead, until it is cancelled."""
        try:
            while True:
                if await self._hold():
                    log.info("this operator leads")
                    await self._lead()
                    log.warning("this operator leads no more")
                await asyncio.sleep(RENEW)
        finally:
            with contextlib.suppress(OutgoingRefused, Refused, TimeoutError):
                async with asyncio.timeout(3):
                    await self._election.give_back()

    async def _hold(self, patience: float = RENEW) -> bool | None:
        """Whether the lease is held; None where nobody says."""
        try:
            self._plane.use_token(token_inside(self._folder))
            async with asyncio.timeout(patience):
                return await self._election.hold()
        except (OutgoingRefused, Refused, NotInside, TimeoutError) as error:
            log.warning("the lease cannot be held: %s", str(error) or "the API server does not answer")
            return None

    async def _lead(self) -> None:
        """Works for as long as the lease is held, and ends before another may take it."""
        self._queue, self._specs = Queue(), {}
        kinds = [(kind, OURS) for mesh in sorted(self._reconciler.settings) for kind in MESHES[mesh].types]
        tasks = [asyncio.create_task(self._work()) for _ in range(AT_ONCE)]
        for place in self._places:
            tasks += [asyncio.create_task(self._follow(kind, ours, place)) for kind, ours in [(FILTERS, ""), *kinds]]
        try:
            await self._stay(asyncio.get_running_loop().time() + SECONDS)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _stay(self, until: float) -> None:
        """Returns before the lease ends, which is renewed as long as it can be."""
        held: bool | None = True
        while held is not False:
            left = until - 1 - asyncio.get_running_loop().time()
            if left <= 0.1:
                return
            await asyncio.sleep(min(RENEW, left / 2))
            moment = asyncio.get_running_loop().time()
            held = await self._hold(min(RENEW, left / 2))
            if held:
                until = moment + SECONDS

    async def _work(self) -> None:
        """Makes one after the other true."""
        while True:
            key = await self._queue.take()
            try:
                again = await self._reconciler.run(key)
            except (Again, OutgoingRefused, Refused) as error:
                log.warning("%s: %s", _named(key), error)
                self._queue.failed(key)
            except Exception:  # whatever it is, the others go on, and this one is tried again
                log.exception("%s", _named(key))
                self._queue.failed(key)
            else:
                self._queue.done(key, again)

    async def _follow(self, kind: Kind, selector: str, place: str | None) -> None:
        """Lists a kind and watches it from there, again and again: the first look, and the next after each gap."""
        while True:
            wait = random.uniform(1, 3)  # noqa: S311  (so that not all come at once)
            try:
                listing = await self._cluster.list(kind, selector=selector, namespace=place)
                for one in listing.objects:
                    self._add(kind, one, anew=True)
                async with self._cluster.watch(kind, listing.version, selector=selector, namespace=place) as events:
                    async for event in events:
                        if not self._take(kind, event):
                            break
            except (OutgoingRefused, Refused) as error:
                if isinstance(error, Refused) and error.status in (403, 404):
                    wait = UNKNOWN_KIND if kind != FILTERS else NOTHING_TO_DO
                    log.info("%s are not watched in %s: %s", kind[2], place or "the cluster", error)
            except Exception:  # whatever it is, a kind that nobody follows any more would not be noticed
                log.exception("%s are not watched in %s for now", kind[2], place or "the cluster")
            await asyncio.sleep(wait)

    def _take(self, kind: Kind, event: Any) -> bool:
        """Has what an event is about be looked at; False where the watch has to begin anew."""
        found = event.get("object") if isinstance(event, dict) else None
        if not isinstance(found, dict) or event.get("type") == "ERROR":
            return False
        if event.get("type") == "BOOKMARK":
            return True
        self._add(kind, found, anew=event.get("type") != "MODIFIED")
        if kind == FILTERS and event.get("type") == "DELETED":
            self._specs.pop((str(found["metadata"]["namespace"]), str(found["metadata"]["name"])), None)
        return True

    def _add(self, kind: Kind, one: Object, *, anew: bool) -> None:
        meta = one["metadata"]
        if kind == FILTERS:
            key = str(meta["namespace"]), str(meta["name"])
            spec = meta.get("uid"), meta.get("generation"), meta.get("deletionTimestamp"), meta.get("finalizers")
            if not anew and self._specs.get(key) == spec:
                return  # its status alone has changed, and that is the operator's own doing
            self._specs[key] = spec
            key = Filter(one).work
        else:
            if self._reconciler.written.take(str(meta.get("resourceVersion"))):
                return
            key = str(meta["namespace"]), str((meta.get("labels") or {}).get(DEPLOYMENT_LABEL) or "")
        self._queue.add(key)


def _named(key: Key) -> str:
    """What is worked on, as the log names it."""
    return "/".join(key) if key[1] else f"all of {key[0]}"
