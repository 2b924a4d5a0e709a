"""Images around a module: as a file that clients take in, and the module out of what clients give back."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

MODULE = "plugin.wasm"  # the name that proxies look for in an image


def tar_of(files: dict[str, bytes]) -> bytes:
    """A tar with these files, the same bytes for the same files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def file_in_tar(tar_bytes: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(tar_bytes)) as tar:
        for entry in tar:
            found = tar.extractfile(entry) if entry.name.lstrip("./") == name else None
            if found is not None:
                return found.read()
    raise FileNotFoundError(f"no {name} in the tar")


def write_layout(folder: Path, module: bytes) -> None:
    """An OCI image layout with one image, tagged `it`, whose one layer holds the module (the `compat` variant)."""
    layer_tar = tar_of({MODULE: module})
    layer = gzip.compress(layer_tar, mtime=0)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [digest_of(layer_tar)]},
        "config": {},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": save(folder, json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": [save(folder, layer, "application/vnd.oci.image.layer.v1.tar+gzip")],
    }
    entry = save(folder, json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": "it"}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))


def module_in_layout(folder: Path) -> bytes:
    """The module in the last layer of the only image of an OCI layout."""
    entry = json.loads((folder / "index.json").read_text())["manifests"][0]
    manifest = json.loads(load(folder, entry["digest"]))
    return file_in_tar(load(folder, manifest["layers"][-1]["digest"]), MODULE)


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def save(folder: Path, content: bytes, media_type: str) -> dict[str, object]:
    """Stores a blob in a layout and answers its descriptor."""
    digest = digest_of(content)
    path = folder / "blobs" / digest.replace(":", "/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def load(folder: Path, digest: str) -> bytes:
    return (folder / "blobs" / digest.replace(":", "/")).read_bytes()
