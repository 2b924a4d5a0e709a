"""The proxy that other tests break things with does what it is told, and nothing else."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.faults.asking import timed
from tests.faults.proxy import Faults, Proxy


def echo(listener: socket.socket) -> None:
    """Gives everybody back what they send."""

    def answer(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while piece := connection.recv(65536):
                connection.sendall(piece)

    with suppress(OSError):
        while True:
            threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy before an echo."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=echo, args=(listener,), daemon=True).start()
        with Proxy("127.0.0.1", listener.getsockname()[1], seed=7) as running:
            yield running
        listener.shutdown(socket.SHUT_RDWR)


def connect(proxy: Proxy, timeout: float = 5) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout)


def said(connection: socket.socket, content: bytes) -> bytes:
    """What comes back for the content, until all of it has or the connection ends."""
    received = b""
    with suppress(ConnectionError):
        connection.sendall(content)
        while len(received) < len(content) and (piece := connection.recv(65536)):
            received += piece
    return received


def test_bytes_pass(proxy: Proxy) -> None:
    content = bytes(range(256)) * 4000
    with connect(proxy) as connection:
        assert said(connection, content) == content
        assert said(connection, b"more") == b"more"


def test_refusing_and_healing(proxy: Proxy) -> None:
    port = proxy.port
    with connect(proxy) as connection:
        assert said(connection, b"x") == b"x"
        proxy.refuse()
        assert said(connection, b"x") == b""
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.heal()
    assert proxy.port == port
    with connect(proxy) as connection:
        assert said(connection, b"x") == b"x"


def test_cutting_open_connections(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        assert said(connection, b"x") == b"x"
        proxy.cut()
        assert said(connection, b"x") == b""
    with connect(proxy) as connection:
        assert said(connection, b"x") == b"x"


@pytest.mark.parametrize("faults", [Faults(cut_requests_after=1000), Faults(cut_answers_after=1000)])
def test_cutting_after_some_bytes(proxy: Proxy, faults: Faults) -> None:
    proxy.faults = faults
    with connect(proxy) as connection:
        assert said(connection, b"x" * 600) == b"x" * 600
        assert len(said(connection, b"y" * 600)) <= 400


def test_silence_and_delay(proxy: Proxy) -> None:
    proxy.faults = Faults(silent=True)
    with connect(proxy, timeout=0.3) as connection:
        with pytest.raises(TimeoutError):
            said(connection, b"x")
        proxy.heal()
        connection.settimeout(5)
        assert connection.recv(10) == b"x"
        proxy.faults = Faults(delay=0.2)
        _, seconds = timed(said, connection, b"x")
        assert 0.4 <= seconds < 2


def test_cutting_at_random_is_repeatable(proxy: Proxy) -> None:
    proxy.faults = Faults(cut_share=0.05)
    passed = []
    with connect(proxy) as connection:
        while said(connection, b"x") == b"x" and len(passed) < 1000:
            passed.append(1)
    assert 0 < len(passed) < 1000
