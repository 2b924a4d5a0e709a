"""One user's page: what the hub knows of them and, for administrators, their role, their access and their end."""

from typing import Any

import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from auth.identity import Identity
from auth.sessions import find_signed_in
from storage.repositories import Viewer
from storage.teams import TeamRow, teams
from storage.users import ROLES, UserRow, find_user
from web.api.accounts import change_user, end_user, find_subject, make_reset
from web.api.fields import bad
from web.api.second_factor import free_user
from web.api.sessions import end_all, read_sessions
from web.forms import Act, Sent, administrate, carry_out, confirmed, to_sign_in
from web.means import Means, means_of
from web.rendering import render
from web.visitor import Visitor, find_visitor

TEAMS = 20  # that the page shows


async def show_user(request: Request) -> Response:
    """`GET /site/users/<user>`: for those who see everything; an old name leads to the new one."""
    visitor = await find_visitor(request)
    return to_sign_in(request) if visitor.identity.anonymous else await _page(request, visitor, Sent())


async def post_user(request: Request) -> Response:
    """`POST /site/users/<user>`: what one of its forms asks for."""
    return await carry_out(request, ACTS, _page)


async def _page(request: Request, visitor: Visitor, sent: Sent) -> Response:
    means, name = means_of(request), request.path_params["name"]
    if not visitor.identity.viewer().sees_all:
        raise HTTPException(404)
    found = await means.database.look(_read, means, name)
    if found is None:
        raise HTTPException(404, f"There is no user {name[:64]!r}.")
    user, of = found
    if user.name != name and not sent.form:
        return RedirectResponse(f"/site/users/{user.name}", 303)
    values: dict[str, Any] = {"user": user, "teams": of[:TEAMS], "more_teams": len(of) > TEAMS, "roles": ROLES}
    values |= {"here": f"/site/users/{user.name}", "done_now": request.query_params.get("done")}
    runs = visitor.identity.administrator
    values["sessions"] = await means.database.look(read_sessions, means.gate, user.id) if runs else []
    values |= {"runs": runs, "themselves": user.id == visitor.identity.user_id}
    return render(request, visitor, "user.html", sent=sent, **values)


def _read(means: Means, name: str) -> tuple[UserRow, list[TeamRow]] | None:
    with means.database.read() as session:
        user = find_user(session, name)
        return None if user is None else (user, teams(session, Viewer(user.id, False), limit=TEAMS + 1))


async def _subject(request: Request, identity: Identity) -> UserRow:
    administrate(identity)
    return await find_subject(means_of(request).gate, identity, request.path_params["name"])


async def _set_role(request: Request, identity: Identity, form: dict[str, str]) -> str:
    return await _change(request, identity, {"role": form.get("role", "")}, "role")


async def _set_active(request: Request, identity: Identity, form: dict[str, str]) -> str:
    wanted = {"yes": True, "no": False}.get(form.get("active", ""))
    if wanted is None:
        raise bad("'active' must be one of yes, no")
    return await _change(request, identity, {"active": wanted}, "active")


async def _change(request: Request, identity: Identity, body: dict[str, Any], done: str) -> str:
    row = await _subject(request, identity)
    await anyio.to_thread.run_sync(change_user, means_of(request).gate, identity, row, body)
    return f"/site/users/{row.name}?done={done}"


async def _reset(request: Request, identity: Identity, form: dict[str, str]) -> Sent:
    gate = means_of(request).gate
    secret, _ = await make_reset(gate, identity, await _subject(request, identity))
    return Sent("reset", secret=f"{gate.origins.of(request.scope).url}/password-reset/{secret}")


async def _free(request: Request, identity: Identity, form: dict[str, str]) -> str:
    row = await _subject(request, identity)
    confirmed(form, row.name, "remove the second factor")
    await free_user(means_of(request).gate, identity, row)
    return f"/site/users/{row.name}?done=free"


async def _delete(request: Request, identity: Identity, form: dict[str, str]) -> str:
    row = await _subject(request, identity)
    confirmed(form, row.name, "delete the user")
    await end_user(means_of(request).gate, identity, row, form.get("heir", "").strip() or None)
    return "/site/users"


async def _end_sessions(request: Request, identity: Identity, form: dict[str, str]) -> str:
    row = await _subject(request, identity)
    signed_in = await find_signed_in(request, means_of(request).gate)
    await end_all(means_of(request).gate, identity, row, signed_in.id if signed_in is not None else None)
    return f"/site/users/{row.name}?done=end-sessions"


ACTS: dict[str, Act] = {
    "role": _set_role,
    "active": _set_active,
    "reset": _reset,
    "free": _free,
    "end-sessions": _end_sessions,
    "delete": _delete,
}
