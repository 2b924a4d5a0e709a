"""Sign-ins as events: who came in by what, and who was refused; how often these are written, auth.sign_ins says."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from storage.database import Database
from storage.events import Actor, record
from storage.namespaces import find_namespace, new_name
from storage.people_tables import Robot
from storage.statements import Statement

_ROBOT = Statement(
    "SELECT n.name, b.team_id FROM namespaces n JOIN robots b ON b.user_id = n.user_id"
    " WHERE n.name = :name AND n.kind = 'robot'"
)


@dataclass(frozen=True)
class Refusal:
    """Attempts to sign in that were refused alike: in the same way, from one network, as the same account."""

    action: str
    reason: str
    address: str  # of the first; empty where they came from many
    name: str  # as it was typed; empty where nobody was named, or many were
    times: int
    since: int  # milliseconds


def record_sign_in(database: Database, actor: Actor, action: str, detail: dict[str, Any]) -> None:
    """Records that somebody came in."""
    with database.write(beside=True) as session:
        robot = session.get(Robot, actor.id) if actor.kind == "robot" else None
        team_id = robot.team_id if robot is not None else None
        record(session, actor, action, actor.name, team_id=team_id, detail=detail)


def record_refusals(database: Database, refusals: Sequence[Refusal]) -> None:
    """Records who was refused.

    A name that is nobody's is left out: people type passwords and e-mail addresses there.
    """
    with database.write(beside=True) as session:
        for one in refusals:
            name, team_id = _account(session, one.name)
            stranger = Actor("anonymous", None, "anonymous", one.address)
            detail = {"reason": one.reason, "times": one.times, "since": one.since}
            record(session, stranger, one.action, name, team_id=team_id, detail=detail, result="refused")


def _account(session: Session, typed: str) -> tuple[str, int | None]:
    """The user or robot of that name and, of a robot, the team; an empty name where there is none."""
    first, joint, rest = typed.partition("+")
    name = f"{new_name(session, first) or first}{joint}{rest}" if typed else ""
    robot = _ROBOT.first(session, {"name": name}) if joint else None
    if robot is not None:
        return robot[0], robot[1]
    found = find_namespace(session, name) if name and not joint else None
    return (name, None) if found is not None and found.kind == "user" else ("", None)
