"""What each client does that others do not, replayed request by request: one test a habit, named after its client.

The real clients are in `test_push_and_pull`; here is what they send in situations that are hard to bring about, and
what they would read wrongly without a word.
"""

import base64
import re
import secrets
from collections.abc import Iterator

import httpx
import pytest

from tests.hub import HubProcess
from tests.oci import OCI_INDEX, OCI_MANIFEST, Client, digest_of, image

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CHUNK = 4 * 2**20  # wkg sends chunks of this size


@pytest.fixture(scope="module")
def admin(hub: HubProcess) -> Iterator[Client]:
    client = Client(hub.url, "admin", hub.admin_password)
    yield client
    client.http.close()


@pytest.fixture
def http(hub: HubProcess) -> Iterator[httpx.Client]:
    """Requests without any sign-in of their own."""
    with httpx.Client(base_url=hub.url, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
def name() -> str:
    return f"quirks/{secrets.token_hex(6)}"


@pytest.fixture
def pushed(admin: Client, name: str) -> tuple[str, bytes]:
    """A repository with an image tagged v1, and the bytes of its layer."""
    layer = secrets.token_bytes(100_000)
    admin.push_image(name, "v1", layer)
    return name, layer


def challenge_of(answer: httpx.Response) -> dict[str, str]:
    """The parameters of the one challenge of a 401."""
    assert answer.status_code == 401
    assert answer.headers.get_list("www-authenticate") == [answer.headers["www-authenticate"]]
    scheme, _, parameters = answer.headers["www-authenticate"].partition(" ")
    assert scheme == "Bearer"
    return dict(re.findall(r'(\w+)="([^"]*)"', parameters))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def stream(content: bytes, size: int = 10_000) -> Iterator[bytes]:
    """A body without a known length, as a program sends that hashes while it reads."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


# docker


def test_docker_login_gets_an_identity_token(http: httpx.Client, hub: HubProcess, pushed: tuple[str, bytes]) -> None:
    """It asks by GET for a refresh token, keeps that instead of the password, and comes back with it by POST."""
    name, _ = pushed
    challenge = challenge_of(http.get("/v2/"))
    asked = {"account": "admin", "client_id": "docker", "offline_token": "true", "service": challenge["service"]}
    first = http.get(challenge["realm"], params=asked, auth=("admin", hub.admin_password))
    assert first.status_code == 200

    form = {
        "grant_type": "refresh_token",
        "refresh_token": first.json()["refresh_token"],
        "client_id": "docker",
        "service": challenge["service"],
        "scope": f"repository:{name}:pull",
    }
    second = http.post(challenge["realm"], data=form)

    assert second.status_code == 200
    token = second.json()["access_token"]
    assert http.get(f"/v2/{name}/manifests/v1", headers=bearer(token)).status_code == 200


@pytest.mark.parametrize("password", ["wrong", ""])
def test_docker_login_notices_a_wrong_password(http: httpx.Client, password: str) -> None:
    """It believes any password if `/v2/` answers 200 to nobody, and else what the token service says."""
    challenge = challenge_of(http.get("/v2/"))

    answer = http.get(challenge["realm"], params={"offline_token": "true"}, auth=("admin", password))

    assert answer.status_code == 401


def test_docker_classic_push_streams_one_patch(admin: Client, name: str, pushed: tuple[str, bytes]) -> None:
    """HEAD, POST with a mount that fails, PATCH of unknown length without a range, PUT; it reads the PATCH's Range."""
    layer = secrets.token_bytes(50_000)
    digest = digest_of(layer)
    assert admin.ask("HEAD", f"/v2/{name}/blobs/{digest}").status_code == 404
    begun = admin.ask("POST", f"/v2/{name}/blobs/uploads/?mount={digest}&from=quirks/nowhere")
    assert begun.status_code == 202
    assert begun.headers["docker-upload-uuid"]

    scope = f"repository:{name}:pull,push"
    sent = admin.ask("PATCH", begun.headers["location"], content=stream(layer), scope=scope)
    done = admin.ask("PUT", f"{sent.headers['location']}?digest={digest}", scope=scope)

    assert (sent.status_code, sent.headers["range"], sent.headers["content-length"]) == (202, "0-49999", "0")
    assert (done.status_code, done.headers["docker-content-digest"]) == (201, digest)


def test_docker_manifest_comes_back_as_it_is(admin: Client, name: str) -> None:
    """Its own manifest type, asked for among others, with exactly the type and the bytes that were pushed."""
    admin.push_image(name, "oci", b"layer")
    manifest = image(b"layer", mediaType=DOCKER_MANIFEST)
    admin.push_manifest(name, "v1", manifest, DOCKER_MANIFEST)

    answer = admin.ask("GET", f"/v2/{name}/manifests/v1", headers={"Accept": f"{OCI_MANIFEST}, {DOCKER_MANIFEST}"})

    assert answer.headers["content-type"] == DOCKER_MANIFEST
    assert answer.content == manifest


# containerd, which docker uses from version 29 on


def test_containerd_push_puts_the_whole_blob(admin: Client, name: str) -> None:
    """POST, then one PUT with everything, and no PATCH."""
    layer = secrets.token_bytes(30_000)
    begun = admin.ask("POST", f"/v2/{name}/blobs/uploads/")

    headers = {"Content-Type": "application/octet-stream"}
    location = f"{begun.headers['location']}?digest={digest_of(layer)}"
    done = admin.ask("PUT", location, content=layer, headers=headers, scope=f"repository:{name}:pull,push")

    assert done.status_code == 201
    assert admin.ask("GET", f"/v2/{name}/blobs/{digest_of(layer)}").content == layer


@pytest.mark.parametrize("accept", [f"{OCI_MANIFEST}, */*", "*/*", DOCKER_MANIFEST])
def test_containerd_resolves_a_tag_by_head(admin: Client, pushed: tuple[str, bytes], accept: str) -> None:
    """It wants digest and length of a HEAD, whatever its Accept, and names the upstream in `ns`."""
    name, _ = pushed
    path = f"/v2/{name}/manifests/v1"

    answer = admin.ask("HEAD", f"{path}?ns=registry.example.com", headers={"Accept": accept}, scope=scope_of(name))

    content = admin.ask("GET", path).content
    assert answer.status_code == 200
    assert answer.headers["content-type"] == OCI_MANIFEST
    assert answer.headers["docker-content-digest"] == digest_of(content)
    assert int(answer.headers["content-length"]) == len(content)


def test_containerd_gets_blobs_as_they_are(admin: Client, pushed: tuple[str, bytes]) -> None:
    """It says that it takes compressed answers, and would take a compressed layer for a broken one."""
    name, layer = pushed
    headers = {"Accept-Encoding": "zstd,gzip,deflate"}

    answer = admin.ask("GET", f"/v2/{name}/blobs/{digest_of(layer)}", headers=headers)

    assert "content-encoding" not in answer.headers
    assert answer.content == layer


def test_containerd_fetches_a_blob_in_ranges(admin: Client, pushed: tuple[str, bytes]) -> None:
    name, layer = pushed
    path = f"/v2/{name}/blobs/{digest_of(layer)}"

    parts = [
        admin.ask("GET", path, headers={"Range": f"bytes={start}-{start + 29_999}"})
        for start in range(0, 100_000, 30_000)
    ]

    assert [part.status_code for part in parts] == [206] * 4
    assert b"".join(part.content for part in parts) == layer
    assert parts[-1].headers["content-range"] == "bytes 90000-99999/100000"


# crane, and what is built on its library: Istio, Envoy Gateway, cosign


def test_crane_push_mounts_and_streams(admin: Client, name: str, pushed: tuple[str, bytes]) -> None:
    """It mounts with `from` what it knows to lie elsewhere, and takes 201 for done without sending a byte."""
    source, layer = pushed
    target = f"{name}-copy"
    scopes = [f"repository:{target}:push,pull", f"repository:{source}:pull"]
    token = admin.token(*scopes)

    mounted = admin.http.post(
        f"/v2/{target}/blobs/uploads/?mount={digest_of(layer)}&from={source}", headers=bearer(token)
    )

    assert mounted.status_code == 201
    assert mounted.headers["location"] == f"/v2/{target}/blobs/{digest_of(layer)}"


def test_crane_names_the_missing_scope_first(http: httpx.Client, hub: HubProcess, pushed: tuple[str, bytes]) -> None:
    """It repeats `scope` with the new one first; the token covers both."""
    name, _ = pushed
    scopes = [f"repository:{name}:push,pull", f"repository:{name}-base:pull"]

    answer = http.get("/token", params={"scope": scopes}, auth=("admin", hub.admin_password))

    token = answer.json()["token"]
    assert http.get(f"/v2/{name}/manifests/v1", headers=bearer(token)).status_code == 200
    assert http.post(f"/v2/{name}/blobs/uploads/", headers=bearer(token)).status_code == 202


def test_crane_trusts_a_realm_on_the_host_it_asked(http: httpx.Client, hub: HubProcess) -> None:
    """A realm on a loopback address is refused by it unless host and port are those it was given."""
    assert challenge_of(http.get("/v2/"))["realm"] == f"http://{hub.host}/token"


def test_crane_follows_a_location_without_a_host(admin: Client, name: str) -> None:
    """It refuses a Location on another host, such as the one that a proxy in front has changed: a path has none."""
    begun = admin.ask("POST", f"/v2/{name}/blobs/uploads/")

    assert begun.headers["location"].startswith(f"/v2/{name}/blobs/uploads/")


def test_istio_finds_one_realm_with_a_dns_name(http: httpx.Client) -> None:
    """Its agent takes no realm on a private address, and checks those of every challenge, Basic too."""
    challenge = challenge_of(http.get("/v2/", headers={"Host": "hub.example.com:8080"}))

    assert challenge["realm"] == "http://hub.example.com:8080/token"


# podman, skopeo, buildah


def test_podman_asks_for_a_token_with_its_account(
    http: httpx.Client, hub: HubProcess, pushed: tuple[str, bytes]
) -> None:
    """It keeps the challenge of the bare `/v2/` for all requests and fills in the scope itself."""
    name, _ = pushed
    challenge = challenge_of(http.get("/v2/"))
    asked = {"account": "admin", "scope": scope_of(name), "service": challenge["service"]}

    reply = http.get(challenge["realm"], params=asked, auth=("admin", hub.admin_password)).json()

    assert reply["expires_in"] >= 60
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", reply["issued_at"])
    assert http.get(f"/v2/{name}/manifests/v1", headers=bearer(reply["token"])).status_code == 200


def test_podman_repeats_the_scope_in_a_form(http: httpx.Client, hub: HubProcess, pushed: tuple[str, bytes]) -> None:
    name, _ = pushed
    form = {
        "grant_type": "password",
        "username": "admin",
        "password": hub.admin_password,
        "scope": [f"repository:{name}-base:pull", f"repository:{name}:pull"],
        "service": hub.host,
    }

    reply = http.post("/token", data=form).json()

    assert http.get(f"/v2/{name}/manifests/v1", headers=bearer(reply["access_token"])).status_code == 200


def test_podman_cancels_an_upload_with_a_push_token(admin: Client, name: str) -> None:
    """After a mount that failed it deletes the upload, with no right to delete in its token."""
    scope = f"repository:{name}:pull,push"
    begun = admin.ask("POST", f"/v2/{name}/blobs/uploads/?mount={digest_of(b'x')}&from=quirks/nowhere", scope=scope)

    assert admin.ask("DELETE", begun.headers["location"], scope=scope).status_code == 204
    assert admin.ask("GET", begun.headers["location"], scope=scope).status_code == 404


def test_podman_resumes_a_download(admin: Client, pushed: tuple[str, bytes]) -> None:
    name, layer = pushed

    rest = admin.ask("GET", f"/v2/{name}/blobs/{digest_of(layer)}", headers={"Range": "bytes=60000-"})

    assert (rest.status_code, rest.content) == (206, layer[60_000:])
    assert rest.headers["content-range"] == "bytes 60000-99999/100000"


def test_skopeo_finds_no_signature(admin: Client, pushed: tuple[str, bytes]) -> None:
    """A signature's tag that is not there must be MANIFEST_UNKNOWN: any other error ends its copy."""
    name, layer = pushed

    answer = admin.ask("GET", f"/v2/{name}/manifests/sha256-{digest_of(layer)[7:]}.sig")

    assert (answer.status_code, codes_of(answer)) == (404, ["MANIFEST_UNKNOWN"])


# oras-go


def test_oras_go_finds_the_referrers_api(admin: Client, pushed: tuple[str, bytes]) -> None:
    """It asks for referrers of a digest of zeros, and takes anything but an index for "no such API"."""
    name, _ = pushed

    answer = admin.ask("GET", f"/v2/{name}/referrers/sha256:{'0' * 64}")

    assert (answer.status_code, answer.headers["content-type"]) == (200, OCI_INDEX)
    assert (answer.json()["schemaVersion"], answer.json()["mediaType"], answer.json()["manifests"]) == (
        2,
        OCI_INDEX,
        [],
    )


def test_oras_go_seeks_in_blobs(admin: Client, pushed: tuple[str, bytes]) -> None:
    """`Accept-Ranges` is what lets it seek, and a length that differs from the descriptor's is an error to it."""
    name, layer = pushed

    answer = admin.ask("GET", f"/v2/{name}/blobs/{digest_of(layer)}")

    assert answer.headers["accept-ranges"] == "bytes"
    assert int(answer.headers["content-length"]) == len(layer)


# oras-py


def test_oras_py_joins_scopes_with_a_space(http: httpx.Client, hub: HubProcess, pushed: tuple[str, bytes]) -> None:
    name, _ = pushed
    scope = f"repository:{name}-base:pull {scope_of(name)}"

    reply = http.get("/token", params={"scope": scope}, auth=("admin", hub.admin_password)).json()

    assert http.get(f"/v2/{name}/manifests/v1", headers=bearer(reply["token"])).status_code == 200


def test_oras_py_pushes_with_its_first_token(http: httpx.Client, hub: HubProcess, pushed: tuple[str, bytes]) -> None:
    """It gets one token, by the challenge of its first HEAD of a blob, and no other when it goes on to push."""
    name, _ = pushed
    challenge = challenge_of(http.head(f"/v2/{name}/blobs/{digest_of(b'new')}"))
    asked = {"scope": challenge["scope"], "service": challenge["service"]}

    token = http.get(challenge["realm"], params=asked, auth=("admin", hub.admin_password)).json()["token"]

    assert http.post(f"/v2/{name}/blobs/uploads/", headers=bearer(token)).status_code == 202


# wkg, and others on the same Rust library


def test_wkg_push_in_chunks(admin: Client, name: str) -> None:
    """Chunks of 4 MiB, each with its place, then an empty PUT; the manifest's PUT must be 201 with a Location."""
    scope = f"repository:{name}:pull,push"
    module = secrets.token_bytes(CHUNK + 1000)
    location = admin.ask("POST", f"/v2/{name}/blobs/uploads/").headers["location"]
    for start in range(0, len(module), CHUNK):
        chunk = module[start : start + CHUNK]
        place = f"{start}-{start + len(chunk) - 1}"
        headers = {"Content-Range": place, "Content-Type": "application/octet-stream"}
        sent = admin.ask("PATCH", location, content=chunk, headers=headers, scope=scope)
        assert (sent.status_code, sent.headers["range"]) == (202, f"0-{start + len(chunk) - 1}")
        location = sent.headers["location"]
    done = admin.ask("PUT", f"{location}?digest={digest_of(module)}", headers={"Content-Length": "0"}, scope=scope)
    assert (done.status_code, done.headers["location"]) == (201, f"/v2/{name}/blobs/{digest_of(module)}")

    admin.push_blob(name, b"{}")
    manifest = image(module)
    headers = {"Content-Type": OCI_MANIFEST}
    tagged = admin.ask("PUT", f"/v2/{name}/manifests/1.0.0", content=manifest, headers=headers)

    assert tagged.status_code == 201
    assert tagged.headers["location"] == f"/v2/{name}/manifests/{digest_of(manifest)}"


def test_wkg_reads_that_a_package_is_not_there(admin: Client, name: str) -> None:
    """It says "package not found" for a lone NAME_UNKNOWN, and "registry error" for everything else."""
    answer = admin.ask("GET", f"/v2/{name}/tags/list")

    assert (answer.status_code, codes_of(answer)) == (404, ["NAME_UNKNOWN"])


# what all of them share


@pytest.mark.parametrize("user", ["<token>", "oauth2accesstoken", "admin"])
def test_keys_work_as_basic_passwords(
    http: httpx.Client, hub: HubProcess, pushed: tuple[str, bytes], user: str
) -> None:
    """Credential helpers and CI systems give a key as the password of one of these names."""
    name, _ = pushed
    body = {"name": f"quirk-{secrets.token_hex(4)}"}
    made = http.post("/api/v1/user/tokens", json=body, auth=("admin", hub.admin_password))
    assert made.status_code == 201, made.text

    reply = http.get("/token", params={"scope": scope_of(name)}, auth=(user, made.json()["token"]))

    assert reply.status_code == 200, reply.text
    assert http.get(f"/v2/{name}/manifests/v1", headers=bearer(reply.json()["token"])).status_code == 200


def test_conformance_tool_is_anonymous_with_empty_credentials(http: httpx.Client) -> None:
    """It always sends Basic, with an empty name and password when it has none: that is nobody, and no error."""
    empty = {"Authorization": "Basic " + base64.b64encode(b":").decode()}

    assert http.get("/token", params={"scope": "repository:a/b:pull"}, headers=empty).status_code == 200


def scope_of(name: str) -> str:
    return f"repository:{name}:pull"


def codes_of(answer: httpx.Response) -> list[str]:
    return [error["code"] for error in answer.json()["errors"]]
