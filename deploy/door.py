"""Builds the door that proxies ask, and the JSON API of targets and deployments."""

from starlette.applications import Starlette

from auth.door import HANDLERS
from auth.gate import Gate
from deploy.means import Means
from deploy.modules import Modules
from deploy.routes import ROUTES
from storage.blobs.store import BlobStore
from storage.database import Database


def create_deploy_door(database: Database, blobs: BlobStore, gate: Gate) -> Starlette:
    """The ASGI application for the paths of `deploy.routes.is_deploy_path`."""
    door = Starlette(routes=ROUTES, exception_handlers=HANDLERS)
    door.router.redirect_slashes = False
    door.state.means = Means(database, blobs, gate, Modules(database, blobs))
    return door
