"""Quotas at the registry's door: what is refused, when, in which words, and what is left of it."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from storage.garbage import UPLOAD_LIFE
from storage.uploads import REFUSED_LIFE
from tests.hub import HubProcess
from tests.oci import EMPTY, Client, digest_of

QUOTA = 10_000


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub whose namespaces may hold little."""
    folder: Path = tmp_path_factory.mktemp("small") / "data"
    with HubProcess(folder, WASMHUB_QUOTA_BYTES=str(QUOTA), WASMHUB_QUOTA_REPOSITORIES="2") as hub:
        yield hub


@pytest.fixture
def pusher(small: HubProcess) -> Iterator[Client]:
    """The administrator, who pushes."""
    client = Client(small.url, "admin", small.admin_password)
    yield client
    client.close()


def api(small: HubProcess) -> httpx.Client:
    """The administrator as programs ask."""
    auth = ("admin", small.admin_password)
    return httpx.Client(base_url=f"{small.url}/api/v1", auth=auth, timeout=30, trust_env=False)


def refusal(answer: httpx.Response) -> str:
    """The sentence of a refusal for want of room."""
    assert answer.status_code == 403, answer.text
    error = answer.json()["errors"][0]
    assert error["code"] == "DENIED"
    return str(error["message"])


def begin(pusher: Client, name: str) -> str:
    """Where an upload goes on."""
    begun = pusher.ask("POST", f"/v2/{name}/blobs/uploads/")
    assert begun.status_code == 202, begun.text
    return httpx.URL(begun.headers["location"]).path


def held(small: HubProcess, namespace: str) -> int:
    """What a namespace holds."""
    with api(small) as client:
        return int(client.get(f"/namespaces/{namespace}/usage").json()["bytes"])


def test_what_has_no_room_is_refused_before_its_bytes_when_they_are_told_and_else_at_the_end(
    small: HubProcess, pusher: Client
) -> None:
    name = "early/filter"
    pusher.push_blob(name, b"a" * 6000)
    large = b"b" * 5000
    whole = pusher.ask("POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(large)}", content=large)
    assert refusal(whole) == (
        "early holds 6 KB of the 10 KB that it may, and this adds 5 KB: delete what is not needed, or ask an"
        " administrator of the hub for more"
    )
    path = begin(pusher, name)
    assert "this adds 5 KB" in refusal(pusher.ask("PATCH", path, content=large))
    assert "this adds 5 KB" in refusal(pusher.ask("PATCH", path, content=large)), "some clients ask again"
    path = begin(pusher, name)
    streamed = pusher.ask("PATCH", path, content=[large[at : at + 1000] for at in range(0, 5000, 1000)])
    assert streamed.status_code == 202, "nobody said how much would come"
    for _ in range(2):
        assert "this adds 5 KB" in refusal(pusher.ask("PUT", f"{path}?digest={digest_of(large)}"))
    database = small.open_database()
    with database.read() as session:
        asked = "SELECT reading - touched_at FROM uploads, hub_clock WHERE uploads.id = :id"
        age = session.execute(text(asked), {"id": path.rpartition("/")[2]}).scalar_one()
    database.close()
    assert age >= UPLOAD_LIFE - REFUSED_LIFE, "it goes soon"
    assert held(small, "early") == 6000
    assert pusher.ask("HEAD", f"/v2/{name}/blobs/{digest_of(large)}").status_code == 404


def test_a_full_namespace_takes_no_upload_and_manifests_of_what_is_there(small: HubProcess, pusher: Client) -> None:
    name = "full/filter"
    layer, other = b"c" * (QUOTA - len(EMPTY)), b"d"
    pushed = pusher.push_image(name, "v1", layer)
    assert held(small, "full") == QUOTA
    assert "delete what is not needed" in refusal(pusher.ask("POST", f"/v2/{name}/blobs/uploads/"))
    answer = pusher.ask("PUT", f"/v2/{name}/manifests/v2", **_manifest(pusher, name, pushed))
    assert answer.status_code == 201
    assert answer.headers["warning"] == '299 - "full holds 100% of the 10 KB that it may"'
    mounted = pusher.ask("POST", f"/v2/full/second/blobs/uploads/?mount={digest_of(layer)}&from={name}")
    assert "this adds 9.998 KB" in refusal(mounted)
    removed = pusher.ask("DELETE", f"/v2/{name}/blobs/{digest_of(layer)}")
    assert removed.status_code == 202 and held(small, "full") == len(EMPTY)
    pusher.push_blob(name, other)


def test_a_quota_of_its_own(small: HubProcess, pusher: Client) -> None:
    name = "own/filter"
    pusher.push_blob(name, b"e" * 9000)
    with api(small) as client:
        raised = client.put("/namespaces/own/quota", json={"bytes": 20_000}).json()
        assert raised["quota"] == {"bytes": 20_000, "repositories": 2} and raised["percent"] == 45
        assert raised["own_quota"] == {"bytes": 20_000, "repositories": None}
        pusher.push_blob(name, b"f" * 9000)
        end = time.monotonic() + 30
        while "own" not in (listed := [one["namespace"] for one in client.get("/usage").json()["usage"]]):
            assert time.monotonic() < end, listed
            time.sleep(0.2)
        for body in ({"bytes": -1}, {"bytes": "1"}, {"bytes": 2**63}, {"repositories": True}, {"size": 1}):
            assert client.put("/namespaces/own/quota", json=body).status_code == 400
        assert client.put("/namespaces/nobody-s/quota", json={"bytes": 1}).status_code == 404
        lowered = client.put("/namespaces/own/quota", json={"bytes": 10}).json()
        assert lowered["percent"] == 180_000 and held(small, "own") == 18_000


def test_a_further_repository_is_refused(pusher: Client) -> None:
    for number in (1, 2):
        pusher.push_blob(f"many/r{number}", EMPTY)
    refused = pusher.ask("POST", "/v2/many/r3/blobs/uploads/")
    assert refusal(refused) == "many has 2 repositories and may have 2: ask an administrator of the hub for more"


def _manifest(pusher: Client, name: str, digest: str) -> dict[str, object]:
    there = pusher.ask("GET", f"/v2/{name}/manifests/{digest}")
    return {"content": there.content, "headers": {"Content-Type": there.headers["content-type"]}}
