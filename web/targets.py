"""The targets that somebody may see, each with how it is."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from web.forms import to_sign_in
from web.means import means_of
from web.rendering import render
from web.standing import HEALTH, kind_in_words
from web.visitor import find_visitor

PAGE = 30


async def show_targets(request: Request) -> Response:
    """`GET /targets`: those of the visitor's namespaces, by name."""
    visitor = await find_visitor(request)
    if visitor.identity.anonymous:
        return to_sign_in(request)
    after = request.query_params.get("after", "")[:63]
    rows = await means_of(request).deploying.list_targets(visitor.identity, after, PAGE + 1)
    more = rows[PAGE - 1]["name"] if len(rows) > PAGE else None
    values: dict[str, Any] = {
        "rows": rows[:PAGE],
        "after": after,
        "more": more,
        "health": HEALTH,
        "kind_in_words": kind_in_words,
    }
    return render(request, visitor, "targets.html", **values)
