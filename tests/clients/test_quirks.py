"""How each client moves bytes, replayed request by request: one test a habit, named after its client.

The real clients are in `test_push_and_pull`; here is what they send in situations that are hard to bring about, and
what they would read wrongly without a word.
"""

import secrets
from collections.abc import Iterator

import pytest

from tests.clients.asking import bearer, codes_of, scope_of
from tests.oci import OCI_INDEX, OCI_MANIFEST, Client, digest_of, image

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CHUNK = 4 * 2**20  # wkg sends chunks of this size


def stream(content: bytes, size: int = 10_000) -> Iterator[bytes]:
    """A body without a known length, as a program sends that hashes while it reads."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


def test_docker_classic_push_streams_one_patch(admin: Client, repository: str, pushed: tuple[str, bytes]) -> None:
    """HEAD, POST with a mount that fails, PATCH of unknown length without a range, PUT; it reads the PATCH's Range."""
    layer = secrets.token_bytes(50_000)
    digest = digest_of(layer)
    assert admin.ask("HEAD", f"/v2/{repository}/blobs/{digest}").status_code == 404
    begun = admin.ask("POST", f"/v2/{repository}/blobs/uploads/?mount={digest}&from=quirks/nowhere")
    assert begun.status_code == 202
    assert begun.headers["docker-upload-uuid"]

    scope = f"repository:{repository}:pull,push"
    sent = admin.ask("PATCH", begun.headers["location"], content=stream(layer), scope=scope)
    done = admin.ask("PUT", f"{sent.headers['location']}?digest={digest}", scope=scope)

    assert (sent.status_code, sent.headers["range"], sent.headers["content-length"]) == (202, "0-49999", "0")
    assert (done.status_code, done.headers["docker-content-digest"]) == (201, digest)


def test_docker_manifest_comes_back_as_it_is(admin: Client, repository: str) -> None:
    """Its own manifest type, asked for among others, with exactly the type and the bytes that were pushed."""
    admin.push_image(repository, "oci", b"layer")
    manifest = image(b"layer", mediaType=DOCKER_MANIFEST)
    admin.push_manifest(repository, "v1", manifest, DOCKER_MANIFEST)

    answer = admin.ask(
        "GET", f"/v2/{repository}/manifests/v1", headers={"Accept": f"{OCI_MANIFEST}, {DOCKER_MANIFEST}"}
    )

    assert answer.headers["content-type"] == DOCKER_MANIFEST
    assert answer.content == manifest


def test_containerd_push_puts_the_whole_blob(admin: Client, repository: str) -> None:
    """POST, then one PUT with everything, and no PATCH."""
    layer = secrets.token_bytes(30_000)
    begun = admin.ask("POST", f"/v2/{repository}/blobs/uploads/")

    headers = {"Content-Type": "application/octet-stream"}
    location = f"{begun.headers['location']}?digest={digest_of(layer)}"
    done = admin.ask("PUT", location, content=layer, headers=headers, scope=f"repository:{repository}:pull,push")

    assert done.status_code == 201
    assert admin.ask("GET", f"/v2/{repository}/blobs/{digest_of(layer)}").content == layer


@pytest.mark.parametrize("accept", [f"{OCI_MANIFEST}, */*", "*/*", DOCKER_MANIFEST])
def test_containerd_resolves_a_tag_by_head(admin: Client, pushed: tuple[str, bytes], accept: str) -> None:
    """It wants digest and length of a HEAD, whatever its Accept, and names the upstream in `ns`."""
    repository, _ = pushed
    path = f"/v2/{repository}/manifests/v1"

    answer = admin.ask(
        "HEAD", f"{path}?ns=registry.example.com", headers={"Accept": accept}, scope=scope_of(repository)
    )

    content = admin.ask("GET", path).content
    assert answer.status_code == 200
    assert answer.headers["content-type"] == OCI_MANIFEST
    assert answer.headers["docker-content-digest"] == digest_of(content)
    assert int(answer.headers["content-length"]) == len(content)


def test_containerd_gets_blobs_as_they_are(admin: Client, pushed: tuple[str, bytes]) -> None:
    """It says that it takes compressed answers, and would take a compressed layer for a broken one."""
    repository, layer = pushed
    headers = {"Accept-Encoding": "zstd,gzip,deflate"}

    answer = admin.ask("GET", f"/v2/{repository}/blobs/{digest_of(layer)}", headers=headers)

    assert "content-encoding" not in answer.headers
    assert answer.content == layer


def test_containerd_fetches_a_blob_in_ranges(admin: Client, pushed: tuple[str, bytes]) -> None:
    repository, layer = pushed
    path = f"/v2/{repository}/blobs/{digest_of(layer)}"

    parts = [
        admin.ask("GET", path, headers={"Range": f"bytes={start}-{start + 29_999}"})
        for start in range(0, 100_000, 30_000)
    ]

    assert [part.status_code for part in parts] == [206] * 4
    assert b"".join(part.content for part in parts) == layer
    assert parts[-1].headers["content-range"] == "bytes 90000-99999/100000"


def test_crane_push_mounts_and_streams(admin: Client, repository: str, pushed: tuple[str, bytes]) -> None:
    """It mounts with `from` what it knows to lie elsewhere, and takes 201 for done without sending a byte."""
    source, layer = pushed
    target = f"{repository}-copy"
    scopes = [f"repository:{target}:push,pull", f"repository:{source}:pull"]
    token = admin.token(*scopes)

    mounted = admin.http.post(
        f"/v2/{target}/blobs/uploads/?mount={digest_of(layer)}&from={source}", headers=bearer(token)
    )

    assert mounted.status_code == 201
    assert mounted.headers["location"] == f"/v2/{target}/blobs/{digest_of(layer)}"


def test_crane_follows_a_location_without_a_host(admin: Client, repository: str) -> None:
    """It refuses a Location on another host, such as the one that a proxy in front has changed: a path has none."""
    begun = admin.ask("POST", f"/v2/{repository}/blobs/uploads/")

    assert begun.headers["location"].startswith(f"/v2/{repository}/blobs/uploads/")


def test_podman_cancels_an_upload_with_a_push_token(admin: Client, repository: str) -> None:
    """After a mount that failed it deletes the upload, with no right to delete in its token."""
    scope = f"repository:{repository}:pull,push"
    begun = admin.ask(
        "POST", f"/v2/{repository}/blobs/uploads/?mount={digest_of(b'x')}&from=quirks/nowhere", scope=scope
    )

    assert admin.ask("DELETE", begun.headers["location"], scope=scope).status_code == 204
    assert admin.ask("GET", begun.headers["location"], scope=scope).status_code == 404


def test_podman_resumes_a_download(admin: Client, pushed: tuple[str, bytes]) -> None:
    repository, layer = pushed

    rest = admin.ask("GET", f"/v2/{repository}/blobs/{digest_of(layer)}", headers={"Range": "bytes=60000-"})

    assert (rest.status_code, rest.content) == (206, layer[60_000:])
    assert rest.headers["content-range"] == "bytes 60000-99999/100000"


def test_skopeo_finds_no_signature(admin: Client, pushed: tuple[str, bytes]) -> None:
    """A signature's tag that is not there must be MANIFEST_UNKNOWN: any other error ends its copy."""
    repository, layer = pushed

    answer = admin.ask("GET", f"/v2/{repository}/manifests/sha256-{digest_of(layer)[7:]}.sig")

    assert (answer.status_code, codes_of(answer)) == (404, ["MANIFEST_UNKNOWN"])


def test_oras_go_finds_the_referrers_api(admin: Client, pushed: tuple[str, bytes]) -> None:
    """It asks for referrers of a digest of zeros, and takes anything but an index for "no such API"."""
    repository, _ = pushed

    answer = admin.ask("GET", f"/v2/{repository}/referrers/sha256:{'0' * 64}")

    assert (answer.status_code, answer.headers["content-type"]) == (200, OCI_INDEX)
    assert (answer.json()["schemaVersion"], answer.json()["mediaType"], answer.json()["manifests"]) == (
        2,
        OCI_INDEX,
        [],
    )


def test_oras_go_seeks_in_blobs(admin: Client, pushed: tuple[str, bytes]) -> None:
    """`Accept-Ranges` is what lets it seek, and a length that differs from the descriptor's is an error to it."""
    repository, layer = pushed

    answer = admin.ask("GET", f"/v2/{repository}/blobs/{digest_of(layer)}")

    assert answer.headers["accept-ranges"] == "bytes"
    assert int(answer.headers["content-length"]) == len(layer)


def test_wkg_push_in_chunks(admin: Client, repository: str) -> None:
    """Chunks of 4 MiB, each with its place, then an empty PUT; the manifest's PUT must be 201 with a Location."""
    scope = f"repository:{repository}:pull,push"
    module = secrets.token_bytes(CHUNK + 1000)
    location = admin.ask("POST", f"/v2/{repository}/blobs/uploads/").headers["location"]
    for start in range(0, len(module), CHUNK):
        chunk = module[start : start + CHUNK]
        place = f"{start}-{start + len(chunk) - 1}"
        headers = {"Content-Range": place, "Content-Type": "application/octet-stream"}
        sent = admin.ask("PATCH", location, content=chunk, headers=headers, scope=scope)
        assert (sent.status_code, sent.headers["range"]) == (202, f"0-{start + len(chunk) - 1}")
        location = sent.headers["location"]
    done = admin.ask("PUT", f"{location}?digest={digest_of(module)}", headers={"Content-Length": "0"}, scope=scope)
    assert (done.status_code, done.headers["location"]) == (201, f"/v2/{repository}/blobs/{digest_of(module)}")

    admin.push_blob(repository, b"{}")
    manifest = image(module)
    headers = {"Content-Type": OCI_MANIFEST}
    tagged = admin.ask("PUT", f"/v2/{repository}/manifests/1.0.0", content=manifest, headers=headers)

    assert tagged.status_code == 201
    assert tagged.headers["location"] == f"/v2/{repository}/manifests/{digest_of(manifest)}"


def test_wkg_reads_that_a_package_is_not_there(admin: Client, repository: str) -> None:
    """It says "package not found" for a lone NAME_UNKNOWN, and "registry error" for everything else."""
    answer = admin.ask("GET", f"/v2/{repository}/tags/list")

    assert (answer.status_code, codes_of(answer)) == (404, ["NAME_UNKNOWN"])
