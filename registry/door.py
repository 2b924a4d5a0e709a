"""Builds the door: reads go straight to the hot path, everything else through the routes."""

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from registry.errors import HANDLERS
from registry.means import Means
from registry.reading import Reading
from registry.routes import ROUTES


class RegistryDoor:
    """The ASGI application for /v2/."""

    def __init__(self, means: Means) -> None:
        self._reading = Reading(means.database, means.blobs, means.calls)
        self._routes = Starlette(routes=ROUTES, exception_handlers=HANDLERS)
        self._routes.router.redirect_slashes = False  # A redirect would name the host that the request names.
        self._routes.state.means = means

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["method"] in ("GET", "HEAD") and await self._reading(scope, receive, send):
            return
        await self._routes(scope, receive, send)

    def close(self) -> None:
        """Closes what the hot path holds open."""
        self._reading.close()
