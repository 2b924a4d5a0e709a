"""What every command on a deployment set is made of: its row, if it still is as it was, its members, its timeline."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, update
from sqlalchemy.orm import Session
from sqlmodel import col

from storage.database import Conflict, now
from storage.events import Actor, record
from storage.set_rows import SetRow, find_set
from storage.set_tables import SetEvent, SetMember, SetRevision


@dataclass(frozen=True)
class SetLine:
    """A line for the timeline; `wave` is which it is about, where that is not the one that begins."""

    kind: str
    message: str
    wave: int | None = None


class MovedOn(Conflict):
    """Somebody has changed the set since it was read."""


def step_on(session: Session, before: SetRow, values: Mapping[str, Any], *, state: str) -> None:
    """Changes the newest revision's row if it still is as it was. Raises MovedOn."""
    same = (
        col(SetRevision.set_id) == before.id,
        col(SetRevision.number) == before.number,
        col(SetRevision.step) == before.step,
        col(SetRevision.state) == state,
    )
    query = update(SetRevision).where(*same).values(step=before.step + 1, **values)
    if session.execute(query).rowcount != 1:  # type: ignore[attr-defined]
        raise MovedOn(f"the set {before.full_name} has moved on")


def change_member(session: Session, member_id: int, **values: Any) -> None:
    """Changes a member's row."""
    session.execute(update(SetMember).where(col(SetMember.id) == member_id).values(**values))


def add_line(session: Session, row: SetRow, wave: int, kind: str, message: str) -> None:
    """Adds a line to the timeline."""
    session.add(SetEvent(set_id=row.id, revision=row.number, at=now(), kind=kind, wave=wave, message=message))


def record_set(session: Session, actor: Actor, action: str, row: SetRow, detail: dict[str, Any]) -> None:
    """Writes an event about a set."""
    said = {"revision": row.number, **detail}
    record(session, actor, action, row.full_name, namespace_id=row.namespace_id, detail=said)


def set_again(session: Session, set_id: int) -> SetRow:
    """The set as it is by now, within its transaction."""
    session.flush()
    found = find_set(session, set_id)
    assert found is not None
    return found


def forget_gone(session: Session, set_id: int) -> None:
    """Drops what a set has no more and what is no more."""
    theirs = (col(SetMember.set_id) == set_id, col(SetMember.wanted).is_(False))
    session.execute(delete(SetMember).where(*theirs, col(SetMember.deployment_id).is_(None)))


def state_of(found: SetRow | None) -> str:
    """How a set stands that may be gone, in words."""
    if found is None:
        return "gone"
    return "being taken away" if found.leaving_at is not None else found.state
