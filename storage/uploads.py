"""Uploads as rows, so that any process can go on with one, and the blobs that they become."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session
from sqlmodel import col, select

from storage.database import Conflict, Database, now
from storage.events import Actor, record
from storage.statements import Statement
from storage.tables import Blob

# A blob that nothing refers to yet stays at least this long after it was pushed, mounted or asked for by a pusher.
LEASE = 3_600_000


@dataclass(frozen=True)
class UploadRow:
    """An upload: `offset` bytes of it are durable under `key`."""

    id: str
    repository_id: int
    key: str
    offset: int
    algorithm: str


_FIND = Statement(
    'SELECT id, repository_id, key, "offset", algorithm FROM uploads WHERE id = :id AND repository_id = :repo'
)
_BEGIN = Statement(
    'INSERT INTO uploads (id, repository_id, key, "offset", algorithm, created_at, touched_at)'
    " VALUES (:id, :repo, :key, 0, :algorithm, :now, :now)"
)
_ADVANCE = Statement('UPDATE uploads SET "offset" = :new, touched_at = :now WHERE id = :id AND "offset" = :old')
_DELETE = Statement("DELETE FROM uploads WHERE id = :id")
_LEASE = Statement("UPDATE blobs SET leased_until = :until WHERE id = :id")
_FIND_BLOB = Statement("SELECT id FROM blobs WHERE digest = :digest")
_ADD_BLOB = Statement(
    "INSERT INTO blobs (digest, key, size, created_at, leased_until) VALUES (:digest, :key, :size, :now, :until)"
    " RETURNING id"
)
_LINK = Statement(
    "INSERT INTO repository_blobs (repository_id, blob_id, created_at) VALUES (:repo, :id, :now)"
    " ON CONFLICT (repository_id, blob_id) DO NOTHING"
)


def begin_upload(database: Database, upload: UploadRow) -> None:
    """Writes the row of an upload that begins."""
    asked = {"id": upload.id, "repo": upload.repository_id, "key": upload.key, "algorithm": upload.algorithm}
    with database.write() as session:
        _BEGIN.run(session, {**asked, "now": now()})


def find_upload(session: Session, repository_id: int, upload_id: str) -> UploadRow | None:
    """The upload of that id in that repository."""
    found = _FIND.first(session, {"id": upload_id, "repo": repository_id})
    return UploadRow(*found) if found else None


def advance_upload(database: Database, upload: UploadRow, offset: int) -> None:
    """Says that the bytes up to `offset` are durable. Raises Conflict if another request moved the upload meanwhile."""
    with database.write() as session:
        asked = {"id": upload.id, "old": upload.offset, "new": offset, "now": now()}
        if _ADVANCE.run(session, asked) != 1:
            raise Conflict(f"upload {upload.id} was changed by another request")


def cancel_upload(database: Database, upload: UploadRow) -> None:
    """Removes the upload's row; its bytes are the caller's to discard."""
    with database.write() as session:
        _DELETE.run(session, {"id": upload.id})


def holds_blob(session: Session, digest: str) -> bool:
    """Whether some copy of these bytes is stored."""
    return _FIND_BLOB.first(session, {"digest": digest}) is not None


def save_blob(
    database: Database, repository_id: int, digest: str, copy: tuple[str, int], *, upload_id: str | None, actor: Actor
) -> bool:
    """Links verified bytes into a repository and ends their upload. `copy` is the key and size of a finished copy.

    Returns whether that copy is now the digest's; if another one was stored before, that one is linked instead and the
    caller discards its own.
    """
    key, size = copy
    with database.write() as session:
        if upload_id is not None and _DELETE.run(session, {"id": upload_id}) != 1:
            raise Conflict(f"upload {upload_id} was ended by another request")
        blob_id = _FIND_BLOB.value(session, {"digest": digest})
        ours = blob_id is None
        if blob_id is None:
            moment = now()
            new = {"digest": digest, "key": key, "size": size, "now": moment, "until": moment + LEASE}
            blob_id = _ADD_BLOB.value(session, new)
        _link(session, repository_id, blob_id)
        record(session, actor, "blob.push", digest, repository_id=repository_id, detail={"size": size})
    return ours


def link_stored_blob(
    database: Database, repository_id: int, digest: str, *, upload_id: str | None, actor: Actor, action: str
) -> bool:
    """Links bytes that are stored already into a repository, ending the upload if there is one.

    The caller has checked that the pusher has these bytes or may read them. Returns False, with nothing changed, if
    the digest is not stored any more.
    """
    with database.write() as session:
        blob_id = _FIND_BLOB.value(session, {"digest": digest})
        if blob_id is None:
            return False
        if upload_id is not None and _DELETE.run(session, {"id": upload_id}) != 1:
            raise Conflict(f"upload {upload_id} was ended by another request")
        _link(session, repository_id, blob_id)
        record(session, actor, action, digest, repository_id=repository_id)
    return True


def live_keys(session: Session, *, older_than: int) -> set[str]:
    """Keys of the uploads touched since `older_than`; the files of others may go."""
    found = session.execute(text("SELECT key FROM uploads WHERE touched_at >= :moment"), {"moment": older_than})
    return {row[0] for row in found}


def stored_keys(session: Session, keys: set[str]) -> set[str]:
    """Those of the keys that a blob's row names."""
    asked = select(col(Blob.key)).where(col(Blob.key).in_(sorted(keys)))
    return set(session.execute(asked).scalars())


def forget_uploads(database: Database, *, older_than: int) -> None:
    """Removes the rows of uploads not touched since then."""
    with database.write() as session:
        session.execute(text("DELETE FROM uploads WHERE touched_at < :moment"), {"moment": older_than})


def _link(session: Session, repository_id: int, blob_id: int) -> None:
    moment = now()
    _LEASE.run(session, {"id": blob_id, "until": moment + LEASE})
    _LINK.run(session, {"repo": repository_id, "id": blob_id, "now": moment})
