"""A small OpenID Connect issuer, which answers what a test tells it to."""

import asyncio
import json
import re
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

from tests.certificates import write_certificate

Key = RSAKey | ECKey | OKPKey
Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]
CONFIGURATION, JWKS = "/.well-known/openid-configuration", "/jwks"


def whole(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """An answer as it goes over the wire."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def document(value: Any) -> bytes:
    """An answer of JSON."""
    return whole(json.dumps(value).encode(), "Content-Type: application/json")


def public(key: Key, **members: Any) -> dict[str, Any]:
    """A key as an issuer publishes it."""
    return {**key.as_dict(private=False), "use": "sig", **members}


class Issuer:
    """Listens on a free port of 127.0.0.1 while its block lasts; https with a certificate in `folder` if it has one.

    `answers` are by path, and what is not there is not found. `asked` counts the requests, `heads` and `bodies` keep
    them.
    """

    def __init__(self, folder: Path | None = None, host: str = "127.0.0.1", certified: str | None = None) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: Counter[str] = Counter()
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._host = host
        self._tls: ssl.SSLContext | None = None
        if folder is not None:
            write_certificate(folder, certified or host)
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(folder / "cert.pem", folder / "key.pem")

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._tls else 'http'}://{self._host}:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()
        for task, writer in self._open.items():
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*self._open, return_exceptions=True)
        await asyncio.sleep(0.01)  # transports end a turn of the loop later

    def stop(self) -> None:
        """Takes no more connections."""
        self._server.close()

    def publish(self, *keys: dict[str, Any], **configuration: Any) -> None:
        """Answers as an issuer with these keys does."""
        usual = {"issuer": self.url, "jwks_uri": self.url + JWKS}
        self.answers[CONFIGURATION] = document({**usual, **configuration})
        self.answers[JWKS] = document({"keys": keys})

    def token(self, key: Any, algorithm: str = "ES256", header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token of this issuer for the audience `hub`, good for a minute; claims of None are left out."""
        now = int(time.time())
        usual = {"iss": self.url, "aud": "hub", "sub": "job", "iat": now, "nbf": now, "exp": now + 60}
        given = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        return jwt.encode({"alg": algorithm, "kid": key.kid, **(header or {})}, given, key, algorithms=[algorithm])

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[asyncio.create_task(self._serve(reader, writer))] = writer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split()[1]
            self.asked[path] += 1
            self.heads.append(head)
            length = re.search(r"(?i)content-length: (\d+)", head)
            self.bodies.append(await reader.readexactly(int(length[1])) if length else b"")
            answer = self.answers.get(path, whole(b"", status="404 Not Found"))
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(writer)
        writer.close()
