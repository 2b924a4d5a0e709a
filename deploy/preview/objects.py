"""What a deployment would be on its mesh: its objects, why it cannot be there, and what would change; nothing does."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from anyio.to_thread import run_sync

from auth.control_plane import ControlPlane
from auth.door import ApiError
from auth.identity import Identity
from auth.outgoing import OutgoingRefused
from deploy.commands import Wish, check, next_order
from deploy.config_secrets import NotFilled, filled, secrets_of, shown, without_values
from deploy.images.derived import find_readable
from deploy.means import Means, allow
from deploy.meshes.kinds import CONSUL, GLOO, MESHES, pulls_images, secret_for
from deploy.meshes.kubeconfig import access_of
from deploy.meshes.kubernetes import SECRET, Cluster, Refused
from deploy.meshes.pull_secrets import pull_secret
from deploy.preview.drafting import UNKNOWN, draft_plans, draft_row, plan_problems
from deploy.preview.rehearsal import (
    Change,
    merged_entry,
    merged_gateway,
    rehearse,
    rehearse_consul,
    rehearse_gloo,
)
from deploy.preview.sidecar_forms import Form, form_objects, form_problems
from deploy.targets import gloo
from deploy.targets.merging import mark
from deploy.targets.plan import Object, Plan, deployments_of
from storage.deployments import DeploymentRow, find_deployment
from storage.pullers import is_public, login_of
from storage.targets import TargetRow

HIDDEN = "(secret)"  # in the place of what nobody is shown
PATIENCE = 20.0  # seconds for all that is asked of a cluster
_NEW = f"where the module lies is decided when it is deployed; {UNKNOWN} stands in that place until then"
_SECRETIVE = "what differs in configs is not shown, because configs of this target may hold secrets"
_PART = "the hub changes nothing of the Gateway, which is somebody else's, but its own filters in this list"
_UNREADABLE = (
    "the target cannot fetch the image as it was pushed; when it is deployed, the hub makes one of the same module, and"
    " its digest takes the place of the one that is shown"
)


@dataclass
class Draft:
    """A deployment as it would be, with what a reader of its objects has to know."""

    target: TargetRow
    row: DeploymentRow
    plan: Plan
    others: Sequence[Plan]  # what else is on the target
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    told: "Draft | None" = None  # the same with the values of secrets in the configs, where the target has any
    secrets: Mapping[str, str] = field(default_factory=dict)


async def preview(
    means: Means, identity: Identity, target_name: str, name: str, wish: Wish, form: Form | None = None
) -> dict[str, Any]:
    """The `objects`, `problems`, `diff` and `notes` of what the wish would make. Raises ApiError as `change` does.

    `diff` is None where the target does not answer, and a note says why; and with a form that the hub never applies.
    """
    draft = await run_sync(_draft, means, identity, target_name, name, wish, limiter=means.checks)
    if form is not None:
        return await run_sync(_formed, means, draft, form)
    objects: list[Object] = []
    diff: list[Change] | None = []
    if not draft.problems:
        objects = _own(draft, _objects(draft))
        try:
            async with asyncio.timeout(PATIENCE):
                objects, diff = await _compare(means, draft, objects)
        except (OutgoingRefused, Refused, ValueError, TimeoutError) as error:
            diff = None
            said = without_values(str(error), draft.secrets) or "it did not answer in time"
            draft.notes.append(f"what would change there is not known: {said}")
    if f"/{UNKNOWN}/" in json.dumps(objects):
        draft.notes.append(_NEW)
    changes = None if diff is None else [vars(one) for one in diff]
    return {"objects": objects, "problems": draft.problems, "diff": changes, "notes": draft.notes}


def _formed(means: Means, draft: Draft, form: Form) -> dict[str, Any]:
    """The objects of a form for Kubernetes. Raises ApiError."""
    if draft.target.kind != CONSUL:
        raise ApiError(409, "conflict", f"{draft.target.name} is no Consul; forms are for the sidecars of one")
    beside = _beside(draft)
    problems = draft.problems + form_problems(form, draft.plan, beside)
    objects: list[Object] = []
    if not problems:
        module = means.modules.read(draft.plan.module.sha256)
        if module is None:
            raise ApiError(503, "unavailable", f"the module of {draft.plan.deployment} cannot be read; try again")
        objects, notes = form_objects(form, draft.plan, beside, module)
        draft.notes += notes
    if f"/{UNKNOWN}/" in json.dumps(objects):
        draft.notes.append(_NEW)
    return {"objects": objects, "problems": problems, "diff": None, "notes": draft.notes}


def _draft(means: Means, identity: Identity, target_name: str, name: str, wish: Wish) -> Draft:
    """The deployment as the wish would make it. Raises ApiError."""
    with means.database.read() as session:
        target = allow(session, identity, "deploy", target_name)
        before = find_deployment(session, target.id, name)
    if target.kind not in MESHES:
        raise ApiError(
            409, "conflict", f"{target.name} is an Envoy fleet: its Envoys ask the hub, and nothing is applied there"
        )
    revision, found, taken = check(means, identity, target, name, wish, before)
    image = find_readable(means, found, target.kind) if pulls_images(target) else found.digest
    with means.database.read() as session:
        order = revision.order or next_order(session, target.id)
        secret = secret_for(target, public=is_public(session, revision.repository_id))
        row = draft_row(target, name, before, replace(revision, order=order, image_digest=image), found.repository)
        draft = Draft(target, row, *draft_plans(session, target, row, with_secret=secret))
        secrets = secrets_of(session, means.gate.secret_key, target.id)
    if secrets:
        draft.secrets = secrets
        told = [replace(one, config=_told(one, secrets)) for one in (draft.plan, *draft.others)]
        draft.told = replace(draft, plan=told[0], others=told[1:])
        draft.plan = replace(draft.plan, config=shown(draft.plan.config))
        draft.others = [replace(one, config=shown(one.config)) for one in draft.others]
        draft.notes.append(_SECRETIVE)
    draft.notes += taken.warnings
    draft.problems += plan_problems(target, draft.plan, draft.others)
    if image is None:
        draft.notes.append(_UNREADABLE)
    return draft


def _objects(draft: Draft, live: Sequence[Object] = ()) -> list[Object]:
    """What would be applied, with nothing that is secret; with what `live` objects serve other deployments too."""
    mesh = MESHES[draft.target.kind]
    if mesh.kind == GLOO:
        return [gloo.part(merged_gateway(draft.plan, _beside(draft), None))]
    if mesh.render is None:
        return [merged_entry(draft.plan, _beside(draft), None)]
    hidden: list[Object] = []
    if draft.plan.pull_secret is not None:
        made = pull_secret(draft.plan, login_of(draft.target.name), HIDDEN)
        hidden = [{**made, "data": dict.fromkeys(made["data"], HIDDEN)}]
    if mesh.together is None:
        return [*hidden, *mesh.render(draft.plan)]
    kept = [one for one in draft.others if mesh.problems(one)]
    plans = [draft.plan, *(one for one in draft.others if one not in kept)]
    return [*hidden, *mesh.together.render(plans, kept, live)]


def _own(draft: Draft, objects: Sequence[Object]) -> list[Object]:
    """Those of the objects that are for the deployment; what Consul keeps says that in no way of ours."""
    if MESHES[draft.target.kind].together is None:
        return list(objects)
    return [one for one in objects if one["kind"] == SECRET[1] or draft.plan.deployment in deployments_of(one)]


async def _compare(means: Means, draft: Draft, objects: list[Object]) -> tuple[list[Object], list[Change]]:
    """The objects, and what would change where they go. Raises OutgoingRefused, Refused and ValueError."""
    access = access_of(means.gate.secret_key.unseal(draft.target.sealed_access or b""))
    plane = ControlPlane(means.outgoing, access)
    try:
        told = draft.told or draft
        if draft.target.kind == CONSUL:
            merged, changes = await rehearse_consul(plane, told.plan, _beside(told))
            objects = [merged_entry(draft.plan, _beside(draft), merged)]
        elif draft.target.kind == GLOO:
            return await _compare_gloo(Cluster(plane), draft)
        else:
            mesh = MESHES[draft.target.kind]
            rendered = partial(_objects, told)
            changes = await rehearse(Cluster(plane), mesh, told.plan, rendered, _namespaces(draft))
        return objects, [_hidden(one) for one in changes] if draft.told is not None else changes
    finally:
        await plane.close()


async def _compare_gloo(cluster: Cluster, draft: Draft) -> tuple[list[Object], list[Change]]:
    """What of the Gateway holds filters, of which the hub's own say no secret, and what would change."""
    told = draft.told or draft
    place = (draft.plan.placement["namespace"], draft.plan.placement["gateway"])
    left = [one for one in _places(draft) if one != place]
    part, changes = await rehearse_gloo(cluster, told.plan, _beside(told), left)
    draft.notes.append(_PART)
    if draft.told is None:
        return [part], changes
    written = {one["name"]: one for one in gloo.filters_of(_objects(draft)[0])}
    for held in filter(lambda one: isinstance(one, dict), gloo.filters_of(part)):
        if held.get("name") in written:
            held |= {name: value for name, value in written[held["name"]].items() if name == "config"}
        elif str(held.get("name")).startswith(mark(draft.plan.hub_id, draft.plan.target)) and "config" in held:
            held["config"] = HIDDEN
    return [part], [_hidden(one) for one in changes]


def _told(plan: Plan, secrets: Mapping[str, str]) -> str | None:
    """The config that a plan's filter gets; as it was written where a secret is missing, which was said before."""
    try:
        return filled(plan.config, secrets, plan.target)
    except NotFilled:
        return plan.config


def _hidden(change: Change) -> Change:
    """The change without what stands in configs; a list or an object as a whole may hold one."""
    fields = []
    for one in change.fields:
        whole = isinstance(one["before"], dict | list) or isinstance(one["after"], dict | list)
        hides = whole or "config" in one["field"].lower()
        fields.append({**one, "before": HIDDEN, "after": HIDDEN} if hides else one)
    return replace(change, fields=fields)


def _beside(draft: Draft) -> list[Plan]:
    """What else is in the same service-defaults of Consul, or Gateway of Gloo."""
    mesh = MESHES[draft.target.kind]
    place = ("namespace", "gateway") if mesh.kind == GLOO else ("service", "namespace", "partition")
    mine = [draft.plan.placement[part] for part in place]
    return [one for one in draft.others if [one.placement[part] for part in place] == mine and not mesh.problems(one)]


def _namespaces(draft: Draft) -> list[str]:
    """Where the deployment's objects go, and where they are."""
    return sorted({place for place, _ in _places(draft)} | {str(draft.plan.placement["namespace"])})


def _places(draft: Draft) -> list[tuple[str, str]]:
    """The namespaces and names of the objects that are there."""
    held = draft.row.seen.objects or [] if draft.row.seen is not None else []
    parts = [str(name).rpartition(" ")[2].partition("/") for name in held]
    return [(namespace, name) for namespace, _, name in parts]
