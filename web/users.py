"""The hub's users by name, for those who see everything; administrators make them and invite people."""

from typing import Any
from urllib.parse import urlencode

import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from auth.identity import Identity
from storage.database import now
from storage.invitations import invitations, take_back_invitation
from storage.users import ROLES, SORTS, STATES, Narrowing, place, users
from web.api import fields
from web.api.accounts import make_user, read_narrowing
from web.api.invitations import DAYS, invite_to_hub
from web.forms import Act, Sent, administrate, carry_out, to_sign_in, whole
from web.means import means_of
from web.rendering import render
from web.visitor import Visitor, find_visitor

PAGE = 50


async def show_users(request: Request) -> Response:
    """`GET /site/users`: by name or the newest first; `?q=`, `?role=` and `?state=` narrow."""
    visitor = await find_visitor(request)
    return to_sign_in(request) if visitor.identity.anonymous else await _page(request, visitor, Sent())


async def post_users(request: Request) -> Response:
    """`POST /site/users`: what one of its forms asks for."""
    return await carry_out(request, ACTS, _page)


async def _page(request: Request, visitor: Visitor, sent: Sent) -> Response:
    if not visitor.identity.viewer().sees_all:
        raise HTTPException(404)
    return await means_of(request).database.look(_show, request, visitor, sent)


def _show(request: Request, visitor: Visitor, sent: Sent) -> Response:
    means, after = means_of(request), request.query_params.get("after", "")[:64]
    narrowing = read_narrowing(request, after)
    runs = visitor.identity.administrator
    with means.database.read() as session:
        rows = users(session, narrowing, after=after, limit=PAGE + 1)
        links = invitations(session, None) if runs else []
    values: dict[str, Any] = {
        "rows": rows[:PAGE],
        "more": place(rows[PAGE - 1], narrowing.sort) if len(rows) > PAGE else None,
    }
    values |= {"narrowing": narrowing, "kept": _kept(narrowing), "after": after, "runs": runs, "roles": ROLES}
    values |= {"states": STATES, "sorts": SORTS}
    values |= {"links": links, "days": DAYS, "now": now(), "how": means.sign_up}
    return render(request, visitor, "users.html", here="/site/users", sent=sent, done_now=None, **values)


def _kept(narrowing: Narrowing) -> str:
    """What stands in the address of a page of the same users."""
    said = {"q": narrowing.beginning, "role": narrowing.role, "state": narrowing.state}
    said["sort"] = "" if narrowing.sort == SORTS[0] else narrowing.sort
    return urlencode({name: value for name, value in said.items() if value})


async def _make(request: Request, identity: Identity, form: dict[str, str]) -> Sent:
    administrate(identity)
    body: dict[str, Any] = {name: form[name].strip() for name in ("name", "role") if name in form}
    row, password = await make_user(means_of(request).gate, identity, body)
    assert password is not None  # since none was given
    return Sent("make", {"name": row.name}, secret=password)


async def _invite(request: Request, identity: Identity, form: dict[str, str]) -> Sent:
    administrate(identity)
    means = means_of(request)
    body: dict[str, Any] = {name: form[name].strip() for name in ("role", "note") if name in form}
    body["expires_in_days"] = whole(form, "days")
    _, secret = await anyio.to_thread.run_sync(invite_to_hub, means, identity, body)
    return Sent("invite", secret=f"{means.gate.origins.of(request.scope).url}/invitations/{secret}")


async def _uninvite(request: Request, identity: Identity, form: dict[str, str]) -> str:
    administrate(identity)
    number = fields.row_number(form.get("number", ""), "invitation")
    database = means_of(request).database
    await anyio.to_thread.run_sync(take_back_invitation, database, identity.actor(), None, number)
    return "/site/users"


ACTS: dict[str, Act] = {"make": _make, "invite": _invite, "uninvite": _uninvite}
