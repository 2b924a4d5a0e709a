"""What a pushed manifest says, from its bytes (image-spec "manifest", "index"; distribution-spec "Pushing")."""

import json
from typing import Any

from proxywasm.images import find_layer
from registry.errors import OCIError
from registry.names import digest_of, is_digest
from storage.manifests import NewManifest

MANIFEST_LIMIT = 4 * 2**20
MOST_BYTES = 2**62  # in all layers of a manifest: the database adds them up
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
IMAGES = {OCI_MANIFEST, DOCKER_MANIFEST}
INDEXES = {OCI_INDEX, DOCKER_LIST}
# Layers of these types are not pushed anywhere: their bytes may not be distributed.
FOREIGN = ("nondistributable", "foreign")


def read_manifest(content: bytes, content_type: str, digest: str | None) -> NewManifest:
    """The manifest as it will be stored; `digest` is the one that the path names, if it names one.

    Unknown media types are stored byte for byte and refer to nothing. Raises OCIError: DIGEST_INVALID if the bytes do
    not have the digest, MANIFEST_INVALID if they are not what their media type says.
    """
    actual = digest_of(content, digest.partition(":")[0] if digest else "sha256")
    if digest is not None and digest != actual:
        raise OCIError("DIGEST_INVALID", f"the manifest has the digest {actual}, not {digest}")
    document = _parse(content)
    media_type = content_type.partition(";")[0].strip() or document.get("mediaType")
    if not isinstance(media_type, str) or not _is_plain(media_type):
        raise OCIError("MANIFEST_INVALID", "send the manifest's media type as Content-Type")
    own = document.get("mediaType")
    if own is not None and own != media_type:
        raise OCIError("MANIFEST_INVALID", f"the manifest calls itself {own!r} but was sent as {media_type!r}")

    blobs: dict[str, int] = {}
    manifests: dict[str, int] = {}
    if media_type in IMAGES:
        blobs = _image_blobs(document)
    elif media_type in INDEXES:
        manifests = dict(_descriptor(item, "manifests") for item in _list(document, "manifests"))
    subject = document.get("subject")
    return NewManifest(
        digest=actual,
        media_type=media_type,
        content=content,
        artifact_type=_artifact_type(document, media_type),
        subject=_descriptor(subject, "subject")[0] if subject is not None else None,
        annotations=_annotations(document),
        blobs=blobs,
        manifests=manifests,
        holds_module=media_type in INDEXES or (media_type in IMAGES and find_layer(content, media_type) is not None),
    )


def _parse(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except RecursionError:
        raise OCIError("MANIFEST_INVALID", "the manifest is nested too deeply") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise OCIError("MANIFEST_INVALID", f"the manifest is not JSON: {str(error)[:200]}") from None
    except ValueError:
        raise OCIError("MANIFEST_INVALID", "the manifest holds a number of too many digits") from None
    if not isinstance(document, dict):
        raise OCIError("MANIFEST_INVALID", "the manifest is not a JSON object")
    return document


def _image_blobs(document: dict[str, Any]) -> dict[str, int]:
    """The blobs that must be there: config and layers, but for those that may not be distributed."""
    blobs: dict[str, int] = {}
    if "config" in document:
        digest, size = _descriptor(document["config"], "config")
        blobs[digest] = size
    for layer in _list(document, "layers"):
        digest, size = _descriptor(layer, "layers")
        if not any(sign in layer.get("mediaType", "") for sign in FOREIGN):
            blobs[digest] = size
    if sum(blobs.values()) > MOST_BYTES:
        raise OCIError("MANIFEST_INVALID", f"the manifest's layers are said to have more than {MOST_BYTES} bytes")
    return blobs


def _list(document: dict[str, Any], field: str) -> list[Any]:
    items = document.get(field)
    if items is None:
        return []
    if not isinstance(items, list):
        raise OCIError("MANIFEST_INVALID", f"the manifest's {field!r} is not a list")
    return items


def _descriptor(item: Any, where: str) -> tuple[str, int]:
    """Digest and size of a descriptor."""
    if not isinstance(item, dict):
        raise OCIError("MANIFEST_INVALID", f"an entry of {where!r} is not a descriptor")
    digest, size = item.get("digest"), item.get("size")
    if not isinstance(digest, str) or not is_digest(digest):
        raise OCIError("MANIFEST_INVALID", f"an entry of {where!r} has no valid digest: {str(digest)[:100]!r}")
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size < 2**63:
        raise OCIError("MANIFEST_INVALID", f"{digest} in {where!r} has no valid size")
    if not isinstance(item.get("mediaType", ""), str):
        raise OCIError("MANIFEST_INVALID", f"{digest} in {where!r} has no valid media type")
    return digest, size


def _artifact_type(document: dict[str, Any], media_type: str) -> str | None:
    """As the referrers list shows it: an image falls back to its config's media type, an index to nothing."""
    given = document.get("artifactType")
    config = document.get("config")
    if not given and media_type in IMAGES and isinstance(config, dict):
        given = config.get("mediaType")
    if not given:
        return None
    if not isinstance(given, str) or not _is_plain(given):
        raise OCIError("MANIFEST_INVALID", "the manifest's artifact type is no media type")
    return given


def _is_plain(text: str) -> bool:
    """Whether a media type can stand in a header."""
    return 0 < len(text) <= 255 and text.isascii() and text.isprintable()


def _annotations(document: dict[str, Any]) -> dict[str, Any] | None:
    annotations = document.get("annotations")
    if annotations is None:
        return None
    if not isinstance(annotations, dict) or not all(isinstance(value, str) for value in annotations.values()):
        raise OCIError("MANIFEST_INVALID", "the manifest's annotations are not texts")
    try:
        "".join([*annotations, *annotations.values()]).encode()
    except UnicodeEncodeError:
        raise OCIError("MANIFEST_INVALID", "the manifest's annotations hold halves of surrogate pairs") from None
    return annotations
