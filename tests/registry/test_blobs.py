"""Blobs: the four ways to push them, reading them whole and in part, mounting and deleting them."""

import hashlib
import os
from typing import Any

import httpx
import pytest

from tests.oci import Client, digest_of

BODY = os.urandom(2048)


def begin(admin: Client, name: str, query: str = "") -> str:
    answer = admin.ask("POST", f"/v2/{name}/blobs/uploads/{query}")
    assert answer.status_code == 202
    assert answer.headers["range"] == "0-0"
    return str(answer.headers["location"])


def read(admin: Client, name: str, digest: str) -> bytes:
    answer = admin.ask("GET", f"/v2/{name}/blobs/{digest}")
    assert answer.status_code == 200
    assert answer.headers["docker-content-digest"] == digest
    return answer.content


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("way", ["post-put", "post", "chunked", "streamed", "last chunk by put"])
def test_every_way_to_push(admin: Client, name: str, way: str, algorithm: str) -> None:
    body = os.urandom(3000)
    digest = digest_of(body, algorithm)
    if way == "post":
        done = admin.ask("POST", f"/v2/{name}/blobs/uploads/?digest={digest}", content=body)
    else:
        location = begin(admin, name, f"?digest-algorithm={algorithm}")
        rest = b""
        if way == "post-put":
            rest = body
        elif way == "streamed":
            scope = f"repository:{name}:pull,push"
            patched = admin.ask("PATCH", location, content=iter([body[:1000], body[1000:]]), scope=scope)
            assert (patched.status_code, patched.headers["range"]) == (202, "0-2999")
        else:
            for start, stop in ((0, 1000), (1000, 2000)):
                headers = {"Content-Range": f"{start}-{stop - 1}"}
                patched = admin.ask("PATCH", location, content=body[start:stop], headers=headers)
                assert (patched.status_code, patched.headers["range"]) == (202, f"0-{stop - 1}")
            if way == "chunked":
                patched = admin.ask("PATCH", location, content=body[2000:], headers={"Content-Range": "2000-2999"})
                assert patched.status_code == 202
            else:
                rest = body[2000:]
        headers = {"Content-Range": "2000-2999"} if way == "last chunk by put" else {}
        done = admin.ask("PUT", f"{location}?digest={digest}", content=rest, headers=headers)
        assert admin.ask("GET", location).status_code == 404

    assert done.status_code == 201
    assert done.headers["location"] == f"/v2/{name}/blobs/{digest}"
    assert read(admin, name, digest) == body


def test_an_empty_blob_is_a_blob(admin: Client, name: str) -> None:
    assert read(admin, name, admin.push_blob(name, b"")) == b""
    location = begin(admin, name)
    digest = digest_of(b"", "sha512")
    assert admin.ask("PUT", f"{location}?digest={digest}").status_code == 201
    assert read(admin, name, digest) == b""


def test_status_of_an_upload(admin: Client, name: str) -> None:
    location = begin(admin, name)
    empty = admin.ask("GET", location)
    admin.ask("PATCH", location, content=b"x" * 10)
    begun = admin.ask("GET", location)

    assert (empty.status_code, empty.headers["range"]) == (204, "0-0")
    assert (begun.status_code, begun.headers["range"], begun.headers["location"]) == (204, "0-9", location)


def test_cancelling_an_upload(admin: Client, name: str) -> None:
    location = begin(admin, name)
    admin.ask("PATCH", location, content=b"x" * 10)

    assert admin.ask("DELETE", location, scope=f"repository:{name}:push").status_code == 204
    assert admin.ask("GET", location).status_code == 404
    assert admin.ask("DELETE", location, scope=f"repository:{name}:push").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status", "code"),
    [
        ("PATCH", "", {"Content-Range": "5-9"}, b"12345", 416, "RANGE_INVALID"),
        ("PATCH", "", {"Content-Range": "bytes five"}, b"12345", 416, "RANGE_INVALID"),
        ("PATCH", "", {"Content-Range": "0-9"}, b"12345", 400, "SIZE_INVALID"),
        ("PUT", "?digest={digest}", {"Content-Range": "5-9"}, b"12345", 416, "RANGE_INVALID"),
        ("PUT", "?digest={other}", {}, b"12345", 400, "DIGEST_INVALID"),
        ("PUT", "?digest=sha256:short", {}, b"12345", 400, "DIGEST_INVALID"),
        ("PUT", "?digest=md5:00", {}, b"12345", 400, "DIGEST_INVALID"),
        ("PUT", "", {}, b"12345", 400, "DIGEST_INVALID"),
        ("POST", "", {}, b"", 404, "NAME_INVALID"),
    ],
)
def test_what_an_upload_refuses(
    admin: Client, name: str, method: str, path: str, headers: dict[str, str], body: bytes, status: int, code: str
) -> None:
    location = begin(admin, name)
    path = path.format(digest=digest_of(b"12345"), other=digest_of(b"other"))
    answer = admin.ask(method, location + path, content=body, headers=headers)

    expected = (405, "UNSUPPORTED") if method == "POST" else (status, code)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == expected
    assert answer.json()["errors"][0]["message"]


def test_an_unknown_upload(admin: Client, name: str) -> None:
    admin.push_blob(name, b"there is a repository")
    for method in ("GET", "PATCH", "PUT"):
        answer = admin.ask(method, f"/v2/{name}/blobs/uploads/nothing?digest={digest_of(b'')}")
        assert answer.status_code == 404
        if method != "HEAD":
            assert answer.json()["errors"][0]["code"] == "BLOB_UPLOAD_UNKNOWN"


def test_an_upload_belongs_to_its_repository(admin: Client, name: str) -> None:
    location = begin(admin, name)
    admin.push_blob(f"{name}/other", b"x")
    elsewhere = location.replace(f"/v2/{name}/", f"/v2/{name}/other/")

    assert admin.ask("PATCH", elsewhere, content=b"x").status_code == 404


@pytest.mark.parametrize(
    ("asked", "status", "start", "stop"),
    [
        ("bytes=500-1499", 206, 500, 1500),
        ("bytes=500-", 206, 500, 2048),
        ("bytes=-500", 206, 1548, 2048),
        ("bytes=-5000", 206, 0, 2048),
        ("bytes=2000-5000", 206, 2000, 2048),
        ("bytes=0-0", 206, 0, 1),
        ("bytes=500-0", 416, 0, 0),
        ("bytes=5000-10000", 416, 0, 0),
        ("bytes=2048-", 416, 0, 0),
        ("bytes=-0", 416, 0, 0),
        ("bytes=0-1,4-5", 200, 0, 2048),
        ("lines=1-2", 200, 0, 2048),
        ("bytes=-", 200, 0, 2048),
    ],
)
def test_ranges(admin: Client, asked: str, status: int, start: int, stop: int) -> None:
    digest = admin.push_blob("registry/ranges", BODY)
    answer = admin.ask("GET", f"/v2/registry/ranges/blobs/{digest}", headers={"Range": asked})

    assert answer.status_code == status
    if status == 206:
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/2048"
        assert answer.headers["content-length"] == str(stop - start)
    if status == 416:
        assert answer.headers["content-range"] == "bytes */2048"
    else:
        assert answer.content == BODY[start:stop]


def test_conditional_reads(admin: Client) -> None:
    path = f"/v2/registry/ranges/blobs/{admin.push_blob('registry/ranges', BODY)}"
    head = admin.ask("HEAD", path)
    etag = head.headers["etag"]

    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "2048")
    assert head.headers["accept-ranges"] == "bytes"
    assert admin.ask("GET", path, headers={"If-None-Match": etag}).status_code == 304
    assert admin.ask("GET", path, headers={"If-None-Match": '"other"'}).status_code == 200
    assert admin.ask("GET", path, headers={"Range": "bytes=0-9", "If-Range": etag}).status_code == 206
    assert admin.ask("GET", path, headers={"Range": "bytes=0-9", "If-Range": '"other"'}).status_code == 200


def test_a_large_blob_is_streamed_right(admin: Client, name: str) -> None:
    body = os.urandom(20 * 2**20 + 7)
    digest = admin.push_blob(name, body)

    assert hashlib.sha256(read(admin, name, digest)).hexdigest() == digest[7:]
    part = admin.ask("GET", f"/v2/{name}/blobs/{digest}", headers={"Range": "bytes=5000000-12345678"})
    assert part.content == body[5000000:12345679]


def mount(admin: Client, name: str, digest: str, source: str | None) -> httpx.Response:
    query = f"?mount={digest}" + (f"&from={source}" if source is not None else "")
    return admin.ask("POST", f"/v2/{name}/blobs/uploads/{query}")


@pytest.mark.parametrize("given", [True, False])
def test_mounting(admin: Client, name: str, given: bool) -> None:
    source = f"{name}/source"
    digest = admin.push_blob(source, os.urandom(100))
    answer = mount(admin, name, digest, source if given else None)

    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v2/{name}/blobs/{digest}"
    assert admin.ask("HEAD", f"/v2/{name}/blobs/{digest}").status_code == 200


@pytest.mark.parametrize("source", [None, "registry/nowhere", "Not A Name", ""])
def test_mounting_what_is_not_there_begins_an_upload(admin: Client, name: str, source: str | None) -> None:
    answer = mount(admin, name, digest_of(os.urandom(8)), source)
    assert answer.status_code == 202
    assert "/blobs/uploads/" in answer.headers["location"]


def test_deleting(admin: Client, name: str) -> None:
    body = os.urandom(64)
    digest = admin.push_blob(name, body)
    admin.push_blob(f"{name}/other", body)
    path = f"/v2/{name}/blobs/{digest}"
    read(admin, name, digest)

    assert admin.ask("DELETE", path, scope=f"repository:{name}:delete").status_code == 202
    assert admin.ask("GET", path).status_code == 404
    assert admin.ask("HEAD", path).status_code == 404
    assert admin.ask("DELETE", path, scope=f"repository:{name}:delete").status_code == 404
    assert read(admin, f"{name}/other", digest) == body
    assert read(admin, name, admin.push_blob(name, body)) == body


def test_two_pushes_of_one_blob_at_once(admin: Client, name: str) -> None:
    body = os.urandom(5000)
    digest = digest_of(body)
    first, second = begin(admin, name), begin(admin, name)
    statuses: list[Any] = [
        admin.ask("PUT", f"{location}?digest={digest}", content=body).status_code for location in (first, second)
    ]
    assert statuses == [201, 201]
    assert read(admin, name, digest) == body
