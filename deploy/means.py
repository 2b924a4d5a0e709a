"""What the handlers of this door work with, and who may see and change targets."""

from collections.abc import Callable
from dataclasses import dataclass, field

from anyio import CapacityLimiter
from sqlalchemy.orm import Session
from starlette.requests import Request

from auth.door import ApiError
from auth.gate import Gate
from auth.identity import Identity
from auth.outgoing import Outgoing
from auth.permissions import Resource, may
from deploy.fleets.polls import Left
from deploy.images.modules import Modules
from storage.blobs.store import BlobStore
from storage.database import Database
from storage.targets import TargetRow, find_target
from storage.usage import Meter

CHECKS_AT_ONCE = 4  # deploys that are checked at a time: each may wait for the reader or run a process
STRANGERS_AT_ONCE = 2  # the same of those that nobody signed in for: they hold up one another alone
WATCHED, FOLLOWED = 20, 12  # deployments and timelines that one person or robot follows at a time in one process
CHECKS_WAITING = 32  # deploys that may wait for their turn


@dataclass
class Streams:
    """Answers of one kind that go on, in this process: `most` of all, `share` of one person or robot."""

    what: str  # in a sentence
    most: int
    share: int
    open: dict[object, int | None] = field(default_factory=dict)  # whose each is; one that is taken out is to end

    def begin(self, identity: Identity) -> object:
        """Counts one more, which `end` is to be told of. Raises ApiError where there may be none."""
        if sum(one == identity.user_id for one in self.open.values()) >= self.share:
            said = f"you follow {self.share} {self.what} already; end one, or try again in a moment"
            raise ApiError(429, "too_many_requests", said, {"Retry-After": "15"})
        if len(self.open) >= self.most:
            said = f"too many {self.what} are being followed; try again in a moment"
            raise ApiError(503, "busy", said, {"Retry-After": "15"})
        one = object()
        self.open[one] = identity.user_id
        return one

    def end(self, one: object) -> None:
        """It has ended."""
        self.open.pop(one, None)


@dataclass(frozen=True)
class Means:
    """What the handlers of this door work with."""

    database: Database
    blobs: BlobStore
    gate: Gate
    modules: Modules
    meter: Meter
    outgoing: Outgoing
    wake: Callable[[], None]  # has the controller look at once
    left: Left = field(default_factory=set)
    checks: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(CHECKS_AT_ONCE))
    strangers: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(STRANGERS_AT_ONCE))
    following: Streams = field(default_factory=lambda: Streams("timelines", 64, FOLLOWED))
    watching: Streams = field(default_factory=lambda: Streams("deployments", 200, WATCHED))


def means_of(request: Request) -> Means:
    """What the handlers work with."""
    means: Means = request.app.state.means
    return means


def allow(session: Session, identity: Identity, action: str, name: str) -> TargetRow:
    """The target of that name, if the caller may do this with it.

    Raises ApiError: 404 to those who may not even see it, the same as where there is none; 403 to those who may.
    """
    target = find_target(session, name, identity.user_id)
    if target is None or not may_with(identity, "pull", target):
        raise ApiError(404, "not_found", f"there is no target {name[:100]!r}, or you may not see it")
    if not may_with(identity, action, target):
        raise ApiError(
            403, "denied", f"you may not {action} target {name}; ask an owner or maintainer of {target.namespace}"
        )
    return target


def may_with(identity: Identity, action: str, target: TargetRow) -> bool:
    """Whether the identity may take the action on the target: what its role in the owning namespace allows."""
    roles = frozenset({target.role}) if target.role else frozenset()
    return may(identity, action, Resource(target.owner_user_id, roles, kind="target", name=target.name))
