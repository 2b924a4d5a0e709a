"""Signing in and out at a browser."""

import re
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from auth.gate import SignInRefused
from auth.sessions import check_csrf, find_signed_in, sign_in, sign_out
from web.means import means_of
from web.rendering import render
from web.visitor import find_visitor

FORM_LIMIT = 16_384  # bytes
# A path of the hub: one slash first, since two begin another host's address, as do the backslashes of some browsers.
_LOCAL = re.compile(r"/(?![/\\])[!-\[\]-~]*")


async def show_sign_in(request: Request) -> Response:
    """`GET /sign-in`: the form; somebody who is signed in already is sent on."""
    visitor = await find_visitor(request)
    there = safe_path(request.query_params.get("next", ""))
    if not visitor.identity.anonymous:
        return RedirectResponse(there, 303)
    return render(request, visitor, "sign-in.html", there=there, name="", problem=None)


async def post_sign_in(request: Request) -> Response:
    """`POST /sign-in`: opens a session and goes where the person wanted to."""
    form = await _read_form(request)
    there, name = safe_path(form.get("next", "")), form.get("name", "").strip()
    try:
        cookie = await sign_in(request, means_of(request).gate, name, form.get("password", ""))
    except SignInRefused as refusal:
        visitor = await find_visitor(request)
        status = 401 if refusal.retry_after is None else 429
        page = render(request, visitor, "sign-in.html", status, there=there, name=name[:64], problem=str(refusal))
        if refusal.retry_after is not None:
            page.headers["Retry-After"] = str(refusal.retry_after)
        return page

    return RedirectResponse(there, 303, headers={"Set-Cookie": cookie})


async def post_sign_out(request: Request) -> Response:
    """`POST /sign-out`: ends the session. The form carries the session's token."""
    gate = means_of(request).gate
    form = await _read_form(request)
    signed_in = await find_signed_in(request, gate)
    if signed_in is not None and not check_csrf(request, gate, signed_in, form.get("csrf", "")):
        raise HTTPException(403, "This form is not from a page of the hub, or it is old. Go back, reload, try again.")

    cookie = await sign_out(request, gate)
    return RedirectResponse("/", 303, headers={"Set-Cookie": cookie})


def safe_path(asked: str) -> str:
    """Where to go after signing in: a path of this hub, never another place."""
    return asked if len(asked) <= 2000 and _LOCAL.fullmatch(asked) else "/"


async def _read_form(request: Request) -> dict[str, str]:
    """The last value of each field of a form in the body. Raises HTTPException for what is none, or is too large."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_LIMIT:
            raise HTTPException(413, "The form is larger than a form of the hub can be.")
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=20, errors="strict"))
    except ValueError:
        raise HTTPException(400, "The form could not be read. Go back, reload, try again.") from None
