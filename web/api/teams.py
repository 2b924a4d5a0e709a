"""The JSON API of teams: the teams themselves, their members, and the links by which people join them."""

from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth.door import ApiError, read_json, require_account
from auth.identity import Identity
from auth.permissions import Resource, may
from auth.secrets import INVITATION, fingerprint, new_secret
from storage.database import now
from storage.invitations import (
    InvitationRow,
    accept_invitation,
    create_invitation,
    find_invitation,
    invitations,
    take_back_invitation,
)
from storage.teams import (
    ROLES,
    MemberRow,
    TeamRow,
    configure_team,
    create_team,
    delete_team,
    find_team,
    members,
    remove_member,
    require_second_factor,
    restore_team,
    set_member,
    teams,
)
from storage.users import UserRow, find_user
from web.api import fields
from web.api.invitations import absent_invitation, invitation_document, invitation_life
from web.means import Means, means_of

VISIBILITIES = ("private", "internal", "public")


async def list_teams(request: Request) -> Response:
    """The caller's teams, by name; all for administrators and auditors."""
    means = means_of(request)
    identity = await require_account(request, means.gate)
    after, limit = fields.page(request)

    rows = await means.database.look(_teams, means, identity, after, limit)
    following = fields.following([row.name for row in rows], limit)
    return JSONResponse({"teams": [_team(row) for row in rows], "next": following})


async def post_team(request: Request) -> Response:
    """Makes a team, whose owner the caller is."""
    means = means_of(request)
    identity = await require_account(request, means.gate)

    made = await anyio.to_thread.run_sync(make_team, means, identity, await read_json(request))
    return JSONResponse(_team(made), 201)


async def get_team(request: Request) -> Response:
    """One team; for its members."""
    _, team = await enter_team(request, "pull", deleted=True)

    return JSONResponse(_team(team))


async def patch_team(request: Request) -> Response:
    """Changes a team's `description` or the `default_visibility` of its repositories; for maintainers and owners."""
    means = means_of(request)
    identity, team = await enter_team(request, "configure")

    await anyio.to_thread.run_sync(change_team, means, identity, team, await read_json(request))
    return JSONResponse(_team(await means.database.look(find_seen, means, identity, team.name)))


async def remove_team(request: Request) -> Response:
    """Deletes a team; for a while an owner can restore it."""
    identity, team = await enter_team(request, "administer")

    await anyio.to_thread.run_sync(delete_team, means_of(request).database, identity.actor(), team.id)
    return Response(status_code=204)


async def post_restore(request: Request) -> Response:
    """Gives a deleted team back."""
    means = means_of(request)
    identity, team = await enter_team(request, "administer", deleted=True)
    fields.only(await read_json(request))

    await anyio.to_thread.run_sync(restore_team, means.database, identity.actor(), team.id)
    return JSONResponse(_team(await means.database.look(find_seen, means, identity, team.name)))


async def list_members(request: Request) -> Response:
    """A team's members, a page at a time."""
    means = means_of(request)
    _, team = await enter_team(request, "pull")
    after, limit = fields.page(request)
    if after and not (after.isascii() and after.isdigit() and len(after) < 19):
        raise fields.bad("'after' must be what an answer gave as 'next'")

    rows = await means.database.look(_members, means, team, int(after or 0), limit)
    following = fields.following([str(row.user_id) for row in rows], limit)
    return JSONResponse({"members": [_member(row) for row in rows], "next": following})


async def put_member(request: Request) -> Response:
    """Gives somebody who has an account a role in the team."""
    means = means_of(request)
    identity, team = await enter_team(request, "administer")
    body = await read_json(request)
    fields.only(body, "role")
    user = await means.database.look(find_person, means, request.path_params["user"])
    role = fields.choice(body, "role", ROLES)

    await anyio.to_thread.run_sync(set_member, means.database, identity.actor(), team.id, user.id, role)
    return JSONResponse({"name": user.name, "role": role})


async def delete_member(request: Request) -> Response:
    """Takes somebody out of the team: an owner anybody, everybody themselves."""
    means = means_of(request)
    identity, team = await enter_team(request, "pull")

    await anyio.to_thread.run_sync(take_out, means, identity, team, request.path_params["user"])
    return Response(status_code=204)


async def list_invitations(request: Request) -> Response:
    """The team's open links; never their secrets."""
    means = means_of(request)
    _, team = await enter_team(request, "administer")

    rows = await means.database.look(_invitations, means, team)
    return JSONResponse({"invitations": [invitation_document(row) for row in rows]})


async def post_invitation(request: Request) -> Response:
    """Makes a link by which one person joins the team. It is in this answer and nowhere else."""
    means = means_of(request)
    identity, team = await enter_team(request, "administer")

    made, secret = await anyio.to_thread.run_sync(invite, means, identity, team, await read_json(request))
    link = f"{means.gate.origins.of(request.scope).url}/invitations/{secret}"
    return JSONResponse(invitation_document(made) | {"secret": secret, "link": link}, 201)


async def delete_invitation(request: Request) -> Response:
    """Takes a link back."""
    means = means_of(request)
    identity, team = await enter_team(request, "administer")
    number = fields.row_number(request.path_params["number"], "invitation")

    await anyio.to_thread.run_sync(take_back_invitation, means.database, identity.actor(), team.id, number)
    return Response(status_code=204)


async def post_acceptance(request: Request) -> Response:
    """Lets the caller into the team that a link leads to."""
    means = means_of(request)
    identity = await require_account(request, means.gate)
    body = await read_json(request)
    fields.only(body, "secret")
    secret = fields.text(body, "secret")

    team = await anyio.to_thread.run_sync(_accept, means, identity, secret)
    return JSONResponse(_team(team))


_TEAM = "/api/v1/teams/{team}"
ROUTES = [
    Route("/api/v1/teams", list_teams, methods=["GET"]),
    Route("/api/v1/teams", post_team, methods=["POST"]),
    Route(_TEAM, get_team, methods=["GET"]),
    Route(_TEAM, patch_team, methods=["PATCH"]),
    Route(_TEAM, remove_team, methods=["DELETE"]),
    Route(_TEAM + "/restore", post_restore, methods=["POST"]),
    Route(_TEAM + "/members", list_members, methods=["GET"]),
    Route(_TEAM + "/members/{user}", put_member, methods=["PUT"]),
    Route(_TEAM + "/members/{user}", delete_member, methods=["DELETE"]),
    Route(_TEAM + "/invitations", list_invitations, methods=["GET"]),
    Route(_TEAM + "/invitations", post_invitation, methods=["POST"]),
    Route(_TEAM + "/invitations/{number}", delete_invitation, methods=["DELETE"]),
    Route("/api/v1/invitations/accept", post_acceptance, methods=["POST"]),
]


async def enter_team(request: Request, action: str, *, deleted: bool = False) -> tuple[Identity, TeamRow]:
    """Who calls and the team in the path, if they may do this with it. Raises ApiError."""
    means = means_of(request)
    identity = await require_account(request, means.gate)
    return identity, await find_team_for(means, identity, request.path_params["team"], action, deleted=deleted)


async def find_team_for(means: Means, identity: Identity, name: str, action: str, *, deleted: bool = False) -> TeamRow:
    """The team of that name, if somebody may do this with it, for other doors too. Raises ApiError.

    To those who are not in it there is no such team; one that was deleted is there for its owners alone.
    """
    team = await means.database.look(find_seen, means, identity, name)
    if team.deleted_at is not None and not (deleted and may(identity, "administer", resource_of_team(team))):
        raise _absent(name)
    if not may(identity, action, resource_of_team(team)):
        raise _forbidden(action, team)
    return team


def find_seen(means: Means, identity: Identity, name: str) -> TeamRow:
    """The team of that name, if somebody sees it, for other doors too: a deleted one if they may restore it, or see
    everything. Raises ApiError."""
    with means.database.read() as session:
        team = find_team(session, name, identity.user_id)
    if team is not None and may(identity, "pull", resource_of_team(team)):
        if team.deleted_at is None or identity.viewer().sees_all or team.role == "owner":
            return team
        raise _absent(name)
    if team is not None and team.waits_for is not None and team.deleted_at is None:
        raise ApiError(
            403,
            "second_factor",
            f"{team.name} asks its members for a second factor: set one up on the hub's page /account/second-factor,"
            f" and you are its {team.waits_for}",
        )
    raise _absent(name)


def resource_of_team(team: TeamRow) -> Resource:
    """What permissions ask of a team."""
    return Resource(None, frozenset({team.role}) if team.role else frozenset())


def find_person(means: Means, name: str, *, inactive: bool = False) -> UserRow:
    """The user of that name, with `inactive` one who may not sign in too. Raises ApiError."""
    with means.database.read() as session:
        row = find_user(session, name)
    if row is None or not (row.active or inactive):
        raise ApiError(404, "not_found", f"there is no user {name[:64]!r}; invite them by a link")
    return row


def may_make_teams(means: Means, identity: Identity) -> bool:
    """Whether somebody may make a team."""
    return identity.administrator or (means.teams_by_all and not identity.anonymous)


def make_team(means: Means, identity: Identity, body: dict[str, Any]) -> TeamRow:
    """A new team, whose owner the caller is, for other doors too. Raises ApiError."""
    if not may_make_teams(means, identity):
        raise ApiError(403, "forbidden", "teams are made by administrators of the hub; ask one of them")
    fields.only(body, "name", "description", "default_visibility")
    assert identity.user_id is not None
    name = fields.text(body, "name")
    create_team(
        means.database,
        identity.actor(),
        name,
        owner_id=identity.user_id,
        description=fields.text(body, "description", ""),
        default_visibility=fields.choice(body, "default_visibility", VISIBILITIES, "private"),
    )
    return find_seen(means, identity, name)


def change_team(means: Means, identity: Identity, team: TeamRow, body: dict[str, Any]) -> None:
    """Changes what a team says of itself, and whether it asks for a second factor, for other doors too.

    The latter is for owners. Raises ApiError.
    """
    fields.only(body, "description", "default_visibility", "second_factor_required")
    required = fields.flag(body, "second_factor_required", team.second_factor_required)
    if required != team.second_factor_required:
        if not may(identity, "administer", resource_of_team(team)):
            raise _forbidden("say what is asked of the members of", team)
        require_second_factor(means.database, identity.actor(), team.id, required)
    configure_team(
        means.database,
        identity.actor(),
        team.id,
        description=fields.text(body, "description", team.description),
        default_visibility=fields.choice(body, "default_visibility", VISIBILITIES, team.default_visibility),
    )


def take_out(means: Means, identity: Identity, team: TeamRow, name: str) -> None:
    """Takes somebody out of a team: an owner anybody, everybody themselves. For other doors too. Raises ApiError."""
    user = find_person(means, name, inactive=True)
    if user.id != identity.user_id and not may(identity, "administer", resource_of_team(team)):
        raise _forbidden("take members out of", team)
    remove_member(means.database, identity.actor(), team.id, user.id)


def invite(means: Means, identity: Identity, team: TeamRow, body: dict[str, Any]) -> tuple[InvitationRow, str]:
    """A new invitation into a team and its secret, for other doors too. Raises ApiError."""
    fields.only(body, "role", "note", "expires_in_days")
    secret = new_secret(INVITATION)
    made = create_invitation(
        means.database,
        identity.actor(),
        team.id,
        role=fields.choice(body, "role", ROLES, "reader"),
        note=fields.text(body, "note", ""),
        secret_sha256=fingerprint(secret),
        expires_at=now() + invitation_life(body),
    )
    return made, secret


def _absent(name: str) -> ApiError:
    return ApiError(404, "not_found", f"there is no team {name[:64]!r}, or you may not see it")


def _forbidden(action: str, team: TeamRow) -> ApiError:
    return ApiError(403, "forbidden", f"you may not {action} {team.name}; ask one of its owners")


def _teams(means: Means, identity: Identity, after: str, limit: int) -> list[TeamRow]:
    with means.database.read() as session:
        return teams(session, identity.viewer(), after=after, limit=limit)


def _members(means: Means, team: TeamRow, after: int, limit: int) -> list[MemberRow]:
    with means.database.read() as session:
        return members(session, team.id, after=after, limit=limit)


def _invitations(means: Means, team: TeamRow) -> list[InvitationRow]:
    with means.database.read() as session:
        return invitations(session, team.id)


def _accept(means: Means, identity: Identity, secret: str) -> TeamRow:
    assert identity.user_id is not None
    with means.database.read() as session:
        found = find_invitation(session, fingerprint(secret))
    if found is None or found.team is None:
        raise absent_invitation()
    accept_invitation(means.database, identity.actor(), identity.user_id, fingerprint(secret))
    with means.database.read() as session:
        team = find_team(session, found.team, identity.user_id)
    if team is None:
        raise absent_invitation()
    return team


def _team(row: TeamRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "description": row.description,
        "default_visibility": row.default_visibility,
        "second_factor_required": row.second_factor_required,
        "role": row.role,
        "waits_for": row.waits_for,
        "created_at": fields.moment(row.created_at),
        "deleted_at": fields.moment(row.deleted_at),
    }


def _member(row: MemberRow) -> dict[str, Any]:
    said = {"name": row.name, "full_name": row.full_name, "role": row.role, "active": row.active}
    return said | {"provider": row.provider, "waits": row.waits}
