"""Deployment sets as they are read."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session
from sqlmodel import col, select

from storage.repositories import OWNS, Viewer
from storage.set_tables import SetEvent

RUNNING, PAUSED, HALTED, STOPPED = "running", "paused", "halted", "stopped"
BACK, DONE, ABORTED = "rolled-back", "done", "aborted"
OPEN = (RUNNING, PAUSED)
KEPT_SET_REVISIONS = 20  # of each set, for rollback
SHOWN_EVENTS = 1000


@dataclass(frozen=True)
class SetRow:
    """A set with its newest revision, and how far that has come."""

    id: int
    namespace_id: int
    namespace: str
    name: str
    created_at: int
    leaving_at: int | None
    number: int
    action: str
    spec: dict[str, Any]
    state: str
    wave: int
    step: int
    baking_since: int | None
    why: str
    asked_by_id: int | None
    asked_by: str | None
    scopes: list[str] | None
    revised_at: int
    ended_at: int | None

    @property
    def full_name(self) -> str:
        """As people write it."""
        return f"{self.namespace}/{self.name}"

    @property
    def waves(self) -> int:
        """How many there are."""
        return max((int(one["wave"]) for one in self.spec["members"]), default=0)


@dataclass(frozen=True)
class MemberRow:
    """A deployment of a set; the columns say what each thing is."""

    id: int
    target_id: int
    target: str
    name: str
    deployment_id: int | None
    wave: int
    position: int
    wanted: bool
    carries: int
    given: int
    moved: bool
    before: int | None
    carried: int

    @property
    def full_name(self) -> str:
        """As people write it."""
        return f"{self.target}/{self.name}"


@dataclass(frozen=True)
class SetRevisionRow:
    """A revision of a set, and what became of it."""

    number: int
    action: str
    spec: dict[str, Any]
    state: str
    why: str
    asked_by: str | None
    created_at: int
    ended_at: int | None


@dataclass(frozen=True)
class SetEventRow:
    """One line of a timeline."""

    id: int
    revision: int
    at: int
    kind: str
    wave: int
    message: str


_BY = "LEFT JOIN namespaces u ON u.user_id = v.asked_by AND u.kind IN ('user', 'robot')"
_ROWS = (
    "SELECT s.id, s.namespace_id, n.name, s.name, s.created_at, s.leaving_at, v.number, v.action, v.spec, v.state,"
    " v.wave, v.step, v.baking_since, v.why, v.asked_by, u.name, v.scopes, v.created_at, v.ended_at"
    " FROM deployment_sets s JOIN namespaces n ON n.id = s.namespace_id JOIN set_revisions v ON v.set_id = s.id"
    f" AND v.number = (SELECT max(w.number) FROM set_revisions w WHERE w.set_id = s.id) {_BY}"
)
_ONE = text(f"{_ROWS} WHERE s.id = :id")
_NAMED = text(f"{_ROWS} WHERE s.namespace_id = :namespace AND s.name = :name")
_WATCHED = text(f"{_ROWS} WHERE s.leaving_at IS NOT NULL OR v.ended_at IS NULL ORDER BY s.id")
_SEEN = text(
    f"{_ROWS} WHERE (:sees_all OR (CAST(:viewer AS BIGINT) IS NOT NULL AND {OWNS}))"
    " AND (n.name > :space OR (n.name = :space AND s.name > :name)) ORDER BY n.name, s.name LIMIT :limit"
)
_ANY = text(
    "SELECT 1 FROM set_revisions WHERE ended_at IS NULL"
    " UNION ALL SELECT 1 FROM deployment_sets WHERE leaving_at IS NOT NULL LIMIT 1"
)
_MEMBERS = text(
    "SELECT m.id, m.target_id, t.name, m.name, m.deployment_id, m.wave, m.position, m.wanted, m.carries, m.given,"
    " m.moved, m.before, m.carried FROM set_members m JOIN targets t ON t.id = m.target_id"
    " WHERE m.set_id = :id ORDER BY m.wave, m.position, m.id"
)
_REVISIONS = text(
    "SELECT v.number, v.action, v.spec, v.state, v.why, u.name, v.created_at, v.ended_at"
    f" FROM set_revisions v {_BY} WHERE v.set_id = :id ORDER BY v.number DESC"
)
_CLAIMED = text("SELECT m.set_id FROM set_members m WHERE m.target_id = :target AND m.name = :name")


def find_set(session: Session, set_id: int) -> SetRow | None:
    """The set of that id."""
    found = session.execute(_ONE, {"id": set_id}).first()
    return _row(found) if found else None


def find_set_named(session: Session, namespace_id: int, name: str) -> SetRow | None:
    """The set of that name in the namespace."""
    found = session.execute(_NAMED, {"namespace": namespace_id, "name": name}).first()
    return _row(found) if found else None


def any_watched_set(session: Session) -> bool:
    """Whether there is anything to look after."""
    return session.execute(_ANY).first() is not None


def watched_sets(session: Session) -> list[SetRow]:
    """Those that are under way, there or back, and those that are being taken away."""
    return [_row(found) for found in session.execute(_WATCHED)]


def seen_sets(session: Session, viewer: Viewer, after: tuple[str, str], limit: int) -> list[SetRow]:
    """The sets of the viewer's namespaces, by namespace and name, after one; whatever their targets are."""
    space, name = after
    asked = {"sees_all": viewer.sees_all, "viewer": viewer.user_id, "space": space, "name": name, "limit": limit}
    return [_row(found) for found in session.execute(_SEEN, asked)]


def set_members(session: Session, set_id: int) -> list[MemberRow]:
    """A set's deployments in the order of its waves."""
    found = [[*row] for row in session.execute(_MEMBERS, {"id": set_id})]
    for row in found:
        row[7], row[10] = bool(row[7]), bool(row[10])
    return [MemberRow(*row) for row in found]


def set_revisions(session: Session, set_id: int) -> list[SetRevisionRow]:
    """A set's revisions that are kept, newest first."""
    found = session.execute(_REVISIONS, {"id": set_id})
    return [SetRevisionRow(row[0], row[1], _json(row[2]), *row[3:]) for row in found]


def claiming_set(session: Session, target_id: int, name: str) -> int | None:
    """The id of the set that has a deployment of that name on the target, made or yet to be made."""
    found = session.execute(_CLAIMED, {"target": target_id, "name": name}).first()
    return found[0] if found else None


def set_events(session: Session, set_id: int, *, after: int = 0) -> list[SetEventRow]:
    """The newest lines of a set's timeline, oldest first, from the line after that one."""
    query = select(SetEvent).where(col(SetEvent.set_id) == set_id, col(SetEvent.id) > after)
    newest: Sequence[SetEvent] = [
        *session.execute(query.order_by(col(SetEvent.id).desc()).limit(SHOWN_EVENTS)).scalars()
    ]
    return [SetEventRow(one.id, one.revision, one.at, one.kind, one.wave, one.message) for one in reversed(newest)]


def _row(found: Any) -> SetRow:
    values = [*found]
    values[8], values[16] = _json(values[8]), _json(values[16])
    return SetRow(*values)


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
