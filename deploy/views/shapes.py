"""Targets, deployments and nodes as the JSON API shows them."""

import time
from typing import Any

from deploy.status import Standing
from storage.deployments import DeploymentRow, RevisionRow
from storage.followings import REFUSED, UNREADABLE, WAITING, Follows
from storage.meshes import TargetSeen
from storage.nodes import NodeRow
from storage.rollout_rows import RolloutEventRow, RolloutRow
from storage.targets import TargetKeyRow, TargetRow


def target_json(target: TargetRow) -> dict[str, Any]:
    """A target."""
    return {
        "name": target.name,
        "kind": target.kind,
        "namespace": target.namespace,
        "settings": target.settings,
        "created_at": moment(target.created_at),
    }


def state_json(seen: TargetSeen) -> dict[str, Any]:
    """How the hub last met a target that it reaches out to."""
    checked = moment(seen.checked_at) if seen.checked_at is not None else None
    return {"status": seen.status, "message": seen.message, "facts": seen.facts, "checked_at": checked}


def key_json(key: TargetKeyRow) -> dict[str, Any]:
    """A target's key, without its secret."""
    return {"id": key.id, "hint": key.hint, "created_at": moment(key.created_at)}


def deployment_json(deployment: DeploymentRow, standing: Standing) -> dict[str, Any]:
    """A deployment with its current revision and how it stands."""
    return {
        "target": deployment.target,
        "name": deployment.name,
        "slot": deployment.slot,
        "status": standing.status,
        "message": standing.message,
        "revision": revision_json(deployment.current),
        "rollout": deployment.staged.id if deployment.staged is not None else None,
        "follow": follow_json(deployment.follows) if deployment.follows is not None else None,
        "created_at": moment(deployment.created_at),
    }


def follow_json(follows: Follows) -> dict[str, Any]:
    """What a deployment follows; `message` says why it does not run what was found last, where it does not."""
    waves = follows.rollout
    return {
        "repository": follows.repository,
        "tag": follows.tag or None,
        "range": follows.versions or None,
        "since": moment(follows.since),
        "by": follows.by,
        "waves": list(waves.waves) if waves is not None else None,
        "state": REFUSED if follows.state == UNREADABLE else follows.state or "follows",
        "message": _not_followed(follows),
        "said_at": moment(follows.said_at) if follows.said_at is not None else None,
        "again_at": moment(follows.again_at) if follows.again_at else None,
    }


def _not_followed(follows: Follows) -> str:
    if not follows.state:
        return ""
    how = "waits to follow" if follows.state == WAITING else "does not follow"
    what = "" if follows.state == UNREADABLE else f":{follows.seen_tag}"
    return f"{how} {follows.repository}{what}: {follows.message}"


def revision_json(revision: RevisionRow) -> dict[str, Any]:
    """One revision."""
    return {
        "number": revision.number,
        "action": revision.action,
        "repository": revision.repository,
        "reference": revision.reference,
        "digest": revision.manifest_digest,
        "module": revision.module_sha256,
        "config": revision.config,
        "root_id": revision.root_id,
        "failure_policy": revision.failure_policy,
        "order": revision.order,
        "placement": revision.placement,
        "created_by": revision.created_by,
        "created_at": moment(revision.created_at),
    }


def standing_json(standing: Standing) -> list[dict[str, Any]]:
    """What each node makes of a deployment."""
    return [
        {
            "name": node.name,
            "proxy": node.proxy,
            "state": node.state,
            "revision": node.revision,
            "why": node.why,
            "seen_at": moment(node.seen_at),
        }
        for node in standing.nodes
    ]


def seen_json(deployment: DeploymentRow) -> dict[str, Any]:
    """What the last pass over its mesh has seen of a deployment: objects of the hub's, and proxies, one by one."""
    seen = deployment.seen
    detail = (seen.detail if seen is not None else None) or {}
    ended_at = None if deployment.taken_back else deployment.ended_at  # nobody has undeployed it
    of_pods = {**(detail.get("pods") or {}), **(detail.get("proxies") or {})}
    known = [*of_pods.values(), *(detail.get("sidecars") or ())]
    proxies = [
        {"name": one["name"], "state": one["state"], "revision": one.get("revision"), "why": one.get("why") or ""}
        for one in known
    ]
    return {
        "objects": [str(name) for name in (seen.objects if seen is not None else None) or ()],
        "proxies": sorted(proxies, key=lambda one: str(one["name"])),
        "ended_at": moment(ended_at) if ended_at is not None else None,
    }


def node_json(node: NodeRow) -> dict[str, Any]:
    """A node with what it runs and refused in each slot."""
    slots = [
        {"slot": number, "runs": row.running, "served": row.served, "refused": list(row.refused), "why": row.why}
        for number, row in sorted(node.slots.items())
    ]
    return {"name": node.name, "proxy": node.version, "seen_at": moment(node.seen_at), "slots": slots}


def rollout_json(rollout: RolloutRow) -> dict[str, Any]:
    """A rollout; `share` is how much of the fleet its present wave takes in, in percent."""
    return {
        "id": rollout.id,
        "target": rollout.target,
        "deployment": rollout.deployment,
        "from_revision": rollout.from_revision,
        "to_revision": rollout.to_revision,
        "back_revision": rollout.back_revision,
        "waves": list(rollout.waves),
        "bake_seconds": rollout.bake / 1000,
        "limits": rollout.limits,
        "state": rollout.state,
        "wave": rollout.wave,
        "share": rollout.waves[rollout.wave - 1] if rollout.wave else 0,
        "message": rollout.why,
        "created_by": rollout.created_by,
        "created_at": moment(rollout.created_at),
        "ended_at": moment(rollout.ended_at) if rollout.ended_at is not None else None,
    }


def rollout_event_json(event: RolloutEventRow) -> dict[str, Any]:
    """A line of a rollout's timeline."""
    return {
        "id": event.id,
        "at": moment(event.at),
        "kind": event.kind,
        "wave": event.wave,
        "message": event.message,
        "figures": event.figures,
    }


def moment(milliseconds: int) -> str:
    """A time as people and programs read it, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(milliseconds / 1000))
