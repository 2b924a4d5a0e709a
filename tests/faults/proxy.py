"""A TCP proxy on loopback that misbehaves on command: between the hub and an engine, it is the network's faults."""

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

CHUNK = 65536
ABORT = struct.pack("ii", 1, 0)  # SO_LINGER that makes a close a reset


class Cut(Exception):
    """The connection is to be reset."""


@dataclass(frozen=True)
class Faults:
    """What is wrong now. The default is nothing."""

    silent: bool = False  # connections are taken, and nothing is ever said on them
    delay: float = 0.0  # seconds that every piece waits, in both directions
    cut_requests_after: int | None = None  # bytes from the client, then the connection is reset
    cut_answers_after: int | None = None  # bytes to the client, then the connection is reset
    cut_share: float = 0.0  # the chance of each piece to be the connection's last


class Proxy:
    """Forwards connections to `host:port`. `faults` may be set at any time and holds for open connections too."""

    def __init__(self, host: str, port: int, seed: int = 0) -> None:
        self.faults = Faults()
        self.chance = random.Random(seed)
        self.connections = 0  # taken so far
        self.target = (host, port)
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0

    def __enter__(self) -> "Proxy":
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    def refuse(self) -> None:
        """From now on connections are refused, and open ones are reset."""
        self._run(self._stop())

    def heal(self) -> None:
        """Nothing is wrong from now on, on the same port as ever."""
        self.faults = Faults()
        if self._server is None:
            self._run(self._listen())

    def cut(self) -> None:
        """Resets all open connections; new ones are taken."""
        self._run(self._reset())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: bytes both ways until either side ends it. Raises Cut if it is to be reset."""
        upstream_reader, upstream_writer = await self.connect()
        forth = self._copy(reader, upstream_writer, "cut_requests_after")
        back = self._copy(upstream_reader, writer, "cut_answers_after")
        tasks = [asyncio.ensure_future(one) for one in (forth, back)]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except Cut:
            self._abort(upstream_writer)
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._close(upstream_writer)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the engine, which ends with the others."""
        reader, writer = await asyncio.open_connection(*self.target)
        self._open.add(writer)
        return reader, writer

    async def pause(self) -> None:
        """Waits as the faults say: for their delay, or for as long as nothing is to be said."""
        await asyncio.sleep(self.faults.delay)
        while self.faults.silent:
            await asyncio.sleep(0.02)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: str) -> None:
        passed = 0
        while piece := await reader.read(CHUNK):
            await self.pause()
            most = getattr(self.faults, limit)
            if self.chance.random() < self.faults.cut_share:
                raise Cut
            if most is not None and passed + len(piece) > most:
                writer.write(piece[: max(0, most - passed)])
                await writer.drain()
                raise Cut
            passed += len(piece)
            writer.write(piece)
            await writer.drain()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        task = asyncio.ensure_future(self._guard(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Whatever happens to a connection, it ends: as a whole one, or reset."""
        try:
            await self.pause()
            await self.serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, Cut):
            self._abort(writer)
        finally:
            self._close(writer)

    def _close(self, writer: asyncio.StreamWriter) -> None:
        self._open.discard(writer)
        writer.close()

    def _abort(self, writer: asyncio.StreamWriter) -> None:
        self._open.discard(writer)
        connection = writer.get_extra_info("socket")
        if connection is not None:
            with suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        writer.transport.abort()

    async def _reset(self) -> None:
        for writer in list(self._open):
            self._abort(writer)

    async def _stop(self) -> None:
        if self._server is not None:
            # Connections that were taken are handed over first: those of a closed server are left open for ever.
            for listening in self._server.sockets:
                self._loop.remove_reader(listening)
            await asyncio.sleep(0.01)
            self._server.close()
            self._server = None
        await self._reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=10)
