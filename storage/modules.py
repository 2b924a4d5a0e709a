"""Modules: which manifests wait to be read, and what the reader found."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.orm import Session

from storage.database import Database, clock, now
from storage.search import index_words, take_turn
from storage.statements import Statement
from storage.tables import Module


@dataclass(frozen=True)
class Waiting:
    """A manifest whose module waits to be read."""

    manifest_id: int
    repository_id: int
    media_type: str
    content: bytes


@dataclass(frozen=True)
class Reading:
    """What became of the reading of one manifest; `reason` is a sentence where it failed or Envoy would refuse."""

    state: str  # module | no-module | failed
    format: str | None = None
    module_sha256: str | None = None
    blob_digest: str | None = None
    wrapping: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Facts:
    """What the reader found in a module's bytes."""

    sha256: str
    size: int
    facts: dict[str, Any]


_WAITING = Statement(
    "SELECT m.id, m.repository_id, m.media_type, m.content FROM inspections i JOIN manifests m ON m.id = i.manifest_id"
    " WHERE (i.state = 'pending' OR (i.state IN ('module', 'failed') AND i.reader_version < :version))"
    " AND i.claimed_until <= :now ORDER BY i.state = 'pending' DESC, m.id LIMIT :limit",
    lock="FOR UPDATE OF i SKIP LOCKED",
)
_CLAIM = Statement("UPDATE inspections SET claimed_until = :until WHERE manifest_id = :id")
_READING = Statement(
    "SELECT i.state, i.format, i.module_sha256, i.blob_digest, i.wrapping, i.reason FROM inspections i"
    " JOIN manifests m ON m.id = i.manifest_id WHERE m.repository_id = :repo AND m.digest = :digest"
)
_SET_READING = Statement(
    "UPDATE inspections SET state = :state, reader_version = :version, format = :format,"
    " module_sha256 = :module_sha256, blob_digest = :blob_digest, wrapping = :wrapping, reason = :reason,"
    " claimed_until = 0 WHERE manifest_id = :id"
)
# The bytes of a digest never change: what was found in them stays found, also by who cannot read them now.
_KEEP_READING = Statement(
    "UPDATE inspections SET reader_version = :version, claimed_until = 0 WHERE manifest_id = :id AND state = 'module'"
    " AND (:state = 'failed' OR EXISTS (SELECT 1 FROM revisions v WHERE v.module_sha256 = inspections.module_sha256))"
)
_SET_FACTS = Statement(
    "INSERT INTO modules (sha256, size, reader_version, facts, read_at) VALUES (:sha256, :size, :version, :facts, :now)"
    " ON CONFLICT (sha256) DO UPDATE"
    " SET size = :size, reader_version = :version, facts = :facts, read_at = :now"
)
_MODULE = Statement(
    "SELECT b.key, i.wrapping FROM inspections i JOIN blobs b ON b.digest = i.blob_digest"
    " WHERE i.module_sha256 = :sha256 AND i.wrapping IS NOT NULL LIMIT 1"
)
_LAYER = Statement("SELECT key FROM blobs WHERE digest = :digest")
_REPOSITORY = Statement("SELECT repository_id FROM manifests WHERE id = :id")


def claim_inspections(database: Database, reader_version: int, limit: int, seconds: int) -> list[Waiting]:
    """Manifests to be read: new ones first, then those that an older reader read. Nobody else is given them meanwhile.

    A claim ends when the reading is saved, when it is given back, or after so many seconds: then whoever had it died.
    """
    with database.write(beside=True) as session:
        moment = clock(session)
        found = _WAITING.all(session, {"version": reader_version, "now": moment, "limit": limit})
        _CLAIM.run_each(session, [{"id": row[0], "until": moment + seconds * 1000} for row in found])
    return [Waiting(*row) for row in found]


def give_back_inspection(database: Database, manifest_id: int) -> None:
    """Ends a claim without a reading, so that the manifest waits again."""
    with database.write(beside=True) as session:
        _CLAIM.run(session, {"id": manifest_id, "until": 0})


def find_layer_key(session: Session, digest: str) -> str | None:
    """Where the bytes of a layer lie, also of one that its repository was told to let go: a deployment may run it."""
    key: str | None = _LAYER.value(session, {"digest": digest})
    return key


def module_location(session: Session, module_sha256: str) -> tuple[str, str] | None:
    """Where a module's bytes lie: the key of a blob, and how the module is wrapped in it."""
    found = _MODULE.first(session, {"sha256": module_sha256})
    return (found[0], found[1]) if found else None


def find_reading(session: Session, repository_id: int, digest: str) -> Reading | None:
    """What became of the reading of a manifest; state `pending` while it waits."""
    found = _READING.first(session, {"repo": repository_id, "digest": digest})
    return Reading(*found) if found else None


def find_facts(session: Session, sha256: str, reader_version: int = 0) -> Facts | None:
    """What is known of a module, by a reader of at least that version."""
    row = session.get(Module, sha256)
    return Facts(row.sha256, row.size, row.facts) if row and row.reader_version >= reader_version else None


def save_reading(
    database: Database, manifest_id: int, reading: Reading, reader_version: int, facts: Facts | None
) -> None:
    """Stores what became of a reading, with the module's facts. A manifest deleted meanwhile is no error.

    One that found a module is not replaced by one that failed, nor by any that finds none while a deployment runs the
    module: garbage collection would take its bytes.
    """
    read = {"id": manifest_id, "version": reader_version, **asdict(reading)}
    with database.write(beside=True) as session:
        repository_id = _REPOSITORY.value(session, {"id": manifest_id})
        if repository_id is None or not take_turn(session, repository_id):
            return
        if reading.state != "module":
            kept = {name: read[name] for name in ("id", "version", "state")}
            if _KEEP_READING.run(session, kept) == 1:
                return
        if _SET_READING.run(session, read) == 0:
            return
        if facts is not None:
            found = {"sha256": facts.sha256, "size": facts.size, "facts": json.dumps(facts.facts)}
            _SET_FACTS.run(session, {**found, "version": reader_version, "now": now()})
        index_words(session, repository_id)
