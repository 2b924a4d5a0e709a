"""The page on which somebody approves a program that waits for a token on a machine without a browser (RFC 8628)."""

from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from auth.devices import read_user_code, show_user_code
from auth.door import ApiError
from auth.identity import Identity
from storage.scopes import write_scopes
from web.api.device_logins import DAYS, Found, approve_login, find_login, refuse_login
from web.forms import Act, Sent, carry_out, to_sign_in, whole
from web.means import means_of
from web.rendering import render
from web.visitor import Visitor, find_visitor


async def show_device(request: Request) -> Response:
    """`GET /device`: asks for the code. One that came with the link is filled in, and nothing is done with it."""
    visitor = await find_visitor(request)
    return to_sign_in(request) if visitor.identity.anonymous else await _page(request, visitor, Sent())


async def post_device(request: Request) -> Response:
    """`POST /device`: what one of its forms asks for."""
    return await carry_out(request, ACTS, _page)


async def _page(request: Request, visitor: Visitor, sent: Sent) -> Response:
    found, code = None, sent.typed.get("user_code", "")
    if not sent.form:
        code = request.query_params.get("user_code", "")
    elif read_user_code(code) is not None and (sent.form == "approve" or not sent.problem):
        try:  # a code that was right a moment ago costs no guess
            found = await find_login(means_of(request).gate, visitor.identity, {"user_code": code})
        except ApiError:
            sent = replace(sent, form="find")
    values: dict[str, Any] = {"found": found, "days": DAYS, "asked": _lines(found), "code": _shown(code)}
    values |= {"here": "/device", "done_now": request.query_params.get("done")}
    return render(request, visitor, "device.html", sent=sent, **values)


async def _find(request: Request, identity: Identity, form: dict[str, str]) -> Sent:
    await find_login(means_of(request).gate, identity, form)
    return Sent("find", form)


async def _approve(request: Request, identity: Identity, form: dict[str, str]) -> str:
    gate, days = means_of(request).gate, whole(form, "days")
    found = await find_login(gate, identity, form)
    scopes = form.get("scopes", "").split()
    named = {"name": form["name"].strip()} if form.get("name", "").strip() else {}
    body = {"expires_in_days": None if days == "" else days, "scopes": scopes or None}
    await approve_login(gate, identity, named | body, found)
    return "/device?done=approved"


async def _refuse(request: Request, identity: Identity, form: dict[str, str]) -> str:
    gate = means_of(request).gate
    await refuse_login(gate, identity, await find_login(gate, identity, form))
    return "/device?done=refused"


def _lines(found: Found | None) -> str:
    """The scopes that are asked for, one a line."""
    return "\n".join(write_scopes(found.row.scopes) or []) if found is not None else ""


def _shown(code: str) -> str:
    """A code as it stands on the terminal; what is none, as it was typed."""
    read = read_user_code(code)
    return code[:50] if read is None else show_user_code(read)


ACTS: dict[str, Act] = {"find": _find, "approve": _approve, "refuse": _refuse}
