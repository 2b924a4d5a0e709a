"""What one replica has answered is true on the other at once: tags, deletions, visibility, and what people may do."""

import itertools
import secrets
from collections.abc import Iterator

import httpx
import pytest

from tests.balancer import Replicas
from tests.oci import EMPTY, OCI_MANIFEST, Client, digest_of, image

TIMES = 500


@pytest.fixture
def sides(replicas: Replicas) -> Iterator[list[Client]]:
    """The administrator at each replica."""
    clients = [Client(hub.url, "admin", hub.admin_password) for hub in replicas.hubs]
    yield clients
    for client in clients:
        client.close()


@pytest.fixture
def name() -> str:
    """A repository that no other test uses."""
    return f"replicas/{secrets.token_hex(6)}"


@pytest.fixture
def may(sides: list[Client]) -> dict[str, str]:
    """The administrator's header for the API; a password would be hashed at each request."""
    made = sides[0].http.post(
        "/api/v1/user/tokens", json={"name": secrets.token_hex(6)}, auth=("admin", "correct-horse-battery")
    )
    assert made.status_code == 201, made.text
    return {"Authorization": f"Bearer {made.json()['token']}"}


def turns(sides: list[Client]) -> Iterator[tuple[int, Client, Client]]:
    """Who speaks and who is asked, by turns."""
    for number, (here, there) in zip(range(TIMES), itertools.cycle([sides, sides[::-1]]), strict=False):
        yield number, here, there


def test_a_tag_that_moves_and_goes(sides: list[Client], name: str) -> None:
    sides[0].push_blob(name, EMPTY)
    path, scope = f"/v2/{name}/manifests/moving", f"repository:{name}:pull,push,delete"
    headers = {"Content-Type": OCI_MANIFEST}
    for number, here, there in turns(sides):
        content = image(annotations={"number": str(number)})
        put = here.ask("PUT", path, content=content, headers=headers, scope=scope)
        assert put.status_code == 201, put.text
        got = there.ask("GET", path, scope=scope)
        assert (got.status_code, got.content) == (200, content), number
        if number % 3 == 0:
            assert there.ask("DELETE", path, scope=scope).status_code == 202
            assert here.ask("GET", path, scope=scope).status_code == 404, number
        elif number % 3 == 1:
            by_digest = f"/v2/{name}/manifests/{digest_of(content)}"
            assert here.ask("HEAD", by_digest, scope=scope).status_code == 200
            assert there.ask("DELETE", by_digest, scope=scope).status_code == 202
            assert here.ask("GET", by_digest, scope=scope).status_code == 404, number
            assert here.ask("GET", path, scope=scope).status_code == 404, number


def test_visibility(sides: list[Client], may: dict[str, str], name: str) -> None:
    sides[0].push_image(name, "v1")
    api = f"/api/v1/repositories/{name}"
    assert sides[0].http.patch(api, json={"visibility": "public"}, headers=may).status_code == 200
    asked = {"scope": f"repository:{name}:pull", "service": "test"}
    token = httpx.get(f"{sides[0].http.base_url}/token", params=asked, trust_env=False).json()["token"]
    nobody = {"Authorization": f"Bearer {token}"}
    for number, here, there in turns(sides):
        for visibility, status in (("private", 401), ("public", 200)):
            changed = here.http.patch(api, json={"visibility": visibility}, headers=may)
            assert changed.status_code == 200, changed.text
            got = there.http.get(f"/v2/{name}/manifests/v1", headers=nobody)
            assert got.status_code == status, (number, visibility, got.text)


def test_a_token_that_is_revoked(sides: list[Client], may: dict[str, str], name: str) -> None:
    sides[0].push_image(name, "v1")
    for number, here, there in turns(sides):
        made = here.http.post("/api/v1/user/tokens", json={"name": f"t{number}-{name[9:]}"}, headers=may)
        assert made.status_code == 201, made.text
        asked = {"scope": f"repository:{name}:pull", "service": "test"}
        given = there.http.get("/token", params=asked, auth=("admin", made.json()["token"]))
        assert given.status_code == 200, given.text
        bearer = {"Authorization": f"Bearer {given.json()['token']}"}
        path = f"/v2/{name}/manifests/v1"
        assert [side.http.get(path, headers=bearer).status_code for side in (here, there)] == [200, 200], number
        gone = there.http.delete(f"/api/v1/user/tokens/{made.json()['id']}", headers=may)
        assert gone.status_code == 204, gone.text
        assert [side.http.get(path, headers=bearer).status_code for side in (here, there)] == [401, 401], number


def test_each_answers_by_turns(replicas: Replicas) -> None:
    """The balancer sends requests to both: what is asserted behind it is asserted of two."""

    def answered() -> list[int]:
        texts = [httpx.get(f"{hub.url}/metrics", trust_env=False).text for hub in replicas.hubs]
        line = 'wasmhub_requests_total{door="registry",status="401"} '
        return [int(text.partition(line)[2].partition("\n")[0] or 0) for text in texts]

    before = answered()
    for _ in range(20):
        assert httpx.get(f"{replicas.url}/v2/", trust_env=False).status_code == 401
    assert [after - first for after, first in zip(answered(), before, strict=True)] == [10, 10]
