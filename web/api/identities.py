"""The JSON API of the caller's identities at providers, by which they sign in without a password."""

from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth.door import require_account
from auth.identity import Identity
from storage.sign_on import IdentityRow, identities, unlink
from web.api import fields
from web.means import Means, means_of


async def list_identities(request: Request) -> Response:
    """The caller's identities. New ones are linked on the page of the account, where the provider asks who it is."""
    means = means_of(request)
    identity = await require_account(request, means.gate)

    rows = await means.database.look(read_identities, means, identity)
    return JSONResponse({"identities": [_identity(row) for row in rows]})


async def delete_identity(request: Request) -> Response:
    """Unlinks one: it signs nobody in here any more."""
    means = means_of(request)
    identity = await require_account(request, means.gate)

    await anyio.to_thread.run_sync(end_identity, means, identity, request.path_params["number"])
    return Response(status_code=204)


ROUTES = [
    Route("/api/v1/user/identities", list_identities, methods=["GET"]),
    Route("/api/v1/user/identities/{number}", delete_identity, methods=["DELETE"]),
]


def read_identities(means: Means, identity: Identity) -> list[IdentityRow]:
    """The caller's identities, for other doors too."""
    assert identity.user_id is not None
    with means.database.read() as session:
        return identities(session, identity.user_id)


def end_identity(means: Means, identity: Identity, number: str) -> None:
    """Unlinks one, for other doors too. Raises ApiError and Conflict."""
    assert identity.user_id is not None
    unlink(means.database, identity.actor(), identity.user_id, fields.row_number(number, "identity"))


def _identity(row: IdentityRow) -> dict[str, Any]:
    said: dict[str, Any] = {"id": row.id, "provider": row.provider, "label": row.label, "subject": row.subject}
    return said | {"created_at": fields.moment(row.created_at), "used_at": fields.moment(row.used_at)}
