"""Bodies that end before their time: nothing of them counts, nothing of them stays."""

import socket
import time

import pytest

from tests.engines import has_bucket
from tests.hub import HubProcess
from tests.oci import Client, digest_of

BODY = b"x" * 1000


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
def test_a_body_that_is_cut_short(admin: Client, hub: HubProcess, name: str, method: str) -> None:
    location = admin.ask("POST", f"/v2/{name}/blobs/uploads/").headers["location"]
    path = {
        "POST": f"/v2/{name}/blobs/uploads/?digest={digest_of(BODY)}",
        "PATCH": location,
        "PUT": f"{location}?digest={digest_of(BODY)}",
    }[method]
    before = files(hub)
    token = admin.token(f"repository:{name}:pull,push")
    host, _, port = hub.host.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {hub.host}\r\nAuthorization: Bearer {token}\r\nContent-Length: 1000\r\n"
        )
        connection.sendall(head.encode() + b"\r\n" + BODY[:600])
    end = time.monotonic() + 10
    while files(hub) - before and method == "POST" and time.monotonic() < end:
        time.sleep(0.05)

    assert admin.ask("HEAD", f"/v2/{name}/blobs/{digest_of(BODY)}").status_code == 404
    assert admin.ask("GET", location).headers["range"] == "0-0"
    if method == "POST":
        assert files(hub) <= before
    finished = until_free(admin, f"{location}?digest={digest_of(BODY)}")
    assert finished == 201
    assert admin.ask("GET", f"/v2/{name}/blobs/{digest_of(BODY)}").content == BODY


def until_free(admin: Client, path: str) -> int:
    """The status of finishing the upload, once the hub has seen that the other request is gone."""
    for _ in range(100):
        status = admin.ask("PUT", path, content=BODY).status_code
        if status != 409:
            break
        time.sleep(0.05)
    return status


def files(hub: HubProcess) -> set[str]:
    """What lies among the uploads; in a bucket nothing that could be seen."""
    if has_bucket():
        return set()
    return {path.name for path in (hub.data / "blobs" / "uploads").iterdir()}
