"""How the HTTP server runs an ASGI application: one place, so that the benchmark's ceiling runs as the hub does."""

import asyncio
import socket
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from wasmhub.protocol import BoundedProtocol

GRACE = 30  # seconds that requests in flight have after SIGTERM


def serve(application: ASGIApp, listener: socket.socket, *, certificate: Path | None, key: Path | None) -> None:
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
        timeout_graceful_shutdown=GRACE,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(uvicorn.Server(config).serve(sockets=[listener]))
