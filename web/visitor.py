"""Who looks at a page, and how they reach the hub."""

from dataclasses import dataclass, replace

from starlette.requests import Request

from auth.challenge import Origin
from auth.identity import ANONYMOUS, Identity
from auth.sessions import find_signed_in
from web.means import means_of


@dataclass(frozen=True)
class Visitor:
    """The person at a browser. `csrf` is what the forms of a signed-in one carry."""

    identity: Identity
    csrf: str
    origin: Origin
    path: str  # of the page with its query, to come back to after signing in
    session: int | None = None  # the id of theirs


async def find_visitor(request: Request) -> Visitor:
    """The visitor of a request, by the cookie alone."""
    signed_in = await find_signed_in(request, means_of(request).gate)
    stranger = nobody(request)
    if signed_in is None:
        return stranger
    return replace(stranger, identity=signed_in.identity, csrf=signed_in.csrf, session=signed_in.id)


def nobody(request: Request) -> Visitor:
    """A visitor who is not signed in, or of whom nothing can be known now."""
    origin = means_of(request).gate.origins.of(request.scope)
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return Visitor(replace(ANONYMOUS, address=origin.address), "", origin, path)
