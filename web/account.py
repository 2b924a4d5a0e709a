"""The page of one's own account: who one is, the password, personal tokens, and the teams that one is in."""

from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from auth.gate import SecondFactorNeeded, SignInRefused
from auth.identity import Identity
from auth.sessions import open_for, sign_in
from storage.database import now
from storage.repositories import Viewer
from storage.second_factors import factors
from storage.sign_on import has_password
from storage.teams import teams
from storage.tokens import access_tokens
from web.api.accounts import change_password
from web.api.profile import change_me, read_me
from web.api.tokens import end_token, make_token
from web.forms import Act, Sent, carry_out, to_sign_in, whole
from web.means import means_of
from web.rendering import render
from web.visitor import Visitor, find_visitor

TEAMS = 20  # that the page shows


async def show_account(request: Request) -> Response:
    """`GET /account`: the visitor's own."""
    visitor = await find_visitor(request)
    return to_sign_in(request) if visitor.identity.anonymous else await _page(request, visitor, Sent())


async def post_account(request: Request) -> Response:
    """`POST /account`: what one of its forms asks for."""
    return await carry_out(request, ACTS, _page)


async def _page(request: Request, visitor: Visitor, sent: Sent) -> Response:
    return await means_of(request).database.look(_show, request, visitor, sent)


def _show(request: Request, visitor: Visitor, sent: Sent) -> Response:
    means, identity = means_of(request), visitor.identity
    assert identity.user_id is not None
    with means.database.read() as session:
        mine = teams(session, Viewer(identity.user_id, False), limit=TEAMS + 1)
        has = factors(session, identity.user_id)
        tokens, password = access_tokens(session, identity.user_id), has_password(session, identity.user_id)
    return render(
        request,
        visitor,
        "account.html",
        here="/account",
        sent=sent,
        done_now=request.query_params.get("done"),
        me=read_me(means, identity),
        now=now(),
        tokens=tokens,
        has=has,
        password=password,
        teams=mine[:TEAMS],
        more_teams=len(mine) > TEAMS,
    )


async def _save_profile(request: Request, identity: Identity, form: dict[str, str]) -> str:
    body: dict[str, Any] = {name: form[name].strip() for name in ("full_name", "email") if name in form}
    await anyio.to_thread.run_sync(change_me, means_of(request), identity, body)
    return "/account?done=profile"


async def _change_password(request: Request, identity: Identity, form: dict[str, str]) -> Response:
    """The new password ends all sessions, this one too: so the browser gets another, or signs in by hand."""
    means = means_of(request)
    me = await means.database.look(read_me, means, identity)
    body = {name: form.get(name, "") for name in ("current", "password")}
    await change_password(means.gate, identity, me, body)
    try:
        try:
            cookie = await sign_in(request, means.gate, me.name, body["password"])
        except SecondFactorNeeded as needed:  # shown when the session was opened that this one takes the place of
            cookie = await open_for(request, means.gate, needed.identity)
    except SignInRefused:
        return to_sign_in(request)
    return RedirectResponse("/account?done=password", 303, headers={"Set-Cookie": cookie})


async def _make_token(request: Request, identity: Identity, form: dict[str, str]) -> Sent:
    days = whole(form, "days")
    body = {"name": form.get("name", "").strip(), "expires_in_days": None if days == "" else days}
    _, secret = await make_token(means_of(request).gate, identity, body)
    return Sent("token", secret=secret)


async def _end_token(request: Request, identity: Identity, form: dict[str, str]) -> str:
    await anyio.to_thread.run_sync(end_token, means_of(request).gate, identity, form.get("id", ""))
    return "/account"


ACTS: dict[str, Act] = {
    "profile": _save_profile,
    "password": _change_password,
    "token": _make_token,
    "end-token": _end_token,
}
