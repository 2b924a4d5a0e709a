"""What the handlers of this door work with."""

from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.requests import Request

from registry.calls import Calls
from registry.hashing import Hashes
from storage.blobs.store import BlobStore
from storage.database import Database
from storage.usage import Meter


@dataclass(frozen=True)
class Means:
    """What the handlers of this door work with."""

    database: Database
    blobs: BlobStore
    calls: Calls
    blob_limit: int  # bytes
    namespace_rule: str  # who may make a namespace by pushing: admins, everyone, nobody
    pushed: Callable[[], None]  # told after each manifest that was pushed
    whole_limit: float  # seconds that a push in one request may take: its bytes are named by no row meanwhile
    meter: Meter = field(default_factory=Meter)  # what namespaces may hold
    hashes: Hashes = field(default_factory=Hashes)
    busy: set[str] = field(default_factory=set)  # ids of uploads that a request is writing to


def means_of(request: Request) -> Means:
    """What the handlers work with."""
    means: Means = request.app.state.means
    return means
