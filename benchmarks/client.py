"""One client, the same for every registry: requests one after the other on one kept-alive connection."""

import hashlib
import http.client
import json
import os
import time
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from benchmarks.servers import Server

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.module.wasm.config.v1+json"
LAYER = "application/vnd.module.wasm.content.layer.v1+wasm"
STEP = 2**20


class Client:
    """Speaks to one repository. Its token is got when it is made, so it is good for 300 s."""

    def __init__(self, server: Server, repository: str) -> None:
        self._name = server.name
        self._repository = repository
        self._headers = server.headers(repository)
        self._connection = server.connect()

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """The answer and its body. Raises RuntimeError for anything but a 2xx."""
        self._connection.request(method, path, body, {**self._headers, **(headers or {})})
        answer = self._connection.getresponse()
        content = answer.read()
        if not 200 <= answer.status < 300:
            raise RuntimeError(f"{self._name}: {method} {path}: {answer.status} {content[:300]!r}")
        return answer, content

    def push_blob(self, content: bytes) -> dict[str, object]:
        """POST and PUT, as every common client does; answers the blob's digest and size."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.ask("PUT", self._begin(digest), content, {"Content-Type": "application/octet-stream"})
        return {"digest": digest, "size": len(content)}

    def push_manifest(self, content: bytes, reference: str) -> None:
        """PUT of a manifest under a tag or its digest."""
        self.ask("PUT", f"/v2/{self._repository}/manifests/{reference}", content, {"Content-Type": MANIFEST})

    def push_module(self, module: bytes, tag: str) -> float:
        """A whole push in five requests: a config of its own, the module, the manifest. Answers its seconds."""
        config_bytes = json.dumps({"created": os.urandom(8).hex()}).encode()
        began = time.perf_counter()
        config = {"mediaType": CONFIG, **self.push_blob(config_bytes)}
        layer = {"mediaType": LAYER, **self.push_blob(module)}
        self.push_manifest(manifest(config, layer), tag)
        return time.perf_counter() - began

    def push_large(self, chunks: Iterator[bytes], digest: str, size: int) -> None:
        """A blob that is never whole in memory here."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        self.ask("PUT", self._begin(digest), chunks, headers)

    def pull_large(self, digest: str) -> int:
        """Reads a blob and throws it away; answers how many bytes came."""
        self._connection.request("GET", f"/v2/{self._repository}/blobs/{digest}", headers=self._headers)
        answer = self._connection.getresponse()
        size = 0
        while chunk := answer.read(STEP):
            size += len(chunk)
        return size

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def _begin(self, digest: str) -> str:
        answer, _ = self.ask("POST", f"/v2/{self._repository}/blobs/uploads/", b"")
        location = urlsplit(answer.headers["Location"])
        query = f"{location.query}&" if location.query else ""
        return f"{location.path}?{query}digest={digest}"


def manifest(config: Mapping[str, object], layer: Mapping[str, object], **annotations: str) -> bytes:
    """An image manifest over one config and one layer."""
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}
    return json.dumps(document | ({"annotations": annotations} if annotations else {})).encode()


def make_module(size: int) -> bytes:
    """A valid proxy-wasm module of about that many bytes, with code that was never there before.

    Its functions push random numbers and drop them: real code to validate, and nothing that compresses or repeats.
    """
    numbers = os.urandom(size * 8 // 10)
    code = b"".join(b"\x44" + numbers[at : at + 8] + b"\x1a" for at in range(0, len(numbers) - 7, 8))
    # A body: no locals, a thousand times (f64.const, drop), end.
    bodies = [b"\x00" + code[at : at + 10_000] + b"\x0b" for at in range(0, len(code), 10_000)]
    exports = _name("memory") + b"\x02\x00" + _name("proxy_abi_version_0_2_0") + b"\x00\x00"
    return (
        b"\0asm\x01\0\0\0"
        + _section(1, b"\x01\x60\x00\x00")
        + _section(3, _number(len(bodies)) + b"\x00" * len(bodies))
        + _section(5, b"\x01\x00\x01")
        + _section(7, b"\x02" + exports)
        + _section(10, _number(len(bodies)) + b"".join(_number(len(body)) + body for body in bodies))
    )


def _section(number: int, content: bytes) -> bytes:
    return bytes([number]) + _number(len(content)) + content


def _name(text: str) -> bytes:
    return _number(len(text)) + text.encode()


def _number(value: int) -> bytes:
    """LEB128."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
