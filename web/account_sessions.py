"""The page of one's own sessions: the browsers in which one is signed in, and their end."""

from starlette.requests import Request
from starlette.responses import Response

from auth.identity import Identity
from auth.sessions import find_signed_in
from web.api.profile import read_me
from web.api.sessions import end_all, end_one, read_sessions
from web.forms import Act, Sent, carry_out, to_sign_in
from web.means import means_of
from web.rendering import render
from web.visitor import Visitor, find_visitor

PAGE = "/account/sessions"


async def show_sessions(request: Request) -> Response:
    """`GET /account/sessions`: the visitor's own."""
    visitor = await find_visitor(request)
    return to_sign_in(request) if visitor.identity.anonymous else await _page(request, visitor, Sent())


async def post_sessions(request: Request) -> Response:
    """`POST /account/sessions`: what one of its forms asks for."""
    return await carry_out(request, ACTS, _page)


async def _page(request: Request, visitor: Visitor, sent: Sent) -> Response:
    means = means_of(request)
    assert visitor.identity.user_id is not None
    rows = await means.database.look(read_sessions, means.gate, visitor.identity.user_id)
    done = request.query_params.get("done")
    return render(request, visitor, "account-sessions.html", here=PAGE, sent=sent, done_now=done, sessions=rows)


async def _end(request: Request, identity: Identity, form: dict[str, str]) -> Response | str:
    means = means_of(request)
    me = await means.database.look(read_me, means, identity)
    await end_one(means.gate, identity, me, form.get("id", ""))
    if await find_signed_in(request, means.gate) is None:  # it was this one
        return to_sign_in(request)
    return f"{PAGE}?done=end"


async def _end_others(request: Request, identity: Identity, form: dict[str, str]) -> str:
    means = means_of(request)
    me = await means.database.look(read_me, means, identity)
    signed_in = await find_signed_in(request, means.gate)
    await end_all(means.gate, identity, me, signed_in.id if signed_in is not None else None)
    return f"{PAGE}?done=end-others"


ACTS: dict[str, Act] = {"end": _end, "end-others": _end_others}
