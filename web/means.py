"""What the handlers of this door work with."""

from dataclasses import dataclass

from jinja2 import Environment
from starlette.requests import Request

from auth.gate import Gate
from storage.blobs.store import BlobStore
from storage.database import Database
from storage.usage import UNLIMITED, Meter


@dataclass(frozen=True)
class Means:
    """What the handlers of this door work with."""

    database: Database
    blobs: BlobStore
    gate: Gate
    templates: Environment
    teams_by_all: bool = True  # whether everybody may make teams, not administrators alone
    sign_up: str = "invitation"  # who may make their own account: open (everybody) | invitation | closed (nobody)
    meter: Meter = UNLIMITED  # what namespaces may hold


def means_of(request: Request) -> Means:
    """What the handlers work with."""
    means: Means = request.app.state.means
    return means
