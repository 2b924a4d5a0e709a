"""Staged rollouts: every step that one takes, and the way back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session
from sqlmodel import col

from storage.database import Conflict, Database, now
from storage.deployments import add_revision, again, revisions
from storage.events import SYSTEM, Actor, record
from storage.followings import settle_taken_back
from storage.mesh_tables import DeploymentState
from storage.rollout_rows import (
    ABORTED,
    BACK,
    DONE,
    HALTED,
    NOTHING,
    OPEN,
    PAUSED,
    RUNNING,
    RolloutRow,
    add_event,
    as_json,
    find_rollout,
)
from storage.rollout_tables import Rollout
from storage.statements import Statement
from storage.tables import Deployment
from storage.targets import namespace_of_target

# What each node of the target has counted in a wave with the revision before and with the new one; both may be none.
_KNOWN = Statement(
    "SELECT n.id, f.figures, g.figures FROM rollouts o JOIN deployments d ON d.id = o.deployment_id"
    " JOIN nodes n ON n.target_id = d.target_id"
    " LEFT JOIN rollout_figures f ON f.rollout_id = o.id AND f.node_id = n.id AND f.wave = :wave AND NOT f.changed"
    " LEFT JOIN rollout_figures g ON g.rollout_id = o.id AND g.node_id = n.id AND g.wave = :wave AND g.changed"
    " WHERE o.id = :rollout"
)
MOST_MANAGERS = 16  # names that one node's figures keep
_LOCK = Statement("SELECT id FROM rollouts WHERE id = :id", lock="FOR NO KEY UPDATE")  # replicas take turns
_ADD = Statement(
    "INSERT INTO rollout_figures (rollout_id, node_id, wave, changed, figures, at)"
    " VALUES (:rollout_id, :node_id, :wave, :changed, :figures, :at)"
    " ON CONFLICT (rollout_id, node_id, wave, changed) DO UPDATE SET figures = excluded.figures, at = excluded.at"
)


@dataclass(frozen=True)
class Line:
    """A line for the timeline; `wave` is which it is about, where that is not the one that begins."""

    kind: str
    message: str
    figures: dict[str, Any] | None = None
    wave: int | None = None


@dataclass(frozen=True)
class Counted:
    """What a node has counted since this was last written down."""

    rollout_id: int
    node_id: int
    wave: int
    changed: bool
    figures: Mapping[str, Any]


def move_rollout(
    database: Database, before: RolloutRow, *, wave: int, cut: int, baking_since: int | None, lines: Sequence[Line]
) -> bool:
    """Takes a rollout that runs a step on, unless somebody else has changed it meanwhile: then False.

    Bookkeeping: what a person asked for, and how it ended, are events.
    """
    with database.write(beside=True) as session:
        values = {"wave": wave, "cut": max(cut, before.cut), "baking_since": baking_since}
        if not _change(session, before, values):
            return False
        for line in lines:
            _write(session, before.id, wave, line)
        return True


def finish_rollout(database: Database, before: RolloutRow, message: str, lines: Sequence[Line] = ()) -> bool:
    """Notes that every node has the revision, or that every node is back. False: somebody has changed it meanwhile."""
    state = DONE if before.state == RUNNING else BACK
    with database.write(beside=True) as session:
        if not _change(session, before, {"state": state, "ended_at": now()}):
            return False
        for line in (*lines, Line(state, message)):
            _write(session, before.id, before.wave, line)
        _record(session, SYSTEM, "rollout.done" if state == DONE else "rollout.back", before, {})
        return True


def pause_rollout(database: Database, actor: Actor, rollout: RolloutRow) -> RolloutRow:
    """Keeps the nodes as they are until it is resumed. Raises Conflict if it does not run."""
    return _turn(database, actor, rollout, "pause", RUNNING, PAUSED)


def resume_rollout(database: Database, actor: Actor, rollout: RolloutRow) -> RolloutRow:
    """Goes on with what was paused. Raises Conflict if it is not."""
    return _turn(database, actor, rollout, "resume", PAUSED, RUNNING)


def take_back_rollout(
    database: Database, actor: Actor, rollout_id: int, why: str, figures: dict[str, Any] | None = None
) -> RolloutRow:
    """Ends a rollout and runs the revision before it everywhere, as a new one, in one step; of a first one, nothing.

    By the hub itself it is halted, by anybody else aborted. Raises Conflict if it is over already.
    """
    with database.write() as session:
        return end_rollout(session, actor, rollout_id, why, figures)


def end_rollout(
    session: Session, actor: Actor, rollout_id: int, why: str, figures: dict[str, Any] | None = None
) -> RolloutRow:
    """Takes a rollout back within a larger command, as `take_back_rollout` does."""
    found = find_rollout(session, rollout_id)
    if found is None or found.state not in OPEN:
        raise Conflict(f"rollout {rollout_id} is over: {found.state if found else 'it is gone'}")
    deployment = session.get_one(Deployment, found.deployment_id)
    kept = {one.number: one for one in revisions(session, deployment.id)}
    if found.from_revision == NOTHING:
        number, action, back = None, "deployment.undeploy", kept[found.to_revision]
        _leave_nothing(session, found, why)
    else:
        action, back = "deployment.rollback", kept[found.from_revision]
        number = add_revision(session, actor, deployment, again(back))
    itself = actor.kind == SYSTEM.kind
    state, kind = (HALTED, "rollout.halt") if itself else (ABORTED, "rollout.abort")
    values = {"state": state, "why": why, "back_revision": number, "ended_at": None if itself else now()}
    _change(session, found, values)
    add_event(session, found.id, state, found.wave, why, figures)
    settle_taken_back(session, deployment.id, found.id, kept[found.to_revision].action, why)
    detail = {"why": why, "back": number, "wave": found.wave}
    _record(session, actor, kind, found, detail | ({"figures": figures} if figures else {}))
    said = {"revision": number or back.number, "manifest": back.manifest_digest, "order": back.order}
    _record(session, actor, action, found, {**said, "rollout": found.id})
    return _again(session, found.id)


def _leave_nothing(session: Session, rollout: RolloutRow, why: str) -> None:
    """Takes a first deployment from its slot. Its row stays, for who wants to know why, until it is undeployed."""
    gone = update(Deployment).where(col(Deployment.id) == rollout.deployment_id).values(slot=None, ended_at=now())
    session.execute(gone)
    state = DeploymentState(
        deployment_id=rollout.deployment_id,
        revision=NOTHING,
        status="stalled",
        message=f"{why}; rollout {rollout.id} took revision {rollout.to_revision} back, and nothing of it runs: deploy"
        " it anew, or undeploy it",
        detail={"rollout": rollout.id},
        changed_at=now(),
    )
    session.merge(state)


def add_figures(database: Database, counted: Sequence[Counted]) -> None:
    """Adds to what nodes have counted; what is of rollouts or nodes that are gone is dropped. Bookkeeping: no event."""
    with database.write(beside=True) as session:
        there: dict[tuple[int, int, int, bool], Any] = {}
        for rollout_id, wave in {(one.rollout_id, one.wave) for one in counted}:
            if not _LOCK.all(session, {"id": rollout_id}):
                continue
            for node_id, *known in _KNOWN.all(session, {"rollout": rollout_id, "wave": wave}):
                for changed, figures in zip((False, True), known, strict=True):
                    there[rollout_id, node_id, wave, changed] = as_json(figures)
        rows = []
        for one in counted:
            key = (one.rollout_id, one.node_id, one.wave, one.changed)
            if key not in there:
                continue  # the node, or the rollout, is gone
            figures = one.figures if there[key] is None else added(there[key], one.figures)
            kept = dict(islice(figures["managers"].items(), MOST_MANAGERS))  # a node that comes anew may name others
            figures = there[key] = {**figures, "managers": kept}
            rows.append({**_key(key), "figures": json.dumps(figures), "at": now()})
        _ADD.run_each(session, rows)


def added(one: Any, other: Any) -> Any:
    """The sum of two JSON values of the same shape: numbers, lists and objects of them."""
    if isinstance(one, dict):
        return {
            name: added(one[name], other[name]) if name in one and name in other else one.get(name, other.get(name))
            for name in {**one, **other}
        }
    if isinstance(one, list):
        return [added(left, right) for left, right in zip(one, other, strict=True)]
    return one + other


def _key(key: tuple[int, int, int, bool]) -> dict[str, Any]:
    return dict(zip(("rollout_id", "node_id", "wave", "changed"), key, strict=True))


def _turn(database: Database, actor: Actor, rollout: RolloutRow, verb: str, before: str, after: str) -> RolloutRow:
    with database.write() as session:
        found = find_rollout(session, rollout.id)
        if found is None or found.state != before:
            state = found.state if found else "gone"
            raise Conflict(f"rollout {rollout.id} is {state}, and only one that is {before} can be {verb}d")
        _change(session, found, {"state": after})
        add_event(session, found.id, f"{verb}d", found.wave, f"{verb}d by {actor.name}")
        _record(session, actor, f"rollout.{verb}", found, {"wave": found.wave})
        return _again(session, found.id)


def _write(session: Session, rollout_id: int, wave: int, line: Line) -> None:
    about = wave if line.wave is None else line.wave
    add_event(session, rollout_id, line.kind, about, line.message, line.figures)


def _change(session: Session, before: RolloutRow, values: Mapping[str, Any]) -> bool:
    """Changes the row if it still is as it was."""
    same = (
        col(Rollout.id) == before.id,
        col(Rollout.state) == before.state,
        col(Rollout.wave) == before.wave,
        col(Rollout.cut) == before.cut,
    )
    changed: int = session.execute(update(Rollout).where(*same).values(**values)).rowcount  # type: ignore[attr-defined]
    return changed == 1


def _record(session: Session, actor: Actor, action: str, rollout: RolloutRow, detail: dict[str, Any]) -> None:
    place = namespace_of_target(session, rollout.target_id)
    said = {"rollout": rollout.id, "revision": rollout.to_revision, **detail}
    record(session, actor, action, f"{rollout.target}/{rollout.deployment}", namespace_id=place, detail=said)


def _again(session: Session, rollout_id: int) -> RolloutRow:
    session.flush()
    found = find_rollout(session, rollout_id)
    assert found is not None
    return found
