"""Builds the door: one application for pages and one for programs, because each speaks errors of its own."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from auth.door import HANDLERS as API_HANDLERS
from auth.gate import Gate
from auth.sign_on import SignOn
from storage.blobs.store import BlobStore
from storage.database import Database
from storage.usage import Meter
from web.api.documents import load_openapi
from web.api.modules import Unpacking
from web.assets import load_assets
from web.deploying import Deploying
from web.errors import HANDLERS as PAGE_HANDLERS
from web.figures import FiguresAtHand
from web.means import Means
from web.policy import DATA, PAGES, Policy
from web.rendering import create_environment
from web.routes import API
from web.routes import PAGES as PAGE_ROUTES

FOR_PROGRAMS = ("/api/", "/modules/", "/.well-known/")


class WebDoor:
    """The ASGI application for everything that people and their programs see, beside the registry."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        gate: Gate,
        sign_on: SignOn,
        meter: Meter,
        *,
        parts: Callable[[], Awaitable[Mapping[str, str]]],
        settings: Sequence[Mapping[str, str]],
        deploying: Deploying,
        teams_by_all: bool,
        sign_up: str,
    ) -> None:
        assets = load_assets()
        templates, figures = create_environment(assets), FiguresAtHand(database)
        means = Means(
            database,
            blobs,
            gate,
            sign_on,
            templates,
            figures,
            parts,
            settings,
            deploying,
            teams_by_all,
            sign_up,
            meter,
        )
        pages = Starlette(routes=PAGE_ROUTES, exception_handlers=PAGE_HANDLERS)
        api = Starlette(routes=API, exception_handlers=API_HANDLERS)
        # A redirect would take the address from the request; a path with a slash too many is simply not there.
        pages.router.redirect_slashes = api.router.redirect_slashes = False
        pages.state.means, pages.state.assets = means, assets
        api.state.means, api.state.gate = means, gate
        api.state.openapi, api.state.unpacking = load_openapi(), Unpacking()
        self._pages: ASGIApp = Policy(pages, PAGES)
        self._api: ASGIApp = Policy(api, DATA)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        door = self._api if scope["path"].startswith(FOR_PROGRAMS) else self._pages
        await door(scope, receive, send)
