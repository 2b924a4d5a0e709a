"""What of the registry deployments run or may be rolled back to: manifests, modules, and where their bytes lie."""

from sqlalchemy import text
from sqlalchemy.orm import Session

from proxywasm.images import DERIVED

# What the hub made of a manifest is what some targets run in its place.
_USES = text(
    "SELECT DISTINCT t.name || '/' || d.name FROM revisions v JOIN deployments d ON d.id = v.deployment_id"
    " JOIN targets t ON t.id = d.target_id WHERE v.repository_id = :repo AND (v.manifest_digest = :digest"
    " OR v.manifest_digest = (SELECT subject FROM manifests"
    " WHERE repository_id = :repo AND digest = :digest AND artifact_type = :derived))"
    " ORDER BY 1"
)
_GRANTED = text(
    'SELECT 1 FROM revisions v JOIN deployments d ON d.id = v.deployment_id WHERE d."grant" = :grant'
    " AND v.module_sha256 = :sha256 LIMIT 1"
)
_MODULE = text(
    "SELECT b.key, i.wrapping FROM inspections i JOIN blobs b ON b.digest = i.blob_digest"
    " WHERE i.module_sha256 = :sha256 AND i.wrapping IS NOT NULL LIMIT 1"
)


def deployments_using(session: Session, repository_id: int, digest: str) -> list[str]:
    """Names, as `target/deployment`, of what runs the manifest, or what was derived from it, or may be rolled back to.

    A manifest that the hub derived is used by what uses its source.
    """
    asked = {"repo": repository_id, "digest": digest, "derived": DERIVED}
    return [row[0] for row in session.execute(_USES, asked)]


def is_granted(session: Session, grant: str, module_sha256: str) -> bool:
    """Whether a proxy that names this grant may fetch the module."""
    return session.execute(_GRANTED, {"grant": grant, "sha256": module_sha256}).first() is not None


def module_location(session: Session, module_sha256: str) -> tuple[str, str] | None:
    """Where a module's bytes lie: the key of a blob, and how the module is wrapped in it."""
    found = session.execute(_MODULE, {"sha256": module_sha256}).first()
    return (found[0], found[1]) if found else None
