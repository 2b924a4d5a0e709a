"""Connections of the event loop's own as httpcore wants them, for what is called thousands of times.

httpcore's own connections go through a second library, whose TLS costs more than all else of a short call.
"""

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any, cast

import httpcore

MOST = 2**18  # bytes that wait to be read, from which on the other side is told to wait
STEP = 2**14  # bytes that are read and taken apart before others have their turn


class StreamBackend(httpcore.AsyncNetworkBackend):
    """Makes such connections."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to an address. Raises ConnectError and ConnectTimeout."""
        try:
            async with asyncio.timeout(timeout):
                made = await asyncio.get_running_loop().create_connection(_Incoming, host, port)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        return _Stream(*made)


class _Incoming(asyncio.Protocol):
    """What has come in and nobody has read yet, and what a connection's one reader and one writer wait for."""

    def __init__(self) -> None:
        self.held = bytearray()
        self.ended = False
        self.error: Exception | None = None
        self.transport: asyncio.Transport | None = None
        self._full = False  # the other side was told to wait
        self._arrived: asyncio.Future[None] | None = None
        self._flowing: asyncio.Future[None] | None = None  # until what is to be sent has somewhere to go

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are, but do not say so

    def data_received(self, data: bytes) -> None:
        self.held += data
        if len(self.held) > MOST and not self._full and self.transport is not None:
            self._full = True
            self.transport.pause_reading()
        _wake(self._arrived)

    def eof_received(self) -> None:
        self.ended = True
        _wake(self._arrived)

    def connection_lost(self, error: Exception | None) -> None:
        self.ended, self.error = True, error
        _wake(self._arrived)
        _wake(self._flowing)

    def pause_writing(self) -> None:
        self._flowing = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        _wake(self._flowing)

    async def read(self, most: int) -> bytes:
        """Some bytes, none at the end."""
        if not self.held and not self.ended:
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived
        else:
            await asyncio.sleep(0)  # who sends faster than it is read would else have the event loop to itself
        if not self.held and self.error is not None:
            raise self.error
        piece = bytes(self.held[: min(most, STEP)])
        del self.held[: len(piece)]
        if self._full and len(self.held) <= MOST // 2 and self.transport is not None:
            self._full = False
            self.transport.resume_reading()
        return piece

    @property
    def is_stopped(self) -> bool:
        """Whether what is to be sent has to wait."""
        return self._flowing is not None and not self._flowing.done()

    async def drained(self) -> None:
        """Returns once more may be sent."""
        if self._flowing is not None:
            await self._flowing
        if self.ended:
            raise self.error or ConnectionResetError("the connection was closed")


class _Stream(httpcore.AsyncNetworkStream):
    """One connection."""

    def __init__(self, transport: asyncio.Transport, incoming: _Incoming) -> None:
        self._transport = transport
        self._incoming = incoming

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Some bytes, none at the end. Raises ReadError and ReadTimeout."""
        try:
            if timeout is None:
                return await self._incoming.read(max_bytes)
            async with asyncio.timeout(timeout):
                return await self._incoming.read(max_bytes)
        except TimeoutError as error:
            raise httpcore.ReadTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Sends. Raises WriteError and WriteTimeout."""
        if not buffer:
            return
        try:
            if self._incoming.ended:
                raise self._incoming.error or ConnectionResetError("the connection was closed")
            self._transport.write(buffer)
            if self._incoming.is_stopped:
                async with asyncio.timeout(timeout):
                    await self._incoming.drained()
        except TimeoutError as error:
            raise httpcore.WriteTimeout(str(error)) from error
        except (OSError, RuntimeError) as error:  # the latter of a transport that is closed
            raise httpcore.WriteError(str(error)) from error

    async def aclose(self) -> None:
        """Ends it at once: nobody waits for a farewell."""
        self._transport.abort()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """The same connection with TLS. Raises ConnectError and ConnectTimeout."""
        loop = asyncio.get_running_loop()
        try:
            if self._incoming.held or self._incoming.ended:  # what came before TLS may be anybody's
                raise ConnectionResetError("the other side spoke before TLS, or closed the connection")
            async with asyncio.timeout(timeout):
                made = await loop.start_tls(
                    self._transport, self._incoming, ssl_context, server_hostname=server_hostname
                )
            if made is None:
                raise ConnectionResetError("the connection was closed")
        except BaseException as error:
            self._transport.abort()
            if isinstance(error, TimeoutError):
                raise httpcore.ConnectTimeout(str(error)) from error
            if isinstance(error, OSError | RuntimeError):  # also what TLS says, and a transport that is closed
                raise httpcore.ConnectError(str(error)) from error
            raise
        self._incoming.transport = made
        return _Stream(made, self._incoming)

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks: whether something has come that nobody waits for, such as an end, and how TLS stands."""
        if info == "is_readable":
            return self._incoming.ended or bool(self._incoming.held)
        return self._transport.get_extra_info(info)


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
