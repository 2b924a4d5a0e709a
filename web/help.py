"""Pages that explain: the table of permissions."""

from starlette.requests import Request
from starlette.responses import Response

from auth.permissions import ACTIONS, table
from web.rendering import render
from web.visitor import find_visitor


async def show_permissions(request: Request) -> Response:
    """`GET /permissions`: who may do what, from the table that decides it."""
    visitor = await find_visitor(request)
    return render(request, visitor, "permissions.html", rows=table(), actions=ACTIONS)
