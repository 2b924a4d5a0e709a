"""Passes over a Gloo: the hub's filters are merged into Gateways that others keep, and nothing of theirs is changed.

Every write names the version that was read, so what somebody else writes meanwhile is read again and merged with.
Which filters are the hub's is said by their names; a Gateway itself is never made and never deleted.
"""

import asyncio
import hashlib
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from anyio.to_thread import run_sync

import deploy.targets.gloo as gloo
from auth.control_plane import ControlPlane
from deploy.meshes.cluster_pass import namespaces_of, watch_kinds
from deploy.meshes.desired import Desired, Desires, Observed
from deploy.meshes.drift import changed_parts, editors_of, way_out
from deploy.meshes.kubernetes import Cluster, Kind, Refused
from deploy.meshes.passing import Pass, explain, key_of, no_such_kind, say
from deploy.status import STALLED, UNOBSERVED, WAITING
from deploy.targets.merging import mark
from deploy.targets.plan import Object
from storage.database import now
from storage.targets import TargetRow

GATEWAY: Kind = gloo.TYPES[0]
TRIES = 3  # of a write that somebody else was before
BUSY = 2.0  # seconds until the next try where all were lost
SILENT = 30_000  # milliseconds in which Gloo says what it makes of a Gateway, if it says anything new
Place = tuple[str, str]  # the namespace and the name of a Gateway


@dataclass
class Gateways:
    """The cluster's Gateways as they are now, as far as the hub may see them, and which of them this pass wrote."""

    live: dict[Place, Object] = field(default_factory=dict)
    absent: bool = False  # the cluster knows no such kind
    written: set[Place] = field(default_factory=set)


@dataclass(frozen=True)
class GlooPass:
    """What passes over Gloos work with."""

    desires: Desires

    async def run(self, plane: ControlPlane, target: TargetRow) -> Pass:
        """One pass. Raises OutgoingRefused, Refused and StorageError where it could not be whole."""
        cluster, found = Cluster(plane), Pass()
        desired = await run_sync(self.desires.read, target)
        own = mark(self.desires.hub_id, target.name)
        there = await _listed(cluster, namespaces_of(desired), found)
        by_hand = {one.row.name: said for one in desired if (said := self._by_hand(one, there, own))}
        for one in desired:
            if one.reports:
                done = found.done[one.row.name]
                done.trouble, done.wrote = by_hand.get(one.row.name), self.desires.mark(_rendered(one)["filter"])
        wanted = _by_gateway(desired, there, own, by_hand.keys())
        for place in sorted(wanted.keys() | {place for place, one in there.live.items() if gloo.ours(one, own)}):
            await _bring(cluster, found, there, place, wanted.get(place, []), own)
        _say_objects(found, there, desired, own)
        observed = {one.row.name: _observe(one, there, found) for one in desired if one.plan is not None}
        await run_sync(self.desires.write_down, target, desired, found.done, observed)
        return found

    def _by_hand(self, one: Desired, there: Gateways, own: str) -> str:
        """What somebody did to a filter by hand, with the way out; empty if that is to be mended, or nobody did."""
        place = _place_of(one) if one.reports else None
        gateway = there.live.get(place) if place is not None else None
        if gateway is None:
            return ""
        held, what = gloo.ours(gateway, own).get(one.row.name), say((GATEWAY, *_place_of(one)))
        if not self.desires.touched(one, held):
            return ""
        who = editors_of(gateway, gloo.PATH) if gloo.filters_of(gateway) else "hand"
        if held is None:
            return f"the filter of {one.row.name} was taken out of {what} by {who}; {way_out()}"
        parts = changed_parts(held, _rendered(one)["filter"])
        said = f"the filter of {one.row.name} in {what} was changed by {who} and differs in {parts}; {way_out()}"
        return said if parts else ""

    async def watch(self, plane: ControlPlane, target: TargetRow, found: Pass, news: asyncio.Event) -> None:
        """Sets `news` once something happens to any Gateway that the pass has not done itself."""
        await watch_kinds(plane, found, "", news)


async def _listed(cluster: Cluster, namespaces: Sequence[str], found: Pass) -> Gateways:
    """All Gateways, or those of the namespaces in use where the hub may list only there."""
    there, places = Gateways(), [None, *namespaces]
    for namespace in places:
        try:
            listing = await cluster.list(GATEWAY, namespace=namespace)
        except Refused as refusal:
            if refusal.status not in (403, 404):
                raise
            there.absent = there.absent or refusal.status == 404
            if namespace is not None:
                found.unseen.add((GATEWAY[1], namespace))
            continue
        found.versions[GATEWAY, namespace] = listing.version
        there.live |= {key_of(GATEWAY, one)[1:]: _whole(one) for one in listing.objects}
        if namespace is None:
            break
    return there


def _by_gateway(
    desired: Sequence[Desired], there: Gateways, own: str, by_hand: Set[str]
) -> dict[Place, list[tuple[str, gloo.Extension]]]:
    """The filters of each Gateway, with the deployments that they are of.

    Of a deployment that cannot be rendered as it is now, or that is as somebody made it `by_hand`, stays what there is.
    """
    found: dict[Place, list[tuple[str, gloo.Extension]]] = {}
    for one in desired:
        if one.plan is None:
            continue
        if not one.problems and one.row.name not in by_hand:
            rendered = _rendered(one)
            found.setdefault((rendered["namespace"], rendered["gateway"]), []).append((one.row.name, rendered))
            continue
        for place, gateway in there.live.items():
            held = gloo.ours(gateway, own).get(one.row.name)
            if held is not None:
                stays = {"namespace": place[0], "gateway": place[1], "order": one.plan.order, "filter": held}
                found.setdefault(place, []).append((one.row.name, stays))
    return found


def _rendered(one: Desired) -> gloo.Extension:
    assert one.plan is not None
    return gloo.render(one.plan)


def _place_of(one: Desired) -> Place:
    assert one.plan is not None
    return one.plan.placement["namespace"], one.plan.placement["gateway"]


async def _bring(
    cluster: Cluster,
    found: Pass,
    there: Gateways,
    place: Place,
    wanted: Sequence[tuple[str, gloo.Extension]],
    own: str,
) -> None:
    """Has one Gateway hold what is wanted of the hub's; what becomes of it is said of each deployment there."""
    names = {name for name, _ in wanted}
    trouble = _blocked(found, there, place) if wanted else None
    if trouble is None:
        names |= gloo.ours(there.live[place], own).keys() if place in there.live else set()
        trouble = await _merge(cluster, found, there, place, [one for _, one in wanted], own)
    for name in names:
        done = found.done[name]
        done.trouble = done.trouble or trouble
        done.written = done.written or (place in there.written and name in {name for name, _ in wanted})


async def _merge(
    cluster: Cluster, found: Pass, there: Gateways, place: Place, wanted: Sequence[gloo.Extension], own: str
) -> str | None:
    """Writes a Gateway where it differs; why it could not be as wanted, with the way out."""
    what = say((GATEWAY, *place))
    for _ in range(TRIES):
        gateway = there.live.get(place)
        troubles = gloo.conflicts(gateway, wanted)
        if troubles or gateway is None:
            return ". ".join(troubles) or None
        steps = gloo.patch(gateway, gloo.merge(gateway, wanted, own))
        if not steps:
            return None
        if "deletionTimestamp" in gateway["metadata"]:
            return f"{what} is being deleted; name another" if wanted else None
        if other := gloo.applied_by(gateway):
            return gloo.applied_too(what, other)
        try:
            there.live[place] = written = _whole(await cluster.patch(GATEWAY, gateway, steps))
        except Refused as refusal:
            if refusal.status not in (404, 409):
                return explain(refusal, (GATEWAY, *place))
            await _read_again(cluster, there, place)
            continue
        there.written.add(place)
        found.written.add(str(written["metadata"].get("resourceVersion")))
        return None
    found.again = BUSY
    return f"somebody else changes {what} all the time; the hub tries again"


async def _read_again(cluster: Cluster, there: Gateways, place: Place) -> None:
    fresh = await cluster.get(GATEWAY, *place)
    if fresh is None:
        there.live.pop(place, None)
    else:
        there.live[place] = fresh


def _blocked(found: Pass, there: Gateways, place: Place) -> str | None:
    """Why nothing is known of a Gateway that filters are for, with the way out."""
    if place in there.live:
        return None
    if (GATEWAY[1], place[0]) in found.unseen and not there.absent:
        return f"the hub may not list {GATEWAY[1]} in {place[0]}; give its account that right"
    return no_such_kind(GATEWAY) if there.absent else None


def _say_objects(found: Pass, there: Gateways, desired: Sequence[Desired], own: str) -> None:
    """Says of each deployment which Gateways hold its filter now, and keeps in mind those that cannot be looked at."""
    for place, gateway in there.live.items():
        for name in gloo.ours(gateway, own):
            found.done[name].objects.append(say((GATEWAY, *place)))
    for one in desired:
        before = one.row.seen.objects or () if one.row.seen is not None else ()
        for what in before:
            namespace = what.rpartition(" ")[2].partition("/")[0]
            if (GATEWAY[1], namespace) in found.unseen and not there.absent:
                done = found.done[one.row.name]
                done.objects.append(what)
                said = f"the hub may not list {GATEWAY[1]} in {namespace}, so it cannot see to {what}"
                done.trouble = done.trouble or f"{said}; give its account that right"


def _observe(one: Desired, there: Gateways, found: Pass) -> Observed:
    """What Gloo says of the Gateway. What it refuses it said before, perhaps, of what was there before."""
    assert one.plan is not None
    place = _place_of(one)
    said, what = gloo.said(there.live.get(place, {})), say((GATEWAY, *place))
    # Kept is only whether it is the same word: it may quote a config.
    number, word = one.row.current.number, hashlib.sha256(f"{said.state}: {said.why}".encode()).hexdigest()[:16]
    fresh = place in there.written
    detail = one.detail
    if fresh or "before" not in detail:
        detail = {"before": word if fresh else "", "since": now()}
    if said.state == gloo.REJECTED:
        left = detail["since"] + SILENT - now()
        if word == detail["before"] and left > 0:
            found.again = min(found.again or left / 1000, left / 1000)
            waits = f"Gloo refused {what} before revision {number} was in it, and has not said anything since"
            return Observed(WAITING, f"{waits}: {said.why}", detail)
        way = "its proxies keep what they had. Deploy what Gloo takes or undeploy; mend what is not of this filter"
        return Observed(STALLED, f"Gloo refuses {what} with revision {number} in it: {said.why}; {way}", detail)
    told = {gloo.WARNING: f"Gloo warns of {what} ({said.why})", gloo.ACCEPTED: f"Gloo accepts {what}"}.get(said.state)
    looked = "whether proxies run it was not looked at"
    message = f"revision {number} was applied; {f'{told}, and ' if told and not fresh else ''}{looked}"
    return Observed(UNOBSERVED, message, detail)


def _whole(gateway: Object) -> dict[str, Any]:
    """An item of a list says nothing of its kind."""
    return {**gateway, "apiVersion": GATEWAY[0], "kind": GATEWAY[1]}
