"""The page of the hub's settings: as they are, and where each was set."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from web.forms import Sent, to_sign_in
from web.means import means_of
from web.rendering import render
from web.visitor import find_visitor


async def show_settings(request: Request) -> Response:
    """`GET /site/settings`: for those who see everything."""
    visitor = await find_visitor(request)
    if visitor.identity.anonymous:
        return to_sign_in(request)
    if not visitor.identity.viewer().sees_all:
        raise HTTPException(404)
    rows = means_of(request).settings
    return render(request, visitor, "settings.html", rows=rows, here="/site/settings", sent=Sent(), done_now=None)
