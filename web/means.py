"""What the handlers of this door work with."""

from dataclasses import dataclass

from jinja2 import Environment
from starlette.requests import Request

from auth.gate import Gate
from auth.sign_on import SignOn
from storage.blobs.store import BlobStore
from storage.database import Database


@dataclass(frozen=True)
class Means:
    """What the handlers of this door work with."""

    database: Database
    blobs: BlobStore
    gate: Gate
    sign_on: SignOn
    templates: Environment
    teams_by_all: bool = True  # whether everybody may make teams, not administrators alone
    sign_up: str = "invitation"  # who may make their own account: open (everybody) | invitation | closed (nobody)


def means_of(request: Request) -> Means:
    """What the handlers work with."""
    means: Means = request.app.state.means
    return means
