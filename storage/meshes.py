"""How targets stand that the hub writes objects to, and their deployments: what is due, and what a pass has found."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, delete, text
from sqlalchemy.orm import Session
from sqlmodel import col

from storage.database import Database, now
from storage.deployments import DeploymentRow, DeploymentSeen, json_of
from storage.events import SYSTEM, record
from storage.modules import Facts
from storage.statements import Statement
from storage.tables import Deployment, Target

AWAY = "away"  # the status of a target that the last pass did not get through to
AWAY_SINCE = "away_since"  # a fact: milliseconds since 1970
_WANTED = Statement("SELECT target_id, wanted FROM target_states")
_TARGET = Statement("SELECT status, message, facts, checked_at FROM target_states WHERE target_id = :target")
_SAVE_TARGET = Statement(
    "UPDATE target_states SET status = :status, message = :message, facts = :facts, checked_at = :at"
    " WHERE target_id = :target"
)
_DONE = Statement("UPDATE target_states SET done = :done WHERE target_id = :target")
_CURRENT = Statement(
    "SELECT d.id, v.number FROM deployments d JOIN revisions v ON v.id = d.revision_id WHERE d.target_id = :target"
)
_SEEN = ("revision", "status", "message", "detail", "objects", "applied_at", "changed_at")
_SAVE_DEPLOYMENT = Statement(
    f"INSERT INTO deployment_states (deployment_id, {', '.join(_SEEN)})"
    f" VALUES (:id, {', '.join(f':{name}' for name in _SEEN)}) ON CONFLICT (deployment_id)"
    f" DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _SEEN)}"
)
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
    row = _TARGET.first(session, {"target": target_id})
    return None if row is None else TargetSeen(row[0], row[1], json_of(row[2]), row[3])


def save_target_seen(database: Database, target_id: int, seen: TargetSeen, *, done: int | None) -> None:
    """Keeps how a target stands, and since when it is away; `done` is the number of the pass that was whole."""
    with database.write(beside=True) as session:
        row = _TARGET.first(session, {"target": target_id})
        if row is None:
            return
        since = (json_of(row[2]) or {}).get(AWAY_SINCE, seen.checked_at)
        facts = json.dumps({AWAY_SINCE: since}) if seen.status == AWAY else None
        kept = {"status": seen.status, "message": seen.message, "facts": facts, "at": seen.checked_at}
        _SAVE_TARGET.run(session, {**kept, "target": target_id})
        if done is not None:
            _DONE.run(session, {"target": target_id, "done": done})


def save_deployments_seen(database: Database, found: Sequence[tuple[DeploymentRow, DeploymentSeen]]) -> None:
    """Keeps what a pass found of deployments of one target as they were read before it; nothing of those that are gone.

    If one was changed meanwhile, this says nothing of what it is now: then it is kept as something of the past.
    """
    if not found:
        return
    with database.write(beside=True) as session:
        numbers = dict(_CURRENT.all(session, {"target": found[0][0].target_id}))
        kept = []
        for deployment, seen in sorted(found, key=lambda one: one[0].id):  # in one order, so that no two wait in a ring
            if deployment.id in numbers:
                same = numbers[deployment.id] == deployment.current.number
                kept.append({**vars(seen), "id": deployment.id, **({} if same else {"changed_at": 0})})
        for one in kept:
            one |= {name: None if one[name] is None else json.dumps(one[name]) for name in ("detail", "objects")}
        _SAVE_DEPLOYMENT.run_each(session, kept)


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
