"""Manifests that the hub made of pushed ones, with the same module, for fetchers that cannot read those.

A derived manifest is stored as a pushed one is, untagged, in the repository of its source, which it names as its
`subject`. It is in use while its source is. Once its source was deleted and nobody tagged, listed or deployed it for
itself, garbage collection removes it.
"""

import hashlib
import secrets
from collections.abc import Iterable
from contextlib import suppress

from sqlalchemy.orm import Session

from proxywasm.images import DERIVED
from storage.blobs.store import BlobStore, Writer
from storage.blobs.verified import is_sound
from storage.database import Conflict, Database, StorageError
from storage.events import SYSTEM, Actor, record
from storage.garbage import AT_ONCE, LOOKED_AT, Cursor, Step
from storage.manifests import NewManifest, StoredManifest, find_manifest, keep_manifest
from storage.modules import Reading
from storage.search import take_turn
from storage.statements import Statement
from storage.uploads import UploadRow, begin_upload, cancel_upload, link_stored_blob, names_copy, save_blob
from storage.usage import Meter

CONSIDERED = 10  # derived manifests of one source that are looked at

# Of one whose layer somebody took out of the repository nothing is found: then it is made again.
_WHOLE = (
    "NOT EXISTS (SELECT 1 FROM links l WHERE l.manifest_id = m.id AND NOT EXISTS"
    " (SELECT 1 FROM blobs b JOIN repository_blobs rb ON rb.blob_id = b.id AND rb.repository_id = m.repository_id"
    " WHERE b.digest = l.digest AND b.damaged_at IS NULL))"
)
_FIND = Statement(
    "SELECT m.id, m.digest, m.media_type, m.content, i.blob_digest FROM manifests m"
    " JOIN inspections i ON i.manifest_id = m.id WHERE m.repository_id = :repo AND m.subject = :source"
    f" AND m.artifact_type = :type AND i.module_sha256 = :module AND {_WHOLE} ORDER BY m.id LIMIT :limit"
)
# The reader looks at it as at any other, when it has nothing newer to read; what it will find is known.
_IS_READ = Statement(
    "UPDATE inspections SET state = 'module', format = :format, module_sha256 = :module, blob_digest = :blob,"
    " wrapping = :wrapping, reason = :reason WHERE manifest_id = :id AND state = 'pending'"
)
_NEEDED = (
    "(EXISTS (SELECT 1 FROM manifests s WHERE s.repository_id = m.repository_id AND s.digest = m.subject)"
    " OR EXISTS (SELECT 1 FROM tags t WHERE t.manifest_id = m.id)"
    " OR EXISTS (SELECT 1 FROM links l WHERE l.repository_id = m.repository_id AND l.digest = m.digest)"
    " OR EXISTS (SELECT 1 FROM revisions v WHERE v.manifest_digest = m.digest"
    " AND v.repository_id = m.repository_id))"
)
_LOOK = Statement(
    f"SELECT m.id, m.artifact_type = :type AND m.subject IS NOT NULL AND NOT {_NEEDED} FROM (SELECT id, repository_id,"
    " digest, subject, artifact_type FROM manifests WHERE id > :id ORDER BY id LIMIT :limit) m ORDER BY m.id"
)
_DELETE = Statement(
    "DELETE FROM manifests AS m WHERE m.id = :id AND m.artifact_type = :type AND m.subject IS NOT NULL"
    f" AND NOT {_NEEDED} RETURNING repository_id, digest"
)
_NAME = Statement("SELECT name FROM repositories WHERE id = :repo")


def find_derived(
    session: Session, repository_id: int, source: str, module_sha256: str
) -> list[tuple[StoredManifest, str]]:
    """What was derived from a manifest and holds this module, each with the digest of the layer that holds it."""
    asked = {"repo": repository_id, "source": source, "type": DERIVED, "module": module_sha256, "limit": CONSIDERED}
    return [(StoredManifest(*row[:4]), row[4]) for row in _FIND.all(session, asked)]


def store_made_blob(
    database: Database,
    blobs: BlobStore,
    repository_id: int,
    pieces: Iterable[bytes],
    *,
    meter: Meter,
    digest: str | None = None,
) -> tuple[str, int]:
    """Stores bytes that the hub made, durable before the row that names them; digest and size.

    With `digest`, where these bytes may be stored already, they are linked and not written again. It takes the way of a
    push: an upload with a row, so that garbage collection leaves it alone, and a copy. Raises OverQuota without room.
    """
    if digest is not None and link_stored_blob(
        database, repository_id, digest, upload_id=None, actor=SYSTEM, action="blob.push", meter=meter
    ):
        return digest, sum(map(len, pieces))
    upload = UploadRow(secrets.token_urlsafe(16), repository_id, blobs.new_key(), 0, "sha256")
    begin_upload(database, upload)
    with blobs.resume(upload.key, 0, None) as writer:
        try:
            key, made, size = _write(blobs, writer, pieces)
        except BaseException:
            writer.undo()
            _end(database, upload)
            raise
        try:
            ours = save_blob(database, repository_id, made, (key, size), upload_id=upload.id, actor=SYSTEM, meter=meter)
        except StorageError:
            # A commit in doubt is taken back only where it surely did not happen; else the copy is left.
            with suppress(StorageError):
                if not names_copy(database, key):
                    writer.undo()
            _end(database, upload)
            raise
        if ours:
            writer.done()
        else:
            writer.undo()
    return made, size


def save_derived(
    database: Database, repository_id: int, new: NewManifest, reading: Reading, *, actor: Actor, name: str
) -> None:
    """Stores a manifest that was derived from its subject, for `actor`; one that is there already stays as it is.

    `reading` is what the reader will find in it. Raises Conflict if its source was deleted meanwhile, and MissingBlobs.
    """
    with database.write(beside=True) as session:
        take_turn(session, repository_id)
        if new.subject is None or find_manifest(session, repository_id, new.subject) is None:
            raise Conflict(f"{name}@{new.subject} was deleted meanwhile; push it again")
        manifest_id, fresh = keep_manifest(session, repository_id, new, SYSTEM)
        if not fresh:
            return
        found = {"format": reading.format, "module": reading.module_sha256, "blob": reading.blob_digest}
        _IS_READ.run(session, {**found, "wrapping": reading.wrapping, "reason": reading.reason, "id": manifest_id})
        detail = {"subject": new.subject, "format": reading.format}
        record(session, actor, "manifest.derive", f"{name}@{new.digest}", repository_id=repository_id, detail=detail)


def remove_derived(database: Database, cursor: Cursor, dry_run: bool) -> Step:
    """Removes derived manifests whose source is gone, unless somebody tagged, listed or deployed them for themselves.

    A step of garbage collection: what it finds by reading is looked at again by the transaction that removes it, which
    is alone in the world.
    """
    (last,) = cursor or (0,)
    with database.read() as session:
        found = _LOOK.all(session, {"id": last, "type": DERIVED, "limit": LOOKED_AT})
    unused = [row[0] for row in found if row[1]]
    count = len(unused)
    if not dry_run:
        count = sum(_remove(database, unused[start : start + AT_ONCE]) for start in range(0, len(unused), AT_ONCE))
    further = [found[-1][0]] if len(found) == LOOKED_AT else None
    return Step(further, {"looked_at": len(found), "derived": count})


def _remove(database: Database, ids: list[int]) -> int:
    """Removes those that still nobody needs; how many they were."""
    count = 0
    with database.write() as session:
        for manifest_id in ids:
            gone = _DELETE.first(session, {"id": manifest_id, "type": DERIVED})
            if gone is not None:
                name = _NAME.value(session, {"repo": gone[0]})
                record(session, SYSTEM, "manifest.delete", f"{name}@{gone[1]}", repository_id=gone[0])
                count += 1
    return count


def _write(blobs: BlobStore, writer: Writer, pieces: Iterable[bytes]) -> tuple[str, str, int]:
    """Writes a copy; its key, digest and size."""
    running, size = hashlib.sha256(), 0
    for piece in pieces:
        running.update(piece)
        size += len(piece)
        writer.write([piece])
    key, digest = writer.finish(), f"sha256:{running.hexdigest()}"
    if not writer.sure and not is_sound(blobs, key, size, digest):
        raise StorageError("what was written to the blob store is not what it holds; try again")
    return key, digest, size


def _end(database: Database, upload: UploadRow) -> None:
    """Removes the row of an upload that failed; one that cannot be removed now ends by itself in a week."""
    with suppress(StorageError):
        cancel_upload(database, upload)
