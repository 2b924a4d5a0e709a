"""What the handlers of this door work with."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from jinja2 import Environment
from starlette.requests import Request

from auth.gate import Gate
from auth.sign_on import SignOn
from storage.blobs.store import BlobStore
from storage.database import Database
from storage.usage import UNLIMITED, Meter
from web.deploying import Deploying
from web.figures import FiguresAtHand


@dataclass(frozen=True)
class Means:
    """What the handlers of this door work with."""

    database: Database
    blobs: BlobStore
    gate: Gate
    sign_on: SignOn
    templates: Environment
    figures: FiguresAtHand
    parts: Callable[[], Awaitable[Mapping[str, str]]]  # what the hub stands on, with "ok" or what is wrong
    settings: Sequence[Mapping[str, str]]  # each with its `name`, `value`, `source` and what it is `about`
    deploying: Deploying
    teams_by_all: bool = True  # whether everybody may make teams, not administrators alone
    sign_up: str = "invitation"  # who may make their own account: open (everybody) | invitation | closed (nobody)
    meter: Meter = UNLIMITED  # what namespaces may hold


def means_of(request: Request) -> Means:
    """What the handlers work with."""
    means: Means = request.app.state.means
    return means
