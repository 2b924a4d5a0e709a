"""From what a deployer typed to the module that will run: resolved once, and refused with reasons if it cannot work."""

import json
import re
from dataclasses import dataclass

from sqlalchemy.orm import Session

from auth.door import ApiError
from auth.identity import Identity
from auth.namespaces import resource_of
from auth.permissions import may
from deploy.checks.schema import MAX_SCHEMA, SCHEMA_TYPE
from deploy.fields import bad
from proxywasm.images import choose_child, is_index
from storage.catalog import list_versions
from storage.manifests import find_blob, find_content, find_manifest, indexes_with, newest_referrers
from storage.modules import Facts, Reading, find_facts, find_reading
from storage.namespaces import find_holding

INDEXES = 10  # that list a manifest and whose referrers count for it
_REFERENCE = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9._/-]{0,253}?)(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha\d+:[0-9a-f]{64,128}))?",
    re.ASCII,
)


@dataclass(frozen=True)
class Reference:
    """A reference in its parts; the tag and the digest may be empty."""

    name: str
    tag: str
    digest: str


@dataclass(frozen=True)
class Found:
    """A filter as it was resolved: the manifest that holds the module, and what the reader made of it."""

    repository_id: int
    repository: str
    digest: str
    subjects: tuple[str, ...]  # digests that its referrers may name: its own, and those of indexes that list it
    reading: Reading | None


def read_reference(reference: str) -> Reference:
    """The parts of NAME[:TAG|@DIGEST]. Raises ApiError."""
    parts = _REFERENCE.fullmatch(reference)
    if parts is None:
        raise bad(f"{reference[:300]!r} is no reference; write namespace/name:tag or namespace/name@digest")
    return Reference(parts["name"], parts["tag"] or "", parts["digest"] or "")


def find_readable_repository(session: Session, identity: Identity, name: str) -> tuple[int, str]:
    """The id of a repository that the caller may read, and its name by now. Raises ApiError."""
    holding = find_holding(session, name, identity.user_id)
    if holding is None or holding.repository_id is None or not may(identity, "pull", resource_of(holding)):
        raise ApiError(404, "not_found", f"there is no repository {name}, or you may not read it")
    return holding.repository_id, holding.name


def find_filter(session: Session, identity: Identity, reference: str) -> Found:
    """Resolves NAME[:TAG|@DIGEST]; NAME alone is its newest version. Raises ApiError with the way out."""
    parts = read_reference(reference)
    name = parts.name
    repository_id, present_name = find_readable_repository(session, identity, name)
    wanted = parts.digest or parts.tag or _newest(session, repository_id)
    manifest = find_manifest(session, repository_id, wanted) if wanted else None
    if manifest is None:
        raise ApiError(404, "not_found", f"{name} has no {'version' if wanted is None else wanted}; push it first")
    subjects: tuple[str, ...] = (manifest.digest,)
    if is_index(manifest.media_type):
        child = choose_child(manifest.content)
        manifest = find_manifest(session, repository_id, child) if child else None
        if manifest is None:
            raise _refused(f"{reference} is an index without an image for linux/amd64 or wasm")
        subjects = (manifest.digest, *subjects)
    elif parts.digest:
        # A version that was deployed by its index is named by its own digest from then on.
        subjects += tuple(indexes_with(session, repository_id, manifest.digest, limit=INDEXES))
    reading = find_reading(session, repository_id, manifest.digest)
    return Found(repository_id, present_name, manifest.digest, subjects, reading)


def find_module(session: Session, found: Found, reference: str) -> tuple[Facts | None, str | None]:
    """The module's facts, or why there are none. Raises ApiError 503 where the reader has not read it yet."""
    reading = found.reading
    if reading is None or reading.state == "pending":
        raise ApiError(503, "unavailable", f"{reference} was not read yet; try again in a moment")
    if reading.state == "failed":
        return None, f"{reference} cannot be read: {reading.reason}"
    facts = find_facts(session, reading.module_sha256) if reading.module_sha256 else None
    if facts is None:
        return None, f"{reference} holds no module that the hub can find; push an image or artifact with one"
    return facts, None


def find_schema(session: Session, found: Found) -> tuple[str, int] | None:
    """Key and size of the blob with the newest config schema among the filter's referrers."""
    found_by = (
        newest_referrers(session, found.repository_id, subject, SCHEMA_TYPE, limit=1) for subject in found.subjects
    )
    newest = max((row for rows in found_by for row in rows), default=None)
    content = find_content(session, newest) if newest is not None else None
    if content is None:
        return None
    try:
        digest = str(json.loads(content)["layers"][0]["digest"])
        blob = find_blob(session, found.repository_id, digest)
    except (ValueError, LookupError, TypeError, RecursionError):
        blob = None
    if blob is None or blob[2] > MAX_SCHEMA:
        raise _refused(f"the config schema of {found.repository} must be one layer of at most {MAX_SCHEMA} bytes")
    return blob[1], blob[2]


def _newest(session: Session, repository_id: int) -> str | None:
    newest = list_versions(session, repository_id, limit=1)
    return newest[0].tag if newest else None


def _refused(message: str) -> ApiError:
    """Understood and allowed, but it would not work; nothing has happened."""
    return ApiError(422, "refused", message)
