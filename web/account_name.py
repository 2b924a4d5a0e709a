"""The page of the name of one's own account: another name, names that it had, and the account's end."""

from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from auth.identity import Identity
from storage.names import forget_name, old_names, rename_namespace
from storage.namespaces import find_namespace
from web.api import fields
from web.api.accounts import end_user
from web.api.namespaces import enter_namespace
from web.api.profile import read_me
from web.forms import Act, Sent, carry_out, confirmed, to_sign_in
from web.means import means_of
from web.rendering import render
from web.visitor import Visitor, find_visitor

HERE = "/account/name"


async def show_name(request: Request) -> Response:
    """`GET /account/name`: the visitor's own."""
    visitor = await find_visitor(request)
    return to_sign_in(request) if visitor.identity.anonymous else await _page(request, visitor, Sent())


async def post_name(request: Request) -> Response:
    """`POST /account/name`: what one of its forms asks for."""
    return await carry_out(request, ACTS, _page)


async def _page(request: Request, visitor: Visitor, sent: Sent) -> Response:
    return await means_of(request).database.look(_show, request, visitor, sent)


def _show(request: Request, visitor: Visitor, sent: Sent) -> Response:
    name = visitor.identity.name
    with means_of(request).database.read() as session:
        space = find_namespace(session, name)
        old = old_names(session, space.id) if space else []
    values: dict[str, Any] = {"here": HERE, "sent": sent, "done_now": request.query_params.get("done")}
    return render(request, visitor, "account-name.html", name=name, old_names=old, **values)


async def _rename(request: Request, identity: Identity, form: dict[str, str]) -> str:
    means = means_of(request)
    held = await enter_namespace(means, identity, identity.name, "administer")
    name = fields.text({"name": form.get("name", "").strip()}, "name")
    await anyio.to_thread.run_sync(rename_namespace, means.database, identity.actor(), held.namespace_id, name)
    return f"{HERE}?done=rename"


async def _forget(request: Request, identity: Identity, form: dict[str, str]) -> str:
    means = means_of(request)
    held = await enter_namespace(means, identity, identity.name, "administer")
    old = form.get("old", "")
    confirmed(form, old, "let it go")
    await anyio.to_thread.run_sync(forget_name, means.database, identity.actor(), held.namespace_id, old)
    return HERE


async def _delete(request: Request, identity: Identity, form: dict[str, str]) -> str:
    means = means_of(request)
    me = await means.database.look(read_me, means, identity)
    confirmed(form, me.name, "delete your account")
    await end_user(means.gate, identity, me, form.get("heir", "").strip() or None)
    return "/"


ACTS: dict[str, Act] = {"rename": _rename, "forget": _forget, "delete": _delete}
