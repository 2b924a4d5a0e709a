"""Builds the door: reads go straight to the hot path, everything else through the routes."""

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from registry.errors import HANDLERS
from registry.means import Means
from registry.reading import Reading
from registry.routes import ROUTES


class RegistryDoor:
    """The ASGI application for /v2/. GET and HEAD are offered to `read` first, which tells what it answered."""

    def __init__(self, means: Means) -> None:
        self._reading = Reading(means.database, means.blobs, means.calls)
        self.read = self._reading.read
        self._routes = Starlette(routes=ROUTES, exception_handlers=HANDLERS)
        self._routes.router.redirect_slashes = False  # A redirect would name the host that the request names.
        self._routes.state.means = means

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request that `read` has not answered."""
        await self._routes(scope, receive, send)

    def close(self) -> None:
        """Closes what the hot path holds open."""
        self._reading.close()
