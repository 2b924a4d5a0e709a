"""Repositories: finding them, making them at the first push, listing those that somebody may see."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.orm import Session

from storage.database import Conflict, Database, now
from storage.events import Actor, record
from storage.search import index_words
from storage.tables import Namespace, Repository


@dataclass(frozen=True)
class Viewer:
    """Whose eyes a list is for: the same facts that permissions ask of an identity, as SQL needs them."""

    user_id: int | None = None
    team_ids: tuple[int, ...] = ()
    sees_all: bool = False

    def parameters(self) -> dict[str, Any]:
        """The values for VISIBLE."""
        return {"sees_all": self.sees_all, "viewer": self.user_id, "teams": self.team_ids or (0,)}


# The condition, over repositories r joined with namespaces n, that the viewer may pull: auth.permissions in SQL.
VISIBLE = """(:sees_all OR r.visibility = 'public'
    OR (:viewer IS NOT NULL AND (r.visibility = 'internal' OR n.user_id = :viewer OR n.team_id IN :teams)))"""
_FROM = "FROM repositories r JOIN namespaces n ON n.id = r.namespace_id"
_NAMES = text(f"SELECT r.name {_FROM} WHERE r.name > :last AND {VISIBLE} ORDER BY r.name LIMIT :limit").bindparams(
    bindparam("teams", expanding=True)
)
_HOLDER = text(
    f"""SELECT 1 {_FROM}
    JOIN repository_blobs rb ON rb.repository_id = r.id
    JOIN blobs b ON b.id = rb.blob_id
    WHERE b.digest = :digest AND (:any OR r.name IN :names) AND {VISIBLE} LIMIT 1"""
).bindparams(bindparam("teams", expanding=True), bindparam("names", expanding=True))


def make_repository(database: Database, name: str, namespace_id: int, actor: Actor) -> int:
    """The id of the repository of that name, made now (private) if it is not there.

    Raises Conflict if its namespace is gone.
    """
    with database.write() as session:
        existing = session.execute(text("SELECT id FROM repositories WHERE name = :name"), {"name": name}).scalar()
        if existing is not None:
            return int(existing)
        if session.get(Namespace, namespace_id) is None:
            raise Conflict(f"the namespace of {name} was removed meanwhile")
        repository = Repository(namespace_id=namespace_id, name=name, created_at=now())
        session.add(repository)
        session.flush()
        index_words(session, repository.id)
        record(session, actor, "repository.create", name, repository_id=repository.id)
        return repository.id


def list_names(session: Session, viewer: Viewer, *, last: str, limit: int) -> list[str]:
    """Names of repositories that the viewer may pull, bytewise after `last`, at most `limit`."""
    found = session.execute(_NAMES, {"last": last, "limit": limit, **viewer.parameters()})
    return [row[0] for row in found]


def can_read_blob(session: Session, viewer: Viewer, digest: str, among: tuple[str, ...] | None) -> bool:
    """Whether a repository that the viewer may pull holds the blob; `among` these names only, unless None."""
    asked = {"digest": digest, "any": among is None, "names": among or ("",), **viewer.parameters()}
    return session.execute(_HOLDER, asked).first() is not None


def configure_repository(
    database: Database,
    repository_id: int,
    actor: Actor,
    *,
    visibility: str | None = None,
    description: str | None = None,
) -> None:
    """Changes who sees a repository and what it says of itself; None leaves a thing. Raises Conflict if it is gone."""
    with database.write() as session:
        row = session.get(Repository, repository_id)
        if row is None:
            raise Conflict("the repository was removed meanwhile")
        detail: dict[str, Any] = {}
        if visibility is not None and visibility != row.visibility:
            detail["visibility"] = [row.visibility, visibility]
            row.visibility = visibility
            row.generation += 1
        if description is not None and description != row.description:
            detail["description"] = description
            row.description = description
        if not detail:
            return
        session.flush()
        index_words(session, repository_id)
        record(session, actor, "repository.configure", row.name, repository_id=repository_id, detail=detail)
