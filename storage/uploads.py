"""Uploads as rows, so that any process can go on with one, and the blobs that they become."""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from storage.clock import LEASED_UNTIL, READING
from storage.database import Conflict, Database, now
from storage.events import Actor, record
from storage.garbage import UPLOAD_LIFE
from storage.statements import Statement
from storage.usage import UNLIMITED, Meter

REFUSED_LIFE = 600_000  # milliseconds that an upload is kept which was refused: clients ask again before they tell


@dataclass(frozen=True)
class UploadRow:
    """An upload: `offset` bytes of it are durable. Where, the blob store knows from `key` and `state`."""

    id: str
    repository_id: int
    key: str
    offset: int
    algorithm: str
    state: dict[str, Any] | None = None


_FIND = Statement(
    'SELECT id, repository_id, key, "offset", algorithm, state FROM uploads WHERE id = :id AND repository_id = :repo'
)
_BEGIN = Statement(
    'INSERT INTO uploads (id, repository_id, key, "offset", algorithm, created_at, touched_at)'
    f" VALUES (:id, :repo, :key, 0, :algorithm, :now, {READING})"
)
_ADVANCE = Statement(
    f'UPDATE uploads SET "offset" = :new, state = :state, touched_at = {READING} WHERE id = :id AND "offset" = :old'
)
_AGE = Statement(f"UPDATE uploads SET touched_at = {READING} - :by WHERE id = :id")
_DELETE = Statement("DELETE FROM uploads WHERE id = :id")
_LEASE = Statement(f"UPDATE blobs SET leased_until = {LEASED_UNTIL} WHERE id = :id AND leased_until < {LEASED_UNTIL}")
_NAMES = Statement("SELECT 1 FROM blobs WHERE key = :key")
_FIND_BLOB = Statement("SELECT id FROM blobs WHERE digest = :digest AND damaged_at IS NULL")
_FIND_DAMAGED = Statement(
    "SELECT id, key FROM blobs WHERE digest = :digest AND damaged_at IS NOT NULL", lock="FOR NO KEY UPDATE"
)
_HEAL = Statement("UPDATE blobs SET key = :key, size = :size, damaged_at = NULL, checked_at = :now WHERE id = :id")
_DOOM = Statement(
    f"INSERT INTO doomed_copies (key, doomed_at) VALUES (:key, {READING}) ON CONFLICT (key)"
    " DO UPDATE SET doomed_at = excluded.doomed_at WHERE excluded.doomed_at > doomed_copies.doomed_at"
)
_ADD_BLOB = Statement(
    "INSERT INTO blobs (digest, key, size, created_at, checked_at, leased_until)"
    f" VALUES (:digest, :key, :size, :now, :now, {LEASED_UNTIL}) ON CONFLICT (digest) DO NOTHING RETURNING id"
)
_LINK = Statement(
    "INSERT INTO repository_blobs (repository_id, blob_id, created_at) VALUES (:repo, :id, :now)"
    " ON CONFLICT (repository_id, blob_id) DO NOTHING"
)


def begin_upload(database: Database, upload: UploadRow) -> None:
    """Writes the row of an upload that begins."""
    asked = {"id": upload.id, "repo": upload.repository_id, "key": upload.key, "algorithm": upload.algorithm}
    with database.write(beside=True) as session:
        _BEGIN.run(session, {**asked, "now": now()})


def find_upload(session: Session, repository_id: int, upload_id: str) -> UploadRow | None:
    """The upload of that id in that repository."""
    found = _FIND.first(session, {"id": upload_id, "repo": repository_id})
    if found is None:
        return None
    upload_id, repository_id, key, offset, algorithm, state = found
    kept = json.loads(state) if isinstance(state, str) else state  # text on SQLite, read already on PostgreSQL
    return UploadRow(upload_id, repository_id, key, offset, algorithm, kept)


def advance_upload(database: Database, upload: UploadRow, offset: int, state: dict[str, Any] | None) -> None:
    """Says that the bytes up to `offset` are durable, and what the blob store needs to go on with them.

    Raises Conflict if another request moved the upload meanwhile.
    """
    kept = None if state is None else json.dumps(state)
    with database.write(beside=True) as session:
        asked = {"id": upload.id, "old": upload.offset, "new": offset, "state": kept}
        if _ADVANCE.run(session, asked) != 1:
            raise Conflict(f"upload {upload.id} was changed by another request")


def abandon_upload(database: Database, upload: UploadRow) -> None:
    """Has garbage collection end an upload soon, which answers until then. Bookkeeping: no event."""
    with database.write(beside=True) as session:
        _AGE.run(session, {"id": upload.id, "by": UPLOAD_LIFE - REFUSED_LIFE})


def cancel_upload(database: Database, upload: UploadRow) -> None:
    """Removes the upload's row; its bytes are the caller's to discard. Raises Conflict if it has become a blob."""
    with database.write(beside=True) as session:
        if _DELETE.run(session, {"id": upload.id}) != 1:
            raise Conflict(f"upload {upload.id} was ended by another request")


def holds_blob(session: Session, digest: str) -> bool:
    """Whether some sound copy of these bytes is stored."""
    return _FIND_BLOB.first(session, {"digest": digest}) is not None


def save_blob(
    database: Database,
    repository_id: int,
    digest: str,
    copy: tuple[str, int],
    *,
    upload_id: str | None,
    actor: Actor,
    meter: Meter = UNLIMITED,
) -> bool:
    """Links verified bytes into a repository and ends their upload. `copy` is the key and size of a finished copy.

    Returns whether that copy is now the digest's; if another one was stored before, that one is linked instead and the
    caller discards its own. Raises OverQuota if the namespace may not hold as much.
    """
    with database.write(beside=True) as session:
        if upload_id is not None and _DELETE.run(session, {"id": upload_id}) != 1:
            raise Conflict(f"upload {upload_id} was ended by another request")
        blob_id, ours = _keep(session, digest, copy)
        _link(session, repository_id, blob_id, meter)
        record(session, actor, "blob.push", digest, repository_id=repository_id, detail={"size": copy[1]})
    return ours


def link_stored_blob(
    database: Database,
    repository_id: int,
    digest: str,
    *,
    upload_id: str | None,
    actor: Actor,
    action: str,
    meter: Meter = UNLIMITED,
) -> bool:
    """Links bytes that are stored already into a repository, ending the upload if there is one.

    The caller has checked that the pusher has these bytes or may read them. Returns False, with nothing changed, if
    the digest is not stored any more. Raises OverQuota if the namespace may not hold as much.
    """
    with database.write(beside=True) as session:
        blob_id = _FIND_BLOB.value(session, {"digest": digest})
        if blob_id is None:
            return False
        if upload_id is not None and _DELETE.run(session, {"id": upload_id}) != 1:
            raise Conflict(f"upload {upload_id} was ended by another request")
        _link(session, repository_id, blob_id, meter)
        record(session, actor, action, digest, repository_id=repository_id)
    return True


def names_copy(database: Database, key: str) -> bool:
    """Whether a blob's row names the copy. Asked alone in the world: no commit in doubt is under way meanwhile."""
    with database.write() as session:
        return _NAMES.first(session, {"key": key}) is not None


def _keep(session: Session, digest: str, copy: tuple[str, int]) -> tuple[int, bool]:
    """The row of a digest, and whether it now names this copy: as new, or in the place of a damaged one."""
    asked = {"digest": digest}
    mine = _ADD_BLOB.value(session, {**asked, "key": copy[0], "size": copy[1], "now": now()})
    if mine is None:
        mine = _heal(session, digest, copy)
    if mine is not None:
        return mine, True
    return _FIND_BLOB.value(session, asked), False  # another push of it was first


def _heal(session: Session, digest: str, copy: tuple[str, int]) -> int | None:
    """Puts a sound copy in the place of one that is known to be damaged; the blob's row, if there is such a one."""
    found = _FIND_DAMAGED.first(session, {"digest": digest})
    if found is None:
        return None
    _HEAL.run(session, {"id": found[0], "key": copy[0], "size": copy[1], "now": now()})
    _DOOM.run(session, {"key": found[1]})
    blob_id: int = found[0]
    return blob_id


def _link(session: Session, repository_id: int, blob_id: int, meter: Meter) -> None:
    """Links a blob, gives it a whole lease, and counts it where the repository did not hold it."""
    _LEASE.run(session, {"id": blob_id})
    if _LINK.run(session, {"repo": repository_id, "id": blob_id, "now": now()}):
        meter.take(session, repository_id, blob_id)
