"""Who holds a module: the copies of it that somebody may read, found by the sha256 of the module itself."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from storage.repositories import Viewer, visible


@dataclass(frozen=True)
class Copy:
    """A layer that holds the module: its key in the blob store, its size in bytes, and how the module is wrapped."""

    key: str
    size: int
    wrapping: str | None


_HELD = """FROM inspections i JOIN manifests m ON m.id = i.manifest_id
    JOIN repositories r ON r.id = m.repository_id JOIN namespaces n ON n.id = r.namespace_id"""
_COPY = f"""SELECT b.key, b.size, i.wrapping {_HELD} JOIN blobs b ON b.digest = i.blob_digest
    JOIN repository_blobs rb ON rb.blob_id = b.id AND rb.repository_id = r.id
    WHERE i.module_sha256 = :sha256 AND {{}} LIMIT 1"""
_NAMES = f"SELECT DISTINCT r.name {_HELD} WHERE i.module_sha256 = :sha256 AND {{}} ORDER BY r.name LIMIT :limit"


def find_copy(session: Session, viewer: Viewer, sha256: str) -> Copy | None:
    """A copy of the module in a repository that the viewer may pull."""
    asked: dict[str, Any] = {"sha256": sha256, **viewer.parameters()}
    found = session.execute(text(_COPY.format(visible(viewer))), asked).first()
    return Copy(found.key, found.size, found.wrapping) if found else None


def list_holders(session: Session, viewer: Viewer, sha256: str, *, limit: int) -> list[str]:
    """Names of repositories that the viewer may pull and that hold the module."""
    asked: dict[str, Any] = {"sha256": sha256, "limit": limit, **viewer.parameters()}
    return list(session.execute(text(_NAMES.format(visible(viewer))), asked).scalars())
