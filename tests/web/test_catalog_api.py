"""The JSON API of the catalog: who reads and changes what, pages, modules and their bytes."""

import gzip
import hashlib
import io
import json
import tarfile
from typing import Any

import httpx
import pytest

from tests.hub import HubProcess
from tests.oci import OCI_MANIFEST, Client, descriptor
from tests.peers import built_filter
from tests.web.catalogue import PASSWORD, SPARE, pushing
from tests.web.conftest import wait_until_read
from tests.web.test_pages import ALL, PUBLIC

ANN = ("ann", PASSWORD)
API = "/api/v1/repositories"


def error_of(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of an error, which has a sentence and nothing else."""
    error = answer.json()["error"]
    assert set(error) == {"code", "message"} and error["message"]
    return answer.status_code, error["code"]


def test_lists_in_pages(stranger: httpx.Client) -> None:
    for auth, wanted in ((None, PUBLIC), (ANN, ALL)):
        found: list[str] = []
        after = ""
        while True:
            page = stranger.get(API, params={"limit": 2, "after": after}, auth=auth).json()
            found += [one["name"] for one in page["repositories"]]
            assert len(page["repositories"]) <= 2
            if page["next"] is None:
                break
            after = page["next"]
        assert [name for name in found if not name.startswith(SPARE)] == wanted
    assert [one["name"] for one in stranger.get(API, params={"q": "add-header"}).json()["repositories"]] == PUBLIC[:1]
    assert stranger.get(API, params={"q": "-"}).json() == {"repositories": [], "next": None}


def test_a_repository(stranger: httpx.Client) -> None:
    found = stranger.get(f"{API}/acme/add-header").json()
    assert (found["visibility"], found["actions"]) == ("public", ["pull"])
    newest = found["newest"]
    assert (newest["tag"], newest["pushed_by"], newest["module"]["state"]) == ("2.0.0", "ann", "module")
    assert newest["module"]["loads_in_envoy"] is True and newest["module"]["abi_version"] == "0.2.1"
    owned = stranger.get(f"{API}/acme/add-header", auth=ANN).json()
    assert "configure" in owned["actions"] and "push" in owned["actions"]


def test_versions(stranger: httpx.Client) -> None:
    wanted = ["2.0.0", "2.0.0-rc.1", "1.1.0", "1.0.0", "latest"]
    found: list[str] = []
    after = ""
    while after is not None:
        page = stranger.get(f"{API}/acme/add-header/versions", params={"limit": 2, "after": after}).json()
        found += [one["tag"] for one in page["versions"]]
        after = page["next"]
    assert found == wanted


@pytest.mark.parametrize(
    ("method", "path", "auth", "body", "wanted"),
    [
        ("GET", f"{API}/ann/scratch", None, None, (404, "not_found")),
        ("GET", f"{API}/ann/absent", None, None, (404, "not_found")),
        ("GET", f"{API}/ann/scratch/versions", None, None, (404, "not_found")),
        ("GET", f"{API}/acme/body-size", None, None, (404, "not_found")),
        ("GET", f"{API}/{'a' * 5000}", ANN, None, (404, "not_found")),
        ("GET", f"{API}?limit=0", None, None, (400, "bad_request")),
        ("GET", f"{API}?limit=-1", None, None, (400, "bad_request")),
        ("GET", f"{API}?limit=101", None, None, (400, "bad_request")),
        ("GET", f"{API}?limit=1e1", None, None, (400, "bad_request")),
        ("GET", f"{API}/acme/add-header/versions?after=x", None, None, (400, "bad_request")),
        ("GET", API, ("ann", "wrong-wrong"), None, (401, "unauthorized")),
        ("POST", API, ANN, {}, (405, "method_not_allowed")),
        ("DELETE", f"{API}/ann/scratch", ANN, None, (405, "method_not_allowed")),
        ("GET", "/api/v1/nothing", ANN, None, (404, "not_found")),
        ("GET", "/api/v2", ANN, None, (404, "not_found")),
        ("PATCH", f"{API}/ann/scratch", None, {"visibility": "public"}, (404, "not_found")),
        ("PATCH", f"{API}/acme/add-header", None, {"visibility": "private"}, (401, "unauthorized")),
        ("PATCH", f"{API}/acme/add-header", ("bob", PASSWORD), {"visibility": "private"}, (403, "forbidden")),
        ("PATCH", f"{API}/acme/add-header", ANN, {"visibility": "secret"}, (400, "bad_request")),
        ("PATCH", f"{API}/acme/add-header", ANN, {"visibility": None}, (400, "bad_request")),
        ("PATCH", f"{API}/acme/add-header", ANN, {"visibility": []}, (400, "bad_request")),
        ("PATCH", f"{API}/acme/add-header", ANN, {"description": 5}, (400, "bad_request")),
        ("PATCH", f"{API}/acme/add-header", ANN, {"description": "x" * 1001}, (400, "bad_request")),
        ("PATCH", f"{API}/acme/add-header", ANN, {"description": "a\0b"}, (400, "bad_request")),
        ("PATCH", f"{API}/acme/add-header", ANN, {"description": "\ud800"}, (400, "bad_request")),
        ("PATCH", f"{API}/acme/add-header", ANN, {"name": "acme/other"}, (400, "bad_request")),
        ("PATCH", f"{API}/acme/add-header", ANN, [1], (400, "bad_request")),
        ("GET", "/api/v1/modules/xyz", ANN, None, (404, "not_found")),
        ("GET", f"/api/v1/modules/{'0' * 64}", ANN, None, (404, "not_found")),
        ("GET", f"/modules/{'0' * 64}.wasm", ANN, None, (404, "not_found")),
        ("GET", "/modules/xyz.wasm", ANN, None, (404, "not_found")),
    ],
)
def test_what_is_refused(
    stranger: httpx.Client, bob: None, method: str, path: str, auth: Any, body: Any, wanted: tuple[int, str]
) -> None:
    content = None if body is None else json.dumps(body)
    assert error_of(stranger.request(method, path, auth=auth, content=content)) == wanted


@pytest.fixture(scope="session")
def bob(full: HubProcess) -> None:
    """A user who owns nothing."""
    admin = ("admin", full.admin_password)
    answer = httpx.post(
        f"{full.url}/api/v1/users", json={"name": "bob", "password": PASSWORD}, auth=admin, trust_env=False
    )
    assert answer.status_code == 201


def test_changing_who_sees_it_holds_at_once(stranger: httpx.Client, full: HubProcess, bob: None) -> None:
    with pushing(full) as client:
        client.push_image("zoo/toggled", "1.0.0", b"anything")
    path = f"{API}/zoo/toggled"
    seen = []
    for visibility in ("private", "internal", "public", "private"):
        changed = stranger.patch(path, json={"visibility": visibility}, auth=ANN)
        assert changed.status_code == 200 and changed.json()["visibility"] == visibility
        seen.append([stranger.get(path, auth=auth).status_code for auth in (None, ("bob", PASSWORD), ANN)])
    assert seen == [[404, 404, 200], [404, 200, 200], [200, 200, 200], [404, 404, 200]]

    said = stranger.patch(path, json={"description": "Now findable by zebra.\nTwice."}, auth=ANN).json()
    assert said["description"] == "Now findable by zebra.\nTwice." and said["visibility"] == "private"
    names = [one["name"] for one in stranger.get(API, params={"q": "zebra"}, auth=ANN).json()["repositories"]]
    assert names == ["zoo/toggled"]


def test_a_repository_named_versions(stranger: httpx.Client, full: HubProcess) -> None:
    with pushing(full) as client:
        client.push_image("zoo/odd/versions", "1.0.0", b"x")
    assert stranger.get(f"{API}/zoo/odd/versions", auth=ANN).json()["name"] == "zoo/odd/versions"
    found = stranger.get(f"{API}/zoo/odd/versions/versions", auth=ANN).json()
    assert [one["tag"] for one in found["versions"]] == ["1.0.0"]


def test_what_a_module_says(stranger: httpx.Client) -> None:
    module = built_filter("add-header").read_bytes()
    sha256 = hashlib.sha256(module).hexdigest()
    found = stranger.get(f"/api/v1/modules/{sha256}").json()
    assert (found["sha256"], found["size"], found["repositories"]) == (sha256, len(module), ["acme/add-header"])
    assert found["facts"]["abi_version"] == "0.2.1" and found["facts"]["loads_in_envoy"] is True


def test_modules_are_for_those_who_may_read_a_repository_with_them(stranger: httpx.Client, bob: None) -> None:
    sha256 = hashlib.sha256(b"\0asm but not for long").hexdigest()
    for path in (f"/api/v1/modules/{sha256}", f"/modules/{sha256}.wasm"):
        assert [stranger.get(path, auth=a).status_code for a in (None, ("bob", PASSWORD), ANN)] == [404, 404, 200]


def packed(module: bytes) -> bytes:
    """The layer that `docker build` makes of `COPY plugin.wasm`."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("plugin.wasm")
        entry.size = len(module)
        tar.addfile(entry, io.BytesIO(module))
    return gzip.compress(archive.getvalue())


@pytest.mark.parametrize("wrapped", [False, True], ids=["raw", "in an image"])
def test_the_bytes_of_a_module(stranger: httpx.Client, full: HubProcess, wrapped: bool) -> None:
    module = built_filter("add-header").read_bytes() + bytes([0, 3, 1, 0x61, wrapped])
    with pushing(full) as client:
        if wrapped:
            push_packed(client, "zoo/bytes-image", packed(module))
        else:
            client.push_filter("zoo/bytes", "1.0.0", module)
    wait_until_read(full)
    sha256 = hashlib.sha256(module).hexdigest()
    path = f"/modules/{sha256}.wasm"

    whole = stranger.get(path, auth=ANN)
    assert (whole.status_code, whole.content) == (200, module)
    assert whole.headers["content-type"] == "application/wasm" and whole.headers["etag"] == f'"{sha256}"'
    assert stranger.head(path, auth=ANN).headers["content-length"] == str(len(module))
    assert stranger.get(path, auth=ANN, headers={"If-None-Match": f'"{sha256}"'}).status_code == 304
    size = len(module)
    for asked, part in (
        ("bytes=0-3", module[:4]),
        ("bytes=4-", module[4:]),
        ("bytes=-5", module[-5:]),
        (f"bytes=0-{size * 2}", module),
        (f"bytes=-{size * 2}", module),
    ):
        answer = stranger.get(path, auth=ANN, headers={"Range": asked})
        assert (answer.status_code, answer.content) == (206, part)
        start = size - len(part) if asked.startswith("bytes=-") or asked == "bytes=4-" else 0
        assert answer.headers["content-range"] == f"bytes {start}-{start + len(part) - 1}/{size}"
    for asked in ("bytes=0-1,3-4", "lines=1-2", "bytes=-", "nonsense"):
        assert stranger.get(path, auth=ANN, headers={"Range": asked}).status_code == 200
    old = {"Range": "bytes=0-3", "If-Range": '"another"'}
    assert stranger.get(path, auth=ANN, headers=old).content == module
    for asked in (f"bytes={size}-", "bytes=-0", "bytes=9-5"):
        answer = stranger.get(path, auth=ANN, headers={"Range": asked})
        assert error_of(answer) == (416, "range") and answer.headers["content-range"] == f"bytes */{size}"


def push_packed(client: Client, name: str, layer: bytes) -> None:
    """Pushes an image with that one layer."""
    config = b'{"architecture":"amd64","os":"linux"}'
    for blob in (config, layer):
        client.push_blob(name, blob)
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(config, "application/vnd.oci.image.config.v1+json"),
        "layers": [descriptor(layer, "application/vnd.oci.image.layer.v1.tar+gzip")],
    }
    client.push_manifest(name, "1.0.0", json.dumps(manifest).encode())


def test_answers_to_programs_do_nothing_in_a_browser(stranger: httpx.Client) -> None:
    for path in (API, "/api/v1/openapi.json", "/api/v1/nothing", "/.well-known/wasm-pkg/registry.json"):
        headers = stranger.get(path).headers
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["x-content-type-options"] == "nosniff"


def test_a_cookie_alone_changes_nothing(ann: httpx.Client) -> None:
    answer = ann.patch(f"{API}/acme/add-header", json={"visibility": "private"})
    assert error_of(answer) == (403, "csrf")
