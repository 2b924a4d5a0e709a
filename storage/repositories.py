"""Repositories: finding them, making them at the first push, listing those that somebody may see."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.orm import Session

from storage.database import Conflict, Database, now
from storage.events import Actor, record
from storage.namespaces import DELETED, new_name, refuse_deleted
from storage.people_tables import Namespace, Team
from storage.scopes import Scopes, spans
from storage.search import index_words
from storage.statements import Statement
from storage.tables import Repository
from storage.usage import UNLIMITED, Meter


@dataclass(frozen=True)
class Viewer:
    """Whose eyes a list is for: the same facts that permissions ask of an identity, as SQL needs them."""

    user_id: int | None = None
    sees_all: bool = False
    scopes: Scopes | None = None  # of the token that the viewer came with; None: it is not narrowed

    def parameters(self, kind: str = "repository") -> dict[str, Any]:
        """The values for `visible` and, for things of this kind, `within_scopes`."""
        values: dict[str, Any] = {"sees_all": self.sees_all, "viewer": self.user_id}
        for number, (before, upto) in enumerate(self.spans(kind) or ()):
            values |= {f"before{number}": before, f"upto{number}": upto}
        return values

    def spans(self, kind: str) -> list[tuple[str, str]] | None:
        """Where the names lie that the token is for, as storage.scopes has them; None: everywhere."""
        return None if self.scopes is None else spans(self.scopes, kind)


# Over repositories r joined with namespaces n.
OWNS = """(n.user_id = :viewer
    OR EXISTS (SELECT 1 FROM memberships o WHERE o.team_id = n.team_id AND o.user_id = :viewer))"""
_GRANTED = """SELECT g.repository_id FROM grants g WHERE g.user_id = :viewer
    UNION SELECT g.repository_id FROM memberships s JOIN teams w ON w.id = s.team_id AND w.deleted_at IS NULL
    JOIN grants g ON g.team_id = s.team_id WHERE s.user_id = :viewer
    AND NOT EXISTS (SELECT 1 FROM robots b WHERE b.user_id = s.user_id)"""
_VISIBLE = f"""(r.visibility <> 'deleted' AND (:sees_all OR r.visibility = 'public'
    OR (CAST(:viewer AS BIGINT) IS NOT NULL
        AND (r.visibility = 'internal' OR {OWNS} OR r.id IN ({_GRANTED})))))"""
_FROM = "FROM repositories r JOIN namespaces n ON n.id = r.namespace_id"
_NAMED_HOLDER = f"""SELECT 1 {_FROM}
    JOIN repository_blobs rb ON rb.repository_id = r.id
    JOIN blobs b ON b.id = rb.blob_id
    WHERE b.digest = :digest AND r.name IN :names AND {{}} LIMIT 1"""
HOLDERS_ASKED = 200  # of the repositories that hold a blob; a push without a mount costs no more than its upload
_ANY_HOLDER = f"""SELECT 1 FROM
    (SELECT rb.repository_id FROM blobs b JOIN repository_blobs rb ON rb.blob_id = b.id
     WHERE b.digest = :digest LIMIT {HOLDERS_ASKED}) AS h
    JOIN repositories r ON r.id = h.repository_id JOIN namespaces n ON n.id = r.namespace_id WHERE {{}} LIMIT 1"""


def visible(viewer: Viewer) -> str:
    """The condition, over repositories r joined with namespaces n, that the viewer may pull: auth.permissions in SQL.

    Its values are the viewer's `parameters`.
    """
    if viewer.scopes is None:
        return _VISIBLE
    return f"(r.visibility = 'public' OR ({within_scopes(viewer, 'repository', 'r')} AND {_VISIBLE}))"


def within_scopes(viewer: Viewer, kind: str, table: str) -> str:
    """The condition that the viewer's token is for the things of this kind in that table."""
    found = viewer.spans(kind)
    if found is None:
        return "TRUE"
    each = (f"({table}.name > :before{number} AND {table}.name <= :upto{number})" for number in range(len(found)))
    return f"({' OR '.join(each) or 'FALSE'})"


def make_repository(database: Database, name: str, namespace_id: int, actor: Actor, meter: Meter = UNLIMITED) -> int:
    """The id of the repository of that name, made now if it is not there, as visible as its team's usually are.

    Raises Conflict if its namespace is gone, and OverQuota if that may have no further one.
    """
    with database.write() as session:
        existing = session.execute(text("SELECT id FROM repositories WHERE name = :name"), {"name": name}).scalar()
        if existing is not None:
            return int(existing)
        namespace = session.get(Namespace, namespace_id)
        if namespace is None:
            raise Conflict(f"the namespace of {name} was removed meanwhile")
        refuse_deleted(session, namespace.team_id)
        meter.refuse_another(session, namespace_id)
        team = session.get(Team, namespace.team_id) if namespace.team_id is not None else None
        visibility = team.default_visibility if team is not None else "private"
        repository = Repository(namespace_id=namespace_id, name=name, visibility=visibility, created_at=now())
        session.add(repository)
        session.flush()
        index_words(session, repository.id)
        record(session, actor, "repository.create", name, repository_id=repository.id)
        return repository.id


class VisiblePages:
    """Pages of the repositories that a viewer may pull, bytewise by name. `columns` are those of r, the name first.

    One query for each reason to see a repository, each along its own index. Together they say what `visible` says, but
    cost what they find: one condition with OR would walk over all that the viewer may not see. For a narrowed token
    they are asked for each of the spans that it is for.
    """

    def __init__(self, columns: str) -> None:
        self._everywhere = _Pages(columns, "")
        self._in_span = _Pages(columns, "r.name <= :upto AND ")

    def read(self, session: Session, viewer: Viewer, *, last: str, limit: int) -> list[Any]:
        """Rows after the name `last`, at most `limit`."""
        asked = {"last": last, "limit": limit}
        spans_of_token = viewer.spans("repository")
        if spans_of_token is None:
            rows = self._everywhere.read(session, viewer, asked)
        else:
            rows = self._everywhere.public.all(session, asked) + self._narrowed(session, viewer, spans_of_token, asked)
        found = {row[0]: row for row in rows}
        return [found[name] for name in sorted(found)[:limit]]

    def _narrowed(
        self, session: Session, viewer: Viewer, spans_of_token: list[tuple[str, str]], asked: dict[str, Any]
    ) -> list[Any]:
        """What lies in one span after the other, until it fills a page."""
        found: dict[str, Any] = {}
        for before, upto in spans_of_token:
            if len(found) >= asked["limit"]:
                break
            if upto > asked["last"]:
                span = {**asked, "last": max(before, asked["last"]), "upto": upto}
                found |= {row[0]: row for row in self._in_span.read(session, viewer, span)}
        return list(found.values())


class _Pages:
    """The queries of VisiblePages; `bound` ends them where a span does."""

    def __init__(self, columns: str, bound: str) -> None:
        page = f"SELECT {columns} FROM repositories r WHERE {{}}{bound}r.name > :last ORDER BY r.name LIMIT :limit"
        self._all = Statement(page.format("r.visibility <> 'deleted' AND "))
        self.public = Statement(page.format("r.visibility = 'public' AND "))
        self._internal = Statement(page.format("r.visibility = 'internal' AND "))
        self._of_one = Statement(page.format("r.namespace_id = :namespace AND "))
        self._granted = Statement(page.format(f"r.id IN ({_GRANTED}) AND r.visibility <> 'deleted' AND "))

    def read(self, session: Session, viewer: Viewer, asked: dict[str, Any]) -> list[Any]:
        """Rows that the viewer's own rights show, some of them several times: the first `limit` are among them."""
        if viewer.sees_all:
            return self._all.all(session, asked)
        rows = self.public.all(session, asked)
        if viewer.user_id is not None:
            rows += self._internal.all(session, asked) + self._owned(session, viewer, asked)
            rows += self._granted.all(session, {**asked, "viewer": viewer.user_id})
        return rows

    def _owned(self, session: Session, viewer: Viewer, asked: dict[str, Any]) -> list[Any]:
        """Those in namespaces of the viewer and of their teams, one namespace after the other: names begin with it."""
        rows: list[Any] = []
        limit = asked["limit"]
        for _, namespace in _OWNED.all(session, {"viewer": viewer.user_id, "last": asked["last"], "limit": limit}):
            if len(rows) >= limit:
                break
            rows += self._of_one.all(session, {**asked, "limit": limit - len(rows), "namespace": namespace})
        return rows


# Namespaces of the viewer's that hold something after `last`, in the order of what they hold: a slash after each name.
_OWNED = Statement(
    """SELECT n.name || '/', n.id FROM
    (SELECT id FROM namespaces WHERE user_id = :viewer UNION
     SELECT o.id FROM memberships m JOIN teams w ON w.id = m.team_id AND w.deleted_at IS NULL
     JOIN namespaces o ON o.team_id = m.team_id WHERE m.user_id = :viewer) AS found
    JOIN namespaces n ON n.id = found.id
    WHERE EXISTS (SELECT 1 FROM repositories r WHERE r.namespace_id = n.id AND r.name > :last)
    ORDER BY 1 LIMIT :limit"""
)
_NAMES = VisiblePages("r.name")


def list_names(session: Session, viewer: Viewer, *, last: str, limit: int) -> list[str]:
    """Names of repositories that the viewer may pull, bytewise after `last`, at most `limit`."""
    return [row[0] for row in _NAMES.read(session, viewer, last=last, limit=limit)]


def can_read_blob(session: Session, viewer: Viewer, digest: str, among: tuple[str, ...] | None) -> bool:
    """Whether a repository that the viewer may pull holds the blob; `among` these names only, unless None.

    Without names this looks at HOLDERS_ASKED of those that hold it, and may miss one that the viewer may pull.
    """
    asked: dict[str, Any] = {"digest": digest, **viewer.parameters()}
    if among is None:
        return session.execute(text(_ANY_HOLDER.format(visible(viewer))), asked).first() is not None
    names = [*among, *(name for one in among if (name := new_name(session, one)))]
    query = text(_NAMED_HOLDER.format(visible(viewer))).bindparams(bindparam("names", expanding=True))
    return session.execute(query, {**asked, "names": names or [""]}).first() is not None


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
        if row is None or row.visibility == DELETED:
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
