"""Manifests: put, read, tagged, deleted; tags and referrers by pages; the catalog."""

import json
import os
import re
from typing import Any

import pytest

from proxywasm.digest_tags import tag_of
from storage.manifests import list_referrers, newest_referrers
from storage.namespaces import find_holding
from tests.hub import HubProcess
from tests.oci import EMPTY, OCI_INDEX, OCI_MANIFEST, Client, descriptor, digest_of, image


def path_of(link: str) -> str:
    found = re.fullmatch(r'<([^>]+)>; rel="next"', link)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_manifest_comes_back_byte_for_byte(admin: Client, name: str, algorithm: str) -> None:
    admin.push_blob(name, EMPTY)
    content = image(made="by hand", zeta=[1, 2], alpha={"nested": None}) + b"  \n"
    digest = digest_of(content, algorithm)
    put = admin.ask("PUT", f"/v2/{name}/manifests/{digest}", content=content, headers={"Content-Type": OCI_MANIFEST})
    got = admin.ask("GET", f"/v2/{name}/manifests/{digest}")

    assert (put.status_code, put.headers["location"]) == (201, f"/v2/{name}/manifests/{digest}")
    assert put.headers["docker-content-digest"] == digest
    assert (got.content, got.headers["content-type"]) == (content, OCI_MANIFEST)
    assert got.headers["docker-content-digest"] == digest


def test_a_tag_is_never_stale(admin: Client, name: str) -> None:
    for number in range(5):
        digest = admin.push_image(name, "latest", str(number).encode())
        head = admin.ask("HEAD", f"/v2/{name}/manifests/latest")
        assert head.headers["docker-content-digest"] == digest
        again = admin.ask("GET", f"/v2/{name}/manifests/latest", headers={"If-None-Match": head.headers["etag"]})
        assert again.status_code == 304


def test_several_tags_at_once(admin: Client, name: str) -> None:
    admin.push_blob(name, EMPTY)
    content = image()
    tags = [f"v{number}" for number in range(12)]
    query = "&".join(f"tag={tag}" for tag in tags)
    path = f"/v2/{name}/manifests/{digest_of(content)}?{query}"
    put = admin.ask("PUT", path, content=content, headers={"Content-Type": OCI_MANIFEST})

    assert (put.status_code, put.headers["oci-tag"]) == (201, ", ".join(tags))
    assert admin.ask("GET", f"/v2/{name}/tags/list").json() == {"name": name, "tags": sorted(tags)}


LARGEST = {"digest": digest_of(b"a"), "size": 2**62}
TOO_MUCH = json.dumps({"layers": [LARGEST, {**LARGEST, "digest": digest_of(b"b")}]}).encode()
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"


@pytest.mark.parametrize(
    ("reference", "content", "media_type", "status", "code"),
    [
        ("v1", b"", OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        ("v1", b"[]", OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        ("v1", b"{", OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        ("v1", b"\xff\xfe", OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        ("v1", b"[" * 100_000, OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        ("v1", b'{"a":' * 100_000, OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        ("v1", b'{"layers": {}}', OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        ("v1", b'{"layers": [1]}', OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        ("v1", b'{"config": {"digest": "sha256:x", "size": 1}}', OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        ("v1", b'{"config": {"digest": 7, "size": 1}}', OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        ("v1", b'{"artifactType": "\\ud800"}', OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        ("v1", b'{"annotations": {"a": 1}}', OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        ("v1", b'{"annotations": {"a": "\\ud800"}}', OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        ("v1", b'{"annotations": {"\\ud800": "a"}}', OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        ("v1", TOO_MUCH, OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        ("v1", b'{"subject": "x"}', OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        ("v1", b'{"mediaType": "a/b"}', OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        ("v1", b"{}", "", 400, "MANIFEST_INVALID"),
        ("a" * 129, b"{}", OCI_MANIFEST, 400, "TAG_INVALID"),
        ("-v1", b"{}", OCI_MANIFEST, 400, "TAG_INVALID"),
        ("v1?tag=a/b", b"{}", OCI_MANIFEST, 400, "TAG_INVALID"),
        ("sha256:baddigest", b"{}", OCI_MANIFEST, 400, "DIGEST_INVALID"),
        (digest_of(b"other"), b"{}", OCI_MANIFEST, 400, "DIGEST_INVALID"),
        ("v1", b" " * (4 * 2**20 + 1), OCI_MANIFEST, 413, "SIZE_INVALID"),
        ("v1", image(b"a layer that nobody pushed"), OCI_MANIFEST, 404, "MANIFEST_BLOB_UNKNOWN"),
        ("v1?" + "&".join(f"tag=t{n}" for n in range(150)), b"{}", OCI_MANIFEST, 414, "TAG_INVALID"),
    ],
    ids=range(26),
)
def test_what_a_put_refuses(
    admin: Client, name: str, reference: str, content: bytes, media_type: str, status: int, code: str
) -> None:
    headers = {"Content-Type": media_type}
    answer = admin.ask("PUT", f"/v2/{name}/manifests/{reference}", content=content, headers=headers)

    error = answer.json()["errors"][0]
    assert (answer.status_code, error["code"]) == (status, code)
    assert error["message"] and "Traceback" not in error["message"]
    assert admin.ask("GET", f"/v2/{name}/manifests/v1").status_code == 404


def test_a_digest_in_the_form_of_a_tag_is_that_manifest_and_nobodys_to_push(admin: Client, name: str) -> None:
    digest, other = admin.push_image(name, "v1", b"one"), admin.push_image(name, "latest", b"two")
    tag = tag_of(digest)
    path = f"/v2/{name}/manifests/{tag}"
    for method in ("HEAD", "GET"):
        answer = admin.ask(method, path)
        assert (answer.status_code, answer.headers["docker-content-digest"]) == (200, digest)
    assert digest_of(answer.content) == digest

    content = admin.ask("GET", f"/v2/{name}/manifests/{other}").content
    for asked in (path, f"/v2/{name}/manifests/{other}?tag={tag}"):
        put = admin.ask("PUT", asked, content=content, headers={"Content-Type": OCI_MANIFEST})
        assert (put.status_code, put.json()["errors"][0]["code"]) == (400, "TAG_INVALID")
    assert admin.ask("GET", f"/v2/{name}/tags/list").json()["tags"] == ["latest", "v1"]
    assert admin.ask("GET", f"/v2/{name}/manifests/{tag_of(digest_of(b'none'))}").status_code == 404
    assert admin.ask("GET", f"/v2/{name}/manifests/{tag[:-1]}").status_code == 404


def test_four_mebibytes_of_manifest_are_taken(admin: Client, hub: HubProcess, name: str) -> None:
    admin.push_blob(name, EMPTY)
    content = image(annotations={f"a{n}": "x" * 10_000 for n in range(390)})
    digest = admin.push_manifest(name, "big", content)
    assert admin.ask("GET", f"/v2/{name}/manifests/{digest}").content == content
    # Lists of versions leave such annotations out: a page of them would not fit into memory.
    listed = admin.http.get(f"/api/v1/repositories/{name}/versions", auth=("admin", hub.admin_password)).json()
    assert [(one["tag"], one["annotations"]) for one in listed["versions"]] == [("big", {})]


def test_what_need_not_be_there(admin: Client, name: str) -> None:
    """Children of a sparse index, subjects, and layers that may not be distributed."""
    admin.push_blob(name, EMPTY)
    absent = descriptor(b"not here", OCI_MANIFEST)
    layer = descriptor(b"licensed", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip")
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [absent], "subject": absent})
    manifest = json.loads(image(subject=absent))
    manifest["layers"] = [layer]

    put = admin.ask("PUT", f"/v2/{name}/manifests/i", content=index, headers={"Content-Type": OCI_INDEX})
    assert (put.status_code, put.headers["oci-subject"]) == (201, absent["digest"])
    admin.push_manifest(name, "m", json.dumps(manifest).encode())


def test_unknown_media_types_are_kept(admin: Client, name: str) -> None:
    content = b'{"anything": "goes", "layers": "even this"}'
    digest = admin.push_manifest(name, "odd", content, "application/vnd.example.odd+json; charset=utf-8")
    got = admin.ask("GET", f"/v2/{name}/manifests/{digest}")
    assert (got.content, got.headers["content-type"]) == (content, "application/vnd.example.odd+json")


def test_whatever_a_client_accepts_it_gets_what_is_stored(admin: Client, name: str) -> None:
    admin.push_image(name, "v1")
    for accept in ("*/*", "application/vnd.docker.distribution.manifest.v1+json", ""):
        assert admin.ask("GET", f"/v2/{name}/manifests/v1", headers={"Accept": accept}).status_code == 200


def test_deleting_a_tag_keeps_the_manifest(admin: Client, name: str) -> None:
    digest = admin.push_image(name, "v1")
    scope = f"repository:{name}:delete"

    assert admin.ask("DELETE", f"/v2/{name}/manifests/v1", scope=scope).status_code == 202
    assert admin.ask("GET", f"/v2/{name}/manifests/v1").status_code == 404
    assert admin.ask("GET", f"/v2/{name}/manifests/{digest}").status_code == 200
    assert admin.ask("DELETE", f"/v2/{name}/manifests/v1", scope=scope).status_code == 404


def test_deleting_a_manifest_takes_its_tags(admin: Client, name: str) -> None:
    digest = admin.push_image(name, "v1")
    admin.push_image(name, "v2")
    assert admin.ask("GET", f"/v2/{name}/manifests/v1").status_code == 200
    answer = admin.ask("DELETE", f"/v2/{name}/manifests/{digest}", scope=f"repository:{name}:delete")

    assert answer.status_code == 202
    assert admin.ask("GET", f"/v2/{name}/manifests/{digest}").status_code == 404
    assert admin.ask("GET", f"/v2/{name}/tags/list").json()["tags"] == []
    assert admin.push_image(name, "v1") == digest


def test_tags_by_pages(admin: Client, name: str) -> None:
    admin.push_blob(name, EMPTY)
    tags = ["A", "_x", "a", "a-1", "a.1", "b", "v10", "v9"]
    for tag in tags:
        admin.push_manifest(name, tag, image())
    seen: list[str] = []
    path = f"/v2/{name}/tags/list?n=3"
    while path:
        answer = admin.ask("GET", path)
        seen += answer.json()["tags"]
        path = path_of(answer.headers["link"]) if "link" in answer.headers else ""

    assert seen == sorted(tags, key=str.encode)
    assert admin.ask("GET", f"/v2/{name}/tags/list?last=a.1").json()["tags"] == ["b", "v10", "v9"]
    nothing = admin.ask("GET", f"/v2/{name}/tags/list?n=0")
    assert (nothing.json()["tags"], "link" in nothing.headers) == ([], False)


@pytest.mark.parametrize("n", ["-1", "x", "1e3", "9" * 30, "", "١"])
def test_pages_that_do_not_exist(admin: Client, name: str, n: str) -> None:
    admin.push_image(name, "v1")
    answer = admin.ask("GET", f"/v2/{name}/tags/list", params={"n": n})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "PAGINATION_NUMBER_INVALID")


def test_lists_of_an_unknown_repository(admin: Client, name: str) -> None:
    tags = admin.ask("GET", f"/v2/{name}/tags/list")
    errors: list[Any] = tags.json()["errors"]
    assert (tags.status_code, [error["code"] for error in errors]) == (404, ["NAME_UNKNOWN"])
    referrers = admin.ask("GET", f"/v2/{name}/referrers/{digest_of(b'')}")
    assert (referrers.status_code, referrers.json()["manifests"]) == (200, [])


def test_referrers(admin: Client, name: str) -> None:
    subject = descriptor(image(), OCI_MANIFEST)
    admin.push_image(name, "subject")
    given = [
        admin.push_manifest(name, "r1", image(subject=subject, artifactType="text/one", annotations={"a": "b"})),
        admin.push_manifest(name, "r2", image(subject=subject)),
    ]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "subject": subject}
    given.append(admin.push_manifest(name, "r3", json.dumps(index).encode(), OCI_INDEX))
    answer = admin.ask("GET", f"/v2/{name}/referrers/{subject['digest']}")
    one = admin.ask("GET", f"/v2/{name}/referrers/{subject['digest']}?artifactType=text/one")

    assert answer.headers["content-type"] == OCI_INDEX
    found = answer.json()["manifests"]
    assert [item["digest"] for item in found] == given
    assert [item.get("artifactType") for item in found] == [
        "text/one",
        "application/vnd.oci.image.config.v1+json",
        None,
    ]
    assert (found[0]["annotations"], found[0]["mediaType"]) == ({"a": "b"}, OCI_MANIFEST)
    assert one.headers["oci-filters-applied"] == "artifactType"
    assert [item["digest"] for item in one.json()["manifests"]] == given[:1]
    admin.ask("DELETE", f"/v2/{name}/manifests/{given[0]}", scope=f"repository:{name}:delete")
    assert len(admin.ask("GET", f"/v2/{name}/referrers/{subject['digest']}").json()["manifests"]) == 2


def test_referrers_by_pages(admin: Client, name: str) -> None:
    subject = descriptor(os.urandom(8), OCI_MANIFEST)
    admin.push_blob(name, EMPTY)
    given = [
        admin.push_manifest(name, f"r{n}", image(subject=subject, annotations={"a": "x" * 1_000_000, "n": str(n)}))
        for n in range(7)
    ]
    seen: list[str] = []
    path = f"/v2/{name}/referrers/{subject['digest']}"
    while path:
        answer = admin.ask("GET", path)
        assert len(answer.content) < 4 * 2**20
        seen += [item["digest"] for item in answer.json()["manifests"]]
        path = path_of(answer.headers["link"]) if "link" in answer.headers else ""
    assert seen == given


def test_referrers_do_not_fill_memory(admin: Client, hub: HubProcess, name: str) -> None:
    subject = descriptor(os.urandom(8), OCI_MANIFEST)
    admin.push_blob(name, EMPTY)
    for number in range(7):
        admin.push_manifest(name, f"r{number}", image(subject=subject, annotations={str(number): "x" * 2**20}))
    database = hub.open_database()
    with database.read() as session:
        holding = find_holding(session, name, None)
        assert holding is not None and holding.repository_id is not None
        asked: dict[str, Any] = {"artifact_type": None, "last": 0, "limit": 500}
        found = list_referrers(session, holding.repository_id, subject["digest"], **asked)
        newest = newest_referrers(session, holding.repository_id, subject["digest"], IMAGE_CONFIG, limit=2)
    database.close()
    assert len(found) == 4
    assert len(newest) == 2 and newest[0] > newest[1] > found[-1].id


def test_the_catalog(admin: Client, name: str) -> None:
    for rest in ("c", "a", "b-x", "b"):
        admin.push_image(f"{name}-{rest}", "v1")
    page = admin.ask("GET", f"/v2/_catalog?n=3&last={name}")

    assert page.json()["repositories"] == [f"{name}-a", f"{name}-b", f"{name}-b-x"]
    assert path_of(page.headers["link"]).startswith("/v2/_catalog?n=3&last=")


@pytest.mark.parametrize("bad", ["Upper/case", "one", "a//b", "a/b..c", "a/" + "b" * 300, "-a/b", "a/b/"])
def test_names_that_are_none(admin: Client, bad: str) -> None:
    for method, path in (
        ("GET", "manifests/v1"),
        ("GET", f"blobs/{digest_of(b'')}"),
        ("POST", "blobs/uploads/"),
        ("GET", "tags/list"),
    ):
        answer = admin.ask(method, f"/v2/{bad}/{path}")
        assert answer.status_code in (400, 404), (method, path)
        assert answer.json()["errors"][0]["code"] == "NAME_INVALID", (method, path)
