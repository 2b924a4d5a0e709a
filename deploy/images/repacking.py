"""The same module as another image, made so that the same module always gives the same bytes: of layer and config.

Formats: image-spec "config", "layer"; compat and solo artifact as in proxywasm.images.
"""

import hashlib
import json
import tarfile
import zlib
from collections.abc import Iterator
from typing import Any

from deploy.images.fetchers import OCI_LAYER
from proxywasm.images import (
    COMPAT_OCI,
    DERIVED,
    OCI_CONFIG,
    OCI_MANIFEST,
    RAW,
    SOLO,
    SOLO_CONFIG,
    SOLO_LAYER,
    TAR_GZIP,
)
from proxywasm.unpacking import BLOCK, PLUGIN

LAYERS = {COMPAT_OCI: OCI_LAYER, SOLO: SOLO_LAYER}
WRAPPINGS = {COMPAT_OCI: TAR_GZIP, SOLO: RAW}
_CONFIGS = {COMPAT_OCI: OCI_CONFIG, SOLO: SOLO_CONFIG}
_BEGINNING = "1970-01-01T00:00:00Z"
_MODE = 0o644
_STEP = 2**20  # bytes that are packed at a time
_GZIP = 16 + zlib.MAX_WBITS  # with a header that holds no time and no name


def make_layer(form: str, module: bytes) -> Iterator[bytes]:
    """The layer that holds the module, in pieces: a gzipped archive with plugin.wasm alone, or the bare module."""
    pieces = _archive(module) if form == COMPAT_OCI else _cut(module)
    if form != COMPAT_OCI:
        yield from pieces
        return
    packer = zlib.compressobj(zlib.Z_BEST_COMPRESSION, wbits=_GZIP)
    for piece in pieces:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()


def make_config(form: str, module: bytes, abi_version: str | None) -> bytes:
    """The config beside that layer."""
    if form == SOLO:
        abi = [] if abi_version is None else [f"v{abi_version}"]
        return _json({"type": "envoy_proxy", "abiVersions": abi, "config": {"rootIds": []}})
    running = hashlib.sha256()
    for piece in _archive(module):
        running.update(piece)
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{running.hexdigest()}"]}
    history = [{"created": _BEGINNING, "created_by": f"COPY {PLUGIN} ./{PLUGIN}"}]
    platform = {"architecture": "amd64", "os": "linux"}  # what proxies ask for, whatever they run on
    return _json({"created": _BEGINNING, **platform, "config": {}, "rootfs": rootfs, "history": history})


def make_manifest(form: str, config: tuple[str, int], layer: tuple[str, int], source: dict[str, Any]) -> bytes:
    """The manifest over config and layer, each a digest and a size; `source` describes what it is made of."""
    described = _descriptor(_CONFIGS[form], *config)
    layers = [_descriptor(LAYERS[form], *layer)]
    if form == SOLO:
        layers[0]["annotations"] = {"org.opencontainers.image.title": "filter.wasm"}
        title = {"org.opencontainers.image.title": "runtime-config.json"}
        layers.insert(0, {**described, "annotations": title})
    return _json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": DERIVED,
            "config": described,
            "layers": layers,
            "subject": source,
            "annotations": _annotations(form),
        }
    )


def _annotations(form: str) -> dict[str, str]:
    if form == SOLO:
        return {"module.wasm.runtime/type": "envoy_proxy"}
    return {"module.wasm.image/variant": "compat"}


def _archive(module: bytes) -> Iterator[bytes]:
    """A tar archive with the module as plugin.wasm, of nobody and of no time."""
    entry = tarfile.TarInfo(PLUGIN)
    entry.size, entry.mode = len(module), _MODE
    yield entry.tobuf(tarfile.USTAR_FORMAT)
    yield from _cut(module)
    yield bytes(-len(module) % BLOCK + 2 * BLOCK)


def _cut(module: bytes) -> Iterator[bytes]:
    for start in range(0, len(module), _STEP):
        yield module[start : start + _STEP]


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest, "size": size}


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
