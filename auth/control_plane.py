"""Calls to a control plane that somebody registered: connections that are kept, guarded as all calls out are.

Every connection is made to addresses that were looked up and checked for it, so a name that comes to mean something
else later gains nothing. No redirect is followed, no answer is longer than LARGEST, and every call ends.
"""

import asyncio
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpcore

from auth.outgoing import Outgoing, OutgoingRefused, Place, read_place, trouble

PATIENCE = 10.0  # seconds for a call in all
LARGEST = 32 * 2**20  # bytes of an answer
LONGEST_LINE = 4 * 2**20  # bytes of one event of a watch
MOST_VALUES = 1_000_000  # of JSON in one answer, at most: a page of 500 large pods holds half of them
PIECES = 4096  # that an answer comes in, besides one for each USUAL bytes: each costs time, however small it is
USUAL = 64  # bytes
WATCHES = 200  # at a time; each holds a connection
CONNECTIONS = 4  # to one control plane, kept for as long as IDLE
IDLE = 60.0  # seconds


@dataclass(frozen=True)
class Access:
    """How the hub gets into a control plane. PEM texts; a token or a certificate, or neither.

    `url` ends without a slash. `token_header` is where a token goes that is no bearer's.
    """

    url: str
    ca: str | None = None
    token: str | None = field(default=None, repr=False)
    certificate: str | None = None
    key: str | None = field(default=None, repr=False)
    server_name: str | None = None  # that the server's certificate is for, where it is not the URL's host
    token_header: str | None = None


@dataclass(frozen=True)
class Answer:
    """A status, the body as text, the JSON value of it (None where it holds none), and the headers in lower case."""

    status: int
    text: str
    body: Any
    headers: Mapping[str, str]


class ControlPlane:
    """One control plane as the hub calls it, on one event loop. Close it.

    Raises ValueError for an access whose certificates cannot be read.
    """

    def __init__(self, outgoing: Outgoing, access: Access) -> None:
        self.url = access.url
        self._access = access
        self._where = read_place(access.url)
        self._headers = _headers(self._where, access)
        self._server_name = access.server_name
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_tls(outgoing, access),
            max_connections=CONNECTIONS,
            keepalive_expiry=IDLE,
            network_backend=outgoing.backend(self._where),
        )
        watching = outgoing.backend(self._where)
        self._watches = httpcore.AsyncConnectionPool(
            ssl_context=_tls(outgoing, access), max_connections=WATCHES, network_backend=watching
        )

    def use_token(self, token: str) -> None:
        """Signs in with another token from the next call on."""
        if token != self._access.token:
            self._access = replace(self._access, token=token)
            self._headers = _headers(self._where, self._access)

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        accept: str | None = None,
        patience: float = PATIENCE,
    ) -> Answer:
        """One call; `path` begins with a slash and holds the query. Raises OutgoingRefused where no answer came."""
        content = None if body is None else json.dumps(body).encode()
        headers = [*self._headers, (b"Content-Type", content_type.encode())] if content is not None else self._headers
        if accept is not None:
            headers = [(b"Accept", accept.encode()), *(one for one in headers if one[0] != b"Accept")]
        with self._said():
            async with asyncio.timeout(patience):
                async with self._pool.stream(
                    method, self._url(path), headers=headers, content=content, extensions=self._extensions()
                ) as answer:
                    raw = await self._read(answer)
        if _holds_too_much(raw):
            raise OutgoingRefused(f"{self.url} answers with more than {MOST_VALUES:,} JSON values")
        return Answer(answer.status, raw.decode("utf-8", "replace"), _json(raw), _texts(answer.headers))

    @asynccontextmanager
    async def watch(self, path: str, *, silent: float) -> AsyncIterator[AsyncIterator[Any]]:
        """The JSON values of an answer that goes on, one a line; it ends after `silent` seconds without any.

        Raises OutgoingRefused where it could not be begun.
        """
        with self._said():
            async with self._watches.stream(
                "GET",
                self._url(path),
                headers=self._headers,
                extensions={**self._extensions(), "timeout": {"connect": PATIENCE, "read": silent, "pool": PATIENCE}},
            ) as answer:
                if answer.status != 200:
                    raise OutgoingRefused(f"{self.url} answered with status {answer.status}")
                yield _lines(self._pieces(answer))

    async def close(self) -> None:
        """Ends all connections."""
        await self._pool.aclose()
        await self._watches.aclose()

    def _url(self, path: str) -> httpcore.URL:
        base = self._where.target.rstrip("/")
        where = self._where
        return httpcore.URL(scheme=where.scheme, host=where.host, port=where.port, target=base + path)

    def _extensions(self) -> dict[str, Any]:
        return {"sni_hostname": self._server_name} if self._server_name else {}

    def _said(self) -> "_Said":
        return _Said(self.url)

    async def _read(self, answer: httpcore.Response) -> bytes:
        pieces, length = [], 0
        async for piece in self._pieces(answer):
            length += len(piece)
            if length > LARGEST:
                raise OutgoingRefused(f"{self.url} answers with more than {LARGEST // 2**20} MiB")
            pieces.append(piece)
        return b"".join(pieces)

    async def _pieces(self, answer: httpcore.Response) -> AsyncIterator[bytes]:
        left = PIECES * USUAL
        async for piece in answer.aiter_stream():
            left += len(piece) - USUAL
            if left < 0:
                raise OutgoingRefused(f"{self.url} answers in too many pieces")
            yield piece


class _Said:
    """Turns what goes wrong with a call into one sentence."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, TimeoutError):
            raise OutgoingRefused(f"{self._url} did not answer in time") from None
        if isinstance(error, httpcore.NetworkError | httpcore.ProtocolError | httpcore.TimeoutException | OSError):
            raise OutgoingRefused(f"{self._url} {trouble(error)}") from None


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    rest = bytearray()
    async for piece in pieces:
        rest += piece
        if b"\n" in piece:
            *whole, rest = rest.split(b"\n")
            for line in whole:
                if _holds_too_much(line):
                    return
                value = _json(line)
                if value is not None:
                    yield value
        if len(rest) > LONGEST_LINE:
            return


def _headers(where: Place, access: Access) -> list[tuple[bytes, bytes]]:
    given = {
        "Host": where.authority,  # the library says an IPv6 address without its brackets
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": "wasmhub",
    }
    if access.token is not None and access.token_header is not None:
        given[access.token_header] = access.token
    elif access.token is not None:
        given["Authorization"] = f"Bearer {access.token}"
    return [(name.encode(), value.encode()) for name, value in given.items()]


def _tls(outgoing: Outgoing, access: Access) -> ssl.SSLContext:
    """What is trusted: the access's own authorities alone, or those that all calls out trust."""
    context = ssl.create_default_context(cadata=access.ca) if access.ca is not None else outgoing.trusting()
    if access.certificate is not None and access.key is not None:
        with tempfile.NamedTemporaryFile("w", prefix="wasmhub-access-") as file:  # the library reads files alone
            file.write(f"{access.certificate}\n{access.key}\n")
            file.flush()
            context.load_cert_chain(file.name)
    return context


def _holds_too_much(raw: bytes | bytearray) -> bool:
    """Whether reading it as JSON could hold up all else for seconds: a list of empty lists takes 30 times its bytes.

    Told by the marks before values; those within texts count too, so that counting is quick.
    """
    return sum(raw.count(mark) for mark in (b",", b"[", b"{")) > MOST_VALUES


def _json(raw: bytes | bytearray) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _texts(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
