"""The ceiling: fixed answers on the hub's own HTTP server, the most that any ASGI application in Python could reach."""

import json
import socket
import sys
from pathlib import Path

from starlette.types import Receive, Scope, Send

from wasmhub.server import serve

JSON = (b"content-type", b"application/json")


class Ceiling:
    """Answers each path that it was given with its bytes, and does nothing else."""

    def __init__(self, bodies: dict[str, bytes]) -> None:
        self._answers = {
            path: (
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [(b"content-length", str(len(body)).encode()), JSON],
                },
                {"type": "http.response.body", "body": body},
            )
            for path, body in bodies.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        start, body = self._answers[scope["path"]]
        await send(start)
        await send(body)


def main(port: int, answers: Path) -> None:
    """Serves until SIGTERM. `answers` is a JSON object: path -> length of its answer."""
    bodies = {path: b"x" * length for path, length in json.loads(answers.read_text()).items()}
    listener = socket.create_server(("127.0.0.1", port), backlog=2048)
    serve(Ceiling(bodies), listener, certificate=None, key=None)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
