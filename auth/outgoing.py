"""Calls to addresses that people typed in: only to public hosts or those an operator allows, small and short.

The host is looked up once, every address found is checked, and the connection goes to a checked one, so that a name
that means something else a moment later (DNS rebinding) gains nothing. TLS still checks the host's name.
"""

import asyncio
import json
import logging
import re
import socket
import ssl
import sys
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpcore

from auth.addresses import Address, Network, is_allowed, is_public
from auth.streams import StreamBackend

# httpcore asks by an import, at each lock that it makes, which library it runs on, and takes its absence for asyncio.
# An import that fails looks through all folders each time: that was a third of what calls to clusters cost.
sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]

log = logging.getLogger("wasmhub.outgoing")
PATIENCE = 10.0  # seconds for a call in all: its turn, the look-up, connecting, headers and body
AT_ONCE = 8  # calls under way; others wait for their turn
LARGEST = 2**20  # bytes of an answer, headers and all; of headers alone, h11 takes no more than 100 KiB
PIECES = 4096  # that an answer comes in: each costs time, however small it is
LONGEST_URL = 1000  # characters
STEP = 2**14  # bytes that are read and taken apart before others have their turn
TRIES = 4  # addresses of a host that are tried
CONNECTING = 3.0  # seconds for each of them
_HEADERS: Mapping[str, str] = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",  # nothing is ever decompressed
    "Connection": "close",
    "User-Agent": "wasmhub",
}
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE)


class OutgoingRefused(Exception):
    """A call that was not made or whose answer was not taken; its text says why in a sentence.

    It holds the URL as it was given, and nothing that an answer or a look-up told.
    """


class Outgoing:
    """Calls out. One for each process, for one event loop; it keeps no connection and no cookie.

    Hosts must be public or in one of the `allowed` networks, and `http` is for those networks alone. Authorities in
    `ca_bundle` (PEM) are trusted besides the system's; raises ValueError if it cannot be read.
    """

    def __init__(
        self,
        allowed: Iterable[Network] = (),
        *,
        ca_bundle: Path | None = None,
        patience: float = PATIENCE,
        at_once: int = AT_ONCE,
    ) -> None:
        self._allowed = tuple(allowed)
        self._patience = patience
        self._turns = asyncio.Semaphore(at_once)
        self._tls = _trusting(ca_bundle)
        # A look-up cannot be called off. In threads of its own, one that hangs holds up nothing but other calls out.
        self._resolvers = ThreadPoolExecutor(at_once, thread_name_prefix="resolver")

    async def get_json(self, url: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The JSON object at a URL. Raises OutgoingRefused for everything else."""
        return (await self._ask(_Call(read_place(url), "GET", headers or {})))[1]

    async def post_form(
        self, url: str, form: str, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Sends a form, urlencoded; answers the status (200, 400 or 401) and the JSON object.

        Raises OutgoingRefused for everything else.
        """
        sent = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        return await self._ask(_Call(read_place(url), "POST", sent, form.encode(), (200, 400, 401)))

    async def _ask(self, call: "_Call") -> tuple[int, dict[str, Any]]:
        url = call.where.url
        try:
            async with asyncio.timeout(self._patience), self._turns:
                status, body = await self._send(call)
        except TimeoutError:
            raise OutgoingRefused(f"{url} did not answer within {self._patience:g} s") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as error:
            log.info("%s cannot be had: %r", url, str(error)[:200])
            raise OutgoingRefused(f"{url} {trouble(error)}") from None
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise OutgoingRefused(f"{url} did not answer with a JSON object")
        return status, document

    def trusting(self) -> ssl.SSLContext:
        """What trusts the authorities that calls out trust."""
        return self._tls

    def backend(self, where: "Place") -> httpcore.AsyncNetworkBackend:
        """What makes connections to that place for a client that keeps them; it reads as much as its client wants."""
        return _To(self, where, bounded=False)

    async def _send(self, call: "_Call") -> tuple[int, bytes]:
        where = call.where
        origin = httpcore.Origin(where.scheme.encode(), where.host.encode(), where.port)
        url = httpcore.URL(scheme=where.scheme, host=where.host, port=where.port, target=where.target)
        headers = list({"Host": where.authority, **_HEADERS, **call.headers}.items())
        async with httpcore.AsyncHTTPConnection(
            origin, ssl_context=self._tls, network_backend=_To(self, where, bounded=True)
        ) as connection:
            async with connection.stream(call.method, url, headers=headers, content=call.body) as answer:
                _check_head(where, answer, call.statuses)
                pieces: list[bytes] = []
                async for piece in answer.aiter_stream():
                    pieces.append(piece)
                    if len(pieces) > PIECES:
                        raise OutgoingRefused(f"{where.url} answers in too many pieces")
                return answer.status, b"".join(pieces)

    async def resolve(self, where: "Place") -> list[Address]:
        """The host's addresses, if the hub may call every one of them. Raises OutgoingRefused."""
        look = partial(socket.getaddrinfo, where.host, where.port, type=socket.SOCK_STREAM)
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._resolvers, look)
            addresses = list(dict.fromkeys(ip_address(str(entry[4][0])) for entry in found))
        except (OSError, ValueError):  # ValueError: of a name that no resolver takes, or an address that is none
            addresses = []
        if not addresses:
            raise OutgoingRefused(f"the host of {where.url} is not known; check its name, and the hub's DNS")
        for address in addresses:
            if is_allowed(address, self._allowed):
                continue
            if not is_public(address):
                log.warning("%s leads to %s, which is not public and not allowed", where.url, address)
                raise OutgoingRefused(
                    f"{where.url} leads into a network that is not public; the hub's operator has to allow that network"
                )
            if where.scheme != "https":
                raise OutgoingRefused(f"{where.url} must begin with https://")
        return addresses


def check_url(url: str) -> None:
    """Raises OutgoingRefused for what is no URL that the hub could ever call, whoever answers there."""
    read_place(url)


def quoted(value: Any) -> str:
    """Foreign text within a sentence: short, and without signs that a terminal obeys."""
    if not isinstance(value, str):
        return "none" if value is None else "not a text"
    return repr(value if len(value) <= 100 else f"{value[:97]}...")


@dataclass(frozen=True)
class Place:
    """A URL, taken apart once, so that nobody reads it differently later."""

    url: str
    scheme: str
    host: str  # IPv6 addresses without brackets
    port: int
    authority: str  # as the Host header says it
    target: str  # path and query


@dataclass(frozen=True)
class _Call:
    """What is asked, and the statuses of answers that are read."""

    where: Place
    method: str
    headers: Mapping[str, str]
    body: bytes | None = None
    statuses: Collection[int] = (200,)


class _To(httpcore.AsyncNetworkBackend):
    """Connects to addresses that it has looked up and checked itself, whatever name it is given."""

    def __init__(self, outgoing: Outgoing, where: Place, *, bounded: bool) -> None:
        self._outgoing = outgoing
        self._where = where
        self._bounded = bounded
        self._network = httpcore.AnyIOBackend() if bounded else StreamBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """The first address that takes the connection. Raises OutgoingRefused."""
        failed: Exception = httpcore.ConnectError("no address")
        for address in (await self._outgoing.resolve(self._where))[:TRIES]:
            try:
                stream = await self._network.connect_tcp(str(address), port, timeout=CONNECTING)
                return _Bounded(stream, self._where.url) if self._bounded else stream
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed


class _Bounded(httpcore.AsyncNetworkStream):
    """A connection on which so much may be read and no more."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, url: str) -> None:
        self._stream = stream
        self._url = url
        self._left = LARGEST

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """As the stream beneath. Raises OutgoingRefused."""
        piece = await self._stream.read(min(max_bytes, STEP), timeout)
        self._left -= len(piece)
        if self._left < 0:
            raise OutgoingRefused(f"{self._url} answers with more than {LARGEST // 2**20} MiB")
        return piece

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """As the stream beneath."""
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """As the stream beneath."""
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """As the stream beneath, bounded too."""
        try:
            return _Bounded(await self._stream.start_tls(ssl_context, server_hostname, timeout), self._url)
        except BaseException:  # also when the time is up, which the library does not close for
            await self._stream.aclose()
            raise

    def get_extra_info(self, info: str) -> Any:
        """As the stream beneath."""
        return self._stream.get_extra_info(info)


def _trusting(ca_bundle: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_bundle is not None:
        try:
            context.load_verify_locations(cafile=ca_bundle)
        except OSError as error:  # also what is no certificate
            raise ValueError(f"no certificates can be read from {ca_bundle}: {error}") from error
    return context


def read_place(url: str) -> Place:
    """Takes a URL apart. Raises OutgoingRefused for all that is not plainly `https://host[:port]/path`."""
    if re.match(r"[^/]*//[^/?#]*@", url):  # first: what follows shows the URL
        raise OutgoingRefused("a URL that the hub calls must not hold a user name or a password")
    if len(url) > LONGEST_URL or not re.fullmatch(r"[!-~]+", url) or any(sign in url for sign in '\\#"<>'):
        raise _no_url(url)
    try:
        parts = urlsplit(url)
        usual = {"https": 443, "http": 80}[parts.scheme]
        port = usual if parts.port is None else parts.port
        host = _read_host(parts.netloc, parts.hostname or "")
    except (ValueError, KeyError):
        raise _no_url(url) from None
    if port == 0:
        raise _no_url(url)
    authority = (f"[{host}]" if ":" in host else host) + ("" if port == usual else f":{port}")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Place(url, parts.scheme, host, port, authority, target)


def _no_url(url: str) -> OutgoingRefused:
    return OutgoingRefused(
        f"{quoted(url)} is no URL that the hub calls; one is https://host/path, in up to {LONGEST_URL} ASCII characters"
    )


def _read_host(netloc: str, host: str) -> str:
    """A host's name or address. Raises ValueError."""
    if netloc.startswith("["):
        address = IPv6Address(host)
        if address.scope_id is not None:
            raise ValueError("an address of one network interface")
        return str(address)
    if not _HOST.fullmatch(host):
        raise ValueError("no host")
    return host


def _check_head(where: Place, answer: httpcore.Response, statuses: Collection[int]) -> None:
    """Raises OutgoingRefused for an answer whose body is not worth reading."""
    if 300 <= answer.status < 400:
        raise OutgoingRefused(
            f"{where.url} redirects to another address, and the hub follows no redirect; name that address itself"
        )
    if answer.status not in statuses:
        raise OutgoingRefused(f"{where.url} answered with status {answer.status}")
    for name, value in answer.headers:
        if name.lower() == b"content-encoding" and value.strip().lower() != b"identity":
            raise OutgoingRefused(f"{where.url} compressed its answer although the hub asks it not to")


def trouble(error: BaseException) -> str:
    """What went wrong with a call, as the rest of a sentence."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return "has no certificate that the hub trusts for this host; its authority can be added to the hub's CA bundle"
    if isinstance(error, httpcore.ConnectError | httpcore.ConnectTimeout):
        return "cannot be reached"
    return "broke off its answer, or does not speak HTTP"
