"""Stands between a client and an S3 service: remembers what was asked, and does harm where it is told to."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Middle:
    """`harm` is used up, one word a request: `cut` half of the body, `refuse` with 503, or `pass`."""

    endpoint: str = ""
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)  # method, path, headers
    harm: list[str] = field(default_factory=list)

    def methods(self) -> list[str]:
        """The methods that were asked for since the last time."""
        found = [method for method, _, _ in self.asked]
        self.asked.clear()
        return found


@contextmanager
def between(service: str) -> Iterator[Middle]:
    """Runs in a thread before the service at that address."""
    middle = Middle()
    there = urlsplit(service).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            middle.asked.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
            harm = middle.harm.pop(0) if middle.harm else "pass"
            if harm == "refuse":
                self._send(503, [], b"")
                return
            connection = http.client.HTTPConnection(there, timeout=30)
            connection.request(self.command, self.path, body, dict(self.headers.items()))
            answer = connection.getresponse()
            content, length = answer.read(), answer.headers["content-length"]
            headers = [(k, v) for k, v in answer.getheaders() if k.lower() not in ("connection", "transfer-encoding")]
            connection.close()
            self._send(answer.status, headers, content[: len(content) // 2] if harm == "cut" else content, length)
            self.close_connection |= harm == "cut"

        def _send(self, status: int, headers: list[tuple[str, str]], content: bytes, length: str | None = None) -> None:
            self.send_response(status)
            for name, value in headers:
                if name.lower() != "content-length":
                    self.send_header(name, value)
            self.send_header("Content-Length", length or str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Keeps quiet."""

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    middle.endpoint = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield middle
    finally:
        server.shutdown()
        server.server_close()
