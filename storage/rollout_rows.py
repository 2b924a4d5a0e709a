"""Staged rollouts as they are read, and how one begins beside its revision."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session
from sqlmodel import col, select

from storage.database import Conflict, now
from storage.rollout_tables import Rollout, RolloutEvent

RUNNING, PAUSED, HALTED = "running", "paused", "halted"
BACK, DONE, ABORTED = "rolled-back", "done", "aborted"
OPEN = (RUNNING, PAUSED)
NOTHING = 0  # the revision before a first one
SHOWN_EVENTS = 1000  # lines of a timeline: a rollout has a hundred, but may be paused and resumed for ever
KEPT_ROLLOUTS = 20  # of each deployment


class BesideRollout(Conflict):
    """Another revision of the deployment is on its way to its nodes."""


@dataclass(frozen=True)
class NewRollout:
    """How a revision is to reach the nodes."""

    waves: tuple[int, ...]  # shares of the nodes in percent, rising to 100
    bake: int  # milliseconds
    limits: Mapping[str, float]


@dataclass(frozen=True)
class RolloutRow:
    """A rollout with the names of what it is about."""

    id: int
    deployment_id: int
    from_revision: int
    to_revision: int
    waves: tuple[int, ...]
    bake: int
    limits: dict[str, Any]
    state: str
    wave: int
    cut: int
    baking_since: int | None
    back_revision: int | None
    why: str
    created_at: int
    ended_at: int | None
    target_id: int
    target: str
    deployment: str
    slot: int | None
    created_by: str | None


@dataclass(frozen=True)
class RolloutEventRow:
    """One line of a timeline."""

    id: int
    at: int
    kind: str
    wave: int
    message: str
    figures: dict[str, Any] | None


@dataclass(frozen=True)
class FiguresRow:
    """What one node counted during one wave."""

    node: str
    wave: int
    changed: bool
    figures: dict[str, Any]
    at: int


_ROWS = (
    "SELECT o.id, o.deployment_id, o.from_revision, o.to_revision, o.waves, o.bake, o.limits, o.state, o.wave, o.cut,"
    " o.baking_since, o.back_revision, o.why, o.created_at, o.ended_at, d.target_id, t.name, d.name, d.slot, u.name"
    " FROM rollouts o JOIN deployments d ON d.id = o.deployment_id JOIN targets t ON t.id = d.target_id"
    " LEFT JOIN namespaces u ON u.user_id = o.created_by AND u.kind IN ('user', 'robot')"
)
_ONE = text(f"{_ROWS} WHERE o.id = :id")
_WATCHED = text(f"{_ROWS} WHERE o.ended_at IS NULL ORDER BY o.id")
_OF_TARGET = text(f"{_ROWS} WHERE d.target_id = :target ORDER BY o.id DESC LIMIT :limit")
_OF_DEPLOYMENT = text(f"{_ROWS} WHERE o.deployment_id = :deployment ORDER BY o.id DESC")
_NEWEST = text(
    "SELECT o.id, o.state, (SELECT max(e.id) FROM rollout_events e WHERE e.rollout_id = o.id) FROM rollouts o"
    " WHERE o.deployment_id = :deployment ORDER BY o.id DESC LIMIT 1"
)
_ANY = text("SELECT 1 FROM rollouts WHERE ended_at IS NULL LIMIT 1")
_FIGURES = text(
    "SELECT n.name, f.wave, f.changed, f.figures, f.at FROM rollout_figures f JOIN nodes n ON n.id = f.node_id"
    " WHERE f.rollout_id = :id"
)
_FORGET = text(
    "DELETE FROM rollouts WHERE deployment_id = :deployment AND ended_at IS NOT NULL AND id NOT IN"
    " (SELECT id FROM rollouts WHERE deployment_id = :deployment ORDER BY id DESC LIMIT :kept)"
)


def find_rollout(session: Session, rollout_id: int) -> RolloutRow | None:
    """The rollout with that number."""
    found = session.execute(_ONE, {"id": rollout_id}).first()
    return _row(found) if found else None


def any_watched(session: Session) -> bool:
    """Whether there is anything to look after."""
    return session.execute(_ANY).first() is not None


def watched_rollouts(session: Session) -> list[RolloutRow]:
    """Those that are under way, and those whose nodes are on their way back."""
    return [_row(found) for found in session.execute(_WATCHED)]


def target_rollouts(session: Session, target_id: int, *, limit: int = 100) -> list[RolloutRow]:
    """A target's rollouts, newest first."""
    return [_row(found) for found in session.execute(_OF_TARGET, {"target": target_id, "limit": limit})]


def deployment_rollouts(session: Session, deployment_id: int) -> list[RolloutRow]:
    """A deployment's rollouts, newest first, as many as are kept."""
    return [_row(found) for found in session.execute(_OF_DEPLOYMENT, {"deployment": deployment_id})]


def newest_rollout(session: Session, deployment_id: int) -> dict[str, Any] | None:
    """Of a deployment's newest rollout as much as changes with each step: `id`, `state`, and its newest `event`."""
    found = session.execute(_NEWEST, {"deployment": deployment_id}).first()
    return dict(zip(("id", "state", "event"), found, strict=True)) if found else None


def rollout_events(session: Session, rollout_id: int, *, after: int = 0) -> list[RolloutEventRow]:
    """The newest lines of a rollout's timeline, oldest first, from the line after that one."""
    query = select(RolloutEvent).where(col(RolloutEvent.rollout_id) == rollout_id, col(RolloutEvent.id) > after)
    newest = session.execute(query.order_by(col(RolloutEvent.id).desc()).limit(SHOWN_EVENTS)).scalars()
    found = reversed([*newest])
    return [RolloutEventRow(one.id, one.at, one.kind, one.wave, one.message, one.figures) for one in found]


def rollout_figures(session: Session, rollout_id: int) -> list[FiguresRow]:
    """What its nodes have counted."""
    found = session.execute(_FIGURES, {"id": rollout_id})
    return [FiguresRow(name, wave, bool(changed), as_json(figures), at) for name, wave, changed, figures, at in found]


def begin_rollout(
    session: Session, deployment_id: int, rollout: NewRollout, before: int, number: int, user_id: int | None
) -> int:
    """Writes the rollout of a revision within the transaction that makes it.

    `before` is the revision until now, or NOTHING.
    """
    row = Rollout(
        deployment_id=deployment_id,
        from_revision=before,
        to_revision=number,
        waves=list(rollout.waves),
        bake=rollout.bake,
        limits=dict(rollout.limits),
        state=RUNNING,
        created_by=user_id,
        created_at=now(),
    )
    session.add(row)
    session.flush()
    shares = ", ".join(f"{share}%" for share in rollout.waves)
    what = f"revision {number}" if before else f"revision {number}, before which nothing ran,"
    message = f"{what} goes out in waves of {shares}, each watched for {rollout.bake / 1000:g} s"
    add_event(session, row.id, "started", 0, message)
    session.execute(_FORGET, {"deployment": deployment_id, "kept": KEPT_ROLLOUTS})
    return row.id


def refuse_beside_rollout(session: Session, deployment_id: int, name: str) -> None:
    """Raises BesideRollout while another revision of the deployment is on its way to its nodes."""
    query = select(Rollout).where(col(Rollout.deployment_id) == deployment_id, col(Rollout.state).in_(OPEN))
    found = session.execute(query).scalars().first()
    if found is not None:
        raise BesideRollout(
            f"revision {found.to_revision} of {name} is being rolled out (rollout {found.id}, {found.state}): wait"
            f" until that is done, or abort it: `wasmhub rollout abort {found.id}`"
        )


def add_event(
    session: Session, rollout_id: int, kind: str, wave: int, message: str, figures: dict[str, Any] | None = None
) -> None:
    """Adds a line to the timeline."""
    session.add(RolloutEvent(rollout_id=rollout_id, at=now(), kind=kind, wave=wave, message=message, figures=figures))


def _row(found: Any) -> RolloutRow:
    values = [*found]
    values[4] = tuple(as_json(values[4]))  # the waves
    values[6] = as_json(values[6])  # the limits
    return RolloutRow(*values)


def as_json(value: Any) -> Any:
    """A JSON column of a statement in text, which one driver reads and the other hands over as it is."""
    return json.loads(value) if isinstance(value, str) else value
