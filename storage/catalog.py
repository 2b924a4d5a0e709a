"""The catalog: repositories as people find them, their versions, and what each version's module says.

Lists go page by page along an index, so that a page costs the same however much lies before and behind it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from storage.finding import Finder
from storage.repositories import Viewer, VisiblePages
from storage.versions import rank

COUNTED = 1000  # versions are counted up to here
ANNOTATIONS_SHOWN = 300_000  # characters of a manifest's annotations; longer ones would fill memory by the page


@dataclass(frozen=True)
class ModuleView:
    """What is known about the module in a manifest. `facts` is the JSON of proxywasm's ModuleFacts."""

    state: str  # pending | module | no-module | failed
    format: str | None = None
    sha256: str | None = None
    size: int | None = None  # of the module, bytes
    reason: str | None = None  # why it failed
    facts: dict[str, Any] | None = None
    layer: str | None = None  # digest of the layer that holds it
    wrapping: str | None = None  # how it lies in that layer: raw, tar+gzip, ...


@dataclass(frozen=True)
class Version:
    """A manifest as people see it: under a tag, or by its digest alone (`tag` is None)."""

    manifest_id: int
    tag: str | None
    digest: str
    media_type: str
    size: int  # of everything that a pull fetches, bytes
    pushed_at: int
    pushed_by: str | None
    annotations: dict[str, Any]
    reading: ModuleView

    @property
    def cursor(self) -> str:
        """Where a list of versions goes on after this one."""
        return f"{self.pushed_at}.{self.tag}"


@dataclass(frozen=True)
class Entry:
    """A repository in a list, with its newest version."""

    id: int
    name: str
    visibility: str
    description: str
    created_at: int
    pushed_at: int | None
    newest: Version | None


_ENTRY = "r.name, r.id, r.visibility, r.description, r.created_at, r.pushed_at"
_PAGES = VisiblePages(_ENTRY)
_FOUND = Finder(_ENTRY)

_VERSION = f"""SELECT {{tag}} AS tag, {{time}} AS pushed_at, m.id, m.digest, m.media_type,
    CASE WHEN LENGTH(CAST(m.annotations AS TEXT)) <= {ANNOTATIONS_SHOWN} THEN m.annotations END AS annotations,
    LENGTH(m.content) + CAST(COALESCE((SELECT SUM(l.size) FROM links l
        WHERE l.manifest_id = m.id AND l.kind = 'blob'), 0) AS BIGINT) AS size,
    EXISTS (SELECT 1 FROM links l WHERE l.manifest_id = m.id AND l.kind = 'manifest') AS lists,
    i.state, i.format, i.module_sha256, i.reason, i.blob_digest, i.wrapping,
    x.size AS module_size, x.facts, n.name AS pushed_by
    FROM {{source}} LEFT JOIN inspections i ON i.manifest_id = m.id
    LEFT JOIN modules x ON x.sha256 = i.module_sha256
    LEFT JOIN namespaces n ON n.user_id = {{by}} AND n.kind IN ('user', 'robot') WHERE {{where}}"""
_TAGGED = {
    "tag": "t.name",
    "time": "t.updated_at",
    "by": "t.updated_by",
    "source": "tags t JOIN manifests m ON m.id = t.manifest_id",
}
_BARE = {"tag": "NULL", "time": "m.created_at", "by": "m.pushed_by", "source": "manifests m"}
_BY_TAG = text(_VERSION.format(where="t.repository_id = :repo AND t.name = :reference", **_TAGGED))
_BY_DIGEST = text(_VERSION.format(where="m.repository_id = :repo AND m.digest = :reference", **_BARE))
_NEWEST_FIRST = " ORDER BY t.rank DESC, t.updated_at DESC, t.name DESC LIMIT :limit"
_FIRST = text(_VERSION.format(where="t.repository_id = :repo AND t.rank > ''", **_TAGGED) + _NEWEST_FIRST)
_AFTER = text(
    _VERSION.format(
        where="t.repository_id = :repo AND t.rank > '' AND (t.rank, t.updated_at, t.name) < (:rank, :at, :name)",
        **_TAGGED,
    )
    + _NEWEST_FIRST
)
# What was pushed by digest alone: no tag points to it, no index lists it, and it says nothing about another manifest.
_UNTAGGED = text(
    _VERSION.format(
        where="m.repository_id = :repo AND m.subject IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM tags t WHERE t.manifest_id = m.id)"
        " AND NOT EXISTS (SELECT 1 FROM links l WHERE l.repository_id = m.repository_id AND l.digest = m.digest"
        " AND l.kind = 'manifest')",
        **_BARE,
    )
    + " ORDER BY m.id DESC LIMIT :limit"
)
_CHILDREN = text(
    _VERSION.format(
        where="m.id IN (SELECT c.id FROM links l JOIN manifests c ON c.repository_id = :repo AND c.digest = l.digest"
        " WHERE l.manifest_id = :id AND l.kind = 'manifest')",
        **_BARE,
    )
    + " ORDER BY CASE i.state WHEN 'module' THEN 0 WHEN 'pending' THEN 1 WHEN 'failed' THEN 2 ELSE 3 END, m.id LIMIT 1"
)
_COUNT = text(
    "SELECT count(*) FROM (SELECT 1 FROM tags WHERE repository_id = :repo AND rank > '' LIMIT :limit) AS counted"
)
_TAGS_OF = text("SELECT name FROM tags WHERE manifest_id = :id AND rank > '' ORDER BY rank DESC, name LIMIT :limit")


def list_repositories(
    session: Session, viewer: Viewer, *, words: Sequence[str] = (), last: str = "", limit: int
) -> list[Entry]:
    """Repositories that the viewer may pull and that hold all the words, bytewise by name after `last`.

    The cost is that of the page; storage.finding says what more some words cost.
    """
    if words:
        rows = _FOUND.read(session, viewer, words, last=last, limit=limit)
    else:
        rows = _PAGES.read(session, viewer, last=last, limit=limit)
    return [_entry(session, row) for row in rows]


def find_entry(session: Session, name: str) -> Entry | None:
    """The repository of that whole name, with its newest version."""
    found = session.execute(text(f"SELECT {_ENTRY} FROM repositories r WHERE r.name = :name"), {"name": name}).first()
    return _entry(session, found) if found else None


def list_versions(session: Session, repository_id: int, *, after: str = "", limit: int) -> list[Version]:
    """Versions newest first (semantic versions before other tags), after the cursor of one of them.

    Raises ValueError for what is no cursor.
    """
    if not after:
        rows = session.execute(_FIRST, {"repo": repository_id, "limit": limit})
    else:
        moment, dot, tag = after.partition(".")
        if not dot or not moment.isascii() or not moment.isdigit() or len(moment) > 15:
            raise ValueError(f"{after[:50]!r} is no place in a list of versions")
        asked = {"repo": repository_id, "limit": limit, "rank": rank(tag), "at": int(moment), "name": tag}
        rows = session.execute(_AFTER, asked)
    return [_version(session, repository_id, row) for row in rows]


def list_untagged(session: Session, repository_id: int, *, limit: int) -> list[Version]:
    """Manifests without a tag, newest first. For repositories without versions: it walks over tagged ones."""
    rows = session.execute(_UNTAGGED, {"repo": repository_id, "limit": limit})
    return [_version(session, repository_id, row) for row in rows]


def find_version(session: Session, repository_id: int, reference: str) -> Version | None:
    """The version of that tag or digest."""
    query = _BY_DIGEST if ":" in reference else _BY_TAG
    row = session.execute(query, {"repo": repository_id, "reference": reference}).first()
    return _version(session, repository_id, row) if row else None


def count_versions(session: Session, repository_id: int) -> int:
    """How many versions there are; more than COUNTED count as COUNTED + 1."""
    found: int = session.execute(_COUNT, {"repo": repository_id, "limit": COUNTED + 1}).scalar_one()
    return found


def tags_of(session: Session, manifest_id: int, *, limit: int) -> list[str]:
    """Tags that point to a manifest, newest version first."""
    return list(session.execute(_TAGS_OF, {"id": manifest_id, "limit": limit}).scalars())


def _entry(session: Session, row: Sequence[Any]) -> Entry:
    name, repository_id, visibility, description, created_at, pushed_at = row
    newest = _newest(session, repository_id)
    return Entry(repository_id, name, visibility, description, created_at, pushed_at, newest)


def _newest(session: Session, repository_id: int) -> Version | None:
    """The newest version; of a repository without versions the newest manifest, if there is one."""
    found = list_versions(session, repository_id, limit=1) or list_untagged(session, repository_id, limit=1)
    return found[0] if found else None


def _version(session: Session, repository_id: int, row: Row[Any]) -> Version:
    """A row as a version. An index shows what the first module says that it lists."""
    told = row
    if row.lists:
        told = session.execute(_CHILDREN, {"repo": repository_id, "id": row.id}).first() or row
    reading = ModuleView(
        told.state or "no-module",
        told.format,
        told.module_sha256,
        told.module_size,
        told.reason,
        _json(told.facts),
        told.blob_digest,
        told.wrapping,
    )
    size = row.size if told is row else row.size + told.size
    annotations = {**(_json(told.annotations) or {}), **(_json(row.annotations) or {})}
    return Version(
        row.id, row.tag, row.digest, row.media_type, size, row.pushed_at, row.pushed_by, annotations, reading
    )


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
