"""Hubs on a bucket: an upload wanders between them, one dies in the middle; reads cost the service what they must."""

import hashlib
import os
import random
import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.hub import HubProcess
from tests.oci import EMPTY, Client, digest_of
from tests.storage.middle import Middle, between
from tests.storage.stores import minio

MIB = 2**20
NAME = "buckets/filter"
SCOPE = f"repository:{NAME}:pull,push"
UPLOADS = f"/v2/{NAME}/blobs/uploads/"
CHUNK = 4 * MIB  # wkg's: too small for a part
RANDOM = os.urandom(45 * MIB)


@pytest.fixture(scope="module")
def middle() -> Iterator[Middle]:
    """Stands between the hubs and the session's MinIO."""
    with between(minio().endpoint) as found:
        yield found


@pytest.fixture(scope="module")
def hubs(tmp_path_factory: pytest.TempPathFactory, middle: Middle) -> Iterator[list[HubProcess]]:
    """Two hubs with one database and one bucket."""
    folder = tmp_path_factory.mktemp("replicas")
    settings = minio().settings(f"replicas-{secrets.token_hex(4)}") | {"WASMHUB_S3_ENDPOINT": middle.endpoint}
    settings["WASMHUB_SECRET_KEY"] = "one key for both of them"
    first = HubProcess(folder / "0", **settings)
    settings.setdefault("WASMHUB_DATABASE_URL", first.told().get("WASMHUB_DATABASE_URL", f"sqlite:///{folder}/hub.db"))
    with HubProcess(folder / "1", **settings) as one, HubProcess(folder / "2", **settings) as other:
        yield [one, other]
        for hub in (one, other):
            hub.check_log()


@pytest.fixture
def clients(hubs: list[HubProcess]) -> Iterator[list[Client]]:
    """The administrator at each of them."""
    found = [Client(hub.url, "admin", hub.admin_password) for hub in hubs]
    ask(found[0], "POST", f"{UPLOADS}?digest={digest_of(EMPTY)}", content=EMPTY)
    yield found
    for client in found:
        client.close()


def ask(client: Client, method: str, path: str, **more: object) -> httpx.Response:
    """Asks with one token for all."""
    return client.ask(method, path, scope=SCOPE, **more)


def offset_of(client: Client, location: str) -> int:
    """How much of the upload is here, as a hub tells it."""
    last = int(ask(client, "GET", location).headers["range"].partition("-")[2])
    return last + 1 if last else 0


def test_an_upload_wanders_between_hubs(clients: list[Client]) -> None:
    location = ask(clients[0], "POST", UPLOADS).headers["location"]
    for number, start in enumerate(range(0, len(RANDOM), CHUNK)):
        chunk = RANDOM[start : start + CHUNK]
        headers = {"Content-Range": f"{start}-{start + len(chunk) - 1}"}
        answer = ask(clients[number % 2], "PATCH", location, content=chunk, headers=headers)
        assert answer.status_code == 202
        assert offset_of(clients[(number + 1) % 2], location) == start + len(chunk)
    digest = digest_of(RANDOM)
    assert ask(clients[1], "PUT", f"{location}?digest={digest}").status_code == 201
    for client in clients:
        assert ask(client, "GET", f"/v2/{NAME}/blobs/{digest}").content == RANDOM


@pytest.mark.parametrize("seed", range(4))
def test_an_upload_outlives_the_hub_that_took_its_chunk(
    hubs: list[HubProcess], clients: list[Client], seed: int
) -> None:
    """One of the two is killed while a chunk comes in, or just after; the push goes on at the other."""
    chance = random.Random(seed)
    body = chance.randbytes(17 * MIB) + secrets.token_bytes(8)
    location = ask(clients[0], "POST", UPLOADS).headers["location"]
    start, victim = 0, chance.randrange(1, 4)
    for number in range(10):
        start = offset_of(clients[0], location)
        chunk = body[start : start + CHUNK]
        if not chunk:
            break
        if number != victim:
            assert ask(clients[number % 2], "PATCH", location, content=chunk).status_code == 202
            continue
        timer = threading.Timer(chance.uniform(0, 0.15), hubs[1].kill)
        timer.start()
        pieces = (chunk[at : at + 2**18] for at in range(0, len(chunk), 2**18))
        with pytest.raises(httpx.TransportError):
            while True:  # the hub may have taken the whole chunk before it dies
                ask(clients[1], "PATCH", location, content=slowly(pieces))
        timer.join()
        hubs[1].start()
        assert offset_of(clients[0], location) in (start, start + len(chunk))
    digest = digest_of(body)
    got = offset_of(clients[0], location)
    answer = ask(clients[0], "PUT", f"{location}?digest={digest}", content=body[got:])
    assert answer.status_code == 201, answer.text
    assert ask(clients[1], "GET", f"/v2/{NAME}/blobs/{digest}").content == body


def slowly(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """A body that takes a tenth of a second."""
    for piece in pieces:
        time.sleep(0.006)
        yield piece


def push(client: Client, body: bytes) -> str:
    """Pushes in one request; the path of the blob."""
    assert ask(client, "POST", f"{UPLOADS}?digest={digest_of(body)}", content=body).status_code == 201
    return f"/v2/{NAME}/blobs/{digest_of(body)}"


def test_a_small_push_costs_the_bucket_one_call_and_a_known_blob_none(clients: list[Client], middle: Middle) -> None:
    body = os.urandom(500_000)
    middle.asked.clear()
    push(clients[0], body)
    assert middle.methods() == ["PUT"]
    push(clients[1], body)
    location = ask(clients[0], "POST", UPLOADS).headers["location"]
    assert ask(clients[0], "PUT", f"{location}?digest={digest_of(body)}", content=body).status_code == 201
    assert middle.methods() == []


def test_what_memory_and_rows_can_answer_costs_the_bucket_nothing(clients: list[Client], middle: Middle) -> None:
    path = push(clients[0], RANDOM[: 12 * MIB])
    middle.asked.clear()
    assert ask(clients[1], "HEAD", path).headers["content-length"] == str(12 * MIB)
    etag = ask(clients[1], "HEAD", path).headers["etag"]
    assert ask(clients[1], "GET", path, headers={"If-None-Match": etag}).status_code == 304
    assert ask(clients[1], "GET", path, headers={"Range": "bytes=99999999-"}).status_code == 416
    assert middle.methods() == []
    part = ask(clients[1], "GET", path, headers={"Range": f"bytes={5 * MIB}-{5 * MIB + 99}"})
    assert (part.status_code, part.content) == (206, RANDOM[5 * MIB : 5 * MIB + 100])
    assert middle.methods() == ["GET"]


def test_a_hundred_readers_of_a_cold_module_cost_one_call(clients: list[Client], middle: Middle) -> None:
    body = os.urandom(700_000)
    middle.asked.clear()
    path = push(clients[0], body)
    (copy,) = [path for method, path, _ in middle.asked if method == "PUT"]  # what else is asked is not about it
    middle.asked.clear()
    with ThreadPoolExecutor(100) as readers:
        answers = list(readers.map(lambda _: ask(clients[1], "GET", path), range(100)))
    assert {hashlib.sha256(answer.content).digest() for answer in answers} == {hashlib.sha256(body).digest()}
    assert [method for method, path, _ in middle.asked if path == copy] == ["GET"]


def test_a_bucket_that_fails_in_a_read_is_never_taken_for_the_end(clients: list[Client], middle: Middle) -> None:
    path = push(clients[0], RANDOM[: 20 * MIB])
    middle.harm[:] = ["cut", "cut"]
    assert ask(clients[0], "GET", path).content == RANDOM[: 20 * MIB]
    middle.harm[:] = ["pass", "pass", "cut", "cut", "cut"]
    with pytest.raises(httpx.RemoteProtocolError):
        ask(clients[0], "GET", path)
    middle.harm[:] = ["refuse"] * 3
    refused = ask(clients[0], "GET", path)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert refused.json()["errors"][0]["code"] == "UNAVAILABLE"


def test_a_bucket_that_fails_in_a_push_loses_nothing(clients: list[Client], middle: Middle) -> None:
    body = os.urandom(9 * MIB)
    location = ask(clients[0], "POST", UPLOADS).headers["location"]
    assert ask(clients[0], "PATCH", location, content=body[: 2 * MIB]).status_code == 202
    middle.harm[:] = ["refuse"] * 3
    assert ask(clients[1], "PATCH", location, content=body[2 * MIB :]).status_code == 503
    assert offset_of(clients[0], location) == 2 * MIB
    middle.harm.clear()
    assert ask(clients[0], "PATCH", location, content=body[2 * MIB :]).status_code == 202
    middle.harm[:] = ["refuse"] * 3
    put = f"{location}?digest={digest_of(body)}"
    assert ask(clients[1], "PUT", put).status_code == 503
    middle.harm.clear()
    assert ask(clients[1], "PUT", put).status_code == 201
    assert ask(clients[0], "GET", f"/v2/{NAME}/blobs/{digest_of(body)}").content == body


def test_clients_are_sent_to_a_public_endpoint_for_large_blobs(hubs: list[HubProcess], tmp_path: Path) -> None:
    settings = {**hubs[0].settings, "WASMHUB_S3_PUBLIC_ENDPOINT": minio().endpoint}
    with HubProcess(tmp_path / "data", **settings) as hub:
        client = Client(hub.url, "admin", hub.admin_password)
        large, small = push(client, RANDOM[: 2 * MIB]), push(client, RANDOM[:MIB])
        sent = ask(client, "GET", large)
        assert (sent.status_code, sent.headers["cache-control"]) == (307, "no-store")
        assert sent.headers["location"].startswith(f"{minio().endpoint}/")
        assert httpx.get(sent.headers["location"], trust_env=False).content == RANDOM[: 2 * MIB]
        part = httpx.get(sent.headers["location"], trust_env=False, headers={"Range": "bytes=5-9"})
        assert (part.status_code, part.content) == (206, RANDOM[5:10])
        assert ask(client, "HEAD", large).status_code == 200
        assert ask(client, "GET", small).content == RANDOM[:MIB]
        client.close()
