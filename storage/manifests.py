"""Manifests, their tags, links and referrers: each command one transaction."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import JSON, text
from sqlalchemy.orm import Session

from storage.database import Database, now
from storage.events import Actor, record
from storage.running import deployments_using
from storage.search import index_words, take_turn
from storage.statements import Statement
from storage.usage import give_back
from storage.versions import rank


@dataclass(frozen=True)
class NewManifest:
    """A manifest as pushed, with what was read from its JSON."""

    digest: str
    media_type: str
    content: bytes
    artifact_type: str | None = None
    subject: str | None = None
    annotations: dict[str, Any] | None = None
    blobs: dict[str, int] = field(default_factory=dict)  # digest -> size, of what must be in the repository
    manifests: dict[str, int] = field(default_factory=dict)  # children of an index, which need not be there
    holds_module: bool = False  # whether the reader should look for a module


class MissingBlobs(Exception):
    """The manifest names blobs that the repository does not hold; `digests` lists them."""

    def __init__(self, digests: list[str]) -> None:
        super().__init__(", ".join(digests))
        self.digests = digests


class InUse(Exception):
    """The manifest is used by deployments; `deployments` lists their names."""

    def __init__(self, deployments: list[str]) -> None:
        super().__init__(", ".join(deployments))
        self.deployments = deployments


@dataclass(frozen=True)
class StoredManifest:
    """A manifest as it is served."""

    id: int
    digest: str
    media_type: str
    content: bytes


@dataclass(frozen=True)
class Referrer:
    """What the referrers list says of a manifest."""

    id: int
    digest: str
    media_type: str
    size: int
    artifact_type: str | None
    annotations: dict[str, Any] | None


_BY_TAG = Statement(
    "SELECT m.id, m.digest, m.media_type, m.content FROM tags t JOIN manifests m ON m.id = t.manifest_id"
    " WHERE t.repository_id = :repo AND t.name = :reference"
)
_BY_DIGEST = Statement(
    "SELECT id, digest, media_type, content FROM manifests WHERE repository_id = :repo AND digest = :reference"
)
_CONTENT = Statement("SELECT content FROM manifests WHERE id = :id")
_FIND_ID = Statement("SELECT id FROM manifests WHERE repository_id = :repo AND digest = :digest")
_FEW, _MANY = 8, 500
# By how many digests are asked about at once: what nearly all manifests name, and what the longest are cut into. CROSS
# JOIN has SQLite look up the digests, where it would rather go through all that a repository holds.
_HELD = {
    size: Statement(
        "SELECT b.digest FROM blobs b CROSS JOIN repository_blobs rb"
        " WHERE rb.blob_id = b.id AND rb.repository_id = :repo"
        f" AND b.damaged_at IS NULL AND b.digest IN ({', '.join(f':d{place}' for place in range(size))})"
    )
    for size in (_FEW, _MANY)
}
_ADD = Statement(
    "INSERT INTO manifests (repository_id, digest, media_type, artifact_type, subject, annotations, content, pushed_by,"
    " created_at) VALUES (:repo, :digest, :media_type, :artifact_type, :subject, :annotations, :content, :by, :now)"
    " RETURNING id"
)
_ADD_LINK = Statement(
    "INSERT INTO links (manifest_id, digest, repository_id, kind, size) VALUES (:id, :digest, :repo, :kind, :size)"
)
_ADD_INSPECTION = Statement("INSERT INTO inspections (manifest_id, state, reader_version) VALUES (:id, :state, 0)")
_DELETE = Statement("DELETE FROM manifests WHERE repository_id = :repo AND digest = :digest")
_DELETE_TAG = Statement("DELETE FROM tags WHERE repository_id = :repo AND name = :tag")
_PUSHED = Statement("UPDATE repositories SET pushed_at = :now WHERE id = :repo")
_SET_TAG = Statement(
    "INSERT INTO tags (repository_id, name, rank, manifest_id, updated_by, updated_at)"
    " VALUES (:repo, :name, :rank, :id, :by, :now)"
    " ON CONFLICT (repository_id, name) DO UPDATE SET manifest_id = :id, updated_by = :by, updated_at = :now"
)
_TAGS = Statement("SELECT name FROM tags WHERE repository_id = :repo AND name > :last ORDER BY name LIMIT :limit")
_REFERRERS, _REFERRERS_OF_TYPE = (
    text(
        "SELECT LENGTH(CAST(annotations AS TEXT)), id, digest, media_type, LENGTH(content), artifact_type, annotations"
        f" FROM manifests WHERE repository_id = :repo AND subject = :subject{of_type} AND id > :last"
        " ORDER BY id LIMIT :limit"
    ).columns(annotations=JSON)
    for of_type in ("", " AND artifact_type = :type")
)
REFERRERS_BYTES = 4 * 2**20  # characters of annotations after which a list of referrers ends
_NEWEST_REFERRERS = Statement(
    "SELECT id FROM manifests WHERE repository_id = :repo AND subject = :subject AND artifact_type = :type"
    " ORDER BY id DESC LIMIT :limit"
)
_INDEXES = Statement(
    "SELECT m.digest FROM links l JOIN manifests m ON m.id = l.manifest_id WHERE l.repository_id = :repo"
    " AND l.digest = :digest AND l.kind = 'manifest' ORDER BY m.id DESC LIMIT :limit"
)
_UNLINK = Statement("DELETE FROM repository_blobs WHERE repository_id = :repo AND blob_id = :blob")
_BLOB = Statement(
    "SELECT b.id, b.key, b.size FROM blobs b JOIN repository_blobs rb ON rb.blob_id = b.id"
    " WHERE rb.repository_id = :repo AND b.digest = :digest AND b.damaged_at IS NULL"
)
_LINKED = Statement(
    "SELECT b.id FROM blobs b JOIN repository_blobs rb ON rb.blob_id = b.id"
    " WHERE rb.repository_id = :repo AND b.digest = :digest"
)


def find_manifest(session: Session, repository_id: int, reference: str) -> StoredManifest | None:
    """The manifest of a digest, or the one that a tag points to."""
    query = _BY_DIGEST if ":" in reference else _BY_TAG
    found = query.first(session, {"repo": repository_id, "reference": reference})
    return StoredManifest(*found) if found else None


def find_blob(session: Session, repository_id: int, digest: str) -> tuple[int, str, int] | None:
    """Row id, key and size of a blob that the repository holds; of one that is known to be damaged nothing."""
    found = _BLOB.first(session, {"repo": repository_id, "digest": digest})
    return (found[0], found[1], found[2]) if found else None


def save_manifest(
    database: Database, repository_id: int, new: NewManifest, tags: Sequence[str], *, actor: Actor, name: str
) -> None:
    """Stores a manifest with its links and tags. Raises MissingBlobs if the repository lacks one that it names."""
    with database.write(beside=True) as session:
        take_turn(session, repository_id)
        manifest_id, _ = keep_manifest(session, repository_id, new, actor)
        moment = now()
        for tag in tags:
            values = {"repo": repository_id, "name": tag, "id": manifest_id, "by": actor.id, "now": moment}
            _SET_TAG.run(session, {**values, "rank": rank(tag)})
        if tags:
            index_words(session, repository_id)
        _PUSHED.run(session, {"now": moment, "repo": repository_id})
        detail = {"digest": new.digest, "tags": list(tags), "media_type": new.media_type}
        record(session, actor, "manifest.push", name, repository_id=repository_id, detail=detail)


def keep_manifest(session: Session, repository_id: int, new: NewManifest, actor: Actor) -> tuple[int, bool]:
    """The row of a manifest, and whether it is new. For a command that took its turn; raises MissingBlobs."""
    missing = _missing(session, repository_id, new.blobs)
    if missing:
        raise MissingBlobs(missing)
    manifest_id = _FIND_ID.value(session, {"repo": repository_id, "digest": new.digest})
    if manifest_id is not None:
        return manifest_id, False
    return _insert(session, repository_id, new, actor), True


def delete_tag(database: Database, repository_id: int, tag: str, *, actor: Actor, name: str) -> bool:
    """Removes a tag, not its manifest. Returns whether it was there."""
    with database.write(beside=True) as session:
        take_turn(session, repository_id)
        if not _DELETE_TAG.run(session, {"repo": repository_id, "tag": tag}):
            return False
        index_words(session, repository_id)
        record(session, actor, "tag.delete", f"{name}:{tag}", repository_id=repository_id)
        return True


def delete_manifest(database: Database, repository_id: int, digest: str, *, actor: Actor, name: str) -> bool:
    """Removes a manifest with its tags. Returns whether it was there; raises InUse if a deployment needs it."""
    with database.write(beside=True) as session:
        take_turn(session, repository_id)
        uses = deployments_using(session, repository_id, digest)
        if uses:
            raise InUse(uses)
        removed = _DELETE.run(session, {"repo": repository_id, "digest": digest})
        if removed:
            index_words(session, repository_id)
            record(session, actor, "manifest.delete", f"{name}@{digest}", repository_id=repository_id)
        return bool(removed)


def unlink_blob(database: Database, repository_id: int, digest: str, *, actor: Actor, name: str) -> bool:
    """Takes a blob out of a repository. Returns whether it was there; its bytes stay for garbage collection."""
    with database.write(beside=True) as session:
        take_turn(session, repository_id)
        found = _LINKED.value(session, {"repo": repository_id, "digest": digest})
        if found is None:
            return False
        if _UNLINK.run(session, {"repo": repository_id, "blob": found}):
            give_back(session, repository_id, found)
        record(session, actor, "blob.delete", f"{name}@{digest}", repository_id=repository_id)
        return True


def list_tags(session: Session, repository_id: int, *, last: str, limit: int) -> list[str]:
    """Tag names bytewise after `last`, at most `limit`."""
    found = _TAGS.all(session, {"repo": repository_id, "last": last, "limit": limit})
    return [row[0] for row in found]


def list_referrers(
    session: Session, repository_id: int, subject: str, *, artifact_type: str | None, last: int, limit: int
) -> list[Referrer]:
    """Manifests whose subject is that digest, by age, after row `last`, at most `limit`.

    Fewer where their annotations are more than REFERRERS_BYTES, which the last of them goes beyond.
    """
    asked: dict[str, Any] = {"repo": repository_id, "subject": subject, "last": last, "limit": limit}
    query = _REFERRERS
    if artifact_type is not None:
        asked["type"], query = artifact_type, _REFERRERS_OF_TYPE
    found: list[Referrer] = []
    size = 0
    with session.execute(query, asked) as rows:
        for length, *row in rows:
            found.append(Referrer(*row))
            size += length or 0
            if size > REFERRERS_BYTES and len(found) > 1:
                break
    return found


def newest_referrers(
    session: Session, repository_id: int, subject: str, artifact_type: str, *, limit: int
) -> list[int]:
    """Row ids of the manifests of that type whose subject is that digest, newest first."""
    asked = {"repo": repository_id, "subject": subject, "type": artifact_type, "limit": limit}
    return [row[0] for row in _NEWEST_REFERRERS.all(session, asked)]


def indexes_with(session: Session, repository_id: int, digest: str, *, limit: int) -> list[str]:
    """Digests of the indexes in the repository that list the manifest, newest first."""
    return [row[0] for row in _INDEXES.all(session, {"repo": repository_id, "digest": digest, "limit": limit})]


def _missing(session: Session, repository_id: int, blobs: dict[str, int]) -> list[str]:
    """The digests that the repository does not hold, in the manifest's order."""
    digests = list(blobs)
    held: set[str] = set()
    size = _FEW if len(digests) <= _FEW else _MANY
    for start in range(0, len(digests), size):
        batch = digests[start : start + size]
        batch += batch[:1] * (size - len(batch))
        values = {f"d{place}": digest for place, digest in enumerate(batch)}
        held |= {row[0] for row in _HELD[size].all(session, {"repo": repository_id, **values})}
    return [digest for digest in digests if digest not in held]


def _insert(session: Session, repository_id: int, new: NewManifest, actor: Actor) -> int:
    row = {
        "repo": repository_id,
        "digest": new.digest,
        "media_type": new.media_type,
        "artifact_type": new.artifact_type,
        "subject": new.subject,
        "annotations": None if new.annotations is None else json.dumps(new.annotations),
        "content": new.content,
        "by": actor.id,
        "now": now(),
    }
    manifest_id: int = _ADD.value(session, row)
    links = {d: ("manifest", size) for d, size in new.manifests.items()}
    links |= {d: ("blob", size) for d, size in new.blobs.items()}
    ids = {"id": manifest_id, "repo": repository_id}
    _ADD_LINK.run_each(session, [{**ids, "digest": d, "kind": kind, "size": size} for d, (kind, size) in links.items()])
    _ADD_INSPECTION.run(session, {"id": manifest_id, "state": "pending" if new.holds_module else "no-module"})
    return manifest_id


def find_content(session: Session, manifest_id: int) -> bytes | None:
    """The bytes of the manifest in that row."""
    content: bytes | None = _CONTENT.value(session, {"id": manifest_id})
    return content
