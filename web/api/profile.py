"""The JSON API of the caller's own account: who they are, and what they say of themselves."""

from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth.door import ApiError, read_json, require, require_account, unauthorized
from auth.identity import Identity
from storage.scopes import write_scopes
from storage.users import UserRow, find_user, set_profile
from web.api import fields
from web.api.accounts import end_user
from web.means import Means, means_of


async def get_me(request: Request) -> Response:
    """Who the caller is, and to what scopes their token is narrowed."""
    means = means_of(request)
    identity = await require(request, means.gate)

    return JSONResponse(await means.database.look(_me, means, identity))


async def patch_me(request: Request) -> Response:
    """Changes the caller's `full_name` or `email`; what is not in the request stays."""
    means = means_of(request)
    identity = await require_account(request, means.gate)
    body = await read_json(request)
    fields.only(body, "full_name", "email")

    await anyio.to_thread.run_sync(change_me, means, identity, body)
    return JSONResponse(await means.database.look(_me, means, identity))


async def delete_me(request: Request) -> Response:
    """Removes the caller's account for good; what they own goes to the `heir` of the query, a user or a team."""
    means = means_of(request)
    identity = await require_account(request, means.gate)
    if identity.by_token:
        raise ApiError(403, "forbidden", "a token alone ends no account; use your password, or the page /account/name")
    row = await means.database.look(read_me, means, identity)

    await end_user(means.gate, identity, row, request.query_params.get("heir"))
    return Response(status_code=204)


ROUTES = [
    Route("/api/v1/user", get_me, methods=["GET"]),
    Route("/api/v1/user", patch_me, methods=["PATCH"]),
    Route("/api/v1/user", delete_me, methods=["DELETE"]),
]


def read_me(means: Means, identity: Identity) -> UserRow:
    """The caller's own account, for other doors too. Raises ApiError if it was removed meanwhile."""
    with means.database.read() as session:
        row = find_user(session, identity.name)
    if row is None:
        raise unauthorized("your account was removed")
    return row


def change_me(means: Means, identity: Identity, body: dict[str, Any]) -> None:
    """Changes what the caller says of themselves, for other doors too. Raises ApiError."""
    assert identity.user_id is not None
    full_name = fields.full_name(body) if "full_name" in body else None
    email = fields.email(body) if "email" in body else None
    set_profile(means.database, identity.actor(), identity.user_id, full_name=full_name, email=email)


def _me(means: Means, identity: Identity) -> dict[str, Any]:
    said: dict[str, Any] = {"id": identity.user_id, "name": identity.name, "role": identity.role}
    row = None if identity.robot else read_me(means, identity)  # robots say nothing of themselves
    profile = {"full_name": row.full_name if row else "", "email": row.email if row else ""}
    return said | profile | {"scopes": write_scopes(identity.scopes)}
