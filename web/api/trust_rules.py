"""The JSON API of trust rules: whose tokens stand for a robot, so that its machine keeps no secret."""

from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth.door import ApiError, read_json
from auth.identity import Identity
from auth.outgoing import OutgoingRefused, check_url
from auth.trust import problem_of
from storage.robots import RobotRow
from storage.trust import Trust, TrustRuleRow, add_trust_rule, remove_trust_rule, trust_rules
from web.api import fields
from web.api.robots import find_team_robot
from web.api.teams import enter_team
from web.means import Means, means_of

MINUTES, MOST_MINUTES = 15, 60  # that a token is good that was got by a rule, unless said otherwise, and at most
AUDIENCE = "wasmhub"  # of the tokens that a rule wants, unless said otherwise


async def list_trust_rules(request: Request) -> Response:
    """A robot's rules; for members of its team."""
    means = means_of(request)
    _, team = await enter_team(request, "pull")
    robot = await means.database.look(find_team_robot, means, team, request.path_params["robot"])

    rows = await means.database.look(_read, means, robot.id)
    return JSONResponse({"trust_rules": [_rule(row) for row in rows]})


async def post_trust_rule(request: Request) -> Response:
    """Lets tokens of an `issuer` for an `audience`, with such `claims`, stand for a robot."""
    means = means_of(request)
    identity, team = await enter_team(request, "administer")
    body = await read_json(request)
    robot = await means.database.look(find_team_robot, means, team, request.path_params["robot"])

    rule_id = await anyio.to_thread.run_sync(make_rule, means, identity, robot, body)
    rows = await means.database.look(_read, means, robot.id)
    made = next((row for row in rows if row.id == rule_id), None)
    if made is None:
        raise ApiError(409, "conflict", "the rule was removed meanwhile")
    return JSONResponse(_rule(made), 201)


async def delete_trust_rule(request: Request) -> Response:
    """Ends a rule, and at once what was got by it."""
    means = means_of(request)
    identity, team = await enter_team(request, "administer")
    robot = await means.database.look(find_team_robot, means, team, request.path_params["robot"])
    number = fields.row_number(request.path_params["number"], "trust rule")

    await anyio.to_thread.run_sync(remove_trust_rule, means.database, identity.actor(), robot.id, number)
    return Response(status_code=204)


_RULES = "/api/v1/teams/{team}/robots/{robot}/trust-rules"
ROUTES = [
    Route(_RULES, list_trust_rules, methods=["GET"]),
    Route(_RULES, post_trust_rule, methods=["POST"]),
    Route(_RULES + "/{number}", delete_trust_rule, methods=["DELETE"]),
]


def make_rule(means: Means, identity: Identity, robot: RobotRow, body: dict[str, Any]) -> int:
    """Makes the rule that a request describes and answers its number. Raises ApiError, Conflict."""
    fields.only(body, "issuer", "audience", "claims", "minutes")
    return add_trust_rule(means.database, identity.actor(), robot.id, _trust(body))


def _trust(body: dict[str, Any]) -> Trust:
    """The rule that a request asks for. Raises ApiError."""
    issuer = fields.text(body, "issuer")
    if not issuer.startswith(("https://", "http://")):
        raise fields.bad("'issuer' must be the URL that stands in the tokens as `iss`, such as https://issuer.example")
    if "?" in issuer or "#" in issuer:
        raise fields.bad("'issuer' has no ? and no #: the hub looks below it for the issuer's keys")
    try:
        check_url(issuer)
    except OutgoingRefused as error:
        raise fields.bad(f"'issuer': {error}") from None
    problem = problem_of(body.get("claims"))
    if problem is not None:
        raise fields.bad(problem)
    minutes = fields.number(body, "minutes", MINUTES, 1, MOST_MINUTES)
    return Trust(issuer, fields.text(body, "audience", AUDIENCE) or AUDIENCE, body["claims"], minutes)


def _read(means: Means, robot_id: int) -> list[TrustRuleRow]:
    with means.database.read() as session:
        return trust_rules(session, robot_id)


def _rule(row: TrustRuleRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "issuer": row.trust.issuer,
        "audience": row.trust.audience,
        "claims": dict(row.trust.claims),
        "minutes": row.trust.minutes,
        "created_at": fields.moment(row.created_at),
        "used_at": fields.moment(row.used_at),
    }
