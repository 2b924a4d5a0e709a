"""What would change in a cluster or a Consul if objects were applied there: asked of the server, and nothing does."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import deploy.targets.consul as consul
import deploy.targets.gloo as gloo
from auth.control_plane import ControlPlane
from deploy.meshes.kinds import Mesh, kind_of
from deploy.meshes.kubernetes import SECRET, Cluster, Refused
from deploy.meshes.passing import Key, Pass, Scope, apply_ours, explain, key_of, no_such_kind, owned, say, taken
from deploy.meshes.pull_secrets import users_of
from deploy.targets.merging import mark
from deploy.targets.plan import Object, Plan, deployments_of

CREATE, CHANGE, NONE, DELETE, REFUSED = "create", "change", "none", "delete", "refused"
_COUNTED = ("managedFields", "resourceVersion", "generation", "creationTimestamp", "uid")  # nobody's wish
_ENTRY = "/v1/config/service-defaults/"


@dataclass(frozen=True)
class Change:
    """What would become of one object. `fields` are those that would differ, each with its value before and after."""

    object: str
    change: str  # create | change | none | delete | refused
    message: str = ""  # why it would be refused
    fields: list[dict[str, Any]] = field(default_factory=list)


async def rehearse(
    cluster: Cluster,
    mesh: Mesh,
    plan: Plan,
    objects: Callable[[Sequence[Object]], Sequence[Object]],
    namespaces: Sequence[str],
) -> list[Change]:
    """What applying a deployment's objects would do, by server-side dry runs; `namespaces` are where they are and go.

    `objects` renders them, given the target's that are there. Raises OutgoingRefused, and Refused where the hub may not
    even look.
    """
    scope = Scope(plan.hub_id, plan.target, mesh.kinds, namespaces)
    live, absent = await owned(cluster, scope, Pass())
    mine = {key: one for key, one in live.items() if plan.deployment in deployments_of(one)}
    users = users_of(live.values(), mesh.named) if mesh.named is not None else {}
    mine |= {key: one for key, one in live.items() if key[0] == SECRET and users.get(key[1:]) == {plan.deployment}}
    found, kept = [], set()
    for wished in objects([one for key, one in live.items() if key[0] != SECRET]):
        kind = kind_of(mesh, wished)
        key = key_of(kind, wished)
        kept.add(key)
        if key not in mine and kind != SECRET and plan.deployment not in deployments_of(wished):
            continue
        if kind in absent:
            found.append(Change(say(key), REFUSED, no_such_kind(kind)))
        else:
            found.append(await _try(cluster, scope, key, wished, live.get(key)))
    return found + [Change(say(key), DELETE) for key in mine if key not in kept]


async def rehearse_consul(plane: ControlPlane, plan: Plan, beside: Sequence[Plan]) -> tuple[Object, list[Change]]:
    """The service-defaults as they would be written, and what would change; `beside` are others of the same service.

    Raises OutgoingRefused, and Refused where the hub may not look.
    """
    placement = plan.placement
    query = {"ns": placement["namespace"], "partition": placement["partition"]}
    asked = urlencode({name: value for name, value in query.items() if value})
    answer = await plane.ask("GET", f"{_ENTRY}{quote(placement['service'], safe='')}?{asked}")
    if answer.status not in (200, 404):
        raise Refused(answer.status, {"message": f"Consul refused to be looked at: {answer.text.strip()[:300]}"})
    entry = answer.body if answer.status == 200 and isinstance(answer.body, dict) else None
    merged = merged_entry(plan, beside, entry)
    name = f"service-defaults {placement['service']}"
    troubles = consul.conflicts(entry, [consul.render(plan)])
    if troubles:
        return merged, [Change(name, REFUSED, ". ".join(troubles))]
    if entry is None:
        return merged, [Change(name, CREATE)]
    fields = (
        [] if consul.same(entry, merged) else differences(entry, merged, without=("ModifyIndex", "CreateIndex", "Hash"))
    )
    return merged, [Change(name, CHANGE if fields else NONE, fields=fields)]


async def rehearse_gloo(
    cluster: Cluster, plan: Plan, beside: Sequence[Plan], left: Sequence[tuple[str, str]]
) -> tuple[Object, list[Change]]:
    """What of the Gateway holds filters as it would be, and what would change there and in those that are `left`.

    Raises OutgoingRefused, and Refused where the hub may not look.
    """
    place, own = (plan.placement["namespace"], plan.placement["gateway"]), mark(plan.hub_id, plan.target)
    kind, live = gloo.TYPES[0], await cluster.get(gloo.TYPES[0], *place)
    merged = merged_gateway(plan, beside, live)
    troubles = gloo.conflicts(live, [gloo.render(plan)])
    if troubles or live is None:
        return gloo.part(merged), [Change(say((kind, *place)), REFUSED, ". ".join(troubles))]
    changes = [await _try_patch(cluster, live, merged)]
    for other in left:
        gateway = await cluster.get(kind, *other)
        if gateway is not None and plan.deployment in gloo.ours(gateway, own):
            stay = [_stays(gateway, held) for name, held in gloo.ours(gateway, own).items() if name != plan.deployment]
            changes.append(await _try_patch(cluster, gateway, gloo.merge(gateway, stay, own)))
    return gloo.part(merged), changes


def merged_gateway(plan: Plan, beside: Sequence[Plan], live: Object | None) -> Object:
    """A Gateway with a deployment's filter among the hub's others; of what is not `beside` stays what is there."""
    own, placement = mark(plan.hub_id, plan.target), plan.placement
    meta = {"name": placement["gateway"], "namespace": placement["namespace"]}
    gateway = live or {"metadata": meta, "spec": {"httpGateway": {}}}
    plans = [*beside, plan]
    known = {one.deployment for one in plans}
    stay = [_stays(gateway, held) for name, held in gloo.ours(gateway, own).items() if name not in known]
    return gloo.merge(gateway, [*stay, *(gloo.render(one) for one in plans)], own)


def _stays(gateway: Object, held: dict[str, Any]) -> gloo.Extension:
    return {**{name: gateway["metadata"][name] for name in ("namespace", "name")}, "order": 0, "filter": held}


async def _try_patch(cluster: Cluster, live: Object, merged: Object) -> Change:
    """What writing a Gateway would do."""
    key = key_of(gloo.TYPES[0], live)
    steps = gloo.patch(live, merged)
    if not steps:
        return Change(say(key), NONE)
    if other := gloo.applied_by(live):
        return Change(say(key), REFUSED, gloo.applied_too(say(key), other))
    try:
        patched = await cluster.patch(key[0], live, steps, dry_run=True)
    except Refused as refusal:
        return Change(say(key), REFUSED, explain(refusal, key))
    return Change(say(key), CHANGE, fields=differences(live, patched, without=(*_COUNTED, "status")))


def merged_entry(plan: Plan, beside: Sequence[Plan], entry: Mapping[str, Any] | None) -> Object:
    """Service-defaults with a deployment's extension among the hub's others."""
    own = mark(plan.hub_id, plan.target)
    merged = consul.merge(entry, [consul.render(one) for one in (*beside, plan)], own)
    assert merged is not None, "it holds an extension"
    return merged


def differences(before: Any, after: Any, path: str = "", without: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The fields of an object in which two values differ; None stands for what is not there."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        names = [name for name in {**before, **after} if name not in without]
        found = [differences(before.get(name), after.get(name), _below(path, name), without) for name in names]
        return [one for some in found for one in some]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        found = [differences(*pair, f"{path}[{index}]", without) for index, pair in pairs]
        return [one for some in found for one in some]
    return [] if before == after else [{"field": path, "before": before, "after": after}]


async def _try(cluster: Cluster, scope: Scope, key: Key, wished: Object, live: Object | None) -> Change:
    """What applying one object would do."""
    try:
        if live is None and (other := await cluster.get(*key)) is not None and not scope.owns(other):
            return Change(say(key), REFUSED, taken(key))
        if key[0] == SECRET:  # what is in it is not shown, and follows from nothing that a deployer says
            return Change(say(key), CREATE if live is None else NONE)
        applied = await apply_ours(cluster, key[0], wished, live, dry_run=True)
    except Refused as refusal:
        return Change(say(key), REFUSED, explain(refusal, key))
    if live is None:
        return Change(say(key), CREATE)
    fields = differences(live, applied, without=(*_COUNTED, "status"))
    return Change(say(key), CHANGE if fields else NONE, fields=fields)


def _below(path: str, name: str) -> str:
    if "." in name or "/" in name:
        return f'{path}["{name}"]'
    return f"{path}.{name}" if path else name
