"""HTTP/1.1 on one connection, with the bounds that the server's library leaves open: on heads and the time for them."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_LIMIT = 64 * 2**10  # bytes of a request line with its headers; also of trailers, and of one chunk's extensions
HEAD_SECONDS = 30  # for all of them to arrive
GOODBYE = 1  # second that a client whose connection is closed has to say goodbye too, as TLS wants it
BODY_SECONDS = 60  # without a byte of a body, after which a client counts as gone
_REASONS = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large"}


class Refused(Exception):
    """A head that the hub does not take. The parser ends the connection's work when it meets it."""


class BoundedProtocol(HttpToolsProtocol):
    """Refuses requests that are too large or too slow, and bodies of an upgrade that never happens."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected, and says something soon."""
        super().connection_made(transport)
        self._open = 0  # bytes of a head, a trailer or a chunk's extensions that have not come to their end
        self._in_body = False
        self._heard = self.loop.time()
        self._refusal: tuple[int, str] | None = None
        self._timer: asyncio.TimerHandle | None = self.loop.call_later(HEAD_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._rest()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server stops. A client that keeps its connection for later does not hear that over TLS, nor answer."""
        super().shutdown()
        if self.scheme == "https" and self.transport.is_closing():
            self.loop.call_later(GOODBYE, self._leave)

    def is_waiting(self) -> bool:
        """Whether a first request is still to come, or the rest of a head."""
        return self.cycle is None or self._open > 0

    def data_received(self, data: bytes) -> None:
        """Takes bytes from the client; a timer runs while what they began is not complete."""
        self._open += len(data)
        self._heard = self.loop.time()
        super().data_received(data)
        if self._open > HEAD_LIMIT:
            self._refuse(431, f"The request's head is larger than {HEAD_LIMIT} bytes.")
        elif (self._open or self._in_body) and self._timer is None and not self.transport.is_closing():
            self._timer = self.loop.call_later(BODY_SECONDS if self._in_body else HEAD_SECONDS, self._look)

    def on_headers_complete(self) -> None:
        """A head is whole: it is served, unless it is one that cannot be."""
        if self._open > HEAD_LIMIT and self._size() > HEAD_LIMIT:
            self._refusal = 431, f"The request's head is larger than {HEAD_LIMIT} bytes."
            raise Refused
        if self.parser.should_upgrade() and any(_tells_of_a_body(*header) for header in self.headers):
            # The parser takes such a body for the other protocol's bytes: it would be lost without a word.
            self._refusal = 400, "The hub speaks HTTP/1.1 only: send the request without the Upgrade header."
            raise Refused
        self._open = 0
        self._in_body = True
        self._rest()
        super().on_headers_complete()
        self.headers = []  # Trailers come after the request was handed over: they do not become its headers.

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._open = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request has come to its end."""
        self._open = 0
        self._in_body = False
        self._rest()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What the parser could not take is answered, and the connection closed."""
        self._refuse(*(self._refusal or (400, "This is no HTTP request that the hub can read.")))

    def _unsupported_upgrade_warning(self) -> None:
        """Clients that offer another protocol are served by this one, as the standard says."""

    def _size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _look(self) -> None:
        """Ends a connection whose client does not say what it began to say; not one that the hub lets wait."""
        self._timer = None
        if not self._in_body:
            self._refuse(408, f"The request's head did not arrive within {HEAD_SECONDS} seconds.")
            return
        left = BODY_SECONDS if self.flow.read_paused else self._heard + BODY_SECONDS - self.loop.time()
        if left > 0:
            self._timer = self.loop.call_later(left, self._look)
        else:
            self._refuse(408, f"No more of the request's body came for {BODY_SECONDS} seconds.")

    def _leave(self) -> None:
        """Ends a connection that was closed, once all that was said on it has left."""
        if self.transport.get_write_buffer_size():
            self.loop.call_later(GOODBYE, self._leave)
        else:
            self.transport.abort()

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: int, sentence: str) -> None:
        """Answers and closes; only closes where that would fall into another answer."""
        if self.transport.is_closing():
            return
        cycle = self.cycle
        if cycle is None or (not cycle.response_started if self._in_body else cycle.response_complete):
            body = f"{sentence}\n".encode()
            head = f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-type: text/plain; charset=utf-8\r\n"
            head += f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            self.transport.write(head.encode() + body)
        self.transport.close()
        self._rest()


def _tells_of_a_body(name: bytes, value: bytes) -> bool:
    return name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0")
