"""A small OCI client for tests: speaks the token protocol, and says exactly what it sends."""

import hashlib
import json
import re
import ssl
from typing import Any

import httpx

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
WASM_CONFIG = "application/vnd.module.wasm.config.v1+json"
WASM_LAYER = "application/vnd.module.wasm.content.layer.v1+wasm"
EMPTY = b"{}"


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    """The digest of the bytes."""
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def descriptor(content: bytes, media_type: str, algorithm: str = "sha256") -> dict[str, Any]:
    """A descriptor of the bytes."""
    return {"mediaType": media_type, "digest": digest_of(content, algorithm), "size": len(content)}


def image(*layers: bytes, config: bytes = EMPTY, **more: Any) -> bytes:
    """An image manifest over these bytes."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(config, "application/vnd.oci.image.config.v1+json"),
        "layers": [descriptor(layer, "application/octet-stream") for layer in layers],
    }
    return json.dumps({**document, **more}).encode()


def filter_manifest(module: bytes, **more: Any) -> bytes:
    """The two-layer artifact that proxies take: config again, and the module raw."""
    layers = [
        {**descriptor(EMPTY, WASM_CONFIG)},
        {**descriptor(module, WASM_LAYER), "annotations": {"org.opencontainers.image.title": "filter.wasm"}},
    ]
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(EMPTY, WASM_CONFIG),
        "layers": layers,
    }
    return json.dumps({**document, **more}).encode()


class Client:
    """Asks as one person; gets a token for what each 401 asks for, and keeps it by scope."""

    def __init__(self, url: str, user: str = "", password: str = "", *, verify: ssl.SSLContext | bool = True) -> None:
        self.http = httpx.Client(base_url=url, timeout=60, trust_env=False, verify=verify)
        self._basic = (user, password) if user else None
        self._tokens: dict[str, str] = {}

    def close(self) -> None:
        """Closes its connections."""
        self.http.close()

    def token(self, *scopes: str) -> str:
        """A token for the scopes."""
        answer = self.http.get("/token", params={"scope": list(scopes), "service": "test"}, auth=self._basic)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])

    def ask(self, method: str, path: str, *, scope: str | None = None, **more: Any) -> httpx.Response:
        """Sends the request, once more with a token if it is told which one; `scope` asks for that one at once."""
        headers = dict(more.pop("headers", {}))
        key = scope or path.partition("?")[0]
        if scope and key not in self._tokens:
            self._tokens[key] = self.token(scope)
        if key in self._tokens:
            headers["Authorization"] = f"Bearer {self._tokens[key]}"
        elif "content" in more:  # nginx ends a connection on which it passed on a refusal before a body had come
            headers["Connection"] = "close"
        answer = self.http.request(method, path, headers=headers, **more)
        if answer.status_code == 401 and not scope:
            wanted = re.search(r'scope="([^"]*)"', answer.headers["www-authenticate"])
            self._tokens[key] = self.token(*(wanted[1].split() if wanted else ()))
            headers = {**headers, "Authorization": f"Bearer {self._tokens[key]}"}
            headers.pop("Connection", None)
            answer = self.http.request(method, path, headers=headers, **more)
        return answer

    def push_blob(self, name: str, content: bytes, algorithm: str = "sha256") -> str:
        """Pushes a blob in one request."""
        digest = digest_of(content, algorithm)
        answer = self.ask("POST", f"/v2/{name}/blobs/uploads/?digest={digest}", content=content)
        assert answer.status_code == 201, answer.text
        return digest

    def push_manifest(self, name: str, reference: str, content: bytes, media_type: str = OCI_MANIFEST) -> str:
        """Pushes a manifest."""
        headers = {"Content-Type": media_type}
        answer = self.ask("PUT", f"/v2/{name}/manifests/{reference}", content=content, headers=headers)
        assert answer.status_code == 201, answer.text
        return str(answer.headers["docker-content-digest"])

    def push_image(self, name: str, reference: str, *layers: bytes, **more: Any) -> str:
        """Pushes an image with these layers."""
        for blob in (EMPTY, *layers):
            self.push_blob(name, blob)
        return self.push_manifest(name, reference, image(*layers, **more))

    def push_filter(self, name: str, reference: str, module: bytes, **more: Any) -> str:
        """Pushes a module in the format that is written by default."""
        for blob in (EMPTY, module):
            self.push_blob(name, blob)
        return self.push_manifest(name, reference, filter_manifest(module, **more))
