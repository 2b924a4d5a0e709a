"""Builds the door that proxies ask, and the JSON API of targets and deployments."""

from collections.abc import Callable

from starlette.applications import Starlette

from auth.door import HANDLERS
from auth.gate import Gate
from auth.outgoing import Outgoing
from deploy.images.modules import Modules
from deploy.means import Means
from deploy.routes import ROUTES
from storage.blobs.store import BlobStore
from storage.database import Database
from storage.usage import Meter


def create_deploy_door(
    database: Database, blobs: BlobStore, gate: Gate, meter: Meter, outgoing: Outgoing, wake: Callable[[], None]
) -> Starlette:
    """The ASGI application for the paths of `deploy.routes.is_deploy_path`."""
    door = Starlette(routes=ROUTES, exception_handlers=HANDLERS)
    door.router.redirect_slashes = False
    door.state.means = Means(database, blobs, gate, Modules(database, blobs), meter, outgoing, wake)
    return door
