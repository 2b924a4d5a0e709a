"""All routes of the hub from its own lists, so that none is forgotten that comes later."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.routing import Route

from auth.token_door import ROUTES as TOKEN
from deploy.routes import ROUTES as DEPLOY
from registry.routes import READS
from registry.routes import ROUTES as REGISTRY
from tests.auth.asking import Ask
from tests.auth.endpoints import ENDPOINTS
from tests.auth.world import World
from wasmhub.health import HEALTH_PATHS
from web.routes import API, PAGES

PARAMETER = re.compile(r"{[^}]*}")


def all_routes() -> Iterator[tuple[str, str]]:
    """Method and path of each route, the path with its parameters in braces."""
    for route in (*TOKEN, *DEPLOY, *REGISTRY, *PAGES, *API):
        assert isinstance(route, Route)
        yield from ((method, route.path) for method in sorted(route.methods or ()))
    for known in READS:
        method, _, path = known.partition(" ")
        yield method, path
    yield from (("GET", path) for path in HEALTH_PATHS)


def named(*methods: str) -> list[str]:
    """The endpoints of the matrix that are asked by one of these methods."""
    return [name for name in ENDPOINTS if name.partition(" ")[0] in methods]


@contextmanager
def meant(world: World, name: str) -> Iterator[Ask]:
    """A request that is good in itself, by the administrator; what it needed is taken away afterwards."""
    asked = ENDPOINTS[name].ask(world, "administrator")
    try:
        yield asked
    finally:
        if asked.undo is not None:
            asked.undo()
