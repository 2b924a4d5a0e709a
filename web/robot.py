"""The page of one robot: what it may do, its tokens, and the trust rules by which jobs stand for it."""

from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from auth.identity import Identity
from auth.permissions import allowed
from storage.database import now
from storage.robots import LONGEST_OVERLAP, OVERLAP, ROLES, RobotRow, delete_robot
from storage.teams import TeamRow
from storage.tokens import access_tokens
from storage.trust import remove_trust_rule, trust_rules
from web.api import fields
from web.api.robots import HOUR, change_robot, find_team_robot, rotate
from web.api.teams import find_team_for, resource_of_team
from web.api.trust_rules import AUDIENCE, MINUTES, MOST_MINUTES, make_rule
from web.forms import Act, Sent, carry_out, confirmed, lines, to_sign_in, whole
from web.means import means_of
from web.rendering import render
from web.visitor import Visitor, find_visitor

LIMITS = {"overlap": OVERLAP // HOUR, "longest_overlap": LONGEST_OVERLAP // HOUR}
LIMITS |= {"minutes": MINUTES, "most_minutes": MOST_MINUTES}


async def show_robot(request: Request) -> Response:
    """`GET /teams/<team>/robots/<robot>`: for the team's members, auditors and administrators."""
    visitor = await find_visitor(request)
    return to_sign_in(request) if visitor.identity.anonymous else await _page(request, visitor, Sent())


async def post_robot(request: Request) -> Response:
    """`POST /teams/<team>/robots/<robot>`: what one of its forms asks for."""
    return await carry_out(request, ACTS, _page)


async def _page(request: Request, visitor: Visitor, sent: Sent) -> Response:
    team, robot = await _enter(request, visitor.identity, "pull")
    return await means_of(request).database.look(_show, request, visitor, sent, team, robot)


def _show(request: Request, visitor: Visitor, sent: Sent, team: TeamRow, robot: RobotRow) -> Response:
    with means_of(request).database.read() as session:
        tokens, rules = access_tokens(session, robot.id), trust_rules(session, robot.id)
    values: dict[str, Any] = {"team": team, "robot": robot, "tokens": tokens, "rules": rules, "now": now()}
    values |= {"here": _here(team, robot), "done_now": request.query_params.get("done"), "roles": ROLES}
    values["scope_lines"] = "\n".join(scope.text() for scope in robot.scopes or ())
    actions = allowed(visitor.identity, resource_of_team(team))
    values |= {"owns": "administer" in actions, "audits": "audit" in actions}
    origin = means_of(request).gate.origins.of(request.scope)
    return render(request, visitor, "robot.html", sent=sent, audience=AUDIENCE, hub=origin.url, **LIMITS, **values)


def _here(team: TeamRow, robot: RobotRow) -> str:
    return f"/teams/{team.name}/robots/{robot.name}"


async def _enter(request: Request, identity: Identity, action: str) -> tuple[TeamRow, RobotRow]:
    means = means_of(request)
    team = await find_team_for(means, identity, request.path_params["team"], action)
    return team, await means.database.look(find_team_robot, means, team, request.path_params["robot"])


async def _configure(request: Request, identity: Identity, form: dict[str, str]) -> str:
    """A box that is not ticked is not sent. Days that were left empty leave its end as it is."""
    team, robot = await _enter(request, identity, "administer")
    body: dict[str, Any] = {name: form[name].strip() for name in ("role", "description") if name in form}
    body["active"] = "active" in form
    if "scopes" in form:
        body["scopes"] = lines(form, "scopes") or None
    if form.get("days", "").strip():
        body["expires_in_days"] = whole(form, "days")
    elif "endless" in form:
        body["expires_in_days"] = None
    await anyio.to_thread.run_sync(change_robot, means_of(request), identity, robot, body)
    return f"{_here(team, robot)}?done=configure#settings"


async def _rotate(request: Request, identity: Identity, form: dict[str, str]) -> Sent:
    _, robot = await _enter(request, identity, "administer")
    body = {"overlap_hours": whole(form, "hours")}
    token = await anyio.to_thread.run_sync(rotate, means_of(request), identity, robot, body)
    return Sent("rotate", secret=token)


async def _add_rule(request: Request, identity: Identity, form: dict[str, str]) -> str:
    team, robot = await _enter(request, identity, "administer")
    body: dict[str, Any] = {name: form[name].strip() for name in ("issuer", "audience") if name in form}
    body |= {"claims": _claims(form), "minutes": whole(form, "minutes")}
    await anyio.to_thread.run_sync(make_rule, means_of(request), identity, robot, body)
    return f"{_here(team, robot)}#rules"


async def _remove_rule(request: Request, identity: Identity, form: dict[str, str]) -> str:
    team, robot = await _enter(request, identity, "administer")
    number = fields.row_number(form.get("number", ""), "trust rule")
    database = means_of(request).database
    await anyio.to_thread.run_sync(remove_trust_rule, database, identity.actor(), robot.id, number)
    return f"{_here(team, robot)}#rules"


async def _delete(request: Request, identity: Identity, form: dict[str, str]) -> str:
    team, robot = await _enter(request, identity, "administer")
    confirmed(form, robot.name, "delete the robot")
    await anyio.to_thread.run_sync(delete_robot, means_of(request).database, identity.actor(), robot.id)
    return f"/teams/{team.name}/robots"


ACTS: dict[str, Act] = {
    "configure": _configure,
    "rotate": _rotate,
    "add-rule": _add_rule,
    "remove-rule": _remove_rule,
    "delete": _delete,
}


def _claims(form: dict[str, str]) -> dict[str, str]:
    """The claims and their patterns, one a line: `sub=repo:acme/shop:*`. Raises ApiError for a line that is none."""
    claims: dict[str, str] = {}
    for line in lines(form, "claims"):
        name, equals, pattern = (part.strip() for part in line.partition("="))
        if not equals or not name:
            raise fields.bad(f"the claim {line[:50]!r} must be a name, = and a pattern, such as sub=repo:acme/shop:*")
        if name in claims:
            raise fields.bad(f"the claim {name[:50]!r} is there twice")
        claims[name] = pattern
    return claims
