"""How the HTTP server runs an ASGI application: one place, so that the benchmark's ceiling runs as the hub does."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from wasmhub.accepting import Acceptor, Connections
from wasmhub.deafness import deafen, hear
from wasmhub.protocol import BoundedProtocol

GRACE = 30  # seconds that requests in flight have after SIGTERM
IDLE = 75  # seconds that a connection may wait for its next request: longer than balancers keep one (60 s)
FRESH = 1  # seconds that a client which has just connected has to begin its request, once nobody else is let in
HALFWAY = 0.1  # seconds that clients have who are connecting when nobody else is let in any more
_CLOSE = (b"connection", b"close")


def _nothing() -> None:
    """What is told to nobody."""


@dataclass(frozen=True)
class Life:
    """What a server tells of its life, and what ends it besides a signal."""

    started: Callable[[], None] = _nothing  # it answers
    leaving: Callable[[], None] = _nothing  # it will go: whoever balances load should look elsewhere
    drain: float = 0  # seconds from then until it lets nobody in any more
    parent: int | None = None  # the read end of a pipe, which ends with the process that started this one
    connections: Connections | None = None  # of a worker among others, with whom it shares who comes in


def serve(
    application: ASGIApp,
    listener: socket.socket,
    *,
    certificate: Path | None,
    key: Path | None,
    life: Life = Life(),
) -> None:
    """Serves on the listening socket until SIGTERM or SIGINT; over TLS if there is a certificate."""
    config = uvicorn.Config(
        application,
        http=BoundedProtocol,
        loop="auto",  # uvloop where it is to be had
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE,
        timeout_graceful_shutdown=GRACE,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(Server(config, life).serve(sockets=[listener]))


class Server(uvicorn.Server):
    """A server that leaves without failing anybody: it says so, lets nobody in, and ends what was begun.

    While it drains it takes requests still, and each answer asks its client to close the connection: when the
    listener closes, none is left on which a client could just be sending.
    """

    def __init__(self, config: uvicorn.Config, life: Life) -> None:
        super().__init__(config)
        self._life = life
        self._acceptors: list[Acceptor] = []
        if life.connections is not None:
            self.server_state.connections = life.connections  # type: ignore[assignment]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts, and tells."""
        for listener in sockets or []:
            hear(listener)
        shared = self._life.connections
        await super().startup(sockets if shared is None else [])
        if shared is not None:
            tls = self.config.ssl
            self._acceptors = [Acceptor(one, self._protocol, tls, shared) for one in sockets or []]
        if self._life.parent is not None:
            asyncio.get_running_loop().add_reader(self._life.parent, self._orphaned, self._life.parent)
        self._life.started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drains, and stops."""
        self._life.leaving()
        self.server_state.default_headers = [*self.server_state.default_headers, _CLOSE]
        await self._wait(self._life.drain, lambda: False)
        await self._close(sockets or [])
        await self._wait(FRESH, lambda: not any(self._is_fresh(one) for one in self.server_state.connections))
        await super().shutdown(sockets)

    def _orphaned(self, parent: int) -> None:
        """Nobody is left who would tell this process to stop."""
        if not os.read(parent, 1):
            asyncio.get_running_loop().remove_reader(parent)
            self.should_exit = True

    async def _wait(self, seconds: float, done: Callable[[], bool]) -> None:
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end and not self.force_exit and not done():
            await asyncio.sleep(0.02)

    async def _close(self, listeners: list[socket.socket]) -> None:
        """Stops listening. Who waits to be let in gets in first: the system would cut them off with the listener."""
        for listener in listeners:
            deafen(listener)
        await asyncio.sleep(HALFWAY)
        for acceptor in self._acceptors:
            await acceptor.close()
        waiting = []  # from here on nothing is waited for: whoever came meanwhile would be cut off
        for listener in listeners:
            with contextlib.suppress(OSError):  # nobody waits any more
                while True:
                    waiting.append(listener.accept()[0])
        for server in self.servers:
            server.close()
        for listener in listeners:
            listener.close()
        loop = asyncio.get_running_loop()
        for client in waiting:
            client.setblocking(False)
            with contextlib.suppress(OSError):  # it is gone already
                await loop.connect_accepted_socket(self._protocol, client, ssl=self.config.ssl)

    def _protocol(self) -> BoundedProtocol:
        return BoundedProtocol(self.config, self.server_state, self.lifespan.state)

    @staticmethod
    def _is_fresh(connection: object) -> bool:
        return isinstance(connection, BoundedProtocol) and connection.is_waiting()
