"""The JSON API of invitations to the hub itself, for administrators, and of what any invitation leads to."""

from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth.door import ApiError, read_json, require_administrator
from auth.identity import Identity
from auth.secrets import INVITATION, fingerprint, new_secret
from storage.database import now
from storage.invitations import (
    InvitationRow,
    create_invitation,
    find_invitation,
    invitations,
    take_back_invitation,
)
from storage.users import ROLES
from web.api import fields
from web.means import Means, means_of

DAYS, MOST_DAYS = 7, 30  # that an invitation is good, unless said otherwise, and at most


async def list_invitations(request: Request) -> Response:
    """The open links to the hub alone; never their secrets."""
    means = means_of(request)
    await require_administrator(request, means.gate)

    rows = await means.database.look(_read, means)
    return JSONResponse({"invitations": [invitation_document(row) for row in rows]})


async def post_invitation(request: Request) -> Response:
    """Makes a link by which one person signs up. It is in this answer and nowhere else."""
    means = means_of(request)
    identity = await require_administrator(request, means.gate)

    made, secret = await anyio.to_thread.run_sync(invite_to_hub, means, identity, await read_json(request))
    link = f"{means.gate.origins.of(request.scope).url}/invitations/{secret}"
    return JSONResponse(invitation_document(made) | {"secret": secret, "link": link}, 201)


async def delete_invitation(request: Request) -> Response:
    """Takes a link back."""
    means = means_of(request)
    identity = await require_administrator(request, means.gate)
    number = fields.row_number(request.path_params["number"], "invitation")

    await anyio.to_thread.run_sync(take_back_invitation, means.database, identity.actor(), None, number)
    return Response(status_code=204)


async def post_show(request: Request) -> Response:
    """What the invitation with a secret leads to, for whoever holds it. A POST, so that no log has the secret."""
    means = means_of(request)
    body = await read_json(request)
    fields.only(body, "secret")
    secret = fields.text(body, "secret")

    row = await means.database.look(_find, means, secret)
    if row is None:
        raise absent_invitation()
    shown = {"team": row.team, "role": row.role, "invited_by": row.created_by}
    return JSONResponse(shown | {"expires_at": fields.moment(row.expires_at)})


ROUTES = [
    Route("/api/v1/invitations", list_invitations, methods=["GET"]),
    Route("/api/v1/invitations", post_invitation, methods=["POST"]),
    Route("/api/v1/invitations/{number}", delete_invitation, methods=["DELETE"]),
    Route("/api/v1/invitations/show", post_show, methods=["POST"]),
]


def absent_invitation() -> ApiError:
    """The 404 for a secret that no invitation has, any more or at all."""
    return ApiError(404, "not_found", "this invitation has expired, was used or was taken back; ask for a new one")


def invite_to_hub(means: Means, identity: Identity, body: dict[str, Any]) -> tuple[InvitationRow, str]:
    """A new invitation to the hub alone and its secret, for other doors too. Raises ApiError."""
    fields.only(body, "role", "note", "expires_in_days")
    if means.sign_up == "closed":
        raise ApiError(409, "conflict", "nobody can sign up at this hub (WASMHUB_SIGN_UP); make the user yourself")
    secret = new_secret(INVITATION)
    made = create_invitation(
        means.database,
        identity.actor(),
        None,
        role=fields.choice(body, "role", ROLES, "user"),
        note=fields.text(body, "note", ""),
        secret_sha256=fingerprint(secret),
        expires_at=now() + invitation_life(body),
    )
    return made, secret


def invitation_life(body: dict[str, Any]) -> int:
    """Milliseconds that a new invitation is good, by its `expires_in_days`. Raises ApiError."""
    return fields.days(body, "expires_in_days", DAYS, MOST_DAYS)


def invitation_document(row: InvitationRow) -> dict[str, Any]:
    """An invitation as those see it who may make it; never its secret."""
    return {
        "id": row.id,
        "team": row.team,
        "role": row.role,
        "note": row.note,
        "created_by": row.created_by,
        "created_at": fields.moment(row.created_at),
        "expires_at": fields.moment(row.expires_at),
    }


def _read(means: Means) -> list[InvitationRow]:
    with means.database.read() as session:
        return invitations(session, None)


def _find(means: Means, secret: str) -> InvitationRow | None:
    with means.database.read() as session:
        return find_invitation(session, fingerprint(secret))
