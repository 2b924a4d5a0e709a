"""The page of one's own second factor: an authenticator app, passkeys, and recovery codes."""

import json
from typing import Any

import segno
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from auth.identity import Identity
from auth.own_passkeys import NOWHERE
from auth.passkeys import party_of
from auth.second_factor import begun_secret, read_factors
from auth.totp import totp_text, totp_uri
from web.api.second_factor import (
    begin_passkey,
    begin_totp,
    confirm_totp,
    make_codes,
    passkey_name,
    register_passkey,
    take_passkey_away,
    take_totp_away,
)
from web.forms import SECRET, Act, Sent, carry_out, to_sign_in
from web.means import means_of
from web.rendering import render
from web.visitor import Visitor, find_visitor

PAGE = "/account/second-factor"


async def show_second_factor(request: Request) -> Response:
    """`GET /account/second-factor`: the visitor's own."""
    visitor = await find_visitor(request)
    return to_sign_in(request) if visitor.identity.anonymous else await _page(request, visitor, Sent())


async def post_second_factor(request: Request) -> Response:
    """`POST /account/second-factor`: what one of its forms asks for."""
    return await carry_out(request, ACTS, _page)


async def _page(request: Request, visitor: Visitor, sent: Sent) -> Response:
    return await means_of(request).database.look(_show, request, visitor, sent)


def _show(request: Request, visitor: Visitor, sent: Sent) -> Response:
    """The page; the secret of a new app is on it only where one of the forms that set it up was sent just now."""
    means = means_of(request)
    setting_up = (sent.form == "begin" and not sent.problem) or (sent.form == "confirm" and bool(sent.problem))
    secret = begun_secret(means.gate, visitor.identity) if setting_up else None
    values: dict[str, Any] = {"has": read_factors(means.gate, visitor.identity), "begun": None}
    if secret is not None:
        uri = totp_uri(secret, visitor.identity.name, visitor.origin.host)
        values["begun"] = {"code": _picture(uri), "text": totp_text(secret)}
    values["options"] = sent.typed.get("options") if sent.form == "passkey-begin" and not sent.problem else None
    values["nowhere"] = NOWHERE if party_of(visitor.origin) is None else None
    done = request.query_params.get("done")
    page = render(request, visitor, "second-factor.html", here=PAGE, sent=sent, done_now=done, **values)
    if secret is not None:
        page.headers.update(SECRET)
    return page


def _picture(uri: str) -> Markup:
    """A QR code as SVG, dark on light in each colour scheme, since not every camera reads it the other way round."""
    code = segno.make_qr(uri, error="m")
    return Markup(code.svg_inline(border=4, dark="#000", light="#fff", svgclass="qr", lineclass=None, omitsize=True))  # noqa: S704


async def _begin(request: Request, identity: Identity, form: dict[str, str]) -> Sent:
    await begin_totp(means_of(request).gate, identity, _proof(form))
    return Sent("begin")


async def _confirm(request: Request, identity: Identity, form: dict[str, str]) -> Sent | str:
    codes = await confirm_totp(means_of(request).gate, identity, form.get("code", ""))
    return Sent("codes", secret="\n".join(codes)) if codes else f"{PAGE}?done=confirm"


async def _begin_passkey(request: Request, identity: Identity, form: dict[str, str]) -> Sent:
    means, name = means_of(request), passkey_name({"name": form.get("name", "").strip()})
    options = await begin_passkey(means.gate, means.gate.origins.of(request.scope), identity, _proof(form))
    return Sent("passkey-begin", {"name": name, "options": json.dumps(options)})


async def _keep_passkey(request: Request, identity: Identity, form: dict[str, str]) -> Sent | str:
    gate = means_of(request).gate
    codes = await register_passkey(gate, gate.origins.of(request.scope), identity, form)
    return Sent("codes", secret="\n".join(codes)) if codes else f"{PAGE}?done=passkey"


async def _remove_passkey(request: Request, identity: Identity, form: dict[str, str]) -> str:
    await take_passkey_away(means_of(request).gate, identity, form.get("id", ""), _proof(form))
    return f"{PAGE}?done=passkey-remove"


async def _make_codes(request: Request, identity: Identity, form: dict[str, str]) -> Sent:
    return Sent("codes", secret="\n".join(await make_codes(means_of(request).gate, identity, _proof(form))))


async def _remove(request: Request, identity: Identity, form: dict[str, str]) -> str:
    await take_totp_away(means_of(request).gate, identity, _proof(form))
    return f"{PAGE}?done=remove"


def _proof(form: dict[str, str]) -> dict[str, str]:
    return {"proof": form.get("proof", "").strip()}


ACTS: dict[str, Act] = {
    "begin": _begin,
    "confirm": _confirm,
    "remove": _remove,
    "passkey-begin": _begin_passkey,
    "passkey": _keep_passkey,
    "passkey-remove": _remove_passkey,
    "codes": _make_codes,
}
