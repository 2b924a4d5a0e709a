"""The JSON API of robots: what signs in for the machines of a team."""

from dataclasses import replace
from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth.door import ApiError, read_json
from auth.identity import Identity
from auth.secrets import ROBOT, fingerprint, hint, new_secret
from storage.database import now
from storage.robots import (
    LONGEST_OVERLAP,
    OVERLAP,
    ROLES,
    Nature,
    NewSecret,
    RobotRow,
    configure_robot,
    create_robot,
    delete_robot,
    find_robot,
    robots,
    rotate_robot,
)
from storage.scopes import write_scopes
from storage.teams import TeamRow
from storage.tokens import AccessTokenRow, access_tokens
from web.api import fields
from web.api.teams import enter_team
from web.means import Means, means_of

HOUR = 3_600_000  # milliseconds
MOST_DAYS = 3650


async def list_robots(request: Request) -> Response:
    """A team's robots, a page at a time; for its members."""
    means = means_of(request)
    _, team = await enter_team(request, "pull")
    after, limit = fields.page(request)

    rows = await means.database.look(_robots, means, team, after, limit)
    following = fields.following([row.name for row in rows], limit)
    return JSONResponse({"robots": [_robot(row) for row in rows], "next": following})


async def post_robot(request: Request) -> Response:
    """Makes a robot. Its token is in this answer and nowhere else; one that trust rules let in may have none."""
    identity, team = await enter_team(request, "administer")
    body = await read_json(request)

    made = await anyio.to_thread.run_sync(make_robot, means_of(request), identity, team, body)
    return JSONResponse(made, 201)


async def get_robot(request: Request) -> Response:
    """One robot, with what its tokens look like; for members of the team."""
    means = means_of(request)
    _, team = await enter_team(request, "pull")

    return JSONResponse(await means.database.look(_show, means, team, request.path_params["robot"]))


async def patch_robot(request: Request) -> Response:
    """Changes what a robot is for and what it may do. What was got with its tokens ends, the tokens stay."""
    means = means_of(request)
    identity, team = await enter_team(request, "administer")
    body = await read_json(request)
    robot = await means.database.look(find_team_robot, means, team, request.path_params["robot"])

    await anyio.to_thread.run_sync(change_robot, means, identity, robot, body)
    return JSONResponse(await means.database.look(_show, means, team, robot.name))


async def remove_robot(request: Request) -> Response:
    """Removes a robot: its tokens are good no more."""
    means = means_of(request)
    identity, team = await enter_team(request, "administer")
    robot = await means.database.look(find_team_robot, means, team, request.path_params["robot"])

    await anyio.to_thread.run_sync(delete_robot, means.database, identity.actor(), robot.id)
    return Response(status_code=204)


async def post_rotation(request: Request) -> Response:
    """Gives a robot a new token, shown in this answer alone; its others are good for `overlap_hours` more."""
    means = means_of(request)
    identity, team = await enter_team(request, "administer")
    body = await read_json(request)
    robot = await means.database.look(find_team_robot, means, team, request.path_params["robot"])

    token = await anyio.to_thread.run_sync(rotate, means, identity, robot, body)
    shown = await means.database.look(_show, means, team, robot.name)
    return JSONResponse(shown | {"token": token}, 201)


_ROBOTS = "/api/v1/teams/{team}/robots"
ROUTES = [
    Route(_ROBOTS, list_robots, methods=["GET"]),
    Route(_ROBOTS, post_robot, methods=["POST"]),
    Route(_ROBOTS + "/{robot}", get_robot, methods=["GET"]),
    Route(_ROBOTS + "/{robot}", patch_robot, methods=["PATCH"]),
    Route(_ROBOTS + "/{robot}", remove_robot, methods=["DELETE"]),
    Route(_ROBOTS + "/{robot}/rotate", post_rotation, methods=["POST"]),
]


def make_robot(means: Means, identity: Identity, team: TeamRow, body: dict[str, Any]) -> dict[str, Any]:
    """Makes the robot that a request describes; with its `token`, unless none is wanted. Raises ApiError, Conflict."""
    fields.only(body, "name", "role", "description", "expires_in_days", "scopes", "with_token")
    name, nature = fields.text(body, "name"), _nature(body, Nature("reader"))
    token = new_secret(ROBOT) if fields.flag(body, "with_token", True) else None
    create_robot(means.database, identity.actor(), team.id, name, nature, _kept(token) if token else None)
    return _show(means, team, name) | {"token": token}


def change_robot(means: Means, identity: Identity, robot: RobotRow, body: dict[str, Any]) -> None:
    """Makes a robot what a request says of it, and leaves the rest. Raises ApiError, Conflict."""
    fields.only(body, "role", "description", "active", "expires_in_days", "scopes")
    nature = _nature(body, Nature(robot.role, robot.description, robot.active, robot.expires_at, robot.scopes))
    configure_robot(means.database, identity.actor(), robot.id, nature)


def rotate(means: Means, identity: Identity, robot: RobotRow, body: dict[str, Any]) -> str:
    """Gives a robot a new token and answers it; the others end as a request says. Raises ApiError, Conflict."""
    fields.only(body, "overlap_hours")
    overlap = fields.number(body, "overlap_hours", OVERLAP // HOUR, 0, LONGEST_OVERLAP // HOUR) * HOUR
    token = new_secret(ROBOT)
    rotate_robot(means.database, identity.actor(), robot.id, _kept(token), overlap=overlap)
    return token


def find_team_robot(means: Means, team: TeamRow, name: str) -> RobotRow:
    """The robot of that name in the team. Raises ApiError."""
    with means.database.read() as session:
        robot = find_robot(session, team.id, team.name, name)
    if robot is None:
        raise ApiError(404, "not_found", f"{team.name} has no robot {name[:64]!r}")
    return robot


def _nature(body: dict[str, Any], usual: Nature) -> Nature:
    """What the fields of a request make of a robot that was as usual. Raises ApiError."""
    nature = Nature(
        fields.choice(body, "role", ROLES, usual.role),
        fields.text(body, "description", usual.description),
        fields.flag(body, "active", usual.active),
        usual.expires_at,
        fields.scopes(body) if "scopes" in body else usual.scopes,
    )
    if "expires_in_days" not in body:
        return nature
    ends = body["expires_in_days"] is not None
    return replace(nature, expires_at=now() + fields.days(body, "expires_in_days", 0, MOST_DAYS) if ends else None)


def _kept(token: str) -> NewSecret:
    return NewSecret(hint(token), fingerprint(token))


def _robots(means: Means, team: TeamRow, after: str, limit: int) -> list[RobotRow]:
    with means.database.read() as session:
        return robots(session, team.id, team.name, after=after, limit=limit)


def _show(means: Means, team: TeamRow, name: str) -> dict[str, Any]:
    """A robot with its tokens, oldest first."""
    robot = find_team_robot(means, team, name)
    with means.database.read() as session:
        tokens = access_tokens(session, robot.id)
    return _robot(robot) | {"tokens": [_token(row) for row in tokens]}


def _robot(row: RobotRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "login": row.login,
        "role": row.role,
        "description": row.description,
        "active": row.active,
        "scopes": write_scopes(row.scopes),
        "created_at": fields.moment(row.created_at),
        "expires_at": fields.moment(row.expires_at),
        "used_at": fields.moment(row.used_at),
    }


def _token(row: AccessTokenRow) -> dict[str, Any]:
    times = {field: fields.moment(getattr(row, field)) for field in ("created_at", "expires_at", "used_at")}
    return {"hint": row.hint} | times
