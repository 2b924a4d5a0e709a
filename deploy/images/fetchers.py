"""What the fetchers of the meshes can read: from which layer of an image each takes the module, if from any.

Istio's agent (pkg/wasm/imagefetcher.go) and the controller of Envoy Gateway, which has a copy of it, know three
formats; Gloo knows one. They look at media types alone, and at others than the hub's reader does: so which layer they
take has to be compared with the one that it read.
"""

import json

from proxywasm.images import COMPAT_OCI, DOCKER_MANIFEST, SOLO, SOLO_CONFIG, SOLO_LAYER

GLOO = "gloo"
# The format that is made for each kind of target whose fetcher pulls images; the others are given the bare module.
FORMATS = {"istio": COMPAT_OCI, "envoy-gateway": COMPAT_OCI, GLOO: SOLO}
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_SHA256 = "sha256:"  # go-containerregistry, with which they pull, knows no other digests


def fetched_layer(kind: str, digest: str, manifest: bytes) -> str | None:
    """The digest of the layer that the fetcher of this kind of target takes the module from; None where it takes none.

    `digest` is the manifest's own.
    """
    try:
        document = json.loads(manifest)
        layers = [(str(layer["mediaType"]), str(layer["digest"])) for layer in document["layers"]]
        config, media_type = document["config"]["mediaType"], document.get("mediaType")
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    if not layers or not all(one.startswith(_SHA256) for one in (digest, *(layer[1] for layer in layers))):
        return None
    last_type, last = layers[-1]
    if kind == GLOO:
        return _artifact(layers) if config == SOLO_CONFIG else None
    if media_type == DOCKER_MANIFEST:
        return last if last_type == DOCKER_LAYER else None
    return last if last_type == OCI_LAYER else _artifact(layers)


def _artifact(layers: list[tuple[str, str]]) -> str | None:
    """The one module of exactly two layers."""
    modules = [digest for media_type, digest in layers if media_type == SOLO_LAYER]
    return modules[0] if len(layers) == 2 and len(modules) == 1 else None
