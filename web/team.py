"""A team's page: its members, the links into it, what it says of itself, its names and its end."""

from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from auth.identity import Identity
from auth.permissions import allowed
from storage.database import now
from storage.invitations import invitations, take_back_invitation
from storage.names import forget_name, old_names, rename_namespace
from storage.namespaces import find_namespace
from storage.teams import ROLES, TeamRow, delete_team, members, restore_team, set_member
from web.api import fields
from web.api.invitations import DAYS
from web.api.namespaces import enter_namespace
from web.api.teams import (
    VISIBILITIES,
    change_team,
    find_person,
    find_seen,
    find_team_for,
    invite,
    resource_of_team,
    take_out,
)
from web.forms import Act, Sent, carry_out, confirmed, to_sign_in, whole
from web.means import means_of
from web.rendering import render
from web.visitor import Visitor, find_visitor

PAGE = 50  # members


async def show_team(request: Request) -> Response:
    """`GET /teams/<team>`: for its members, auditors and administrators; an old name leads to the new one."""
    visitor = await find_visitor(request)
    if visitor.identity.anonymous:
        return to_sign_in(request)
    name = request.path_params["team"]
    team = await means_of(request).database.look(find_seen, means_of(request), visitor.identity, name)
    return RedirectResponse(f"/teams/{team.name}", 303) if team.name != name else await _page(request, visitor, Sent())


async def post_team(request: Request) -> Response:
    """`POST /teams/<team>`: what one of its forms asks for."""
    return await carry_out(request, ACTS, _page)


async def _page(request: Request, visitor: Visitor, sent: Sent) -> Response:
    team = await find_team_for(means_of(request), visitor.identity, request.path_params["team"], "pull", deleted=True)
    return await means_of(request).database.look(_show, request, visitor, sent, team)


def _show(request: Request, visitor: Visitor, sent: Sent, team: TeamRow) -> Response:
    actions = allowed(visitor.identity, resource_of_team(team))
    owns = "administer" in actions
    after = _after(request)
    with means_of(request).database.read() as session:
        rows = members(session, team.id, after=after, limit=PAGE + 1)
        space = find_namespace(session, team.name)
        values: dict[str, Any] = {
            "links": invitations(session, team.id) if owns else [],
            "old_names": old_names(session, space.id) if owns and space else [],
        }
    values |= {"team": team, "actions": actions, "roles": ROLES, "visibilities": VISIBILITIES, "days": DAYS}
    values |= {"rows": rows[:PAGE], "after": after, "more": rows[PAGE - 1].user_id if len(rows) > PAGE else None}
    values |= {"here": _here(request, team), "done_now": request.query_params.get("done"), "now": now()}
    return render(request, visitor, "team.html", sent=sent, **values)


def _after(request: Request) -> int:
    """Where this page of the members begins: after the user of that number."""
    asked = request.query_params.get("after", "")
    return int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 19 else 0


def _here(request: Request, team: TeamRow) -> str:
    after = _after(request)
    return f"/teams/{team.name}?after={after}" if after else f"/teams/{team.name}"


async def _enter(request: Request, identity: Identity, action: str, *, deleted: bool = False) -> TeamRow:
    return await find_team_for(means_of(request), identity, request.path_params["team"], action, deleted=deleted)


async def _set_member(request: Request, identity: Identity, form: dict[str, str]) -> str:
    means, team = means_of(request), await _enter(request, identity, "administer")
    user = await means.database.look(find_person, means, form.get("user", "").strip())
    role = fields.choice({**form}, "role", ROLES)
    await anyio.to_thread.run_sync(set_member, means.database, identity.actor(), team.id, user.id, role)
    return _here(request, team)


async def _remove_member(request: Request, identity: Identity, form: dict[str, str]) -> str:
    team = await _enter(request, identity, "administer")
    await anyio.to_thread.run_sync(take_out, means_of(request), identity, team, form.get("user", ""))
    return _here(request, team)


async def _leave(request: Request, identity: Identity, form: dict[str, str]) -> str:
    team = await _enter(request, identity, "pull")
    await anyio.to_thread.run_sync(take_out, means_of(request), identity, team, identity.name)
    return "/teams"


async def _invite(request: Request, identity: Identity, form: dict[str, str]) -> Sent:
    means, team = means_of(request), await _enter(request, identity, "administer")
    body: dict[str, Any] = {name: form[name].strip() for name in ("role", "note") if name in form}
    body["expires_in_days"] = whole(form, "days")
    _, secret = await anyio.to_thread.run_sync(invite, means, identity, team, body)
    return Sent("invite", secret=f"{means.gate.origins.of(request.scope).url}/invitations/{secret}")


async def _uninvite(request: Request, identity: Identity, form: dict[str, str]) -> str:
    means, team = means_of(request), await _enter(request, identity, "administer")
    number = fields.row_number(form.get("number", ""), "invitation")
    await anyio.to_thread.run_sync(take_back_invitation, means.database, identity.actor(), team.id, number)
    return f"/teams/{team.name}"


async def _configure(request: Request, identity: Identity, form: dict[str, str]) -> str:
    team = await _enter(request, identity, "configure")
    body: dict[str, Any] = {name: form[name].strip() for name in ("description", "default_visibility") if name in form}
    await anyio.to_thread.run_sync(change_team, means_of(request), identity, team, body)
    return f"/teams/{team.name}?done=configure"


async def _require(request: Request, identity: Identity, form: dict[str, str]) -> str:
    team = await _enter(request, identity, "administer")
    required = {"yes": True, "no": False}.get(form.get("required", ""))
    if required is None:
        raise fields.bad("'required' must be one of yes, no")
    body = {"second_factor_required": required}
    await anyio.to_thread.run_sync(change_team, means_of(request), identity, team, body)
    return f"/teams/{team.name}?done=require"


async def _rename(request: Request, identity: Identity, form: dict[str, str]) -> str:
    means, team = means_of(request), await _enter(request, identity, "administer")
    held = await enter_namespace(means, identity, team.name, "administer")
    name = fields.text({"name": form.get("name", "").strip()}, "name")
    await anyio.to_thread.run_sync(rename_namespace, means.database, identity.actor(), held.namespace_id, name)
    return f"/teams/{name}"


async def _forget(request: Request, identity: Identity, form: dict[str, str]) -> str:
    means, team = means_of(request), await _enter(request, identity, "administer")
    held = await enter_namespace(means, identity, team.name, "administer")
    old = form.get("old", "")
    confirmed(form, old, "let it go")
    await anyio.to_thread.run_sync(forget_name, means.database, identity.actor(), held.namespace_id, old)
    return f"/teams/{team.name}"


async def _delete(request: Request, identity: Identity, form: dict[str, str]) -> str:
    team = await _enter(request, identity, "administer")
    confirmed(form, team.name, "delete the team")
    await anyio.to_thread.run_sync(delete_team, means_of(request).database, identity.actor(), team.id)
    return f"/teams/{team.name}"


async def _restore(request: Request, identity: Identity, form: dict[str, str]) -> str:
    team = await _enter(request, identity, "administer", deleted=True)
    await anyio.to_thread.run_sync(restore_team, means_of(request).database, identity.actor(), team.id)
    return f"/teams/{team.name}"


ACTS: dict[str, Act] = {
    "add": _set_member,
    "set": _set_member,
    "remove": _remove_member,
    "leave": _leave,
    "invite": _invite,
    "uninvite": _uninvite,
    "configure": _configure,
    "require": _require,
    "rename": _rename,
    "forget": _forget,
    "delete": _delete,
    "restore": _restore,
}
