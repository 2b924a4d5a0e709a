"""The providers that people sign in with, for those who see everything; administrators add them."""

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from auth.identity import Identity
from web.api.providers import make_provider, read_providers
from web.forms import Act, Sent, administrate, carry_out, to_sign_in
from web.means import means_of
from web.rendering import render
from web.visitor import Visitor, find_visitor

HERE = "/site/providers"


async def show_providers(request: Request) -> Response:
    """`GET /site/providers`: all of them."""
    visitor = await find_visitor(request)
    return to_sign_in(request) if visitor.identity.anonymous else await _page(request, visitor, Sent())


async def post_providers(request: Request) -> Response:
    """`POST /site/providers`: what one of its forms asks for."""
    return await carry_out(request, ACTS, _page)


async def _page(request: Request, visitor: Visitor, sent: Sent) -> Response:
    if not visitor.identity.viewer().sees_all:
        raise HTTPException(404)
    rows = await means_of(request).database.look(read_providers, means_of(request))
    values: dict[str, Any] = {"rows": rows, "runs": visitor.identity.administrator}
    values["done_now"] = request.query_params.get("done")
    return render(request, visitor, "providers.html", here=HERE, sent=sent, hub=visitor.origin.url, **values)


async def _make(request: Request, identity: Identity, form: dict[str, str]) -> str:
    administrate(identity)
    wanted = ("name", "title", "issuer", "client_id", "client_secret")
    body: dict[str, Any] = {name: form[name].strip() for name in wanted if form.get(name, "").strip()}
    name = await make_provider(means_of(request), identity, body)
    return f"{HERE}/{name}?done=make"


ACTS: dict[str, Act] = {"make": _make}
