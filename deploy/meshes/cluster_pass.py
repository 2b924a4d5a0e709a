"""Passes over a target that is a Kubernetes cluster, and what says that another is due."""

import asyncio
import contextlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

from anyio.to_thread import run_sync

from auth.control_plane import ControlPlane
from auth.outgoing import OutgoingRefused
from deploy.meshes.carrying import Share, carry_out
from deploy.meshes.desired import Desired, Desires, Observed
from deploy.meshes.gateways import Gateways
from deploy.meshes.kinds import ENVOY_GATEWAY, ISTIO, MESHES, Mesh, Together, kind_of
from deploy.meshes.kubernetes import RETRY, SECRET, Cluster, Kind
from deploy.meshes.listeners import lookout_of
from deploy.meshes.passing import Pass, Scope, Wanted, place_of
from deploy.meshes.pull_secrets import NO_PULLS, Pulls, former_name, pull_secret
from deploy.targets.asked import REPORT
from deploy.targets.plan import Object
from storage.pullers import login_of
from storage.targets import TargetRow


@dataclass(frozen=True)
class ClusterPass:
    """What passes over clusters work with."""

    desires: Desires

    async def run(self, plane: ControlPlane, target: TargetRow) -> Pass:
        """One pass. Raises OutgoingRefused, Refused and StorageError where it could not be whole."""
        mesh = MESHES[target.kind]
        desired = await run_sync(self.desires.read, target)
        scope = Scope(self.desires.hub_id, target.name, mesh.kinds, namespaces_of(desired))
        untouched = frozenset(one.row.name for one in desired if one.problems)
        wanted = [wanted_of(mesh, one) for one in desired if not one.problems]
        share = share_of(mesh, mesh.together, desired) if mesh.together is not None else None
        pulls = _pulls(mesh, desired)
        observed: dict[str, Observed] = {}
        again = None
        if mesh.kind == ENVOY_GATEWAY:
            gateways = Gateways(Cluster(plane), target, desired)
            await gateways.before()
            found = await carry_out(Cluster(plane), scope, wanted, untouched, share, pulls)
            observed, again = await gateways.after(found), gateways.again
        elif mesh.kind == ISTIO:
            lookout = lookout_of(Cluster(plane), target, desired)
            await lookout.before()
            found = await carry_out(Cluster(plane), scope, wanted, untouched, pulls=pulls)
            observed, again = await lookout.after(found.done), lookout.again
        else:
            found = await carry_out(Cluster(plane), scope, wanted, untouched, share, pulls)
        await run_sync(self.desires.write_down, target, desired, found.done, observed)
        if again is not None:
            found.again = min(found.again or again, again)
        return found

    async def watch(self, plane: ControlPlane, target: TargetRow, found: Pass, news: asyncio.Event) -> None:
        """Sets `news` once something happens to the target's objects that the pass has not done itself."""
        selector = Scope(self.desires.hub_id, target.name, ()).selector
        await watch_kinds(plane, found, selector, news)


async def watch_kinds(plane: ControlPlane, found: Pass, selector: str, news: asyncio.Event) -> None:
    """Sets `news` once something happens to objects that a pass has listed, and that it has not done itself."""
    async with asyncio.TaskGroup() as tasks:
        for (kind, namespace), version in found.versions.items():
            tasks.create_task(_watch(Cluster(plane), news, kind, namespace, version, selector, found.written))


async def _watch(
    cluster: Cluster, news: asyncio.Event, kind: Kind, namespace: str | None, version: str, selector: str, own: set[str]
) -> None:
    """Sets `news` at the first event that is not of the hub's own doing, or when the watch ends."""
    with contextlib.suppress(OutgoingRefused):
        async with cluster.watch(kind, version, selector=selector, namespace=namespace) as events:
            async for event in events:
                found = event.get("object") or {} if isinstance(event, dict) else {}
                if str((found.get("metadata") or {}).get("resourceVersion")) not in own:
                    news.set()
                    return
    await asyncio.sleep(random.uniform(5, 15))  # noqa: S311  (a server that ends watches at once is not asked at once)
    news.set()


def wanted_of(mesh: Mesh, one: Desired) -> Wanted:
    """The objects of a deployment that can be made."""
    before = _seen(one)
    if one.plan is None:
        return Wanted(one.row.name, before=before)
    assert mesh.render is not None, f"{mesh.kind} is no cluster"
    rendered = mesh.render(one.plan) if mesh.together is None else []
    if one.tries:
        for wanted in rendered:
            wanted["metadata"]["annotations"] = {RETRY: str(one.tries)}
    objects = [(kind_of(mesh, wanted), wanted) for wanted in rendered]
    if secret := _secret_of(one):
        objects.insert(0, (SECRET, secret))
    asks = one.plan.placement.get("drift") == REPORT
    return Wanted(one.row.name, objects, before, asks and one.is_applied, asks and not one.is_applied)


def _secret_of(one: Desired) -> Object | None:
    """The Secret that a deployment pulls with, if the hub makes it."""
    if one.secret is None or one.plan is None or one.plan.pull_secret is None:
        return None
    return pull_secret(one.plan, login_of(one.row.target), one.secret)


def _pulls(mesh: Mesh, desired: Sequence[Desired]) -> Pulls:
    """What is to be known of the target's Secrets besides those that are wanted: some objects stay as they are, and
    name others.
    """

    def secret(name: str) -> Object | None:
        for one in desired:
            if one.plan is not None and (
                name == one.plan.pull_secret or (one.is_applied and name == former_name(one.plan))
            ):
                return _secret_of(one)
        return None

    if mesh.named is None:
        return NO_PULLS
    return Pulls(mesh.named, secret, {name for one in desired for name in _seen(one)})


def share_of(mesh: Mesh, together: Together, desired: Sequence[Desired]) -> Share:
    """What renders the objects that serve several deployments.

    Of a deployment that cannot be as it is wanted stays what there is.
    """

    def share(live: Sequence[Object], in_trouble: frozenset[str]) -> list[tuple[Kind, Object]]:
        plans, kept = [], []
        for one in desired:
            if one.plan is not None and not one.problems and one.row.name not in in_trouble:
                plans.append(together.again(one.plan, one.tries))
            elif one.plan is not None:
                kept.append(one.plan)
        return [(kind_of(mesh, wanted), wanted) for wanted in together.render(plans, kept, live)]

    return share


def _seen(one: Desired) -> list[str]:
    """The objects that the last pass found."""
    return [str(name) for name in one.row.seen.objects or ()] if one.row.seen is not None else []


def namespaces_of(desired: Sequence[Desired]) -> tuple[str, ...]:
    """Where the target's objects are and have been."""
    there = {str(one.plan.placement["namespace"]) for one in desired if one.plan is not None}
    return tuple(sorted(there | {place_of(name) for one in desired for name in _seen(one)}))
