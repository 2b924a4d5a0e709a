"""The pages over HTTP: what each shows to whom, signing in and out, and what a browser is told to keep out."""

import html
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.hub import HubProcess
from tests.oci import digest_of, filter_manifest
from tests.peers import built_filter
from tests.web.catalogue import PASSWORD, SPARE, TITLES, push_readme, pushing
from tests.web.conftest import wait_until_read

PUBLIC = ["acme/add-header", "acme/edge-guard", "acme/jwt-claims", "acme/legacy-auth", "acme/request-log"]
ALL = sorted([*PUBLIC, "acme/body-size", "ann/notes", "ann/nothing-yet", "ann/scratch"])


def listed(page: httpx.Response) -> list[str]:
    """The repositories that a catalog page shows, in its order."""
    assert page.status_code == 200, page.text
    found = re.findall(r'<h2><a href="/r/([^"?]+)"', page.text)
    return [name for name in found if not name.startswith(SPARE)]


def text_of(page: httpx.Response) -> str:
    """The words of a page."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


def csrf_of(page: httpx.Response) -> str:
    """The token that the page's form carries."""
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', page.text)
    assert found, page.text
    return found[1]


def test_the_table_of_permissions(stranger: httpx.Client) -> None:
    said = text_of(stranger.get("/permissions"))
    assert "Anybody, where it is private nothing" in said
    assert "Maintainer in the team that owns it pull, push, delete, deploy, configure Owner in" in said


def test_the_catalog_shows_what_each_may_see(stranger: httpx.Client, ann: httpx.Client) -> None:
    assert listed(stranger.get("/")) == PUBLIC
    assert listed(ann.get("/")) == ALL


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("add-header", ["acme/add-header"]),
        ("ADD", ["acme/add-header"]),
        ("cookie", ["acme/legacy-auth"]),
        ("scratch", []),  # private
        ("acme 0.2.1 session", ["acme/legacy-auth"]),
        ("<bq>&\"'", []),
        ("%00", []),
        ("a" * 3000, []),
    ],
)
def test_search(stranger: httpx.Client, asked: str, found: list[str]) -> None:
    page = stranger.get("/", params={"q": asked})
    assert listed(page) == found
    assert "<bq>" not in page.text
    assert bool(found) or "Nothing found" in page.text


def test_pages_of_the_catalog(ann: httpx.Client, full: HubProcess) -> None:
    page = ann.get("/", params={"after": "acme/zzz"})
    assert listed(page) == ["ann/notes", "ann/nothing-yet", "ann/scratch"]
    assert 'href="/"' in page.text and "First page" in page.text
    assert "The list ends here" in ann.get("/", params={"after": "zzz"}).text


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("acme/add-header", ["Version 2.0.0 also latest", "5 versions", "by ann", "Envoy loads this filter"]),
        ("acme/add-header", ["sees response headers", "ABI 0.2.1", "Istio 1.9+", "Apache-2.0", "git.example.com"]),
        ("acme/add-header", ["changes headers and trailers", "Module sha256:", "oras pull --plain-http"]),
        ("acme/add-header", ["wasmhub deploy acme/add-header:2.0.0 --target TARGET --as add-header"]),
        ("acme/add-header?version=1.0.0", ["Version 1.0.0 the newest is 2.0.0", "acme/add-header:1.0.0"]),
        ("acme/legacy-auth", ["Envoy refuses this module", "proxy_read_the_future"]),
        ("acme/legacy-auth", [TITLES["legacy-auth"]]),
        ("ann/notes", ["Holds no filter", "private", "Sign in with the client first"]),
        ("ann/nothing-yet", ["Nothing has been pushed here yet", "Push the first version", "No version yet"]),
        ("ann/scratch", ["This is not a module that can be read"]),
    ],
)
def test_what_a_filter_page_says(ann: httpx.Client, path: str, words: list[str]) -> None:
    page = ann.get(f"/r/{path}")
    assert page.status_code == 200
    for word in words:
        assert word in text_of(page)


def test_a_version_by_its_digest(stranger: httpx.Client) -> None:
    digest = stranger.get("/api/v1/repositories/acme/add-header/versions").json()["versions"][2]["digest"]
    page = stranger.get(f"/r/acme/add-header@{digest}")
    assert page.status_code == 200
    assert f"Digest {digest}" in text_of(page)
    # Its tag is still known.
    assert "also 1.1.0" in text_of(page)


def test_signatures_are_no_versions(ann: httpx.Client) -> None:
    assert "sha256-aaaa" not in ann.get("/r/acme/add-header").text


def test_only_those_who_may_push_are_told_how(stranger: httpx.Client, ann: httpx.Client) -> None:
    assert "Push another version" in ann.get("/r/acme/add-header").text
    assert "Push another version" not in stranger.get("/r/acme/add-header").text


def test_the_readme_can_do_no_harm(stranger: httpx.Client) -> None:
    page = stranger.get("/r/acme/add-header").text
    assert "<h3>Adds a header</h3>" in page and "<th>setting</th>" in page
    assert "<script>alert" not in page and 'href="javascript:' not in page
    assert '<img src="https' not in page and 'href="https://example.com/diagram.png"' in page


@pytest.mark.parametrize(
    "path",
    [
        "/r/ann/scratch",
        "/r/acme/body-size",
        "/r/acme/absent",
        "/r/",
        "/r/acme",
        "/r/acme/add-header?version=absent",
        "/r/acme/add-header?version=%00",
        "/r/acme/add-header@sha256:0",
        "/r/" + "a/" * 2000,
        "/r/%2e%2e/%2e%2e/etc/passwd",
        "/nope",
        "/sign-in/",
        "/static/x/absent.css",
        "/static/x/..%2f..%2fdoor.py",
    ],
)
def test_what_is_not_there_for_a_stranger(stranger: httpx.Client, path: str) -> None:
    page = stranger.get(path)
    assert page.status_code == 404
    assert "There is nothing here" in page.text


def test_a_private_page_looks_like_none_to_a_stranger(stranger: httpx.Client) -> None:
    there = stranger.get("/r/ann/scratch").text.replace("scratch", "NAME")
    absent = stranger.get("/r/ann/absent").text.replace("absent", "NAME")
    assert there == absent


@pytest.mark.parametrize("path", ["/", "/sign-in", "/r/acme/add-header", "/nope", "/r/ann/scratch"])
def test_every_page_is_closed(stranger: httpx.Client, path: str) -> None:
    headers = stranger.get(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "private, no-cache"
    assert "Cookie" in headers["vary"]


@pytest.mark.parametrize("path", ["/", "/r/acme/add-header", "/sign-in"])
def test_nothing_inline_and_nothing_from_elsewhere(stranger: httpx.Client, path: str) -> None:
    page = stranger.get(path).text
    assert not re.search(r"<style|style=|<script>|\son\w+=", page)
    loaded = re.findall(r'(?:src|<link[^>]+href)="([^"]+)"', page)
    assert loaded and all(address.startswith("/static/") for address in loaded)
    for address in loaded:
        asset = stranger.get(address)
        assert asset.status_code == 200 and "immutable" in asset.headers["cache-control"]


@pytest.mark.parametrize(
    ("asked", "goes"),
    [
        ("/r/acme/add-header?version=1.0.0", "/r/acme/add-header?version=1.0.0"),
        ("", "/"),
        ("https://evil.example", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/%0d%0aSet-Cookie:x=y", "/%0d%0aSet-Cookie:x=y"),
        ("/\r\nSet-Cookie: x=y", "/"),
        ("/" + "a" * 3000, "/"),
    ],
)
def test_signing_in_leads_to_pages_of_the_hub_alone(stranger: httpx.Client, asked: str, goes: str) -> None:
    answer = stranger.post("/sign-in", data={"name": "ann", "password": PASSWORD, "next": asked})
    assert (answer.status_code, answer.headers["location"]) == (303, goes)
    assert "x=y" not in answer.headers["set-cookie"]
    again = stranger.get("/sign-in", params={"next": asked})
    assert (again.status_code, again.headers["location"]) == (303, goes)


def test_a_wrong_password(stranger: httpx.Client) -> None:
    answer = stranger.post("/sign-in", data={"name": "<i>", "password": "wrong-wrong", "next": "/r/x"})
    assert answer.status_code == 401
    assert "Wrong user name or password." in answer.text and "<i>" not in answer.text
    assert 'value="/r/x"' in answer.text and "wrong-wrong" not in answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"\xff\xfe", 400), (b"a=%ff", 400), (b"&".join([b"a=1"] * 100), 400), (b"a" * 20_000, 413), (b"", 401)],
)
def test_a_form_that_is_none(stranger: httpx.Client, body: bytes, status: int) -> None:
    answer = stranger.post("/sign-in", content=body, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status_code == status
    assert "<h1>" in answer.text


def test_signing_out_needs_the_page_s_own_token(ann: httpx.Client) -> None:
    token = csrf_of(ann.get("/"))
    for data in ({}, {"csrf": "0" * 64}, {"csrf": ""}):
        refused = ann.post("/sign-out", data=data)
        assert refused.status_code == 403 and "old" in refused.text
    assert ann.post("/sign-out", data={"csrf": token}, headers={"Origin": "https://evil.example"}).status_code == 403
    assert "Sign out" in ann.get("/").text

    answer = ann.post("/sign-out", data={"csrf": token})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "Sign out" not in ann.get("/").text


def test_signing_in_from_another_site_is_refused(stranger: httpx.Client) -> None:
    headers = {"Origin": "https://evil.example"}
    answer = stranger.post("/sign-in", data={"name": "ann", "password": PASSWORD}, headers=headers)
    assert answer.status_code == 401 and "set-cookie" not in answer.headers


@pytest.mark.parametrize(("method", "path"), [("POST", "/"), ("DELETE", "/r/acme/add-header"), ("GET", "/sign-out")])
def test_a_method_that_a_page_does_not_have(stranger: httpx.Client, method: str, path: str) -> None:
    answer = stranger.request(method, path)
    assert answer.status_code == 405 and "This page does not do that" in answer.text and "allow" in answer.headers


def test_head(stranger: httpx.Client) -> None:
    answer = stranger.head("/r/acme/add-header")
    assert answer.status_code == 200 and answer.content == b"" and int(answer.headers["content-length"]) > 1000


def test_the_first_push_is_shown_for_this_hub_and_person(empty: HubProcess) -> None:
    with httpx.Client(base_url=empty.url, trust_env=False) as client:
        page = client.get("/")
        assert "Push your first filter" in page.text and f"docker login -u USER {empty.host}" in text_of(page)
        client.post("/sign-in", data={"name": "admin", "password": empty.admin_password})
        page = client.get("/")
        for line in (f"docker login -u admin {empty.host}", f"docker push {empty.host}/admin/my-filter:0.1.0"):
            assert line in text_of(page)


def test_a_public_url_is_what_lines_show(tmp_path: Path) -> None:
    """Behind a proxy the lines to copy name the hub as people reach it, with no flags for plain HTTP."""
    with HubProcess(tmp_path / "data", WASMHUB_PUBLIC_URL="https://hub.example.com") as hub:
        page = text_of(httpx.get(hub.url, trust_env=False))
        assert "docker login -u USER hub.example.com" in page
        assert "oras push hub.example.com/USER/my-filter:0.1.0" in page
        known = httpx.get(f"{hub.url}/.well-known/wasm-pkg/registry.json", trust_env=False).json()
        assert known == {"preferredProtocol": "oci", "oci": {"registry": "hub.example.com", "namespacePrefix": ""}}


def test_what_a_broken_store_says(embedded: None, full: HubProcess, ann: httpx.Client) -> None:
    """A README whose bytes are lost gives one sentence, facts that make no sense a page without a traceback."""
    module = built_filter("add-header").read_bytes() + b"\0\x03\x01br"
    with pushing(full) as client:
        subject = client.push_filter("zoo/broken", "1.0.0", module)
        push_readme(client, "zoo/broken", subject, len(filter_manifest(module)), text="lost")
    wait_until_read(full)
    assert "lost" in ann.get("/r/zoo/broken").text

    with closing(sqlite3.connect(full.data / "hub.db", timeout=30)) as database:
        (key,) = database.execute("SELECT key FROM blobs WHERE digest = ?", (digest_of(b"lost"),)).fetchone()
        kept = full.data / "blobs" / "copies" / key[:2] / key
        kept.rename(kept.with_suffix(".away"))
        page = ann.get("/r/zoo/broken")
        assert page.status_code == 503 and "missing from the blob store" in page.text and page.headers["retry-after"]
        kept.with_suffix(".away").rename(kept)

        sha256 = digest_of(module).removeprefix("sha256:")
        (facts,) = database.execute("SELECT facts FROM modules WHERE sha256 = ?", (sha256,)).fetchone()
        database.execute("UPDATE modules SET facts = '[1]' WHERE sha256 = ?", (sha256,))
        database.commit()
        page = ann.get("/r/zoo/broken")
        assert page.status_code == 500 and "The hub failed" in page.text and "Traceback" not in page.text
        told = ann.get("/api/v1/repositories/zoo/broken")
        assert (told.status_code, told.json()["error"]["code"]) == (500, "internal_error")
        database.execute("UPDATE modules SET facts = ? WHERE sha256 = ?", (facts, sha256))
        database.commit()
    assert ann.get("/r/zoo/broken").status_code == 200
