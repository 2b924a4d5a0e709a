"""The image that a target is told to run: the pushed one, or one of the same module that its fetcher can read."""

import hashlib
import json
import threading

from sqlalchemy.orm import Session

from deploy.images.fetchers import FORMATS, fetched_layer
from deploy.images.filters import Found
from deploy.images.modules import load_module
from deploy.images.repacking import WRAPPINGS, make_config, make_layer, make_manifest
from deploy.means import Means
from proxywasm.images import DERIVED, OCI_MANIFEST, RAW
from proxywasm.unpacking import MAX_MODULE
from storage.database import Conflict
from storage.derived import find_derived, save_derived, store_made_blob
from storage.errors import OverQuota
from storage.events import Actor
from storage.manifests import MissingBlobs, NewManifest, StoredManifest, find_blob, find_manifest
from storage.modules import Reading, find_facts, find_reading

_turn = threading.Lock()  # a module is held in memory while it is packed: one at a time


def readable_manifest(means: Means, actor: Actor, found: Found, target_kind: str) -> str:
    """The digest of an image of the filter that a target of this kind can fetch, in the filter's repository.

    Where it cannot read what was pushed, that is an image which the hub makes of the same module, for `actor`, and
    keeps as long as the pushed one. Made once; it may take seconds. Raises Conflict with the way out where it cannot be
    made, and StorageError.
    """
    form = FORMATS.get(target_kind)
    if form is None:
        return found.digest
    readable = find_readable(means, found, target_kind)
    if readable is None:
        with _turn:
            readable = find_readable(means, found, target_kind) or _make(means, actor, found, form)
    return readable


def find_readable(means: Means, found: Found, kind: str) -> str | None:
    """An image of the filter that is there and that a target of this kind, which pulls images, can read."""
    with means.database.read() as session:
        source, reading, sha256 = _source(session, found)
        # A layer that somebody took out of the repository cannot be fetched, though the hub still has its bytes.
        there = find_blob(session, found.repository_id, reading.blob_digest or "") is not None
        candidates = [(source, reading.blob_digest or "")] if there else []
        candidates += find_derived(session, found.repository_id, found.digest, sha256)
    for manifest, layer in candidates:
        # The module that it would take must be the one that the reader read.
        if fetched_layer(kind, manifest.digest, manifest.content) == layer:
            return manifest.digest
    return None


def _make(means: Means, actor: Actor, found: Found, form: str) -> str:
    """Makes an image of the same module in that format, and stores it beside the pushed one."""
    with means.database.read() as session:
        source, reading, sha256 = _source(session, found)
        facts = find_facts(session, sha256)
    module = load_module(means.database, means.blobs, sha256, MAX_MODULE)
    if module is None:
        raise Conflict(f"the bytes of {found.repository}@{found.digest} are gone; push them again")
    config = make_config(form, module, facts.facts.get("abi_version") if facts else None)
    digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
    bare = f"sha256:{sha256}" if WRAPPINGS[form] == RAW else None
    store = means.database, means.blobs, found.repository_id
    try:
        described = store_made_blob(*store, [config], meter=means.meter, digest=digest)
        layer = store_made_blob(*store, make_layer(form, module), meter=means.meter, digest=bare)
    except OverQuota as error:
        raise Conflict(
            f"the target cannot read {found.repository}@{found.digest} as it was pushed, and there is no room for an"
            f" image of it that it can read: {error}"
        ) from None
    subject = {"mediaType": source.media_type, "digest": source.digest, "size": len(source.content)}
    content = make_manifest(form, described, layer, subject)
    new = NewManifest(
        digest=f"sha256:{hashlib.sha256(content).hexdigest()}",
        media_type=OCI_MANIFEST,
        content=content,
        artifact_type=DERIVED,
        subject=source.digest,
        annotations=json.loads(content)["annotations"],
        blobs=dict((described, layer)),
        holds_module=True,
    )
    made = Reading("module", form, sha256, layer[0], WRAPPINGS[form], reading.reason)
    try:
        save_derived(means.database, found.repository_id, new, made, actor=actor, name=found.repository)
    except MissingBlobs:
        raise Conflict(f"what was made of {found.repository}@{found.digest} was removed meanwhile; try again") from None
    return new.digest


def _source(session: Session, found: Found) -> tuple[StoredManifest, Reading, str]:
    """The pushed manifest, what the reader made of it, and the module's sha256. Raises Conflict."""
    source = find_manifest(session, found.repository_id, found.digest)
    reading = find_reading(session, found.repository_id, found.digest)
    if source is None or reading is None:
        raise Conflict(f"{found.repository}@{found.digest} was deleted meanwhile; push it again")
    if reading.module_sha256 is None:
        raise Conflict(f"{found.repository}@{found.digest} was not read, or holds no module that the hub can find")
    return source, reading, reading.module_sha256
