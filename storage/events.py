"""Events: who did what, written in the same transaction as what was done."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session as OrmSession

from storage.database import now
from storage.tables import Event


@dataclass(frozen=True)
class Actor:
    """Who gives a command, as its event row will name them."""

    kind: str  # user | robot | anonymous | system | node
    id: int | None
    name: str
    address: str = ""


SYSTEM = Actor("system", None, "system")


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
    session.add(
        Event(
            at=now(),
            actor_kind=actor.kind,
            actor_id=actor.id,
            actor_name=actor.name,
            address=actor.address,
            action=action,
            subject=subject,
            repository_id=repository_id,
            detail=detail,
        )
    )
