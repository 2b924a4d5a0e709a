"""Bad input: each is answered with one sentence in the dialect of the door, leaves no traceback and changes nothing."""

import json
import time
from collections.abc import Callable, Iterator

import pytest

from tests.engines import has_bucket
from tests.hub import HubProcess
from tests.oci import OCI_INDEX, OCI_MANIFEST, Client, digest_of, image
from tests.registry.raw import Raw, connect, receive, send

NAME = "bad/input"
SCOPE = f"repository:{NAME}:pull,push,delete"
BODY = b"12345"
DIGEST = digest_of(BODY)
UPLOADS = f"/v2/{NAME}/blobs/uploads/"


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub that must come through all of this without a traceback, with nothing half-written left."""
    with HubProcess(tmp_path_factory.mktemp("quiet") / "data") as hub:
        yield hub
        hub.check_log()


@pytest.fixture(scope="module")
def client(quiet: HubProcess) -> Iterator[Client]:
    """The administrator, who has pushed an image."""
    client = Client(quiet.url, "admin", quiet.admin_password)
    client.push_image(NAME, "v1", b"content")
    yield client
    assert client.ask("GET", f"/v2/{NAME}/manifests/v1", scope=SCOPE).content == image(b"content")
    client.close()


@pytest.fixture
def head(client: Client) -> Callable[..., bytes]:
    """Makes the head of a request that is signed in."""
    token = client.token(SCOPE)

    def make(method: str, path: str, *headers: str) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", "Host: hub", f"Authorization: Bearer {token}", *headers, "", ""]
        return "\r\n".join(lines).encode("latin-1")

    return make


def error_of(answer: Raw | None) -> tuple[int, str]:
    """Status and code of a refusal in the registry's dialect, which says something."""
    assert answer is not None
    assert answer.headers["content-type"] == "application/json", answer
    errors = json.loads(answer.body)["errors"]
    assert len(errors) == 1 and errors[0]["message"], errors
    assert "\n" not in errors[0]["message"]
    return answer.status, errors[0]["code"]


def begun(hub: HubProcess) -> list[int]:
    """Sizes of the files of uploads; a bucket has none to be seen."""
    if has_bucket():
        return []
    return [path.stat().st_size for path in (hub.data / "blobs" / "uploads").iterdir()]


LONG = "a/" + "b" * 298


REFUSED = [
    ("GET", f"/v2/{LONG}/manifests/v1", 400, "NAME_INVALID"),
    ("PUT", f"/v2/{LONG}/manifests/v1", 400, "NAME_INVALID"),
    ("POST", f"/v2/{LONG}/blobs/uploads/", 400, "NAME_INVALID"),
    ("GET", "/v2/a%00b/c/manifests/v1", 400, "NAME_INVALID"),
    ("GET", "/v2/a/b%ff/manifests/v1", 400, "NAME_INVALID"),
    ("GET", "/v2/%2e%2e/%2e%2e/manifests/v1", 400, "NAME_INVALID"),
    ("GET", "/v2/..%2f..%2fetc/passwd/manifests/v1", 400, "NAME_INVALID"),
    ("GET", "/v2/%zz/a%/manifests/v1", 400, "NAME_INVALID"),
    ("POST", "/v2/%2e%2e/x/blobs/uploads/", 400, "NAME_INVALID"),
    ("GET", "/v2/../../etc/passwd", 404, "NAME_INVALID"),
    ("GET", "/v2//", 404, "NAME_INVALID"),
    ("GET", "/v2/x", 404, "NAME_INVALID"),
    ("GET", "/v2/%00", 404, "NAME_INVALID"),
    ("GET", f"/v2/{NAME}/tags/list/", 404, "NAME_INVALID"),
    ("GET", f"/v2/{NAME}/manifests/", 404, "NAME_INVALID"),
    ("GET", f"/v2/{NAME}/manifests/v%00", 404, "MANIFEST_UNKNOWN"),
    ("GET", f"/v2/{NAME}/manifests/v%ff", 404, "MANIFEST_UNKNOWN"),
    ("GET", f"/v2/{NAME}/manifests/{'t' * 300}", 404, "MANIFEST_UNKNOWN"),
    ("PUT", f"/v2/{NAME}/manifests/{'t' * 300}", 400, "TAG_INVALID"),
    ("PUT", f"/v2/{NAME}/manifests/a%00b", 400, "TAG_INVALID"),
    ("PUT", f"/v2/{NAME}/manifests/a/b", 404, "NAME_INVALID"),
    ("PUT", f"/v2/{NAME}/manifests/a%2fb", 404, "NAME_INVALID"),
    ("PUT", f"/v2/{NAME}/manifests/v1?tag=a/b", 400, "TAG_INVALID"),
    ("PUT", f"/v2/{NAME}/manifests/v1?tag=%00", 400, "TAG_INVALID"),
    ("DELETE", f"/v2/{NAME}/manifests/no%ff", 404, "MANIFEST_UNKNOWN"),
    ("GET", f"/v2/{NAME}/blobs/sha256:%00", 400, "DIGEST_INVALID"),
    ("GET", f"/v2/{NAME}/blobs/..%2f..%2fhub.db", 404, "NAME_INVALID"),
    ("DELETE", f"/v2/{NAME}/blobs/%2e%2e", 400, "DIGEST_INVALID"),
    ("GET", f"/v2/{NAME}/tags/list?n=-1", 400, "PAGINATION_NUMBER_INVALID"),
    ("GET", f"/v2/{NAME}/tags/list?n=%C2%B2", 400, "PAGINATION_NUMBER_INVALID"),
    ("GET", f"/v2/{NAME}/tags/list?n={'9' * 40}", 400, "PAGINATION_NUMBER_INVALID"),
    ("GET", f"/v2/{NAME}/referrers/{DIGEST}?last=%C2%B2", 400, "PAGINATION_NUMBER_INVALID"),
    ("GET", f"/v2/{NAME}/referrers/{DIGEST}?last=-1", 400, "PAGINATION_NUMBER_INVALID"),
    ("GET", f"/v2/{NAME}/referrers/x", 400, "DIGEST_INVALID"),
    ("GET", f"{UPLOADS}%00%ff", 404, "BLOB_UPLOAD_UNKNOWN"),
    ("PATCH", f"{UPLOADS}nothing", 404, "BLOB_UPLOAD_UNKNOWN"),
    ("PUT", f"{UPLOADS}nothing?digest={DIGEST}", 404, "BLOB_UPLOAD_UNKNOWN"),
    ("DELETE", f"{UPLOADS}nothing", 404, "BLOB_UPLOAD_UNKNOWN"),
    ("POST", f"{UPLOADS}?digest=", 400, "DIGEST_INVALID"),
    ("POST", f"{UPLOADS}?digest=%00", 400, "DIGEST_INVALID"),
    ("POST", f"{UPLOADS}?digest={DIGEST.upper()}", 400, "DIGEST_INVALID"),
    ("POST", f"{UPLOADS}?digest={digest_of(b'other')}", 400, "DIGEST_INVALID"),
    ("POST", f"{UPLOADS}?digest={DIGEST}&digest={digest_of(b'other')}", 400, "DIGEST_INVALID"),
    ("POST", f"{UPLOADS}?digest-algorithm=md5", 400, "DIGEST_INVALID"),
    ("PROPFIND", f"/v2/{NAME}/manifests/v1", 405, "UNSUPPORTED"),
    ("TRACE", "/v2/", 405, "UNSUPPORTED"),
    ("OPTIONS", f"/v2/{NAME}/tags/list", 405, "UNSUPPORTED"),
    ("PUT", f"/v2/{NAME}/blobs/{DIGEST}", 405, "UNSUPPORTED"),
    ("POST", f"/v2/{NAME}/manifests/v1", 405, "UNSUPPORTED"),
]


@pytest.mark.parametrize(("method", "path", "status", "code"), REFUSED)
def test_paths_and_queries(
    quiet: HubProcess, head: Callable[..., bytes], method: str, path: str, status: int, code: str
) -> None:
    body = b"" if method in ("GET", "DELETE", "TRACE", "OPTIONS", "PROPFIND") else BODY
    answer = send(quiet.host, head(method, path, f"Content-Length: {len(body)}") + body)
    assert error_of(answer) == (status, code)
    assert begun(quiet) == []


@pytest.mark.parametrize(
    "query",
    ["?mount=", "?mount=%ff&from=%00", "?&&&===%%%", "?a=b&" * 500, f"?mount={DIGEST}&from=../..", "?_state=.."],
)
def test_queries_that_mean_nothing_begin_an_upload(client: Client, query: str) -> None:
    answer = client.ask("POST", UPLOADS + query, scope=SCOPE)
    assert answer.status_code == 202
    assert client.ask("DELETE", answer.headers["location"], scope=SCOPE).status_code == 204


def test_the_methods_that_are_possible_are_named(client: Client) -> None:
    answer = client.ask("POST", f"/v2/{NAME}/tags/list", scope=SCOPE)
    assert (answer.status_code, set(answer.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})


def test_head_is_answered_as_get_without_its_body(client: Client, quiet: HubProcess) -> None:
    location = client.ask("POST", UPLOADS, scope=SCOPE).headers["location"]
    paths = ["/v2/", "/v2/_catalog", "/v2/x", f"/v2/{NAME}/tags/list", f"/v2/{NAME}/tags/list?n=-1", location]
    paths += [
        f"/v2/{NAME}/{kind}" for kind in ("manifests/v1", "manifests/no", f"blobs/{DIGEST}", f"referrers/{DIGEST}")
    ]
    for path in paths:
        scope = "registry:catalog:*" if "_catalog" in path else SCOPE
        got, headed = (client.ask(method, path, scope=scope) for method in ("GET", "HEAD"))
        assert (headed.status_code, headed.content) == (got.status_code, b""), path
        assert headed.headers.get("content-length") == got.headers.get("content-length"), path
    client.ask("DELETE", location, scope=SCOPE)


def sized(length: object) -> bytes:
    return f"POST {UPLOADS} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"hello\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"BREW /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /v2/ HTTP/3.7\r\n\r\n", 400),
        (b"GET /v2/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /v2/\x00 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX: a\x01b\r\n\r\n", 400),
        (sized(-5), 400),
        (sized("abc"), 400),
        (sized("9" * 30), 400),
        (sized("5\r\nContent-Length: 6") + b"123456", 400),
        (sized("5\r\nTransfer-Encoding: chunked") + b"0\r\n\r\n", 400),
        (b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 5_000_000 + b"\r\n\r\n", 431),
        (b"GET /v2/ HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 20_000 + b"\r\n", 431),
        (b"GET /v2/" + b"a" * 5_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
        (b"POST /v2/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nxx", 400),
    ],
)
def test_what_is_no_request(quiet: HubProcess, sent: bytes, status: int) -> None:
    answer = send(quiet.host, sent)
    assert answer is not None
    assert answer.status == status
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["connection"] == "close"
    assert answer.body.count(b"\n") == 1 and len(answer.body) > 20


@pytest.mark.parametrize(
    "chunks", [b"zz\r\n12345\r\n", b"3\r\n123456789\r\n0\r\n\r\n", b"f" * 20 + b"\r\n1\r\n", b"5;" + b"x" * 300_000]
)
def test_garbage_instead_of_chunks(quiet: HubProcess, head: Callable[..., bytes], chunks: bytes) -> None:
    path = f"{UPLOADS}?digest={digest_of(b'')}"
    answer = send(quiet.host, head("POST", path, "Transfer-Encoding: chunked"), chunks)
    assert answer is not None and answer.status in (400, 431)
    until(lambda: begun(quiet) == [])


def test_trailers_are_no_headers(quiet: HubProcess, client: Client, head: Callable[..., bytes]) -> None:
    manifest = image(b"content", schemaVersion=2)
    start = head("PUT", f"/v2/{NAME}/manifests/trailers", "Transfer-Encoding: chunked")
    rest = b"%x\r\n%s\r\n0\r\nContent-Type: text/odd\r\n\r\n" % (len(manifest), manifest)
    answer = send(quiet.host, start + rest)
    assert answer is not None and answer.status == 201
    got = client.ask("GET", f"/v2/{NAME}/manifests/trailers", scope=SCOPE)
    assert got.headers["content-type"] == OCI_MANIFEST


def test_another_protocol_is_not_taken_up(quiet: HubProcess) -> None:
    with connect(quiet.host) as connection:
        for more in (b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b""):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + more + b"\r\n")
            answer = receive(connection)
            assert answer is not None and answer.status == 200


def test_a_body_that_is_waited_for(quiet: HubProcess, head: Callable[..., bytes]) -> None:
    path = f"{UPLOADS}?digest={DIGEST}"
    answer = send(quiet.host, head("POST", path, "Expect: 100-continue", "Content-Length: 5"), BODY)
    assert answer is not None and answer.status == 201
    with connect(quiet.host) as connection:
        connection.sendall(head("POST", f"{UPLOADS}?digest=x", "Expect: 100-continue", "Content-Length: 5"))
        assert connection.recv(12) == b"HTTP/1.1 400"


def until(true: Callable[[], bool], seconds: float = 10) -> None:
    """Waits until it is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("sent", [5, 3_000_000])
@pytest.mark.parametrize("how", ["Content-Length: 4000000", "Transfer-Encoding: chunked"])
def test_bodies_that_end_early(
    quiet: HubProcess, client: Client, head: Callable[..., bytes], how: str, sent: int
) -> None:
    location = client.ask("POST", UPLOADS, scope=SCOPE).headers["location"]
    assert client.ask("PATCH", location, content=BODY, scope=SCOPE).status_code == 202
    part = b"x" * sent
    if "chunked" in how:
        part = b"%x\r\n%s\r\n" % (sent, part)
    for method, path in (
        ("POST", f"{UPLOADS}?digest={digest_of(part)}"),
        ("PATCH", location),
        ("PUT", f"{location}?digest={digest_of(BODY + part)}"),
        ("PUT", f"/v2/{NAME}/manifests/early"),
    ):
        with connect(quiet.host) as connection:
            connection.sendall(head(method, path, how) + part)
    until(lambda: begun(quiet) == [len(BODY)] or has_bucket())
    until(lambda: client.ask("PATCH", location, content=b"", scope=SCOPE).status_code == 202)

    assert client.ask("GET", location, scope=SCOPE).headers["range"] == "0-4"
    assert client.ask("HEAD", f"/v2/{NAME}/blobs/{digest_of(part)}", scope=SCOPE).status_code == 404
    assert client.ask("GET", f"/v2/{NAME}/manifests/early", scope=SCOPE).status_code == 404
    assert client.ask("PUT", f"{location}?digest={DIGEST}", scope=SCOPE).status_code == 201


def put(client: Client, content: bytes, media_type: str = OCI_MANIFEST) -> tuple[int, str]:
    """Puts a manifest; status and code."""
    path, headers = f"/v2/{NAME}/manifests/odd", {"Content-Type": media_type}
    answer = client.ask("PUT", path, content=content, headers=headers, scope=SCOPE)
    return answer.status_code, "" if answer.status_code == 201 else answer.json()["errors"][0]["code"]


PLAIN = image(b"content")


def with_more(more: bytes) -> bytes:
    """The image with another field at its end."""
    return PLAIN[:-1] + b', "x": ' + more + b"}"


@pytest.mark.parametrize(
    ("content", "media_type", "status", "code"),
    [
        (b" " * (5 * 2**20), OCI_MANIFEST, 413, "SIZE_INVALID"),
        (with_more(b"[" * 200_000), OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        (with_more(b"[" * 100_000 + b"]" * 100_000), OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        (with_more(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        (with_more(b"1" * 10_000), OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        (PLAIN.replace(b'"size": 7', b'"size": NaN'), OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        (PLAIN.replace(b'"size": 7', b'"size": -7'), OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        (PLAIN.replace(b'"size": 7', b'"size": 7' + b"0" * 40), OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        (image(b"absent"), OCI_MANIFEST, 404, "MANIFEST_BLOB_UNKNOWN"),
        (image(b"content", artifactType="\ud800"), OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        (image(b"content", mediaType="\ud800"), OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        (image(b"content", annotations={"\ud800": "\udfff"}), OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        (image(b"content", subject=[]), OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        (b'{"layers": [' + b"{}," * 100_000 + b"{}]}", OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        (b'{"manifests": [' + b"null," * 100_000 + b"null]}", OCI_INDEX, 400, "MANIFEST_INVALID"),
        (PLAIN, "a/b;" + "c" * 1000, 400, "MANIFEST_INVALID"),
        (b"{}", "x" * 300, 400, "MANIFEST_INVALID"),
        (b"{}", "\xe9", 400, "MANIFEST_INVALID"),
    ],
)
def test_manifests(client: Client, content: bytes, media_type: str, status: int, code: str) -> None:
    path = f"/v2/{NAME}/manifests/odd"
    headers = {b"Content-Type": media_type.encode("latin-1")}
    answer = client.ask("PUT", path, content=content, headers=headers, scope=SCOPE)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)
    assert len(answer.json()["errors"][0]["message"]) < 500
    assert client.ask("GET", path, scope=SCOPE).status_code == 404


def test_a_manifest_of_very_many_layers(client: Client) -> None:
    layers = [{"digest": f"sha256:{number:064x}", "size": 1} for number in range(43_000)]
    started = time.monotonic()
    content = json.dumps({"layers": layers}, separators=(",", ":")).encode()
    assert len(content) < 4 * 2**20
    assert put(client, content) == (404, "MANIFEST_BLOB_UNKNOWN")
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    "content",
    [
        image(b"content", annotations={"org.opencontainers.image.description": "a\x00b"}),
        with_more(b"[NaN, Infinity, -Infinity, 1e999]"),
        with_more(b"[" * 900 + b"]" * 900),
    ],
)
def test_manifests_that_are_odd_but_taken(client: Client, content: bytes) -> None:
    """What is taken is kept byte for byte, and no list that shows it breaks."""
    assert put(client, content) == (201, "")
    path = f"/v2/{NAME}/manifests/odd"
    assert client.ask("GET", path, scope=SCOPE).content == content
    assert client.ask("GET", f"/v2/{NAME}/referrers/{digest_of(content)}", scope=SCOPE).status_code == 200
    assert client.http.get(f"/api/v1/repositories/{NAME}", auth=("admin", "x")).status_code < 500
    assert client.ask("DELETE", path, scope=SCOPE).status_code == 202
