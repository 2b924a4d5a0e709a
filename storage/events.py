"""Events: who did what, written in the same transaction as what was done."""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session as OrmSession

from storage.database import now
from storage.statements import Statement


@dataclass(frozen=True)
class Actor:
    """Who gives a command, as its event row will name them."""

    kind: str  # user | robot | anonymous | system | node
    id: int | None
    name: str
    address: str = ""


SYSTEM = Actor("system", None, "system")
_RECORD = Statement(
    "INSERT INTO events (at, actor_kind, actor_id, actor_name, address, action, subject, repository_id, detail)"
    " VALUES (:at, :kind, :id, :name, :address, :action, :subject, :repo, :detail)"
)


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
    written = None if detail is None else json.dumps(detail)
    said = {"at": now(), "action": action, "subject": subject, "repo": repository_id, "detail": written}
    who = {"kind": actor.kind, "id": actor.id, "name": actor.name, "address": actor.address}
    _RECORD.run(session, {**said, **who})
