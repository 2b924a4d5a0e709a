"""Random requests, half right: paths that exist with parts that fit or do not, and bodies that may be anything."""

import json
import random
from dataclasses import dataclass
from urllib.parse import quote

from tests.oci import OCI_INDEX, OCI_MANIFEST, digest_of, image

METHODS = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "REPORT"]
REGISTRY = [
    "GET /v2/",
    "GET /v2/_catalog",
    "GET /v2/{name}/tags/list",
    "GET /v2/{name}/referrers/{digest}",
    "GET /v2/{name}/manifests/{tag}",
    "PUT /v2/{name}/manifests/{tag}",
    "PUT /v2/{name}/manifests/{digest}",
    "DELETE /v2/{name}/manifests/{digest}",
    "GET /v2/{name}/blobs/{digest}",
    "HEAD /v2/{name}/blobs/{digest}",
    "DELETE /v2/{name}/blobs/{digest}",
    "POST /v2/{name}/blobs/uploads/",
    "GET /v2/{name}/blobs/uploads/{any}",
    "PATCH /v2/{name}/blobs/uploads/{any}",
    "PUT /v2/{name}/blobs/uploads/{any}",
    "DELETE /v2/{name}/blobs/uploads/{any}",
]
OTHERS = [
    "GET /",
    "GET /r/{name}",
    "GET /sign-in",
    "POST /sign-out",
    "GET /static/{any}/{any}",
    "GET /token",
    "POST /token",
    "GET /healthz",
    "GET /metrics",
    "GET /.well-known/wasm-pkg/registry.json",
    "GET /modules/{any}/{hex}.wasm",
    "POST /v3/discovery:extension_configs",
    "GET /{any}/{any}",
]
NAMES = [
    "fuzz/one",
    "fuzz/two",
    "fuzz/a/b",
    "fuzz/none",
    "one",
    "Fuzz/One",
    "fuzz//x",
    "f" * 300,
    "fuzz/..",
    "fuzz/%00",
]
ODD = [
    "",
    "..",
    "%2e%2e",
    "%00",
    "%ff%fe",
    "%",
    "%zz",
    "a" * 400,
    "%0d%0aX:%20y",
    "é".encode().decode("latin-1"),
    "0",
    "-1",
    "null",
]
ODD += [
    "{}",
    "[]",
    "%F0%9F%92%A9",
    "a b",
    "'\";--",
    "9" * 30,
    "%C2%B2",
    "true",
    "%3Cscript%3E",
    "*",
    "sha256:",
    "\\",
    "&",
    "#",
]
QUERIES = [
    "n",
    "last",
    "digest",
    "mount",
    "from",
    "tag",
    "artifactType",
    "digest-algorithm",
    "scope",
    "service",
    "account",
    "q",
]
QUERIES += ["offline_token", "client_id", "after", "limit", "page", "slot", "node", "sort", "visibility", "ns", "kind"]
KEYS = [
    "name",
    "kind",
    "settings",
    "namespace",
    "reference",
    "config",
    "order",
    "repository",
    "visibility",
    "description",
]
KEYS += [
    "password",
    "role",
    "expires_in",
    "root_id",
    "failure_policy",
    "slots",
    "node",
    "resource_names",
    "version_info",
    "layers",
]
HEADERS = [
    "Content-Type",
    "Content-Range",
    "Range",
    "If-None-Match",
    "If-Range",
    "Accept",
    "Cookie",
    "Origin",
    "X-Forwarded-For",
]
HEADERS += [
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "Forwarded",
    "If-Match",
    "Transfer-Encoding",
    "Expect",
    "Connection",
    "Host",
]
VALUES = [
    "0-4",
    "bytes=0-1",
    "bytes=5-1",
    "bytes=-0",
    '"x"',
    "*",
    "application/json",
    OCI_MANIFEST,
    OCI_INDEX,
    "text/html",
    "chunked",
]
VALUES += [
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "100-continue",
    "close",
    "\xe9\xff",
    "a" * 5000,
]
VALUES += [
    "127.0.0.1",
    "[::1",
    "https",
    "0-99999999999999999999",
    "whs_x",
    "session=whs_",
    "",
    "a, b;q=x",
    "http://evil.example",
]


@dataclass(frozen=True)
class Request:
    """A request as it goes over the wire, without its credentials."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Requests:
    """Makes requests; the same seed and documented operations (`GET /path`) make the same ones."""

    def __init__(self, seed: int, documented: list[str]) -> None:
        self._random = random.Random(seed)
        self._paths = [(4, REGISTRY), (2, documented), (2, OTHERS)]

    def next(self) -> Request:
        """Another request."""
        paths = self._random.choices([paths for _, paths in self._paths], [weight for weight, _ in self._paths])[0]
        method, _, path = self._random.choice(paths).partition(" ")
        path = self._filled(path)
        if self._random.random() < 0.4:
            pairs = [f"{self._pick(QUERIES)}={self._value()}" for _ in range(self._random.randint(1, 4))]
            path += "?" + self._pick(["&", "&", ";", "&&"]).join(pairs)
        body = self._body() if self._random.random() < 0.5 else b""
        headers = [(self._pick(HEADERS), self._pick(VALUES)) for _ in range(self._random.choice([0, 0, 1, 1, 2, 4]))]
        method = self._pick(METHODS) if self._random.random() < 0.15 else method
        return Request(method, path.replace(" ", "%20"), tuple(headers), body)

    def _pick(self, among: list[str]) -> str:
        return self._random.choice(among)

    def _filled(self, path: str) -> str:
        while "{" in path:
            before, _, rest = path.partition("{")
            name, _, after = rest.partition("}")
            path = f"{before}{self._part(name).replace('{', '%7B')}{after}"
        return path

    def _part(self, name: str) -> str:
        if self._random.random() < 0.15:
            return self._pick(ODD)
        if name == "name":
            return self._pick(NAMES)
        if name == "digest":
            return self._pick(
                [digest_of(b"content"), digest_of(image(b"content")), digest_of(b"x", "sha512"), "sha256:0"]
            )
        if name in ("tag", "any", "target", "deployment", "key"):
            return self._pick(["v1", "v2", "1", "edge", "none", "x.y-z_"])
        if name == "id":
            return self._pick(["999", "v1", "-1"])  # not 1: that token is the one that these requests carry
        return digest_of(self._random.randbytes(1))[7:]

    def _value(self) -> str:
        known = [
            digest_of(b"content"),
            "fuzz/one",
            "v1",
            "repository:fuzz/one:pull",
            "1",
            "0",
            "sha512",
            "x%20y",
            "hub",
        ]
        return self._pick(known + ODD)

    def _body(self) -> bytes:
        kind = self._random.randrange(6)
        if kind == 0:
            return self._random.randbytes(self._random.choice([1, 100, 5000]))
        if kind == 1:
            return image(b"content", annotations={"n": str(self._random.random())})
        if kind == 2:
            mutated = bytearray(image(b"content"))
            for _ in range(self._random.randint(1, 5)):
                mutated[self._random.randrange(len(mutated))] = self._random.randrange(256)
            return bytes(mutated)
        if kind == 3:
            return "&".join(f"{self._pick(QUERIES)}={quote(self._pick(ODD))}" for _ in range(4)).encode()
        return json.dumps({self._pick(KEYS): self._json(0) for _ in range(self._random.randint(0, 6))}).encode()

    def _json(self, depth: int) -> object:
        if depth < 3 and self._random.random() < 0.3:
            return {self._pick(KEYS): self._json(depth + 1) for _ in range(2)}
        if depth < 3 and self._random.random() < 0.2:
            return [self._json(depth + 1) for _ in range(2)]
        odd = [
            None,
            True,
            -1,
            0,
            2**70,
            1.5,
            float("nan"),
            "\ud800",
            "\x00",
            "",
            "edge",
            "v1",
            "fuzz/one",
            "envoy-fleet",
        ]
        return self._random.choice(odd)
