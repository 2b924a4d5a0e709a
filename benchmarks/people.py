"""Whoever asks the hub in a benchmark: one kept-alive connection, and a token or a cookie with each request."""

import base64
import http.client
import json
import time
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode, urlsplit

from benchmarks.servers import Server

Answer = tuple[http.client.HTTPResponse, bytes]


class Person:
    """A user, or with an empty name nobody in particular."""

    def __init__(self, server: Server, name: str, password: str) -> None:
        self.name = name
        self._password = password
        self._connection = server.connect()
        self._headers: dict[str, str] = {}
        self._cookie: dict[str, str] = {}

    def get_token(self, scopes: Sequence[str]) -> None:
        """A new token for the scopes, good for 300 s; every request to the registry carries it from then on."""
        basic = base64.b64encode(f"{self.name}:{self._password}".encode()).decode()
        given = {"Authorization": f"Basic {basic}"} if self.name else {}
        query = urlencode([("service", "bench"), *(("scope", scope) for scope in scopes)])
        _, content = self._ask("GET", f"/token?{query}", None, given, (200,))
        self._headers = {"Authorization": f"Bearer {json.loads(content)['token']}"}

    def sign_in(self) -> None:
        """A session, whose cookie every request for a page carries from then on."""
        form = urlencode({"name": self.name, "password": self._password}).encode()
        answer, _ = self._ask("POST", "/sign-in", form, {"Content-Type": "application/x-www-form-urlencoded"}, (303,))
        self._cookie = {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        expect: Sequence[int] = (200, 201, 202),
    ) -> Answer:
        """A request to the registry. Raises RuntimeError for another status than expected."""
        return self._ask(method, path, body, {**self._headers, **(headers or {})}, expect)

    def look(self, path: str) -> Answer:
        """A page of the web, or a list of its API."""
        return self._ask("GET", path, None, self._cookie, (200,))

    def time(self, method: str, path: str, body: bytes | None = None, **more: Mapping[str, str]) -> float:
        """A request's seconds."""
        began = time.perf_counter()
        self.ask(method, path, body, **more)
        return time.perf_counter() - began

    def time_look(self, path: str) -> float:
        """A page's seconds."""
        began = time.perf_counter()
        self.look(path)
        return time.perf_counter() - began

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], expect: Sequence[int]
    ) -> Answer:
        self._connection.request(method, path, body, dict(headers))
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status not in expect:
            where = urlsplit(path).path
            raise RuntimeError(f"{method} {where} for {self.name or 'nobody'}: {answer.status} {content[:300]!r}")
        return answer, content
