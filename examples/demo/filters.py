"""Filters of the demo: compiled from WebAssembly text, and pushed in the format that proxies take."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import wasmtime

from examples.demo.curl import Curl
from examples.demo.saying import answered, check

FILTERS = Path(__file__).resolve().parents[1] / "filters"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.module.wasm.config.v1+json"
LAYER = "application/vnd.module.wasm.content.layer.v1+wasm"
SAYS = '"\\03wat"'  # in add-header.wat: what the filter writes into the header, a byte of length before it


def compile_filter(name: str, says: str | None = None) -> bytes:
    """The module from `examples/filters/NAME`; `says` is what another version of add-header writes."""
    text = (FILTERS / name / f"{name}.wat").read_text()
    if says is not None:
        check(text.count(SAYS) == 1, f"{name}.wat does not hold {SAYS}")
        text = text.replace(SAYS, f'"\\{len(says):02x}{says}"')
    return bytes(wasmtime.wat2wasm(text))


@dataclass(frozen=True)
class Pusher:
    """Pushes to a hub with plain HTTP, as any OCI client does."""

    hub: str
    token: str
    folder: Path

    def push(self, repository: str, tag: str, module: bytes, *, quiet: bool = False) -> None:
        """Pushes a module as an artifact of two layers: its (empty) config once more, and the module."""
        curl = Curl(self.hub, quiet)
        config = self._file("config.json", b"{}")
        stem = f"{repository.rpartition('/')[2]}-{tag}"
        wasm = self._file(f"{stem}.wasm", module)
        manifest = self._file(f"{stem}.json", _manifest(module))
        scope = f"repository:{repository}:pull,push"
        answer = curl.ask("GET", f"/token?service=demo&scope={scope}", sign_in=httpx.BasicAuth("admin", self.token))
        bearer = ("TOKEN", answer.json()["token"])
        if not quiet:
            answered('{"token": ...}   which the next lines know as $TOKEN')
        for file in (config, wasm):
            where = f"/v2/{repository}/blobs/uploads/?digest={_digest(file.read_bytes())}"
            curl.ask("POST", where, bearer=bearer, body=file)
        where = f"/v2/{repository}/manifests/{tag}"
        made = curl.ask("PUT", where, bearer=bearer, body=manifest, kind=MANIFEST)
        digest = made.headers["docker-content-digest"]
        check(digest == _digest(manifest.read_bytes()), f"the hub names the manifest {digest}")
        answered(f"pushed {repository}:{tag}, {len(module)} bytes of WebAssembly, {digest[:19]}...")

    def _file(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path


def _manifest(module: bytes) -> bytes:
    title = {"org.opencontainers.image.title": "filter.wasm"}
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _descriptor(b"{}", CONFIG),
        "layers": [_descriptor(b"{}", CONFIG), {**_descriptor(module, LAYER), "annotations": title}],
    }
    return json.dumps(document, indent=2).encode()


def _descriptor(content: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
