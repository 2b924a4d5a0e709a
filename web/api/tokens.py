"""The JSON API of personal tokens: everybody's own, made, listed and ended."""

from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth.door import ApiError, read_json, require_account
from auth.gate import Gate
from auth.identity import Identity
from auth.secrets import PERSONAL, fingerprint, hint, new_secret
from storage.database import now
from storage.scopes import Scopes, write_scopes
from storage.tokens import ACCESS_TOKENS, AccessTokenRow, access_tokens, create_access_token, delete_access_token
from web.api import fields
from web.means import means_of

DAYS, MOST_DAYS = 365, 3650  # that a token is good, unless said otherwise, and at most


async def list_tokens(request: Request) -> Response:
    """The caller's personal tokens; never their secrets."""
    gate = means_of(request).gate
    identity = await require_account(request, gate)

    rows = await gate.database.look(_read, gate, identity)
    return JSONResponse({"tokens": [_token(row) for row in rows]})


async def post_token(request: Request) -> Response:
    """Makes a personal token, narrowed to `scopes` if it is given. Its secret is in this answer and nowhere else."""
    gate = means_of(request).gate
    identity = await require_account(request, gate)

    row, secret = await make_token(gate, identity, await read_json(request))
    return JSONResponse(_token(row) | {"token": secret}, 201)


async def delete_token(request: Request) -> Response:
    """Ends one of the caller's personal tokens at once."""
    gate = means_of(request).gate
    identity = await require_account(request, gate)

    await anyio.to_thread.run_sync(end_token, gate, identity, request.path_params["id"])
    return Response(status_code=204)


ROUTES = [
    Route("/api/v1/user/tokens", list_tokens, methods=["GET"]),
    Route("/api/v1/user/tokens", post_token, methods=["POST"]),
    Route("/api/v1/user/tokens/{id}", delete_token, methods=["DELETE"]),
]


async def make_token(gate: Gate, identity: Identity, body: dict[str, Any]) -> tuple[AccessTokenRow, str]:
    """A new personal token and its secret, for other doors too. Raises ApiError."""
    fields.only(body, "name", "expires_in_days", "scopes")
    name, expires_at = fields.text(body, "name"), _expiry(body.get("expires_in_days", DAYS))
    secret, scopes = new_secret(PERSONAL), fields.scopes(body)
    return await anyio.to_thread.run_sync(_create, gate, identity, name, secret, expires_at, scopes), secret


def end_token(gate: Gate, identity: Identity, token_id: str) -> None:
    """Ends a personal token of the caller's at once, for other doors too. Raises ApiError."""
    assert identity.user_id is not None
    row = next((row for row in _read(gate, identity) if str(row.id) == token_id), None)
    if row is None:
        raise ApiError(404, "not_found", f"you have no token {token_id[:20]!r}")
    delete_access_token(gate.database, identity.actor(), identity.user_id, row.id)


def _expiry(days: Any) -> int | None:
    if days is None:
        return None
    if not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= MOST_DAYS:
        most = MOST_DAYS
        raise fields.bad(f"'expires_in_days' must be a number from 1 to {most}, or null for a token without end")
    return now() + days * fields.DAY


def _token(row: AccessTokenRow) -> dict[str, Any]:
    times = {field: fields.moment(getattr(row, field)) for field in ("created_at", "expires_at", "used_at")}
    return {"id": row.id, "name": row.name, "hint": row.hint, "scopes": write_scopes(row.scopes)} | times


def _read(gate: Gate, identity: Identity) -> list[AccessTokenRow]:
    assert identity.user_id is not None
    with gate.database.read() as session:
        return access_tokens(session, identity.user_id)


def _create(
    gate: Gate, identity: Identity, name: str, secret: str, expires_at: int | None, scopes: Scopes | None
) -> AccessTokenRow:
    assert identity.user_id is not None
    if len(_read(gate, identity)) >= ACCESS_TOKENS:
        raise ApiError(409, "conflict", f"you have {ACCESS_TOKENS} tokens; delete one first")
    token_id = create_access_token(
        gate.database,
        identity.actor(),
        identity.user_id,
        name=name,
        hint=hint(secret),
        secret_sha256=fingerprint(secret),
        expires_at=expires_at,
        scopes=scopes,
    )
    return next(row for row in _read(gate, identity) if row.id == token_id)
