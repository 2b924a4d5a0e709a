"""Disks that are full or turn read-only while the hub runs: it says so, loses nothing, and goes on once it can."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.hub import HubProcess
from tests.mounts import mounted, remount
from tests.oci import EMPTY, OCI_MANIFEST, Client, digest_of, image

pytestmark = pytest.mark.usefixtures("embedded")  # the disks are the data folder's
NAME = "disks/filter"
SCOPE = f"repository:{NAME}:pull,push,delete"
UPLOADS = f"/v2/{NAME}/blobs/uploads/"
LARGE = os.urandom(12 * 2**20)
FULL = "is full; free some space and try again"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub whose data folder is a disk of 8 MiB."""
    folder = tmp_path_factory.mktemp("small")
    with mounted(folder / "data", "size=8m"), HubProcess(folder / "data") as hub:
        yield hub
        hub.check_log()


@pytest.fixture(scope="module")
def client(small: HubProcess) -> Iterator[Client]:
    """The administrator, who has pushed before."""
    client = Client(small.url, "admin", small.admin_password)
    client.push_image(NAME, "before", b"content")
    yield client
    client.close()


def ask(client: Client, method: str, path: str, **more: object) -> httpx.Response:
    """Asks with one token for all."""
    return client.ask(method, path, scope=SCOPE, **more)


def refused(answer: httpx.Response, status: int, says: str) -> None:
    """The answer is a refusal in the registry's dialect."""
    assert answer.status_code == status, answer.text
    error = answer.json()["errors"][0]
    assert error["code"] == "UNAVAILABLE"
    assert says in error["message"]


def begun(hub: HubProcess) -> dict[str, int]:
    """The files of uploads and their sizes."""
    return {path.name: path.stat().st_size for path in (hub.data / "blobs" / "uploads").iterdir()}


def test_a_blob_larger_than_the_disk(small: HubProcess, client: Client) -> None:
    refused(ask(client, "POST", f"{UPLOADS}?digest={digest_of(LARGE)}", content=LARGE), 507, FULL)
    assert begun(small) == {}
    assert ask(client, "HEAD", f"/v2/{NAME}/blobs/{digest_of(LARGE)}").status_code == 404
    assert FULL in small.log()
    client.push_image(NAME, "after", os.urandom(100_000))
    assert ask(client, "GET", f"/v2/{NAME}/manifests/before").status_code == 200


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize("streamed", [True, False])
def test_a_chunk_larger_than_the_disk(small: HubProcess, client: Client, method: str, streamed: bool) -> None:
    location = ask(client, "POST", UPLOADS).headers["location"]
    assert ask(client, "PATCH", location, content=LARGE[:10_000]).status_code == 202
    pieces = (LARGE[start : start + 2**16] for start in range(10_000, len(LARGE), 2**16))
    query = f"?digest={digest_of(LARGE)}" if method == "PUT" else ""
    refused(ask(client, method, location + query, content=pieces if streamed else LARGE[10_000:]), 507, FULL)

    assert list(begun(small).values()) == [10_000]
    assert ask(client, "GET", location).headers["range"] == "0-9999"
    short = LARGE[:20_000]
    put = ask(client, "PUT", f"{location}?digest={digest_of(short)}", content=short[10_000:])
    assert put.status_code == 201
    assert ask(client, "GET", f"/v2/{NAME}/blobs/{digest_of(short)}").content == short
    assert begun(small) == {}


def fill(folder: Path) -> Path:
    """Takes the whole disk."""
    path = folder / "ballast"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return path


def test_no_room_for_rows(small: HubProcess, client: Client) -> None:
    ballast = fill(small.data)
    annotations = {"why": "x" * 3_000_000}
    manifest = image(b"content", annotations=annotations)
    put = ask(client, "PUT", f"/v2/{NAME}/manifests/x", content=manifest, headers={"Content-Type": OCI_MANIFEST})
    refused(put, 507, FULL)
    refused(ask(client, "POST", f"{UPLOADS}?digest={digest_of(b'some')}", content=b"some"), 507, FULL)
    assert ask(client, "GET", f"/v2/{NAME}/manifests/before").status_code == 200
    assert ask(client, "GET", f"/v2/{NAME}/manifests/x").status_code == 404
    assert ask(client, "GET", f"/v2/{NAME}/blobs/{digest_of(b'content')}").content == b"content"
    assert begun(small) == {}

    ballast.unlink()
    client.push_image(NAME, "x", b"some")
    assert ask(client, "GET", f"/v2/{NAME}/blobs/{digest_of(b'some')}").content == b"some"


def test_blobs_that_turn_read_only(tmp_path: Path) -> None:
    with mounted(tmp_path / "blobs", "size=8m") as blobs:
        with HubProcess(tmp_path / "data", WASMHUB_BLOBS=str(blobs)) as hub:
            client = Client(hub.url, "admin", hub.admin_password)
            client.push_image(NAME, "v1", b"content")
            location = ask(client, "POST", UPLOADS).headers["location"]
            assert ask(client, "PATCH", location, content=b"begun").status_code == 202
            remount(blobs, "ro")
            says = "the blobs cannot be written; make the data folder writable"

            refused(ask(client, "POST", f"{UPLOADS}?digest={digest_of(b'x')}", content=b"x"), 503, says)
            refused(ask(client, "PATCH", location, content=b" more"), 503, says)
            whole = f"{location}?digest={digest_of(b'begun')}"
            refused(ask(client, "PUT", whole), 503, says)
            assert ask(client, "GET", f"/v2/{NAME}/blobs/{digest_of(b'content')}").content == b"content"
            assert ask(client, "GET", f"/v2/{NAME}/blobs/{digest_of(EMPTY)}").content == EMPTY
            assert ask(client, "GET", location).headers["range"] == "0-4"
            remount(blobs, "rw")
            assert ask(client, "PUT", whole).status_code == 201
            assert ask(client, "GET", f"/v2/{NAME}/blobs/{digest_of(b'begun')}").content == b"begun"
            client.close()
            hub.check_log()
            assert says in hub.log()
