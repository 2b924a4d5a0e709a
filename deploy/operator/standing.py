"""The status of a FilterDeployment: conditions with the hub's own words, and what the next look has to know. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy.meshes.lookout import FOR_PODS
from deploy.operator.hub import Examined, HubAway, HubRefused, camel
from deploy.operator.resource import Filter, moment, proxies_of
from deploy.status import READY, UNOBSERVED, WAITING
from storage.deployments import DeploymentSeen

RESOLVED, APPLIED, IS_READY = "Resolved", "Applied", "Ready"
TYPES = (RESOLVED, APPLIED, IS_READY)
TRUE, FALSE, UNKNOWN = "True", "False", "Unknown"
LONGEST = 4000  # characters of a message
AWAY = "HubAway"
AGAIN = 300.0  # seconds, where nothing is waited for


@dataclass(frozen=True)
class Said:
    """What one condition says."""

    status: str
    reason: str
    message: str


@dataclass
class Report:
    """What a look has found; a condition that it does not say stays as it is."""

    conditions: dict[str, Said] = field(default_factory=dict)
    resolved: str | None = None  # the digest of the image
    applied: dict[str, Any] | None = None  # None: what was applied before
    objects: list[str] = field(default_factory=list)
    proxies: list[dict[str, Any]] | None = None  # None: as before


def status_of(one: Filter, report: Report, at: int) -> dict[str, Any]:
    """The status as it is to be written; equal to what there is where nothing is new."""
    before = {str(found["type"]): found for found in one.status.get("conditions") or ()}
    conditions = []
    for kind in TYPES:
        if kind in report.conditions:
            conditions.append(_condition(one, kind, report.conditions[kind], before.get(kind), at))
        elif kind in before:
            conditions.append(dict(before[kind]))
    status: dict[str, Any] = {"observedGeneration": one.generation, "conditions": conditions}
    resolved = one.status.get("resolved")
    if report.resolved is not None:
        resolved = {"generation": one.generation, "digest": report.resolved}
    applied = report.applied if report.applied is not None else one.status.get("applied")
    proxies = report.proxies if report.proxies is not None else one.status.get("proxies")
    status |= {"resolved": resolved} if resolved else {}
    status |= {"applied": applied} if applied else {}
    # Lists are always said, so that nobody else's stand there.
    return status | {"objects": report.objects, "proxies": proxies or []}


def look_in(status: str) -> float:
    """Seconds after which one that stands like that is looked at although nothing is known to have changed."""
    return FOR_PODS if status == WAITING else AGAIN


def word_of(error: HubAway | HubRefused) -> str:
    """The reason that a condition has of what the hub said, or did not."""
    return error.word if isinstance(error, HubRefused) else AWAY


def resolved(one: Filter, examined: Examined) -> Said:
    """What the image is, and what the hub warns of."""
    said = f"{one.image} is {examined.digest}"
    return Said(TRUE, RESOLVED, "; ".join([said, *(f"warning: {each}" for each in examined.warnings)]))


def not_resolved(one: Filter, reason: str, message: str, objects: list[str]) -> Report:
    """The hub has refused what is wanted, or does not answer: what was applied before stays as it is."""
    away = reason == AWAY
    report = Report(objects=objects)
    report.conditions[RESOLVED] = Said(UNKNOWN if away else FALSE, reason, message)
    if away and objects and one.applied.get("generation") == one.generation:
        return report  # it is as it was when the hub was last heard
    report.conditions[APPLIED] = Said(FALSE, "NotResolved", _stays(one, objects))
    report.conditions[IS_READY] = Said(UNKNOWN if away else FALSE, reason if away else "Stalled", message)
    return report


def not_rendered(one: Filter, resolved: Said, digest: str, problems: list[str], objects: list[str]) -> Report:
    """The image may run here, and cannot be brought here as it is asked for."""
    said = " ".join(each if each.endswith(".") else f"{each}." for each in problems)
    report = Report({RESOLVED: resolved}, resolved=digest, objects=objects)
    report.conditions[APPLIED] = Said(FALSE, "NotRendered", f"{said} {_stays(one, objects)}")
    report.conditions[IS_READY] = Said(FALSE, "Stalled", said)
    return report


def stood(
    one: Filter, resolved: Said, digest: str, image: str, sha256: str, seen: DeploymentSeen, trouble: str | None
) -> Report:
    """It was applied, as far as it could be, and its proxies were asked."""
    objects = [str(name) for name in seen.objects or ()]
    report = Report({RESOLVED: resolved}, resolved=digest, objects=objects)
    if trouble is not None:
        report.conditions[APPLIED] = Said(FALSE, "Refused", trouble)
    else:
        report.conditions[APPLIED] = Said(TRUE, "Applied", f"generation {one.generation} is {', '.join(objects)}")
    report.conditions[IS_READY] = Said(_ready(seen.status), camel(seen.status), seen.message)
    detail = seen.detail or {}
    if seen.revision == one.generation and seen.applied_at is not None:
        tried = detail.get("tried_at")
        report.applied = {
            "generation": seen.revision,
            "at": moment(seen.applied_at),
            "digest": digest,
            "image": image,
            "module": sha256,
            **({"order": one.order} if one.mesh.together is not None else {}),  # an older CRD does not know it
            **({"tries": detail["tries"]} if detail.get("tries") else {}),
            **({"triedAt": moment(tried)} if tried else {}),
        }
        report.proxies = proxies_of(detail.get("pods") or detail.get("proxies") or {})
    return report


def unattended(one: Filter, kinds: Collection[str]) -> Report:
    """It is for a kind of mesh that this operator has not been told of."""
    here = " and ".join(sorted(kinds))
    said = f"this operator looks after {here} alone; start it with --mesh {one.mesh.kind} too"
    return Report(
        {APPLIED: Said(FALSE, "MeshNotEnabled", said), IS_READY: Said(FALSE, "Stalled", said)}, objects=one.objects
    )


def going(trouble: str | None, objects: list[str]) -> Report:
    """It was deleted, and its objects are being taken away."""
    said = Said(FALSE, "Deleting", trouble or "its objects are being taken away")
    return Report({APPLIED: said, IS_READY: said}, objects=objects)


def _ready(status: str) -> str:
    return TRUE if status == READY else UNKNOWN if status == UNOBSERVED else FALSE


def _stays(one: Filter, objects: list[str]) -> str:
    before = one.applied.get("generation")
    if not objects and before:
        return (
            f"generation {one.generation} is not applied, and what generation {before} was is not seen there any more"
        )
    if not objects:
        return f"generation {one.generation} is not applied, and nothing was before"
    return f"generation {one.generation} is not applied; generation {one.applied.get('generation', 0)} stays as it is"


def _condition(one: Filter, kind: str, said: Said, before: Mapping[str, Any] | None, at: int) -> dict[str, Any]:
    since = before["lastTransitionTime"] if before is not None and before["status"] == said.status else moment(at)
    return {
        "type": kind,
        "status": said.status,
        "observedGeneration": one.generation,
        "lastTransitionTime": since,
        "reason": said.reason,
        "message": said.message[:LONGEST],
    }
