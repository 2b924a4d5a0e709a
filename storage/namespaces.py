"""Namespaces: the one list of names of users, teams and plain namespaces, and who owns what lies under them."""

import re
from dataclasses import dataclass

from sqlalchemy.orm import Session as OrmSession
from sqlmodel import col, select

from storage.database import Conflict, Database, now
from storage.events import Actor, record
from storage.statements import Statement
from storage.tables import Namespace

LONGEST = 64
# The grammar of the first component of a repository's name (OCI distribution specification, "Pulling manifests").
_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
# First path parts that the hub answers itself stay free, so that a page `/<namespace>` can come without a renaming;
# the words that events and settings use for who is not a person must never be a person. `library` is not here: only
# Docker Hub's clients give it a meaning, and only for Docker Hub.
_PATHS = {"api", "assets", "static", "modules", "v1", "v2", "v3", "r", "token", "healthz", "readyz", "metrics", "docs"}
_PAGES = {"search", "settings", "account", "sign-in", "sign-out", "targets", "deployments", "teams", "users", "new"}
_PAGES |= {"permissions"}
_WORDS = {"admins", "anonymous", "everyone", "nobody", "system", "node", "robot", "namespaces"}
RESERVED = frozenset(_PATHS | _PAGES | _WORDS)


_REPOSITORY = Statement(
    "SELECT n.id, n.user_id, n.team_id, r.id, r.visibility, r.generation"
    " FROM repositories r JOIN namespaces n ON n.id = r.namespace_id WHERE r.name = :name"
)
_NAMESPACE = Statement("SELECT id, user_id, team_id FROM namespaces WHERE name = :name")


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
    """Who holds a repository's name: the repository if it is there, else the namespace that it would be made in."""

    namespace_id: int
    owner_user_id: int | None
    owner_team_id: int | None
    repository_id: int | None = None  # None: there is no such repository
    visibility: str = "private"
    generation: int = 0


def name_problem(name: str) -> str | None:
    """Why nobody can take this name, as a sentence; None if it is free to be taken."""
    if not 0 < len(name) <= LONGEST or not _NAME.fullmatch(name):
        return (
            f"{name[:LONGEST]!r} is not a valid name: use lower-case letters and digits, joined by single dots, dashes"
            f" or underscores, at most {LONGEST} characters"
        )
    if name in RESERVED:
        return f"the name {name!r} is reserved for the hub itself; choose another"
    return None


def find_namespace(session: OrmSession, name: str) -> NamespaceRow | None:
    """The namespace of that name."""
    row = session.execute(select(Namespace).where(col(Namespace.name) == name)).scalar_one_or_none()
    return None if row is None else _row(row)


def namespaces(session: OrmSession, *, after: str = "", limit: int = 1000) -> list[NamespaceRow]:
    """The namespaces whose name comes after `after`, in order of name."""
    query = select(Namespace).where(col(Namespace.name) > after).order_by(col(Namespace.name)).limit(limit)
    return [_row(row) for row in session.execute(query).scalars()]


def find_holding(session: OrmSession, repository: str) -> Holding | None:
    """Who holds this repository name, whether or not the repository is there; None if not even its namespace is."""
    there = _REPOSITORY.first(session, {"name": repository})
    if there is not None:
        return Holding(*there)
    namespace = _NAMESPACE.first(session, {"name": repository.partition("/")[0]})
    return None if namespace is None else Holding(*namespace)


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
    problem = name_problem(name)
    if problem is not None:
        raise InvalidName(problem)
    if find_namespace(session, name) is not None:
        raise Conflict(f"the name {name!r} is taken")
    row = Namespace(name=name, kind=kind, user_id=user_id, team_id=team_id, created_at=now())
    session.add(row)
    session.flush()
    record(session, actor, "namespace.create", name, detail={"kind": kind})
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


def _row(row: Namespace) -> NamespaceRow:
    return NamespaceRow(row.id, row.name, row.kind, row.user_id, row.team_id)
