"""Connections to control planes, on the event loop that the hub runs on and on Python's own."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from ipaddress import ip_network
from pathlib import Path

import pytest
import uvloop

from auth.control_plane import Access, Answer, ControlPlane
from auth.outgoing import Outgoing, OutgoingRefused
from tests.certificates import write_certificate

pytestmark = pytest.mark.once("calls to others know of no engines")
LARGE = 3 * 2**20
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Ask = Callable[[ControlPlane], Awaitable[Answer]]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def asked(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Answer]:
    """Runs a server with TLS, or one that speaks without, and asks it."""
    write_certificate(tmp_path, "127.0.0.1")
    trust = (tmp_path / "cert.pem").read_text()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")

    async def both(serve: Serve, ask: Ask, context: ssl.SSLContext | None) -> Answer:
        writers: list[asyncio.StreamWriter] = []

        async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            await serve(reader, writer)

        server = await asyncio.start_server(served, "127.0.0.1", 0, ssl=context)
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        plane = ControlPlane(Outgoing([ip_network("127.0.0.0/8")]), Access(url, ca=trust))
        try:
            return await ask(plane)
        finally:
            await plane.close()
            server.close()
            for one in writers:
                one.transport.abort()
            await asyncio.sleep(0.05)  # in which they close

    def run(serve: Serve, ask: Ask, *, plain: bool = False) -> Answer:
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(both(serve, ask, None if plain else tls))

    return run


def test_large_answers_come_whole_over_one_connection(asked: Callable[..., Answer]) -> None:
    connections = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while await _request(reader):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE + b"x" * LARGE)

    async def ask(plane: ControlPlane) -> Answer:
        first = await plane.ask("GET", "/")
        assert first == await plane.ask("POST", "/", {"a": "b" * LARGE})
        return first

    assert len(asked(serve, ask).text) == LARGE
    assert len(connections) == 1


def test_a_connection_that_was_closed_is_not_used_again(asked: Callable[..., Answer]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    async def ask(plane: ControlPlane) -> Answer:
        await plane.ask("GET", "/")
        await asyncio.sleep(0.2)
        return await plane.ask("GET", "/")

    assert asked(serve, ask).body == {}


def test_what_is_said_before_tls_is_not_taken_for_an_answer(asked: Callable[..., Answer]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await reader.read()

    with pytest.raises(OutgoingRefused, match="cannot be reached"):
        asked(serve, lambda plane: plane.ask("GET", "/"), plain=True)


def test_who_reads_nothing_is_not_waited_for(asked: Callable[..., Answer]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    with pytest.raises(OutgoingRefused, match="did not answer in time"):
        asked(serve, lambda plane: plane.ask("PUT", "/", "x" * 8 * LARGE, patience=2))


async def _request(reader: asyncio.StreamReader) -> bool:
    """Reads one request; False where none comes any more."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.splitlines() if line.lower().startswith(b"content-length:")), 0)
        await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return False
    return True
