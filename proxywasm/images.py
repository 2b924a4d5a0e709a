"""Which manifests hold a module, in which of their layers, and how it is wrapped there.

Seven formats are in use for WebAssembly in registries, and an eighth is what plain artifact tools write. All are
recognised by media types alone; whether an ordinary image holds a `plugin.wasm` shows only when its layer is opened.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"

SOLO, COMPAT_OCI, COMPAT_DOCKER, CNCF = "solo", "compat-oci", "compat-docker", "cncf"
WASM_TO_OCI, WASMCLOUD, RUNWASI, BARE = "wasm-to-oci", "wasmcloud", "runwasi", "bare"

RAW, TAR, TAR_GZIP, TAR_ZSTD = "raw", "tar", "tar+gzip", "tar+zstd"

SOLO_LAYER = "application/vnd.module.wasm.content.layer.v1+wasm"
CNCF_LAYER = "application/wasm"
WASM_TO_OCI_LAYER = "application/vnd.wasm.content.layer.v1+wasm"
RUNWASI_LAYER = "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm"
MODULE_LAYERS = (SOLO_LAYER, CNCF_LAYER, WASM_TO_OCI_LAYER, RUNWASI_LAYER)

# Artifact type of what a hub itself made of a manifest (its `subject`) for fetchers that cannot read that one.
DERIVED = "application/vnd.wasmhub.derived-image.v1+json"
SOLO_CONFIG = "application/vnd.module.wasm.config.v1+json"

OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
FORMATS_BY_CONFIG = {
    (SOLO_CONFIG, SOLO_LAYER): SOLO,
    ("application/vnd.wasm.config.v0+json", CNCF_LAYER): CNCF,
    ("application/vnd.wasm.config.v1+json", WASM_TO_OCI_LAYER): WASM_TO_OCI,
    ("application/vnd.wasmcloud.actor.archive.config", SOLO_LAYER): WASMCLOUD,
    (OCI_CONFIG, RUNWASI_LAYER): RUNWASI,
}
FORMATS_OF_LAYERS = {SOLO_LAYER: SOLO, RUNWASI_LAYER: RUNWASI, WASM_TO_OCI_LAYER: WASM_TO_OCI}

ARCHIVES = {
    "application/vnd.oci.image.layer.v1.tar": TAR,
    "application/vnd.oci.image.layer.v1.tar+gzip": TAR_GZIP,
    "application/vnd.oci.image.layer.v1.tar+zstd": TAR_ZSTD,
    "application/vnd.docker.image.rootfs.diff.tar": TAR,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": TAR_GZIP,
    "application/vnd.docker.image.rootfs.diff.tar.zstd": TAR_ZSTD,
}
IMAGES = {OCI_CONFIG: COMPAT_OCI, DOCKER_CONFIG: COMPAT_DOCKER}


@dataclass(frozen=True, slots=True)
class ModuleLayer:
    """The layer that holds the module: `wrapping` says how to unwrap it, `certain` whether it must hold one.

    The layer of an ordinary image (`certain` is false) may turn out to hold no `plugin.wasm`.
    """

    format: str
    digest: str
    size: int
    media_type: str
    wrapping: str
    certain: bool


@dataclass(frozen=True, slots=True)
class Declaration:
    """What the author declared in the config of a solo artifact; the module itself may say otherwise."""

    type: str | None
    abi_versions: tuple[str, ...]
    root_ids: tuple[str, ...]


def find_layer(manifest: bytes, media_type: str = OCI_MANIFEST) -> ModuleLayer | None:
    """The layer with the module of an image or artifact manifest; None where there cannot be one."""
    document = _parse(manifest)
    layers = [layer for layer in _objects(document.get("layers")) if _described(layer)]
    config = document.get("config")
    config_type = config.get("mediaType") if isinstance(config, dict) else None
    artifact = next((layer for layer in layers if layer["mediaType"] in MODULE_LAYERS), None)
    if artifact is not None:
        return _layer(_format_of_artifact(config_type, artifact["mediaType"]), artifact, RAW, certain=True)
    if not layers or layers[-1]["mediaType"] not in ARCHIVES:
        return None
    # Proxies look into the last layer only; that is where `COPY plugin.wasm` puts it.
    kind = IMAGES.get(config_type) if isinstance(config_type, str) else None
    if kind is None:
        return None
    if (document.get("mediaType") or media_type) == DOCKER_MANIFEST:
        kind = COMPAT_DOCKER
    return _layer(kind, layers[-1], ARCHIVES[layers[-1]["mediaType"]], certain=False)


def choose_child(index: bytes) -> str | None:
    """The digest of the manifest of an index that holds the module for proxies; None where none fits.

    linux/amd64 is what proxies ask for, and a child without a platform counts as that; wasi/wasm and wasip1/wasm
    is what tools for WebAssembly write. Attestations (`unknown/unknown`) are never chosen.
    """
    ranked: list[tuple[int, str]] = []
    for child in _objects(_parse(index).get("manifests")):
        rank = _rank(child.get("platform"))
        if rank is not None and isinstance(child.get("digest"), str):
            ranked.append((rank, child["digest"]))
    # Stable: among equals the first one in the index wins, as in the proxies' own fetchers.
    return min(ranked, key=lambda pair: pair[0])[1] if ranked else None


def is_index(media_type: str) -> bool:
    """Whether manifests of this media type only list other manifests."""
    return media_type in (OCI_INDEX, DOCKER_LIST)


def read_declaration(config: bytes) -> Declaration:
    """What a solo artifact's config declares, in the spelling of its tool or in that of its specification."""
    document = _parse(config)
    inner = document.get("config")
    roots = inner if isinstance(inner, dict) else document
    kind = document.get("type")
    return Declaration(
        kind if isinstance(kind, str) else None,
        _texts(document.get("abiVersions"), document.get("abi_versions"), document.get("abi_version")),
        _texts(roots.get("rootIds"), roots.get("root_ids"), roots.get("root_id")),
    )


def _format_of_artifact(config_type: object, layer_type: str) -> str:
    if isinstance(config_type, str) and (config_type, layer_type) in FORMATS_BY_CONFIG:
        return FORMATS_BY_CONFIG[config_type, layer_type]
    return FORMATS_OF_LAYERS.get(layer_type, BARE)


def _rank(platform: object) -> int | None:
    if platform is None:
        return 1
    if not isinstance(platform, dict):
        return None
    pair = (platform.get("os"), platform.get("architecture"))
    if pair == ("linux", "amd64"):
        return 0
    return 2 if pair[1] == "wasm" else None


def _layer(kind: str, layer: dict[str, Any], wrapping: str, *, certain: bool) -> ModuleLayer:
    return ModuleLayer(kind, layer["digest"], layer["size"], layer["mediaType"], wrapping, certain)


def _described(layer: dict[str, Any]) -> bool:
    size = layer.get("size")
    return (
        isinstance(layer.get("mediaType"), str)
        and isinstance(layer.get("digest"), str)
        and isinstance(size, int)
        and not isinstance(size, bool)
    )


def _objects(value: object) -> Iterable[dict[str, Any]]:
    return (entry for entry in value if isinstance(entry, dict)) if isinstance(value, list) else ()


def _texts(*values: object) -> tuple[str, ...]:
    for value in values:
        if isinstance(value, str):
            return (value,)
        if isinstance(value, list):
            return tuple(entry for entry in value if isinstance(entry, str))
    return ()


def _parse(document: bytes) -> dict[str, Any]:
    """The JSON object in these bytes; an empty one where there is none, since a registry stores any bytes."""
    try:
        parsed = json.loads(document)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
