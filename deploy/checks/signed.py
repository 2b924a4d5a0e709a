"""Where cosign puts the signatures of an image, and whether one of them is by a key that a target names.

Three places: the tag `sha256-<hex>.sig`, referrers of cosign's own artifact type, and Sigstore bundles as referrers.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from auth.signatures import SigningKey, read_signing_key, signs_bundle, signs_payload
from deploy.checks.reasons import Signed
from deploy.images.filters import Found
from storage.blobs.store import BlobStore, Missing
from storage.database import Database
from storage.manifests import find_blob, find_content, find_manifest, newest_referrers

SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
SIGNED_BESIDE = "application/vnd.dev.cosign.artifact.sig.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
MOST = 50  # manifests with signatures, and signatures, that are looked at
LARGEST = 256 * 1024  # bytes of a payload or bundle
_DIGEST = re.compile(r"sha(?:256|512):[0-9a-f]{64,128}")  # manifests of other types may name anything


@dataclass(frozen=True)
class _Signature:
    """A signature as it is stored: what was signed lies in a blob; `text` is the signature, but of a bundle."""

    subject: str
    key: str
    text: str | None


def find_signed(database: Database, blobs: BlobStore, found: Found, keys: Sequence[str]) -> Signed:
    """Whether the filter, or the index that it was found by, is signed by one of the keys (PEM)."""
    with database.read() as session:
        stored = list(_signatures(session, found))
    readable = [read_signing_key(pem) for pem in keys]
    if any(_holds(blobs, readable, one) for one in stored):
        return Signed.YES
    return Signed.OTHERWISE if stored else Signed.NO


def _holds(blobs: BlobStore, keys: Sequence[SigningKey], one: _Signature) -> bool:
    try:
        content = blobs.read(one.key)
    except Missing:
        return False
    if one.text is None:
        return signs_bundle(keys, content, one.subject)
    return signs_payload(keys, content, one.text, one.subject)


def _signatures(session: Session, found: Found) -> Iterator[_Signature]:
    """The newest signatures, of at most MOST manifests and MOST of each."""
    for subject in found.subjects:
        tagged = find_manifest(session, found.repository_id, subject.replace(":", "-") + ".sig")
        contents = [tagged.content] if tagged is not None else []
        for kind in (SIGNED_BESIDE, BUNDLE):
            rows = newest_referrers(session, found.repository_id, subject, kind, limit=MOST)
            contents += [content for row in rows if (content := find_content(session, row)) is not None]
        for content in contents:
            for layer in _layers(content)[:MOST]:
                yield from _signature(session, found.repository_id, subject, layer)


def _signature(session: Session, repository_id: int, subject: str, layer: Any) -> Iterator[_Signature]:
    """The signature in one layer, if there is one."""
    try:
        kind, digest = layer["mediaType"], str(layer["digest"])
        text = str(layer["annotations"][SIGNATURE]) if kind == SIMPLE else None
    except (LookupError, TypeError):
        return
    if kind not in (SIMPLE, BUNDLE) or not _DIGEST.fullmatch(digest):
        return
    blob = find_blob(session, repository_id, digest)
    if blob is not None and blob[2] <= LARGEST:
        yield _Signature(subject, blob[1], text)


def _layers(content: bytes) -> list[Any]:
    try:
        layers = json.loads(content)["layers"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return []
    return layers if isinstance(layers, list) else []
