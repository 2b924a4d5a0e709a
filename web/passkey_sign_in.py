"""Signing in with a passkey alone, from the page where one signs in."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from auth.gate import SignInRefused
from auth.own_passkeys import sign_in_alone
from web.forms import read_form, safe_path
from web.means import means_of
from web.signing import sign_in_page


async def post_passkey(request: Request) -> Response:
    """`POST /sign-in/passkey`: opens a session and goes where the person wanted to."""
    form = await read_form(request)
    there = safe_path(form.get("next", ""))
    try:
        cookie = await sign_in_alone(request, means_of(request).gate, form.get("credential", ""))
    except SignInRefused as refusal:
        return await sign_in_page(request, there, "", refusal)
    return RedirectResponse(there, 303, headers={"Set-Cookie": cookie})
