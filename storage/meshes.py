"""How targets stand that the hub writes objects to, and their deployments: what is due, and what a pass has found."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import JSON, delete, text
from sqlalchemy.orm import Session
from sqlmodel import col, select

from storage.database import Database, now
from storage.deployments import DeploymentRow, DeploymentSeen
from storage.events import SYSTEM, record
from storage.mesh_tables import DeploymentState, TargetState
from storage.modules import Facts
from storage.statements import Statement
from storage.tables import Deployment, Target

AWAY = "away"  # the status of a target that the last pass did not get through to
AWAY_SINCE = "away_since"  # a fact: milliseconds since 1970
_WANTED = Statement("SELECT target_id, wanted FROM target_states")
_CURRENT = Statement("SELECT v.number FROM deployments d JOIN revisions v ON v.id = d.revision_id WHERE d.id = :id")
_RUNNING = "JOIN revisions v ON v.id = d.revision_id"
_FACTS = text(
    "SELECT m.sha256, m.size, m.facts FROM modules m WHERE m.sha256 IN"
    f" (SELECT v.module_sha256 FROM deployments d {_RUNNING} WHERE d.target_id = :target)"
).columns(facts=JSON())
_IMAGES = Statement(
    f"SELECT DISTINCT m.repository_id, m.digest FROM deployments d {_RUNNING}"
    " JOIN manifests m ON m.repository_id = v.repository_id"
    " AND m.digest = COALESCE(v.image_digest, v.manifest_digest) WHERE d.target_id = :target"
)
_PUBLIC = Statement(
    "SELECT r.id FROM repositories r WHERE r.visibility = 'public' AND r.id IN"
    f" (SELECT v.repository_id FROM deployments d {_RUNNING} WHERE d.target_id = :target)"
)


@dataclass(frozen=True)
class TargetSeen:
    """How a target stands: `reached` or `away`, or `new` before the first pass."""

    status: str
    message: str
    facts: dict[str, Any] | None
    checked_at: int | None


def wanted_passes(session: Session) -> dict[int, int]:
    """The targets that the hub reaches out to, by id; the number moves on with each command on one."""
    return {row[0]: row[1] for row in _WANTED.all(session, {})}


def running_facts(session: Session, target_id: int) -> dict[str, Facts]:
    """What is known of the modules that a target is to run, by their sha256."""
    return {row[0]: Facts(*row) for row in session.execute(_FACTS, {"target": target_id})}


def running_images(session: Session, target_id: int) -> set[tuple[int, str]]:
    """The images that a target is to run and that are still there: repository and digest."""
    return {(row[0], row[1]) for row in _IMAGES.all(session, {"target": target_id})}


def running_public(session: Session, target_id: int) -> set[int]:
    """The repositories of what a target is to run that anybody may read."""
    return {row[0] for row in _PUBLIC.all(session, {"target": target_id})}


def target_seen(session: Session, target_id: int) -> TargetSeen | None:
    """How a target stands; None for one that the hub does not reach out to."""
    row = session.get(TargetState, target_id)
    return None if row is None else TargetSeen(row.status, row.message, row.facts, row.checked_at)


def target_name(session: Session, target_id: int) -> str | None:
    """The name of a target."""
    found: str | None = session.execute(select(Target.name).where(col(Target.id) == target_id)).scalar_one_or_none()
    return found


def save_target_seen(database: Database, target_id: int, seen: TargetSeen, *, done: int | None) -> None:
    """Keeps how a target stands, and since when it is away; `done` is the number of the pass that was whole."""
    with database.write(beside=True) as session:
        row = session.get(TargetState, target_id)
        if row is None:
            return
        since = (row.facts or {}).get(AWAY_SINCE, seen.checked_at)
        row.status, row.message, row.checked_at = seen.status, seen.message, seen.checked_at
        row.facts = {AWAY_SINCE: since} if seen.status == AWAY else None
        if done is not None:
            row.done = done


def save_deployments_seen(database: Database, found: Sequence[tuple[DeploymentRow, DeploymentSeen]]) -> None:
    """Keeps what a pass found of deployments as they were read before it; nothing of those that are gone.

    If one was changed meanwhile, this says nothing of what it is now: then it is kept as something of the past.
    """
    with database.write(beside=True) as session:
        for deployment, seen in sorted(found, key=lambda one: one[0].id):  # in one order, so that no two wait in a ring
            number = _CURRENT.first(session, {"id": deployment.id})
            if number is None:
                continue
            same = number[0] == deployment.current.number
            kept = seen if same else replace(seen, changed_at=0)
            session.merge(DeploymentState(deployment_id=deployment.id, **vars(kept)))


def forget_ended(database: Database, deployment_id: int) -> None:
    """Removes a deployment that was undeployed and has no object left, unless it was deployed again meanwhile."""
    with database.write() as session:
        row = session.get(Deployment, deployment_id)
        if row is None or row.ended_at is None:
            return
        target = session.get(Target, row.target_id)
        name, detail = (target.name if target else "", {"after": now() - row.ended_at})
        session.execute(delete(Deployment).where(col(Deployment.id) == deployment_id))
        namespace_id = target.namespace_id if target else None
        record(session, SYSTEM, "deployment.gone", f"{name}/{row.name}", namespace_id=namespace_id, detail=detail)
