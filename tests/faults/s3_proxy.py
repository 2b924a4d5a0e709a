"""A proxy before an S3 service that lets a share of the calls go wrong, in the ways that services and networks do."""

import asyncio
import re
from collections import Counter
from dataclasses import dataclass

from tests.faults.proxy import Cut, Faults, Proxy

ERRORS = {
    "500": ("500 Internal Server Error", "InternalError"),
    "503": ("503 Service Unavailable", "ServiceUnavailable"),
    "SlowDown": ("503 Slow Down", "SlowDown"),
}
# Besides these: the service gets half a request; or does what it was asked to and nobody hears of it; or half of its
# answer arrives before a reset; or half of it before an end in good order, though more was announced.
KINDS = (*ERRORS, "half a request", "lost answer", "half an answer", "short answer")


@dataclass(frozen=True)
class S3Faults(Faults):
    """What goes wrong with which share of the calls; for each call one of the kinds, at random."""

    share: float = 0.0
    kinds: tuple[str, ...] = KINDS
    methods: tuple[str, ...] = ("GET", "PUT", "POST", "HEAD", "DELETE")


@dataclass(frozen=True)
class Call:
    """One request, read wholly."""

    method: str
    head: bytes
    body: bytes


class S3Proxy(Proxy):
    """Speaks HTTP/1.1, one call for each connection to the service. Signatures stay valid: `Host` passes as it is."""

    def __init__(self, host: str, port: int, seed: int = 0) -> None:
        super().__init__(host, port, seed)
        self.calls: Counter[str] = Counter()  # what became of the calls: "passed", or a kind of fault

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Takes one call and says that the connection ends after it."""
        call = await _read(reader, writer)
        await self.pause()
        kind = self._choose(call)
        self.calls[kind] += 1
        if kind in ERRORS:
            writer.write(_error(*ERRORS[kind], call.method))
        else:
            writer.write(self._damaged(kind, await self._ask(call, kind)))
        await writer.drain()
        if kind == "half an answer":
            raise Cut

    def _choose(self, call: Call) -> str:
        faults = self.faults
        if not isinstance(faults, S3Faults) or call.method not in faults.methods:
            return "passed"
        return self.chance.choice(faults.kinds) if self.chance.random() < faults.share else "passed"

    async def _ask(self, call: Call, kind: str) -> bytes:
        """The service's whole answer. Raises Cut if it is not to be had."""
        reader, writer = await self.connect()
        try:
            content = call.head + call.body
            writer.write(content[: len(call.head) + len(call.body) // 2] if kind == "half a request" else content)
            await writer.drain()
            if kind == "half a request":
                raise Cut
            answer = await reader.read(-1)
        finally:
            self._close(writer)
        if kind == "lost answer":
            raise Cut
        return answer

    def _damaged(self, kind: str, answer: bytes) -> bytes:
        if kind not in ("half an answer", "short answer"):
            return answer
        head, end, body = answer.partition(b"\r\n\r\n")
        return head + end + body[: len(body) // 2] if body else answer[: len(answer) // 2]


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Call:
    head = (await reader.readuntil(b"\r\n\r\n"))[:-4]
    if re.search(rb"(?im)^expect:\s*100-continue", head):
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
    length = re.search(rb"(?im)^content-length:\s*(\d+)", head)
    body = await reader.readexactly(int(length[1])) if length else b""
    if re.search(rb"(?im)^transfer-encoding:\s*chunked", head):
        body = await _chunks(reader)
    lines = [line for line in head.split(b"\r\n") if not re.match(rb"(?i)(expect|connection):", line)]
    return Call(head.split()[0].decode(), b"\r\n".join([*lines, b"Connection: close"]) + b"\r\n\r\n", body)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    """A chunked body as it is on the wire."""
    pieces = []
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        pieces += [line, await reader.readexactly(size + 2)]
        if not size:
            return b"".join(pieces)


def _error(status: str, code: str, method: str) -> bytes:
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>as a test wishes</Message></Error>'.encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\nConnection: close"
    return head.encode() + b"\r\n\r\n" + (b"" if method == "HEAD" else body)
