"""The robots of a team, and the form that makes one."""

from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from auth.identity import Identity
from auth.permissions import allowed
from storage.database import now
from storage.robots import ROLES, robots
from storage.teams import TeamRow
from web.api.robots import make_robot
from web.api.teams import find_team_for, resource_of_team
from web.forms import Act, Sent, carry_out, lines, to_sign_in, whole
from web.means import means_of
from web.rendering import render
from web.visitor import Visitor, find_visitor

PAGE = 50


async def show_robots(request: Request) -> Response:
    """`GET /teams/<team>/robots`: by name, for the team's members, auditors and administrators."""
    visitor = await find_visitor(request)
    return to_sign_in(request) if visitor.identity.anonymous else await _page(request, visitor, Sent())


async def post_robots(request: Request) -> Response:
    """`POST /teams/<team>/robots`: makes a robot."""
    return await carry_out(request, ACTS, _page)


async def _page(request: Request, visitor: Visitor, sent: Sent) -> Response:
    team = await find_team_for(means_of(request), visitor.identity, request.path_params["team"], "pull")
    return await means_of(request).database.look(_show, request, visitor, sent, team)


def _show(request: Request, visitor: Visitor, sent: Sent, team: TeamRow) -> Response:
    after = request.query_params.get("after", "")[:64]
    with means_of(request).database.read() as session:
        rows = robots(session, team.id, team.name, after=after, limit=PAGE + 1)
    values: dict[str, Any] = {"team": team, "here": f"/teams/{team.name}/robots", "done_now": None, "now": now()}
    values |= {"rows": rows[:PAGE], "more": rows[PAGE - 1].name if len(rows) > PAGE else None, "after": after}
    actions = allowed(visitor.identity, resource_of_team(team))
    values |= {"owns": "administer" in actions, "audits": "audit" in actions}
    return render(request, visitor, "robots.html", sent=sent, roles=ROLES, **values)


async def _make(request: Request, identity: Identity, form: dict[str, str]) -> str | Sent:
    means = means_of(request)
    team = await find_team_for(means, identity, request.path_params["team"], "administer")
    body: dict[str, Any] = {name: form[name].strip() for name in ("name", "role", "description") if name in form}
    days = whole(form, "days")
    body |= {"expires_in_days": None if days == "" else days, "scopes": lines(form, "scopes") or None}
    body["with_token"] = "token" in form
    made = await anyio.to_thread.run_sync(make_robot, means, identity, team, body)
    if made["token"] is None:
        return f"/teams/{team.name}/robots/{made['name']}#rules"
    return Sent("make", {"name": made["name"]}, secret=made["token"])


ACTS: dict[str, Act] = {"make": _make}
