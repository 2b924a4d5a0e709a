"""What a deployment would be, before it is: every reason against it, its objects, and what would differ.

The preview of the API is of meshes, where objects are applied. This one is for people: it is of fleets too, it has the
reasons in its answer rather than as a refusal, and says how a revision differs from the one before.
"""

import json
from collections.abc import Mapping
from typing import Any

from anyio.to_thread import run_sync

from auth.door import ApiError
from auth.identity import Identity
from deploy.commands import Wish, arrangement, check, next_order, refuse_waves
from deploy.following.wanted import followed
from deploy.means import Means, allow
from deploy.meshes.kinds import MESHES
from deploy.preview.objects import preview
from deploy.preview.rehearsal import differences
from storage.database import Conflict
from storage.deployments import NewRevision, Placed, RevisionRow, find_deployment, target_deployments
from storage.rollout_rows import NewRollout, refuse_beside_rollout
from storage.targets import TargetRow

_SAID = {
    "manifest_digest": "digest",
    "config": "config",
    "order": "order",
    "failure_policy": "failure policy",
    "root_id": "root id",
    "placement": "placement",
    "repository": "filter",
}


async def foresee(means: Means, identity: Identity, target_name: str, name: str, wish: Wish) -> dict[str, Any]:
    """`reasons` against it, `objects`, `diff` of objects (None: not known), `changes` of the revision, `notes`.

    `fresh` is whether the deployment is new, `rollout` in which waves it goes out, `follow` what it follows.
    Raises ApiError for what nobody can make sense of, or may not do, and Conflict while another revision is on its way.
    """
    blank: dict[str, Any] = {"reasons": [], "objects": [], "diff": [], "changes": [], "notes": []}
    blank |= {"rollout": _staged(wish.rollout), "follow": None}
    try:
        fresh, revision, notes, trouble = await run_sync(
            _check, means, identity, target_name, name, wish, limiter=means.checks
        )
        found = {**blank, "notes": list(notes), "changes": revision, "fresh": fresh, "follow": followed(wish.follow)}
        if trouble:
            return {**found, "reasons": [{"code": "order", "message": trouble, "forcible": False}]}
        mesh = await _on_mesh(means, identity, target_name, name, wish)
    except ApiError as refusal:
        if refusal.status != 422:
            raise
        reasons = refusal.reasons or [{"code": refusal.code, "message": refusal.message, "forcible": False}]
        return {**blank, "reasons": [dict(one) for one in reasons], "fresh": False}
    return {**found, **mesh}


async def _on_mesh(means: Means, identity: Identity, target_name: str, name: str, wish: Wish) -> dict[str, Any]:
    """What the API's preview says, if the target is one that objects are applied to."""
    with means.database.read() as session:
        if allow(session, identity, "deploy", target_name).kind not in MESHES:
            return {}
    said = await preview(means, identity, target_name, name, wish)
    reasons = [{"code": "target", "message": one, "forcible": False} for one in said["problems"]]
    return {"reasons": reasons, "objects": said["objects"], "diff": said["diff"], "notes": said["notes"]}


def _check(
    means: Means, identity: Identity, target_name: str, name: str, wish: Wish
) -> tuple[bool, list[dict[str, Any]], tuple[str, ...], str]:
    """Whether it is new, how the revision differs, what its deployer should know, and why it has no place."""
    with means.database.read() as session:
        target = allow(session, identity, "deploy", target_name)
        current = find_deployment(session, target.id, name)
        if current is not None:
            refuse_beside_rollout(session, current.id, name)
    if wish.rollout is not None:
        refuse_waves(target, wish, current)
    revision, found, taken = check(means, identity, target, name, wish, current)
    runs = current is not None and not current.taken_back  # else it differs from nothing, whatever was tried there
    before = _known(current.current) if current is not None and runs else {}
    with means.database.read() as session:
        order = revision.order or next_order(session, target.id)
        placed = [
            Placed(one.id, one.name, one.slot, one.current.order)
            for one in target_deployments(session, target.id)
            if one.slot is not None
        ]
    after = _known(revision) | {"filter": found.repository, "order": order}
    moved = current.id if current is not None else 0
    trouble = _no_place(target, placed, moved, order, still=wish.rollout is not None)
    changes = [one for one in differences(before, after) if one["before"] != one["after"]]
    return not runs, changes, taken.warnings, trouble


def _staged(rollout: NewRollout | None) -> dict[str, Any] | None:
    if rollout is None:
        return None
    return {"waves": list(rollout.waves), "bake_seconds": rollout.bake / 1000, "limits": dict(rollout.limits)}


def _no_place(target: TargetRow, placed: list[Placed], moved: int, order: int, *, still: bool) -> str:
    """Why a fleet has no slot for it; empty if it has one."""
    if target.kind in MESHES:
        return ""
    try:
        arrangement(target, still=still)(placed, moved, order)
    except Conflict as conflict:
        return str(conflict)
    return ""


def revision_changes(before: RevisionRow, after: RevisionRow) -> list[dict[str, Any]]:
    """The fields in which a revision differs from the one before it."""
    return differences(_known(before), _known(after))


def _known(revision: RevisionRow | NewRevision) -> dict[str, Any]:
    """What people compare of a revision; a config that is JSON field by field."""
    known = {words: getattr(revision, name) for name, words in _SAID.items() if hasattr(revision, name)}
    return {**known, "config": _read(known["config"])}


def _read(config: str | None) -> Any:
    try:
        value = json.loads(config or "null")
    except (ValueError, RecursionError):
        return config
    return value if isinstance(value, Mapping) else config
