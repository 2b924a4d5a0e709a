"""A real Envoy that reaches the hub through TLS, and does not where the certificate is not the hub's."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.certificates import write_certificate
from tests.deploy.fleet import Envoy, Fleet, Upstream, header_filter, until
from tests.hub import HubProcess

pytestmark = pytest.mark.once("TLS between Envoy and the hub knows of no engines")


@contextmanager
def terminator(hub: HubProcess, folder: Path) -> Iterator[int]:
    """A port that speaks TLS and hands everything on to the hub."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    host, _, port = hub.host.rpartition(":")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection(host, int(port))
        with suppress(OSError):
            await asyncio.gather(_pump(reader, behind_writer), _pump(behind_reader, writer))

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    starting = asyncio.run_coroutine_threadsafe(asyncio.start_server(serve, "127.0.0.1", 0, ssl=context), loop)
    server = starting.result(20)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    finally:
        writer.close()


async def _end(server: asyncio.Server) -> None:
    server.close()
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@pytest.mark.parametrize(
    ("asked", "certified", "reached"),
    [("localhost", "localhost", True), ("127.0.0.1", "127.0.0.1", True), ("127.0.0.1", "hub.example.com", False)],
)
def test_envoy_checks_who_the_hub_is(
    hub: HubProcess, fleet: Fleet, tmp_path: Path, asked: str, certified: str, reached: bool
) -> None:
    write_certificate(tmp_path, certified)
    fleet.deploy("marks", fleet.push("tls", "1", header_filter("secure")))
    upstream = Upstream()
    with terminator(hub, tmp_path) as port:
        query = {"hub": f"https://{asked}:{port}", "ca_file": str(tmp_path / "cert.pem")}
        key = fleet.new_key()["key"]
        with Envoy(fleet, tmp_path / "envoy", upstream, key=key, **query) as envoy:
            if reached:
                envoy.shows("secure")
            else:
                until(lambda: envoy.counter("update_failure") >= 8, "every slot misses the hub")
                assert envoy.address is None
    upstream.close()
