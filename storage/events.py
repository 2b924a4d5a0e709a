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
# A team's audit log is one walk along an index, so that each row says whose business it was: of the team that owns the
# repository or namespace, found within the statement itself.
_RECORD = Statement(
    "INSERT INTO events (at, actor_kind, actor_id, actor_name, address, action, subject, repository_id, detail, result,"
    " team_id) VALUES (:at, :kind, :id, :name, :address, :action, :subject, :repo, :detail, :result,"
    " COALESCE(:team, (SELECT n.team_id FROM namespaces n WHERE n.id = COALESCE(:namespace,"
    " (SELECT r.namespace_id FROM repositories r WHERE r.id = :repo)))))"
)


def record(
    session: OrmSession,
    actor: Actor,
    action: str,
    subject: str,
    *,
    repository_id: int | None = None,
    namespace_id: int | None = None,
    team_id: int | None = None,
    detail: dict[str, Any] | None = None,
    result: str = "done",
) -> None:
    """Adds the event of a command to its transaction. `action` is noun.verb, `subject` the thing's name.

    The team whose business it is follows from the first that is given of `team_id`, `namespace_id` and `repository_id`.
    No row holds a secret, a password, an e-mail address, or what people note about one another.
    """
    written = None if detail is None else json.dumps(detail)
    said = {"at": now(), "action": action, "subject": printable(subject), "detail": written, "result": result}
    place = {"repo": repository_id, "namespace": namespace_id, "team": team_id}
    name, address = printable(actor.name), printable(actor.address)
    _RECORD.run(session, {**said, **place, "kind": actor.kind, "id": actor.id, "name": name, "address": address})


def printable(text: str) -> str:
    """The text as one line that moves no cursor and turns no reading direction: other letters are question marks."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in text)
