"""A stop fails nobody: who balances load is told first, what was begun ends, and only then the hub is gone."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.certificates import write_certificate
from tests.hub import HubProcess
from tests.oci import Client, digest_of

pytestmark = pytest.mark.usefixtures("by_the_command")
SECONDS = 2
BODY = os.urandom(100_000)


@pytest.fixture(params=["1", "2"])
def draining(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HubProcess]:
    """A hub of one worker or two that takes its time to stop."""
    settings = {"WASMHUB_WORKERS": request.param, "WASMHUB_DRAIN_SECONDS": str(SECONDS)}
    with HubProcess(tmp_path / "data", **settings) as hub:
        assert httpx.get(f"{hub.url}/readyz", trust_env=False).status_code == 200  # it listens before it answers
        yield hub


def tell_to_stop(hub: HubProcess) -> None:
    assert hub.process is not None
    hub.process.send_signal(signal.SIGTERM)


def test_it_says_so_and_serves_on(draining: HubProcess) -> None:
    with httpx.Client(base_url=draining.url, trust_env=False) as client:
        assert client.get("/readyz").status_code == 200
        tell_to_stop(draining)
        time.sleep(0.5)
        for path, status in (("/readyz", 503), ("/healthz", 200), ("/v2/", 401)):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["connection"]) == (status, "close")
    assert draining.process is not None
    assert draining.process.wait(timeout=SECONDS + 10) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(draining.url, trust_env=False)


def test_a_client_that_keeps_its_connection_over_tls_holds_up_no_stop(tmp_path: Path) -> None:
    write_certificate(tmp_path, "127.0.0.1")
    settings = {"WASMHUB_TLS_CERT": str(tmp_path / "cert.pem"), "WASMHUB_TLS_KEY": str(tmp_path / "key.pem")}
    with (
        HubProcess(tmp_path / "data", **settings) as hub,
        httpx.Client(base_url=hub.url, trust_env=False, verify=hub.trust) as client,
    ):
        assert client.get("/readyz").status_code == 200
        tell_to_stop(hub)
        assert hub.process is not None
        assert hub.process.wait(timeout=10) == 0


def test_what_was_begun_ends(draining: HubProcess) -> None:
    """A body that is still arriving long after the hub was told to stop."""
    client = Client(draining.url, "admin", draining.admin_password)
    path = f"/v2/admin/slow/blobs/uploads/?digest={digest_of(BODY)}"
    token = client.token("repository:admin/slow:pull,push")
    head = f"POST {path} HTTP/1.1\r\nHost: {draining.host}\r\nAuthorization: Bearer {token}\r\n"
    host, _, port = draining.host.rpartition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode())
        tell_to_stop(draining)
        for start in range(0, len(BODY), 20_000):
            time.sleep(SECONDS / 4)
            connection.sendall(BODY[start : start + 20_000])
        assert connection.recv(100).startswith(b"HTTP/1.1 201 ")
    client.close()
    assert draining.process is not None
    assert draining.process.wait(timeout=10) == 0
    draining.start()
    client = Client(draining.url, "admin", draining.admin_password)
    assert client.ask("GET", f"/v2/admin/slow/blobs/{digest_of(BODY)}").content == BODY
    client.close()


def test_who_has_just_connected_is_answered(draining: HubProcess) -> None:
    """Connections are opened up to the end; each that was taken gets an answer to what it asks a moment later."""
    answers: list[bytes] = []
    refused = threading.Event()
    host, _, port = draining.host.rpartition(":")

    def ask() -> None:
        while not refused.is_set():
            try:
                connection = socket.create_connection((host, int(port)))
            except ConnectionError:
                refused.set()
                return
            with connection:
                try:
                    connection.sendall(f"GET /healthz HTTP/1.1\r\nHost: {draining.host}\r\n\r\n".encode())
                    answers.append(connection.recv(100)[:12])
                except ConnectionError as error:
                    answers.append(repr(error).encode())

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    tell_to_stop(draining)
    for thread in threads:
        thread.join(timeout=SECONDS + 10)
    assert set(answers) == {b"HTTP/1.1 200"}
    assert len(answers) > 100


def test_asked_twice_it_goes_at_once(tmp_path: Path) -> None:
    for workers in ("1", "2"):
        hub = HubProcess(tmp_path / "data", WASMHUB_WORKERS=workers, WASMHUB_DRAIN_SECONDS="60").start()
        assert httpx.get(f"{hub.url}/readyz", trust_env=False).status_code == 200
        tell_to_stop(hub)
        time.sleep(0.5)
        assert hub.process is not None
        hub.process.send_signal(signal.SIGINT)
        assert hub.process.wait(timeout=10) == 0
