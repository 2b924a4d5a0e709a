"""Grants: a role on one repository for a single person, or for everybody in a team."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete
from sqlalchemy.orm import Session as OrmSession
from sqlmodel import col, select

from storage.database import Conflict, Database, now
from storage.events import Actor, record
from storage.namespaces import NamespaceRow
from storage.people_tables import Grant
from storage.statements import Statement
from storage.tables import Repository

ROLES = ("reader", "writer", "maintainer")
MOST = 1000  # on one repository; a team is the better way to many people

_LIST = Statement(
    "SELECT n.name, n.kind, g.role, g.created_at FROM grants g"
    " JOIN namespaces n ON (n.user_id = g.user_id AND n.kind = 'user') OR (n.team_id = g.team_id AND n.kind = 'team')"
    " WHERE g.repository_id = :repo ORDER BY n.name"
)
_COUNT = Statement("SELECT count(*) FROM grants WHERE repository_id = :repo")


@dataclass(frozen=True)
class GrantRow:
    """A role on a repository and who has it."""

    name: str  # of the user or team
    kind: str  # user | team
    role: str
    created_at: int


def grants(session: OrmSession, repository_id: int) -> list[GrantRow]:
    """Who has a role on the repository besides those who own it, by name."""
    return [GrantRow(*row) for row in _LIST.all(session, {"repo": repository_id})]


def give_grant(database: Database, actor: Actor, repository_id: int, to: NamespaceRow, role: str) -> None:
    """Gives a user or a team a role on a repository. Raises Conflict if it is gone or has MOST already."""
    with database.write() as session:
        repository = _repository(session, repository_id)
        row = session.execute(select(Grant).where(*_of(repository_id, to))).scalar_one_or_none()
        before = row.role if row is not None else None
        if before == role:
            return
        if row is not None:
            row.role = role
        elif _COUNT.value(session, {"repo": repository_id}) >= MOST:
            raise Conflict(f"{repository.name} is shared with {MOST} already; make a team of them")
        else:
            session.add(
                Grant(
                    repository_id=repository_id,
                    user_id=to.user_id if to.kind == "user" else None,
                    team_id=to.team_id if to.kind == "team" else None,
                    role=role,
                    created_at=now(),
                )
            )
        repository.generation += 1
        detail = {"to": to.name, "role": role, "before": before}
        record(session, actor, "grant.set", repository.name, repository_id=repository_id, detail=detail)


def take_grant(database: Database, actor: Actor, repository_id: int, back_from: NamespaceRow) -> None:
    """Takes a role on a repository back; one that is not there is none of anybody's trouble. Raises Conflict."""
    with database.write() as session:
        repository = _repository(session, repository_id)
        taken = session.execute(delete(Grant).where(*_of(repository_id, back_from)).returning(col(Grant.role))).all()
        if not taken:
            return
        repository.generation += 1
        detail = {"from": back_from.name, "role": taken[0][0]}
        record(session, actor, "grant.remove", repository.name, repository_id=repository_id, detail=detail)


def _repository(session: OrmSession, repository_id: int) -> Repository:
    repository = session.get(Repository, repository_id)
    if repository is None:
        raise Conflict("the repository was removed meanwhile")
    return repository


def _of(repository_id: int, who: NamespaceRow) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    holder = col(Grant.user_id) == who.user_id if who.kind == "user" else col(Grant.team_id) == who.team_id
    return col(Grant.repository_id) == repository_id, holder
