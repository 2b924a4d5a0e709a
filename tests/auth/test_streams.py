"""Connections to control planes, on the event loop that the hub runs on and on Python's own."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
import uvloop

from auth.addresses import Address
from auth.control_plane import MOST_VALUES, Access, Answer, ControlPlane
from auth.outgoing import Outgoing, OutgoingRefused
from auth.streams import STEP
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


@pytest.mark.parametrize("way", ["ask", "watch"])
def test_who_answers_in_tiny_pieces_is_not_heard_out(asked: Callable[..., Answer], way: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 2**20)

    async def ask(plane: ControlPlane) -> Answer:
        if way == "watch":
            async with plane.watch("/", silent=5) as events:
                assert [event async for event in events] == []
        return await plane.ask("GET", "/")

    with pytest.raises(OutgoingRefused, match="too many pieces"):
        asked(serve, ask)


@pytest.mark.parametrize("value", [b"[],", b'{"a":{}},'], ids=["lists", "objects"])
def test_an_answer_of_too_many_values_is_not_read_as_json(asked: Callable[..., Answer], value: bytes) -> None:
    """Thirty times its bytes in memory, and seconds in which the event loop does nothing else."""
    body = b"[" + value * MOST_VALUES + b"0]"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    async def ask(plane: ControlPlane) -> Answer:
        return await plane.ask("GET", "/")

    with pytest.raises(OutgoingRefused, match="more than 1,000,000 JSON values"):
        asked(serve, ask)


def test_a_watch_ends_at_an_event_of_too_many_values(asked: Callable[..., Answer]) -> None:
    line = b"[" + b"[]," * MOST_VALUES + b"0]\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for one in (b'{"type":"ADDED"}\n', line, b'{"type":"DELETED"}\n'):
            writer.write(b"%x\r\n" % len(one) + one + b"\r\n")

    seen = []

    async def ask(plane: ControlPlane) -> Answer:
        async with plane.watch("/", silent=5.0) as events:
            seen.extend([event async for event in events])
        return Answer(200, "", None, {})

    asked(serve, ask)
    assert seen == [{"type": "ADDED"}]


def test_others_have_their_turn_while_a_long_answer_comes(asked: Callable[..., Answer]) -> None:
    turns = [0]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE + b"x" * LARGE)

    async def others() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    async def ask(plane: ControlPlane) -> Answer:
        beside = asyncio.create_task(others())
        try:
            return await plane.ask("GET", "/")
        finally:
            beside.cancel()

    asked(serve, ask)
    assert turns[0] >= LARGE // STEP


def test_an_address_of_version_6_is_named_in_brackets(
    asked: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(*_: object) -> list[Address]:
        return [ip_address("127.0.0.1")]  # which is there everywhere

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        said = next(line for line in head.splitlines() if line.startswith("Host: "))
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(said)}\r\n\r\n{said}".encode())

    async def ask(plane: ControlPlane) -> Answer:
        port = plane.url.rpartition(":")[2]
        other = ControlPlane(Outgoing(), replace(plane._access, url=f"https://[::1]:{port}", server_name="127.0.0.1"))
        try:
            return replace(await other.ask("GET", "/"), body=f"Host: [::1]:{port}")
        finally:
            await other.close()

    monkeypatch.setattr(Outgoing, "resolve", resolve)
    answer = asked(serve, ask)
    assert answer.text == answer.body


async def _request(reader: asyncio.StreamReader) -> bool:
    """Reads one request; False where none comes any more."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.splitlines() if line.lower().startswith(b"content-length:")), 0)
        await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return False
    return True
