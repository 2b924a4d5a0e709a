"""The JSON API of the caller's own account: who they are, and what they say of themselves."""

from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth.door import read_json, require, require_account, unauthorized
from auth.identity import Identity
from storage.scopes import write_scopes
from storage.users import find_user, set_profile
from web.api import fields
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

    await anyio.to_thread.run_sync(_change, means, identity, body)
    return JSONResponse(await means.database.look(_me, means, identity))


ROUTES = [
    Route("/api/v1/user", get_me, methods=["GET"]),
    Route("/api/v1/user", patch_me, methods=["PATCH"]),
]


def _change(means: Means, identity: Identity, body: dict[str, Any]) -> None:
    assert identity.user_id is not None
    full_name = fields.full_name(body) if "full_name" in body else None
    email = fields.email(body) if "email" in body else None
    set_profile(means.database, identity.actor(), identity.user_id, full_name=full_name, email=email)


def _me(means: Means, identity: Identity) -> dict[str, Any]:
    said: dict[str, Any] = {"id": identity.user_id, "name": identity.name, "role": identity.role}
    with means.database.read() as session:
        row = None if identity.robot else find_user(session, identity.name)
    if row is None and not identity.robot:
        raise unauthorized("your account was removed")
    profile = {"full_name": row.full_name, "email": row.email} if row is not None else {"full_name": "", "email": ""}
    return said | profile | {"scopes": write_scopes(identity.scopes)}
