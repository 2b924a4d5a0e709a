"""Which layer of which image holds the module, for the formats that are in use, and what a config declares."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxywasm.images import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    ModuleLayer,
    choose_child,
    find_layer,
    is_index,
    read_declaration,
)

OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
SOLO_CONFIG = "application/vnd.module.wasm.config.v1+json"
SOLO_LAYER = "application/vnd.module.wasm.content.layer.v1+wasm"
OCI_TAR = "application/vnd.oci.image.layer.v1.tar"
DOCKER_TAR = "application/vnd.docker.image.rootfs.diff.tar"
EMPTY = "application/vnd.oci.empty.v1+json"


def manifest(config: str | None, *layers: str, **fields: Any) -> bytes:
    described = [
        {"mediaType": kind, "digest": f"sha256:{number}", "size": number} for number, kind in enumerate(layers)
    ]
    document = {"schemaVersion": 2, "layers": described, **fields}
    if config is not None:
        document["config"] = {"mediaType": config, "digest": "sha256:c", "size": 2}
    return json.dumps(document).encode()


# The format, the number of the layer that holds the module, how it is wrapped, whether that is certain.
@pytest.mark.parametrize(
    ("document", "media_type", "expected"),
    [
        (manifest(SOLO_CONFIG, SOLO_CONFIG, SOLO_LAYER), OCI_MANIFEST, ("solo", 1, "raw", True)),
        (manifest(SOLO_CONFIG, SOLO_LAYER), OCI_MANIFEST, ("solo", 0, "raw", True)),
        (manifest(OCI_CONFIG, OCI_TAR + "+gzip"), OCI_MANIFEST, ("compat-oci", 0, "tar+gzip", False)),
        (manifest(OCI_CONFIG, OCI_TAR + "+gzip", OCI_TAR), OCI_MANIFEST, ("compat-oci", 1, "tar", False)),
        (manifest(OCI_CONFIG, OCI_TAR + "+zstd"), OCI_MANIFEST, ("compat-oci", 0, "tar+zstd", False)),
        (manifest(DOCKER_CONFIG, DOCKER_TAR + ".gzip"), DOCKER_MANIFEST, ("compat-docker", 0, "tar+gzip", False)),
        (manifest(OCI_CONFIG, DOCKER_TAR + ".gzip", mediaType=DOCKER_MANIFEST), DOCKER_MANIFEST,
         ("compat-docker", 0, "tar+gzip", False)),
        (manifest("application/vnd.wasm.config.v0+json", "application/wasm"), OCI_MANIFEST, ("cncf", 0, "raw", True)),
        (manifest("application/vnd.wasm.config.v1+json", "application/vnd.wasm.content.layer.v1+wasm"), OCI_MANIFEST,
         ("wasm-to-oci", 0, "raw", True)),
        (manifest("application/vnd.wasmcloud.actor.archive.config", SOLO_LAYER), OCI_MANIFEST,
         ("wasmcloud", 0, "raw", True)),
        (manifest(OCI_CONFIG, "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm"), OCI_MANIFEST,
         ("runwasi", 0, "raw", True)),
        (manifest(EMPTY, "application/wasm", artifactType="application/wasm"), OCI_MANIFEST, ("bare", 0, "raw", True)),
        (manifest(EMPTY, "text/markdown", "application/wasm"), OCI_MANIFEST, ("bare", 1, "raw", True)),
        (manifest(None, "application/wasm"), OCI_MANIFEST, ("bare", 0, "raw", True)),
        (manifest(OCI_CONFIG, OCI_TAR + "+gzip", "application/vnd.in-toto+json"), OCI_MANIFEST, None),
        (manifest(OCI_CONFIG, "application/vnd.in-toto+json"), OCI_MANIFEST, None),
        (manifest(EMPTY, OCI_TAR + "+gzip"), OCI_MANIFEST, None),
        (manifest("application/vnd.cncf.helm.config.v1+json", "application/vnd.cncf.helm.chart.content.v1.tar+gzip"),
         OCI_MANIFEST, None),
        (manifest(OCI_CONFIG), OCI_MANIFEST, None),
        (b"", OCI_MANIFEST, None),
        (b"[]", OCI_MANIFEST, None),
        (b'{"layers": 7, "config": []}', OCI_MANIFEST, None),
        (b'{"layers": [7, {"mediaType": "application/wasm"}], "config": null}', OCI_MANIFEST, None),
        (b'{"layers": [{"mediaType": "application/wasm", "digest": 1, "size": 1}]}', OCI_MANIFEST, None),
        (b'{"layers": [{"mediaType": ["x"], "digest": "sha256:0", "size": 1}]}', OCI_MANIFEST, None),
        (b'{"config": {"mediaType": ["x"]}, "layers": [{"mediaType": "' + OCI_TAR.encode()
         + b'", "digest": "sha256:0", "size": 1}]}', OCI_MANIFEST, None),
        (b'{"layers":' + b"[" * 200_000, OCI_MANIFEST, None),
    ],
)  # fmt: skip
def test_layer(document: bytes, media_type: str, expected: tuple[str, int, str, bool] | None) -> None:
    found = find_layer(document, media_type)
    if expected is None:
        assert found is None
        return
    kind, number, wrapping, certain = expected
    assert found == ModuleLayer(
        kind, f"sha256:{number}", number, json.loads(document)["layers"][number]["mediaType"], wrapping, certain
    )


def child(digest: str, **platform: str) -> dict[str, Any]:
    return {"digest": digest, "mediaType": OCI_MANIFEST, "size": 1} | ({"platform": platform} if platform else {})


@pytest.mark.parametrize(
    ("children", "chosen"),
    [
        ([child("a", os="linux", architecture="arm64"), child("b", os="linux", architecture="amd64")], "b"),
        ([child("a"), child("b", os="linux", architecture="amd64")], "b"),
        ([child("a"), child("b")], "a"),
        ([child("a", os="wasi", architecture="wasm")], "a"),
        ([child("a", os="wasip1", architecture="wasm"), child("b")], "b"),
        ([child("a", os="unknown", architecture="unknown"), child("b", os="linux", architecture="amd64")], "b"),
        ([child("a", os="unknown", architecture="unknown")], None),
        ([child("a", os="linux", architecture="arm64")], None),
        ([], None),
        ([{"digest": 7}, "x", {"platform": []}], None),
    ],
)
def test_child_of_an_index(children: list[Any], chosen: str | None) -> None:
    assert choose_child(json.dumps({"manifests": children}).encode()) == chosen


def test_broken_indexes_have_no_child() -> None:
    for document in (b"", b"7", b'{"manifests": {}}'):
        assert choose_child(document) is None


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST])
def test_indexes_are_known_by_their_media_type(media_type: str) -> None:
    assert is_index(media_type)
    assert not is_index(OCI_MANIFEST)


@pytest.mark.parametrize(
    ("config", "kind", "abi_versions", "root_ids"),
    [
        (b'{"type":"envoy_proxy","abiVersions":["v0-4689a30309"],"config":{"rootIds":["rate_limit"]}}',
         "envoy_proxy", ("v0-4689a30309",), ("rate_limit",)),
        (b'{"type":"envoy_proxy","abi_version":"v0.2.1","config":{"root_ids":["a","b"]}}',
         "envoy_proxy", ("v0.2.1",), ("a", "b")),
        (b'{"abi_versions":["x", 7],"root_id":"c"}', None, ("x",), ("c",)),
        (b"{}", None, (), ()),
        (b"nonsense", None, (), ()),
        (b'{"type":7,"config":[],"rootIds":{}}', None, (), ()),
    ],
)  # fmt: skip
def test_declaration(config: bytes, kind: str | None, abi_versions: tuple[str, ...], root_ids: tuple[str, ...]) -> None:
    found = read_declaration(config)
    assert (found.type, found.abi_versions, found.root_ids) == (kind, abi_versions, root_ids)
