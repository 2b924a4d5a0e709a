"""Images that cannot be fetched by every target, pushed through the front door, and what is derived from them."""

import gzip
import json
import time
from typing import Any, cast

from auth.gate import Gate
from auth.identity import Identity
from auth.outgoing import Outgoing
from deploy.images.derived import readable_manifest
from deploy.images.filters import Found, find_filter
from deploy.images.modules import Modules
from deploy.means import Means
from storage.blobs.store import BlobStore
from storage.database import Database
from storage.events import Actor
from storage.usage import UNLIMITED
from tests.clients.image import MODULE as PLUGIN
from tests.clients.image import tar_of
from tests.oci import EMPTY, OCI_MANIFEST, Client, descriptor

OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DERIVED = "application/vnd.wasmhub.derived-image.v1+json"
CNCF = ("application/vnd.wasm.config.v0+json", "application/wasm")
WASM_TO_OCI = ("application/vnd.wasm.config.v1+json", "application/vnd.wasm.content.layer.v1+wasm")
DEPLOYER = Actor("user", None, "deployer")


def archive(module: bytes) -> bytes:
    """A gzipped tar with the module where proxies look for it."""
    return gzip.compress(tar_of({PLUGIN: module}), mtime=0)


def push(
    client: Client,
    name: str,
    *layers: tuple[bytes, str],
    config: str = OCI_CONFIG,
    media_type: str = OCI_MANIFEST,
    tag: str = "1",
    algorithm: str = "sha256",
) -> str:
    """Pushes a manifest over these layers, each with its media type; its digest."""
    for blob, _ in (*layers, (EMPTY, "")):
        client.push_blob(name, blob, algorithm)
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": descriptor(EMPTY, config, algorithm),
        "layers": [descriptor(blob, layer_type, algorithm) for blob, layer_type in layers],
    }
    return client.push_manifest(name, tag, json.dumps(document).encode(), media_type)


def push_cncf(client: Client, name: str, module: bytes, **more: str) -> str:
    """Pushes the module as one layer, which no mesh can fetch."""
    return push(client, name, (module, CNCF[1]), config=CNCF[0], **more)


def means_beside(database: Database, blobs: BlobStore, **more: Any) -> Means:
    """What the deploy door works with, in a process beside the hub's."""
    rest = {"meter": UNLIMITED, **more}
    modules = Modules(database, blobs)
    return Means(database, blobs, cast(Gate, None), modules, outgoing=Outgoing(), wake=lambda: None, **rest)


def found_in(database: Database, name: str, digest: str) -> Found:
    """The filter once the hub's reader has read it, as an administrator finds it."""
    identity = Identity(1, "admin", "administrator")
    end = time.monotonic() + 30
    while True:
        with database.read() as session:
            found = find_filter(session, identity, f"{name}@{digest}")
        if found.reading is not None and found.reading.state != "pending":
            return found
        assert time.monotonic() < end, f"{name} was not read"
        time.sleep(0.05)


def derive(means: Means, name: str, digest: str, kind: str = "istio") -> str:
    """What a target of this kind is told to fetch for the pushed image."""
    return readable_manifest(means, DEPLOYER, found_in(means.database, name, digest), kind)
