"""Signing in and out at a browser."""

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from auth.gate import SecondFactorNeeded, SignInRefused
from auth.own_passkeys import alone_options
from auth.sessions import sign_in, sign_out
from web.forms import find_sender, read_form, safe_path
from web.means import means_of
from web.rendering import render
from web.second_step import lead_on
from web.visitor import find_visitor


async def show_sign_in(request: Request) -> Response:
    """`GET /sign-in`: the form; somebody who is signed in already is sent on."""
    visitor = await find_visitor(request)
    there = safe_path(request.query_params.get("next", ""))
    if not visitor.identity.anonymous:
        return RedirectResponse(there, 303)
    return await sign_in_page(request, there, "", None)


async def post_sign_in(request: Request) -> Response:
    """`POST /sign-in`: opens a session and goes where the person wanted to."""
    form = await read_form(request)
    there, name = safe_path(form.get("next", "")), form.get("name", "").strip()
    try:
        cookie = await sign_in(request, means_of(request).gate, name, form.get("password", ""))
    except SecondFactorNeeded as needed:
        return await lead_on(request, needed.identity, there)
    except SignInRefused as refusal:
        return await sign_in_page(request, there, name[:64], refusal)

    return RedirectResponse(there, 303, headers={"Set-Cookie": cookie})


async def post_sign_out(request: Request) -> Response:
    """`POST /sign-out`: ends the session. The form carries the session's token."""
    await find_sender(request, await read_form(request))

    cookie = await sign_out(request, means_of(request).gate)
    return RedirectResponse("/", 303, headers={"Set-Cookie": cookie})


async def sign_in_page(request: Request, there: str, name: str, refusal: SignInRefused | None) -> Response:
    """The page with the forms of signing in; where that was refused, with the reason."""
    visitor, means = await find_visitor(request), means_of(request)
    options = alone_options(means.gate, visitor.origin)
    values: dict[str, Any] = {"there": there, "name": name, "problem": str(refusal) if refusal else None}
    values["providers"] = await means.sign_on.buttons()
    values |= {"sign_up": means.sign_up, "options": None if options is None else json.dumps(options)}
    page = render(request, visitor, "sign-in.html", **values)
    if refusal is not None:
        page.status_code = 401 if refusal.retry_after is None else 429
    if refusal is not None and refusal.retry_after is not None:
        page.headers["Retry-After"] = str(refusal.retry_after)
    return page
