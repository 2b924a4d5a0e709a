"""How a target is, in one word and one sentence, and its proxies by version with what each runs and refused."""

from collections.abc import Sequence
from typing import Any

from deploy.fleets.ecds import deployment_of, revision_of
from deploy.views.deployments import live_for
from deploy.views.shapes import moment
from storage.database import now
from storage.deployments import DeploymentRow
from storage.meshes import TargetSeen
from storage.nodes import NodeRow, SlotRow
from storage.targets import TargetRow

NEW, REACHED, AWAY = "new", "reached", "away"


def health_json(target: TargetRow, seen: TargetSeen | None, proxies: Sequence[NodeRow]) -> dict[str, Any]:
    """`status`: new, reached or away; a `message`, and for a mesh when it was `checked_at`."""
    if seen is not None:
        checked = moment(seen.checked_at) if seen.checked_at is not None else None
        said = {NEW: "the hub has not looked there yet", REACHED: "the hub reaches it"}
        return {"status": seen.status, "message": seen.message or said.get(seen.status, ""), "checked_at": checked}
    if not proxies:
        return {"status": NEW, "message": "no proxy has asked the hub yet", "checked_at": None}
    here = sum(not _is_away(target, one) for one in proxies)
    status = REACHED if here else AWAY
    message = f"{here} of {len(proxies)} proxies ask the hub"
    if here < len(proxies):
        message += "; one that does not ask keeps what it runs"
    return {"status": status, "message": message, "checked_at": None}


def proxies_json(
    target: TargetRow, proxies: Sequence[NodeRow], deployments: Sequence[DeploymentRow]
) -> list[dict[str, Any]]:
    """The proxies by `version`, the most frequent first: each with what it `runs` and `refused`, in words."""
    names = {one.id: one.name for one in deployments}
    by_version: dict[str, list[dict[str, Any]]] = {}
    for node in proxies:
        slots = [slot for _, slot in sorted(node.slots.items())]
        by_version.setdefault(node.version, []).append(
            {
                "name": node.name,
                "seen_at": moment(node.seen_at),
                "away": _is_away(target, node),
                "runs": [said for slot in slots if (said := _named(slot.running, names))],
                "refused": [refusal for slot in slots if (refusal := _refusal(slot, names))],
            }
        )
    ordered = sorted(by_version.items(), key=lambda item: (-len(item[1]), item[0]))
    return [{"version": version, "nodes": found} for version, found in ordered]


def _refusal(slot: SlotRow, names: dict[int, str]) -> dict[str, str] | None:
    """The newest of what is deployed now that a slot's node refused."""
    what = _named(slot.refused[-1], names) if slot.refused else None
    return {"what": what, "why": slot.why} if what else None


def _named(version: str, names: dict[int, str]) -> str | None:
    """The deployment and revision that a version is of; None for what is deployed no more."""
    name = names.get(deployment_of(version) or 0)
    return f"{name}, revision {revision_of(version)}" if name else None


def _is_away(target: TargetRow, node: NodeRow) -> bool:
    return node.seen_at < now() - live_for(target)
