"""One provider's page: what it answers, how the hub asks it, what its groups give and, in the end, its deletion."""

from dataclasses import dataclass, field
from typing import Any

import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from auth.door import ApiError
from auth.identity import Identity
from storage.providers import SITE_ROLES, ProviderRow, delete_provider, remove_group_role
from storage.teams import ROLES
from web.api.fields import bad, row_number
from web.api.providers import alter_provider, check_provider, document, find, map_group
from web.forms import Act, Sent, administrate, carry_out, confirmed, to_sign_in
from web.means import means_of
from web.rendering import render
from web.visitor import Visitor, find_visitor

_TEXTS = ("title", "issuer", "client_id", "scopes", "name_claim", "groups_claim")
_ANSWERS = {"yes": True, "no": False}


@dataclass(frozen=True)
class Checked(Sent):
    """A provider that was asked, and what it answered."""

    found: dict[str, Any] = field(default_factory=dict)


async def show_provider(request: Request) -> Response:
    """`GET /site/providers/<provider>`: for those who see everything."""
    visitor = await find_visitor(request)
    return to_sign_in(request) if visitor.identity.anonymous else await _page(request, visitor, Sent())


async def post_provider(request: Request) -> Response:
    """`POST /site/providers/<provider>`: what one of its forms asks for."""
    return await carry_out(request, ACTS, _page)


async def _page(request: Request, visitor: Visitor, sent: Sent) -> Response:
    if not visitor.identity.viewer().sees_all:
        raise HTTPException(404)
    try:
        row, groups = await _find(request)
    except ApiError as error:
        raise HTTPException(404, f"{error.message[:1].upper()}{error.message[1:]}.") from None
    values: dict[str, Any] = {"provider": document(request, row, groups), "runs": visitor.identity.administrator}
    values |= {"roles": ROLES, "site_roles": SITE_ROLES, "done_now": request.query_params.get("done")}
    values |= {"checked": sent.found if isinstance(sent, Checked) else None}
    return render(request, visitor, "provider.html", here=f"/site/providers/{row.name}", sent=sent, **values)


async def _find(request: Request) -> tuple[ProviderRow, list[Any]]:
    return await find(means_of(request), request.path_params["provider"])


async def _subject(request: Request, identity: Identity) -> ProviderRow:
    administrate(identity)
    return (await _find(request))[0]


async def _configure(request: Request, identity: Identity, form: dict[str, str]) -> str:
    row = await _subject(request, identity)
    body: dict[str, Any] = {name: form[name].strip() for name in _TEXTS if name in form}
    if "makes_users" in form:
        body["makes_users"] = _yes(form, "makes_users")
    return await _change(request, identity, row, body, "configure")


async def _set_secret(request: Request, identity: Identity, form: dict[str, str]) -> str:
    row = await _subject(request, identity)
    return await _change(request, identity, row, {"client_secret": form.get("client_secret", "")}, "secret")


async def _switch(request: Request, identity: Identity, form: dict[str, str]) -> str:
    row = await _subject(request, identity)
    return await _change(request, identity, row, {"active": _yes(form, "active")}, "switch")


async def _change(request: Request, identity: Identity, row: ProviderRow, body: dict[str, Any], done: str) -> str:
    await alter_provider(means_of(request), identity, row, body)
    return f"/site/providers/{row.name}?done={done}"


async def _check(request: Request, identity: Identity, form: dict[str, str]) -> Sent:
    row = await _subject(request, identity)
    return Checked("check", found=await check_provider(means_of(request), row))


async def _map(request: Request, identity: Identity, form: dict[str, str]) -> str:
    row = await _subject(request, identity)
    body: dict[str, Any] = {name: form.get(name, "").strip() for name in ("group", "role")}
    if team := form.get("team", "").strip():
        body["team"] = team
    await map_group(means_of(request), identity, row, body)
    return f"/site/providers/{row.name}?done=map"


async def _unmap(request: Request, identity: Identity, form: dict[str, str]) -> str:
    row = await _subject(request, identity)
    number = row_number(form.get("number", ""), "group")
    await anyio.to_thread.run_sync(remove_group_role, means_of(request).database, identity.actor(), row.id, number)
    return f"/site/providers/{row.name}?done=unmap"


async def _delete(request: Request, identity: Identity, form: dict[str, str]) -> str:
    row = await _subject(request, identity)
    confirmed(form, row.name, "delete the provider")
    await anyio.to_thread.run_sync(delete_provider, means_of(request).database, identity.actor(), row.id)
    return "/site/providers?done=delete"


def _yes(form: dict[str, str], name: str) -> bool:
    wanted = _ANSWERS.get(form.get(name, ""))
    if wanted is None:
        raise bad(f"{name!r} must be one of yes, no")
    return wanted


ACTS: dict[str, Act] = {
    "configure": _configure,
    "secret": _set_secret,
    "switch": _switch,
    "check": _check,
    "map": _map,
    "unmap": _unmap,
    "delete": _delete,
}
