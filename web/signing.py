"""Signing in and out at a browser."""

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from auth.gate import SecondFactorNeeded, SignInRefused
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
    return render(request, visitor, "sign-in.html", name="", problem=None, **await _ways(request, there))


async def post_sign_in(request: Request) -> Response:
    """`POST /sign-in`: opens a session and goes where the person wanted to."""
    form = await read_form(request)
    there, name = safe_path(form.get("next", "")), form.get("name", "").strip()
    try:
        cookie = await sign_in(request, means_of(request).gate, name, form.get("password", ""))
    except SecondFactorNeeded as needed:
        return await lead_on(request, needed.identity, there)
    except SignInRefused as refusal:
        visitor = await find_visitor(request)
        status = 401 if refusal.retry_after is None else 429
        values = {"name": name[:64], "problem": str(refusal), **await _ways(request, there)}
        page = render(request, visitor, "sign-in.html", status, **values)
        if refusal.retry_after is not None:
            page.headers["Retry-After"] = str(refusal.retry_after)
        return page

    return RedirectResponse(there, 303, headers={"Set-Cookie": cookie})


async def post_sign_out(request: Request) -> Response:
    """`POST /sign-out`: ends the session. The form carries the session's token."""
    await find_sender(request, await read_form(request))

    cookie = await sign_out(request, means_of(request).gate)
    return RedirectResponse("/", 303, headers={"Set-Cookie": cookie})


async def _ways(request: Request, there: str) -> dict[str, Any]:
    """What the page offers besides the password, and where it leads."""
    means = means_of(request)
    return {"there": there, "sign_up": means.sign_up, "providers": await means.sign_on.buttons()}
