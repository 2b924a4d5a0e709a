"""The page of one's own identities at providers, by which one signs in without a password."""

from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from auth.door import ApiError
from auth.identity import Identity
from auth.sessions import cookie_of
from auth.sign_on import COOKIE, LIFETIME, SignOnRefused
from storage.second_factors import factors
from storage.sign_on import identities
from web.api.fields import bad
from web.api.identities import end_identity
from web.api.second_factor import require_proof
from web.forms import SECRET, Act, Sent, carry_out, confirmed, to_sign_in
from web.means import means_of
from web.rendering import render
from web.visitor import Visitor, find_visitor

HERE = "/account/identities"


async def show_identities(request: Request) -> Response:
    """`GET /account/identities`: the visitor's own."""
    visitor = await find_visitor(request)
    return to_sign_in(request) if visitor.identity.anonymous else await _page(request, visitor, Sent())


async def post_identities(request: Request) -> Response:
    """`POST /account/identities`: what one of its forms asks for."""
    return await carry_out(request, ACTS, _page)


async def _page(request: Request, visitor: Visitor, sent: Sent) -> Response:
    offered = await means_of(request).sign_on.buttons()
    return await means_of(request).database.look(_show, request, visitor, sent, offered)


def _show(request: Request, visitor: Visitor, sent: Sent, offered: list[tuple[str, str]]) -> Response:
    user_id = visitor.identity.user_id
    assert user_id is not None
    with means_of(request).database.read() as session:
        rows, has = identities(session, user_id), factors(session, user_id)
    linked = {row.provider for row in rows}
    values: dict[str, Any] = {
        "rows": rows,
        "password": has.has_password,
        "has": has,
        "done_now": request.query_params.get("done"),
    }
    values |= {"offered": [one for one in offered if one[0] not in linked], "any": bool(offered)}
    return render(request, visitor, "identities.html", here=HERE, sent=sent, **values)


async def _link(request: Request, identity: Identity, form: dict[str, str]) -> Response:
    """On to the provider by a page of its own: a form of a page leads to no other host, and no browser follows it.

    A link is a way in that a new password does not end: so a browser left open is not enough for it.
    """
    await require_proof(means_of(request).gate, identity, {"proof": form.get("proof", "").strip()})
    visitor = await find_visitor(request)
    name = form.get("provider", "")
    try:
        address, cookie = await means_of(request).sign_on.begin(
            name, visitor.origin.url, f"{HERE}?done=link", identity.user_id
        )
    except SignOnRefused as refusal:
        raise ApiError(refusal.status, "sign_on", str(refusal)) from None
    page = render(request, visitor, "going.html", address=address)
    page.headers.update({**SECRET, "Refresh": f"0; url={address}"})
    page.headers["Set-Cookie"] = cookie_of(visitor.origin, COOKIE, cookie, LIFETIME)
    return page


async def _unlink(request: Request, identity: Identity, form: dict[str, str]) -> str:
    provider = form.get("provider", "")
    if not provider:
        raise bad("'provider' says whose identity is to be unlinked")
    confirmed(form, provider, "unlink the identity")
    await anyio.to_thread.run_sync(end_identity, means_of(request), identity, form.get("number", ""))
    return f"{HERE}?done=unlink"


ACTS: dict[str, Act] = {"link": _link, "unlink": _unlink}
