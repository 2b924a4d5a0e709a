"""Events: who did what, written in the same transaction as what was done."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, bindparam, text
from sqlalchemy.orm import Session as OrmSession

from storage.database import now


@dataclass(frozen=True)
class Actor:
    """Who gives a command, as its event row will name them."""

    kind: str  # user | robot | anonymous | system | node
    id: int | None
    name: str
    address: str = ""


SYSTEM = Actor("system", None, "system")
# Every push writes several events: as text this costs a fraction of what a mapped object would.
_RECORD = text(
    "INSERT INTO events (at, actor_kind, actor_id, actor_name, address, action, subject, repository_id, detail)"
    " VALUES (:at, :kind, :id, :name, :address, :action, :subject, :repo, :detail)"
).bindparams(bindparam("detail", type_=JSON(none_as_null=True)))


def record(
    session: OrmSession,
    actor: Actor,
    action: str,
    subject: str,
    *,
    repository_id: int | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    """Adds the event of a command to its transaction. `action` is noun.verb, `subject` the thing's name."""
    said = {"at": now(), "action": action, "subject": subject, "repo": repository_id, "detail": detail}
    who = {"kind": actor.kind, "id": actor.id, "name": actor.name, "address": actor.address}
    session.execute(_RECORD, {**said, **who})
