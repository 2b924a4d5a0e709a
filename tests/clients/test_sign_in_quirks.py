"""How each client signs in and asks for tokens, replayed by request: one test a habit, named after its client."""

import base64
import re
import secrets

import httpx
import pytest

from tests.clients.asking import bearer, challenge_of, scope_of
from tests.hub import HubProcess
from tests.oci import digest_of


def test_docker_login_gets_an_identity_token(http: httpx.Client, hub: HubProcess, pushed: tuple[str, bytes]) -> None:
    """It asks by GET for a refresh token, keeps that instead of the password, and comes back with it by POST."""
    repository, _ = pushed
    challenge = challenge_of(http.get("/v2/"))
    asked = {"account": "admin", "client_id": "docker", "offline_token": "true", "service": challenge["service"]}
    first = http.get(challenge["realm"], params=asked, auth=("admin", hub.admin_password))
    assert first.status_code == 200

    form = {
        "grant_type": "refresh_token",
        "refresh_token": first.json()["refresh_token"],
        "client_id": "docker",
        "service": challenge["service"],
        "scope": f"repository:{repository}:pull",
    }
    second = http.post(challenge["realm"], data=form)

    assert second.status_code == 200
    token = second.json()["access_token"]
    assert http.get(f"/v2/{repository}/manifests/v1", headers=bearer(token)).status_code == 200


@pytest.mark.parametrize("password", ["wrong", ""])
def test_docker_login_notices_a_wrong_password(http: httpx.Client, password: str) -> None:
    """It believes any password if `/v2/` answers 200 to nobody, and else what the token service says."""
    challenge = challenge_of(http.get("/v2/"))

    answer = http.get(challenge["realm"], params={"offline_token": "true"}, auth=("admin", password))

    assert answer.status_code == 401


def test_crane_names_the_missing_scope_first(http: httpx.Client, hub: HubProcess, pushed: tuple[str, bytes]) -> None:
    """It repeats `scope` with the new one first; the token covers both."""
    repository, _ = pushed
    scopes = [f"repository:{repository}:push,pull", f"repository:{repository}-base:pull"]

    answer = http.get("/token", params={"scope": scopes}, auth=("admin", hub.admin_password))

    token = answer.json()["token"]
    assert http.get(f"/v2/{repository}/manifests/v1", headers=bearer(token)).status_code == 200
    assert http.post(f"/v2/{repository}/blobs/uploads/", headers=bearer(token)).status_code == 202


def test_crane_trusts_a_realm_on_the_host_it_asked(http: httpx.Client, hub: HubProcess) -> None:
    """A realm on a loopback address is refused by it unless host and port are those it was given."""
    assert challenge_of(http.get("/v2/"))["realm"] == f"http://{hub.host}/token"


def test_istio_finds_one_realm_with_a_dns_name(http: httpx.Client) -> None:
    """Its agent takes no realm on a private address, and checks those of every challenge, Basic too."""
    challenge = challenge_of(http.get("/v2/", headers={"Host": "hub.example.com:8080"}))

    assert challenge["realm"] == "http://hub.example.com:8080/token"


def test_podman_asks_for_a_token_with_its_account(
    http: httpx.Client, hub: HubProcess, pushed: tuple[str, bytes]
) -> None:
    """It keeps the challenge of the bare `/v2/` for all requests and fills in the scope itself."""
    repository, _ = pushed
    challenge = challenge_of(http.get("/v2/"))
    asked = {"account": "admin", "scope": scope_of(repository), "service": challenge["service"]}

    reply = http.get(challenge["realm"], params=asked, auth=("admin", hub.admin_password)).json()

    assert reply["expires_in"] >= 60
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", reply["issued_at"])
    assert http.get(f"/v2/{repository}/manifests/v1", headers=bearer(reply["token"])).status_code == 200


def test_podman_repeats_the_scope_in_a_form(http: httpx.Client, hub: HubProcess, pushed: tuple[str, bytes]) -> None:
    repository, _ = pushed
    form = {
        "grant_type": "password",
        "username": "admin",
        "password": hub.admin_password,
        "scope": [f"repository:{repository}-base:pull", f"repository:{repository}:pull"],
        "service": hub.host,
    }

    reply = http.post("/token", data=form).json()

    assert http.get(f"/v2/{repository}/manifests/v1", headers=bearer(reply["access_token"])).status_code == 200


def test_oras_py_joins_scopes_with_a_space(http: httpx.Client, hub: HubProcess, pushed: tuple[str, bytes]) -> None:
    repository, _ = pushed
    scope = f"repository:{repository}-base:pull {scope_of(repository)}"

    reply = http.get("/token", params={"scope": scope}, auth=("admin", hub.admin_password)).json()

    assert http.get(f"/v2/{repository}/manifests/v1", headers=bearer(reply["token"])).status_code == 200


def test_oras_py_pushes_with_its_first_token(http: httpx.Client, hub: HubProcess, pushed: tuple[str, bytes]) -> None:
    """It gets one token, by the challenge of its first HEAD of a blob, and no other when it goes on to push."""
    repository, _ = pushed
    challenge = challenge_of(http.head(f"/v2/{repository}/blobs/{digest_of(b'new')}"))
    asked = {"scope": challenge["scope"], "service": challenge["service"]}

    token = http.get(challenge["realm"], params=asked, auth=("admin", hub.admin_password)).json()["token"]

    assert http.post(f"/v2/{repository}/blobs/uploads/", headers=bearer(token)).status_code == 202


@pytest.mark.parametrize("user", ["<token>", "oauth2accesstoken", "admin"])
def test_keys_work_as_basic_passwords(
    http: httpx.Client, hub: HubProcess, pushed: tuple[str, bytes], user: str
) -> None:
    """Credential helpers and CI systems give a key as the password of one of these names."""
    repository, _ = pushed
    body = {"name": f"quirk-{secrets.token_hex(4)}"}
    made = http.post("/api/v1/user/tokens", json=body, auth=("admin", hub.admin_password))
    assert made.status_code == 201, made.text

    reply = http.get("/token", params={"scope": scope_of(repository)}, auth=(user, made.json()["token"]))

    assert reply.status_code == 200, reply.text
    assert http.get(f"/v2/{repository}/manifests/v1", headers=bearer(reply.json()["token"])).status_code == 200


def test_conformance_tool_is_anonymous_with_empty_credentials(http: httpx.Client) -> None:
    """It always sends Basic, with an empty name and password when it has none: that is nobody, and no error."""
    empty = {"Authorization": "Basic " + base64.b64encode(b":").decode()}

    assert http.get("/token", params={"scope": "repository:a/b:pull"}, headers=empty).status_code == 200
