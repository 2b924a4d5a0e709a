"""Namespaces: the one list of names of users, teams and plain namespaces, and who owns what lies under them."""

import re
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session as OrmSession
from sqlmodel import col, select

from storage.database import Conflict, Database, now
from storage.events import Actor, record
from storage.people_tables import Namespace, Team
from storage.scopes import Scopes
from storage.statements import Statement

LONGEST = 64
# The grammar of the first component of a repository's name (OCI distribution specification, "Pulling manifests").
_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
# First path parts that the hub answers itself stay free, so that a page `/<namespace>` can come without a renaming;
# the words that events and settings use for who is not a person must never be a person. `library` is not here: only
# Docker Hub's clients give it a meaning, and only for Docker Hub.
_PATHS = {"api", "assets", "static", "modules", "v1", "v2", "v3", "r", "token", "healthz", "readyz", "metrics", "docs"}
_PAGES = {"search", "settings", "account", "sign-in", "sign-out", "targets", "deployments", "teams", "users", "new"}
_PAGES |= {
    "sign-up",
    "invitations",
    "password-reset",
    "site",
    "t",
    "u",
    "permissions",
    "device",
    "device_authorization",
    "revoke",
}
_WORDS = {"admins", "anonymous", "everyone", "nobody", "system", "node", "robot", "namespaces"}
RESERVED = frozenset(_PATHS | _PAGES | _WORDS)
DELETED = "deleted"  # the visibility of what belongs to a team that was deleted and may still be restored


# What was granted to a team is for its people: a robot has its role in the team's own.
# The asker's role in the team that owns namespace n, and (as a number) the highest that was granted on repository r.
_MEMBER = "LEFT JOIN memberships m ON m.team_id = n.team_id AND m.user_id = :user"
_RANKS = {1: "reader", 2: "writer", 3: "maintainer"}
_GRANTED = """(SELECT MAX(CASE g.role WHEN 'maintainer' THEN 3 WHEN 'writer' THEN 2 ELSE 1 END) FROM grants g
    WHERE g.repository_id = r.id AND (g.user_id = :user OR EXISTS (SELECT 1 FROM memberships t
    JOIN teams w ON w.id = t.team_id AND w.deleted_at IS NULL WHERE t.team_id = g.team_id AND t.user_id = :user
    AND NOT EXISTS (SELECT 1 FROM robots b WHERE b.user_id = t.user_id))))"""
_REPOSITORY = Statement(
    f"SELECT n.id, r.name, n.user_id, m.role, {_GRANTED}, r.id, r.visibility"
    f" FROM repositories r JOIN namespaces n ON n.id = r.namespace_id {_MEMBER} WHERE r.name = :name"
)
_NAMESPACE = Statement(
    "SELECT n.id, n.name, n.user_id, m.role, NULL, NULL,"
    " CASE WHEN w.deleted_at IS NULL THEN 'private' ELSE 'deleted' END"
    f" FROM namespaces n LEFT JOIN teams w ON w.id = n.team_id {_MEMBER} WHERE n.name = :name AND n.kind <> 'robot'"
)
_HOLDS = col(Namespace.kind) != "robot"
_NEW_NAME = Statement("SELECT n.name FROM aliases a JOIN namespaces n ON n.id = a.namespace_id WHERE a.name = :name")


class InvalidName(ValueError):
    """A name that nobody can have; the text says why."""


@dataclass(frozen=True)
class NamespaceRow:
    """A namespace and its owner: a user, a team, or (plain, with neither) administrators alone."""

    id: int
    name: str
    kind: str  # user | team | plain
    user_id: int | None
    team_id: int | None


@dataclass(frozen=True)
class Holding:
    """Who holds a repository's name: the repository if it is there, else the namespace that it would be made in.

    `roles` are the asker's, by the team that owns it and by grants.
    """

    namespace_id: int
    name: str  # as it is now; it may have been asked for by an old one
    owner_user_id: int | None
    roles: frozenset[str] = frozenset()
    repository_id: int | None = None  # None: there is no such repository
    visibility: str = "private"


def name_problem(name: str) -> str | None:
    """Why nobody can take this name, as a sentence; None if it is free to be taken."""
    if not well_formed(name):
        return (
            f"{name[:LONGEST]!r} is not a valid name: use lower-case letters and digits, joined by single dots, dashes"
            f" or underscores, at most {LONGEST} characters"
        )
    if name in RESERVED:
        return f"the name {name!r} is reserved for the hub itself; choose another"
    return None


def well_formed(name: str) -> bool:
    """Whether a name is of the form that all names have."""
    return 0 < len(name) <= LONGEST and _NAME.fullmatch(name) is not None


def find_namespace(session: OrmSession, which: str | int) -> NamespaceRow | None:
    """The namespace of that name, or of that id. What a robot is called is none."""
    column = Namespace.name if isinstance(which, str) else Namespace.id
    row = session.execute(select(Namespace).where(col(column) == which, _HOLDS)).scalar_one_or_none()
    return None if row is None else _row(row)


def find_holder(session: OrmSession, name: str, *, deleted: bool = False) -> NamespaceRow | None:
    """The user or the team of that name, or of that old name; a team that was deleted only if that is asked for."""
    found = find_namespace(session, new_name(session, name) or name)
    if found is None or found.kind == "plain":
        return None
    if deleted:
        return found
    held = find_namespace_holding(session, found.name, None)
    return found if held is not None and held.visibility != DELETED else None


def namespaces(session: OrmSession, *, after: str = "", limit: int = 1000) -> list[NamespaceRow]:
    """The namespaces whose name comes after `after`, in order of name."""
    query = select(Namespace).where(col(Namespace.name) > after, _HOLDS).order_by(col(Namespace.name)).limit(limit)
    return [_row(row) for row in session.execute(query).scalars()]


def find_holding(session: OrmSession, repository: str, user_id: int | None) -> Holding | None:
    """Who holds this repository name, whether or not the repository is there; None if not even its namespace is.

    `user_id` is who asks. A name that begins with an old one of a namespace is taken for the new one.
    """
    there = _REPOSITORY.first(session, {"name": repository, "user": user_id})
    if there is not None:
        return _holding(there)
    first = repository.partition("/")[0]
    namespace = _NAMESPACE.first(session, {"name": first, "user": user_id})
    if namespace is not None:
        return replace(_holding(namespace), name=repository)
    renamed = new_name(session, repository)
    return find_holding(session, renamed, user_id) if renamed is not None else None


def find_namespace_holding(session: OrmSession, name: str, user_id: int | None) -> Holding | None:
    """Who holds a namespace, by its name or an old one; None if there is none."""
    found = _NAMESPACE.first(session, {"name": new_name(session, name) or name, "user": user_id})
    return None if found is None else _holding(found)


def new_name(session: OrmSession, name: str) -> str | None:
    """What a name is now (a namespace's or a repository's) that begins with an old one; None if it does not."""
    first, slash, rest = name.partition("/")
    found = _NEW_NAME.value(session, {"name": first})
    return None if found is None else f"{found}{slash}{rest}"


def present_scopes(session: OrmSession, scopes: Scopes | None) -> Scopes | None:
    """The scopes with the names of today: those that begin with an old name would cover nothing."""
    if scopes is None:
        return None
    firsts = {scope.name.partition("/")[0] for scope in scopes if "/" in scope.name and scope.kind == "repository"}
    for old in sorted(firsts):
        new = new_name(session, old)
        if new is not None:
            scopes = tuple(scope.renamed(old, new) for scope in scopes)
    return scopes


def add_namespace(
    session: OrmSession,
    actor: Actor,
    name: str,
    *,
    kind: str = "plain",
    user_id: int | None = None,
    team_id: int | None = None,
) -> int:
    """Makes a namespace as part of a larger command, with its event; answers its id.

    Raises InvalidName for what `name_problem` objects to and Conflict for a name that is taken.
    """
    refuse_taken(session, name)
    row = Namespace(name=name, kind=kind, user_id=user_id, team_id=team_id, created_at=now())
    session.add(row)
    session.flush()
    record(session, actor, "namespace.create", name, team_id=team_id, detail={"kind": kind})
    return row.id


def create_namespace(
    database: Database, actor: Actor, name: str, *, user_id: int | None = None, exist_ok: bool = False
) -> int:
    """Makes a plain namespace, owned by a user or by administrators alone; answers its id. Raises as `add_namespace`.

    With `exist_ok` one that the same user has already is left as it is and its id answered: two pushes make it at once.
    """
    with database.write() as session:
        there = find_namespace(session, name) if exist_ok else None
        if there is not None and there.user_id == user_id:
            return there.id
        return add_namespace(session, actor, name, user_id=user_id)


def refuse_taken(session: OrmSession, name: str) -> None:
    """Raises InvalidName for a name that nobody can have, and Conflict for one that somebody has or had."""
    problem = name_problem(name)
    if problem is not None:
        raise InvalidName(problem)
    if find_namespace(session, name) is not None:
        raise Conflict(f"the name {name!r} is taken")
    if new_name(session, name) is not None:
        raise Conflict(f"the name {name!r} is taken: it is an old name that still answers")


def refuse_deleted(session: OrmSession, team_id: int | None) -> None:
    """Raises Conflict for a team that was deleted after the look at somebody's rights: nothing is made in it."""
    team = session.get(Team, team_id) if team_id is not None else None
    if team is not None and team.deleted_at is not None:
        raise Conflict("the team was deleted meanwhile")


def _holding(row: Any) -> Holding:
    namespace_id, name, owner, member, granted, repository_id, visibility = row
    roles = frozenset({member, _RANKS.get(granted)} - {None})
    return Holding(namespace_id, name, owner, roles, None if visibility == DELETED else repository_id, visibility)


def _row(row: Namespace) -> NamespaceRow:
    return NamespaceRow(row.id, row.name, row.kind, row.user_id, row.team_id)
