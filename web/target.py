"""A target's page: how it is, its proxies and what each runs, the deployments on it, and how it is set up."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from auth.identity import Identity
from web.forms import Act, Sent, carry_out, to_sign_in
from web.lines import fleet_lines
from web.means import means_of
from web.rendering import render
from web.standing import HEALTH, STANDING, kind_in_words, settings_in_words
from web.visitor import Visitor, find_visitor


async def show_target(request: Request) -> Response:
    """`GET /targets/<target>`: for those who may see it."""
    visitor = await find_visitor(request)
    return to_sign_in(request) if visitor.identity.anonymous else await _page(request, visitor, Sent())


async def post_target(request: Request) -> Response:
    """`POST /targets/<target>`: what one of its forms asks for."""
    return await carry_out(request, ACTS, _page)


async def _page(request: Request, visitor: Visitor, sent: Sent, reach: dict[str, Any] | None = None) -> Response:
    target = await means_of(request).deploying.show_target(visitor.identity, request.path_params["target"])
    values: dict[str, Any] = {"target": target, "kind": kind_in_words(target["kind"]), "health": HEALTH, "reach": reach}
    values |= {"standing": STANDING, "settings": settings_in_words(target["settings"]), "actions": target["actions"]}
    values |= {"setup": [] if target["mesh"] else fleet_lines(visitor, target), "done_now": None}
    return render(request, visitor, "target.html", here=f"/targets/{target['name']}", sent=sent, **values)


async def _reach(request: Request, identity: Identity, form: dict[str, str]) -> Response:
    """Asks the target anew what the hub may do there."""
    met = await means_of(request).deploying.try_target(identity, request.path_params["target"])
    return await _page(request, await find_visitor(request), Sent("reach"), met)


ACTS: dict[str, Act] = {"reach": _reach}
