"""Garbage: what nothing refers to any more is found by reading, and removed by transactions that look again.

Each function does a bounded step and says where the next one goes on. docs/garbage-collection.md argues why no order
of these steps and of pushes, mounts, deletes and crashes loses anything that somebody was told is there.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import JSON, text
from sqlalchemy.orm import Session
from sqlmodel import col, select

from storage.clock import READING
from storage.database import Database
from storage.statements import Statement
from storage.tables import Blob, DoomedCopy, Upload
from storage.usage import give_back

LOOKED_AT = 500  # rows that one step looks at
AT_ONCE = 100  # rows that one transaction removes, while which no push commits
UPLOAD_LIFE = 7 * 86_400_000  # milliseconds that an untouched upload is kept

Cursor = list[Any]


@dataclass(frozen=True)
class Step:
    """What a step did: how far it came (None: this was the last) and what it counted."""

    cursor: Cursor | None
    figures: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Copy:
    """Bytes in the blob store that are to be removed; `state` is what the store needs to find all of them."""

    id: int
    key: str
    state: Any


_OLD_UPLOADS = Statement(
    "SELECT touched_at, id FROM uploads WHERE (touched_at, id) > (:touched, :id)"
    f" AND touched_at < {READING} - :life ORDER BY touched_at, id LIMIT :limit"
)
_DOOM_UPLOAD = Statement(
    f"INSERT INTO doomed_copies (key, state, doomed_at) SELECT key, state, {READING} FROM uploads"
    f" WHERE id = :id AND touched_at < {READING} - :life ON CONFLICT (key) DO NOTHING"
)
_END_UPLOAD = Statement(f"DELETE FROM uploads WHERE id = :id AND touched_at < {READING} - :life")

# The two conditions under which a blob is needed, over blobs b and a repository's hold rb on one.
_NAMED = "EXISTS (SELECT 1 FROM links l WHERE l.repository_id = rb.repository_id AND l.digest = b.digest)"
_RUNS = (
    "EXISTS (SELECT 1 FROM inspections i JOIN revisions v ON v.module_sha256 = i.module_sha256"
    " WHERE i.blob_digest = b.digest)"
)
_LINKS = Statement(
    f"SELECT rb.repository_id, rb.blob_id, b.leased_until < {READING} AND NOT {_NAMED} FROM"
    " (SELECT repository_id, blob_id FROM repository_blobs WHERE (repository_id, blob_id) > (:repo, :blob)"
    " ORDER BY repository_id, blob_id LIMIT :limit) rb JOIN blobs b ON b.id = rb.blob_id"
    " ORDER BY rb.repository_id, rb.blob_id"
)
_UNLINK = Statement(
    "DELETE FROM repository_blobs AS rb WHERE rb.repository_id = :repo AND rb.blob_id = :blob AND EXISTS"
    f" (SELECT 1 FROM blobs b WHERE b.id = rb.blob_id AND b.leased_until < {READING} AND NOT {_NAMED})"
)
_HELD = "EXISTS (SELECT 1 FROM repository_blobs rb WHERE rb.blob_id = b.id)"
_HELD_AND_NAMED = f"EXISTS (SELECT 1 FROM repository_blobs rb WHERE rb.blob_id = b.id AND {_NAMED})"
_FROM_BLOBS = "(SELECT * FROM blobs WHERE id > :id ORDER BY id LIMIT :limit) b ORDER BY b.id"
_BLOBS = Statement(
    f"SELECT b.id, b.size, b.leased_until < {READING} AND NOT {_HELD} AND NOT {_RUNS} FROM {_FROM_BLOBS}"
)
_BLOBS_WITHOUT_USE = Statement(
    f"SELECT b.id, b.size, b.leased_until < {READING} AND NOT {_HELD_AND_NAMED} AND NOT {_RUNS} FROM {_FROM_BLOBS}"
)
_DELETE_BLOB = Statement(
    f"DELETE FROM blobs AS b WHERE b.id = :id AND b.leased_until < {READING} AND NOT {_HELD} AND NOT {_RUNS}"
    " RETURNING key, size"
)
# A copy that was doomed as left behind, and is named by now, keeps the later time: whoever reads it has its grace.
_DOOM = Statement(
    f"INSERT INTO doomed_copies (key, state, doomed_at) VALUES (:key, :state, {READING} + :later)"
    " ON CONFLICT (key) DO UPDATE SET doomed_at = excluded.doomed_at"
    " WHERE excluded.doomed_at > doomed_copies.doomed_at"
)
_DUE = text(
    "SELECT id, key, state, doomed_at FROM doomed_copies WHERE (doomed_at, id) > (:doomed, :id)"
    f" AND doomed_at <= {READING} - :wait ORDER BY doomed_at, id LIMIT :limit"
).columns(state=JSON)
_IS_NAMED = Statement(
    "SELECT 1 FROM blobs WHERE key = :key UNION ALL SELECT 1 FROM uploads WHERE key IN (:key, :upload) LIMIT 1"
)
_FORGET_COPY = Statement("DELETE FROM doomed_copies WHERE id = :id")


def end_uploads(database: Database, cursor: Cursor, dry_run: bool) -> Step:
    """Ends uploads that nobody has touched for a week; their bytes are doomed."""
    touched, upload_id = cursor or (-1, "")
    with database.read() as session:
        asked = {"touched": touched, "id": upload_id, "life": UPLOAD_LIFE, "limit": AT_ONCE}
        found = _OLD_UPLOADS.all(session, asked)
    count = len(found)
    if found and not dry_run:
        count = 0
        with database.write() as session:
            for one in ({"id": row[1], "life": UPLOAD_LIFE} for row in found):
                _DOOM_UPLOAD.run(session, one)
                count += _END_UPLOAD.run(session, one)
    return Step(_next(found, AT_ONCE, 2), {"uploads": count})


def unlink_unused(database: Database, cursor: Cursor, dry_run: bool) -> Step:
    """Takes blobs out of repositories none of whose manifests names them, once their lease is over."""
    repo, blob = cursor or (0, 0)
    with database.read() as session:
        found = _LINKS.all(session, {"repo": repo, "blob": blob, "limit": LOOKED_AT})
    unused = [{"repo": row[0], "blob": row[1]} for row in found if row[2]]
    count = len(unused)
    if not dry_run:
        count = 0
        for some in _portions(unused):
            with database.write() as session:
                count += sum(_unlink(session, one) for one in some)
    return Step(_next(found, LOOKED_AT, 2), {"looked_at": len(found), "links": count})


def delete_blobs(database: Database, cursor: Cursor, dry_run: bool) -> Step:
    """Deletes the rows of blobs that no repository holds and no deployment runs, once their lease is over.

    What is freed is the key; the next push of these bytes gets another one.
    """
    (blob_id,) = cursor or (0,)
    statement = _BLOBS_WITHOUT_USE if dry_run else _BLOBS
    with database.read() as session:
        found = statement.all(session, {"id": blob_id, "limit": LOOKED_AT})
    unused = [row[:2] for row in found if row[2]]
    figures = {"looked_at": len(found), "blobs": len(unused), "bytes": sum(size for _, size in unused)}
    if not dry_run:
        deleted = [one for some in _portions(unused) for one in _delete(database, [row[0] for row in some])]
        figures |= {"blobs": len(deleted), "bytes": sum(deleted)}
    return Step(_next(found, LOOKED_AT, 1), figures)


def find_doomed(database: Database, cursor: Cursor, wait: int) -> tuple[list[Copy], Cursor | None]:
    """Copies that have been doomed for longer than `wait` milliseconds and may be removed, and how far this looked.

    One that a row names after all (a push that was under way when its bytes were taken for left behind) is kept.
    """
    doomed, copy_id = cursor or (-(2**62), 0)
    asked = {"doomed": doomed, "id": copy_id, "wait": wait, "limit": AT_ONCE}
    with database.read() as session:
        rows = session.execute(_DUE, asked).all()
    if not rows:
        return [], None
    found = [Copy(row.id, row.key, row.state) for row in rows]
    with database.write() as session:
        named = {one.id for one in found if _is_named(session, one.key)}
        for copy_id in named:
            _FORGET_COPY.run(session, {"id": copy_id})
    further = [rows[-1].doomed_at, rows[-1].id] if len(rows) == AT_ONCE else None
    return [one for one in found if one.id not in named], further


def forget_doomed(database: Database, copies: Sequence[Copy]) -> None:
    """Removes the rows of copies whose bytes are gone."""
    with database.write() as session:
        for one in copies:
            _FORGET_COPY.run(session, {"id": one.id})


def find_unnamed(session: Session, keys: Sequence[str]) -> set[str]:
    """Those of the keys in the blob store that no row names; a key up to its first dot is its upload's."""
    uploads = {*keys, *map(_upload_of, keys)}
    copies = set(session.execute(select(col(Blob.key)).where(col(Blob.key).in_(keys))).scalars())
    known = set(session.execute(select(col(Upload.key)).where(col(Upload.key).in_(uploads))).scalars())
    known |= set(session.execute(select(col(DoomedCopy.key)).where(col(DoomedCopy.key).in_(uploads))).scalars())
    return {key for key in keys if key not in copies and key not in known and _upload_of(key) not in known}


def doom_unnamed(database: Database, found: Sequence[tuple[str, Any]], later: int) -> int:
    """Dooms keys (each with the state that its removal needs) that no row names, `later` than other copies.

    They may belong to a push that has not committed its row yet. It is looked at again before they are removed.
    """
    with database.write() as session:
        unnamed = [(key, state) for key, state in found if not _is_named(session, key)]
        return sum(
            _DOOM.run(session, {"key": key, "state": None if state is None else json.dumps(state), "later": later})
            for key, state in unnamed
        )


def _unlink(session: Session, one: dict[str, int]) -> int:
    """Takes a blob out of a repository that still does not use it; how many that were."""
    gone = _UNLINK.run(session, one)
    if gone:
        give_back(session, one["repo"], one["blob"])
    return gone


def _delete(database: Database, ids: Sequence[int]) -> list[int]:
    """Deletes blobs that are still unused; their sizes."""
    sizes = []
    with database.write() as session:
        for blob_id in ids:
            gone = _DELETE_BLOB.first(session, {"id": blob_id})
            if gone is not None:
                _DOOM.run(session, {"key": gone[0], "state": None, "later": 0})
                sizes.append(gone[1])
    return sizes


def _is_named(session: Session, key: str) -> bool:
    return _IS_NAMED.first(session, {"key": key, "upload": _upload_of(key)}) is not None


def _upload_of(key: str) -> str:
    return key.partition(".")[0]


def _next(found: Sequence[Sequence[Any]], limit: int, columns: int) -> Cursor | None:
    """Where the next step goes on: after the last row, if there may be more."""
    return list(found[-1][:columns]) if len(found) == limit else None


def _portions(found: Sequence[Any]) -> list[Sequence[Any]]:
    return [found[start : start + AT_ONCE] for start in range(0, len(found), AT_ONCE)]
