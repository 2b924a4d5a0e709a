"""The JSON API of accounts: the hub's users, and personal tokens."""

import secrets
from dataclasses import asdict
from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth.door import ApiError, read_json, refused, require_account, require_administrator
from auth.gate import Gate, SignInRefused
from auth.identity import Identity
from auth.secrets import PERSONAL, RESET, fingerprint, hint, new_secret
from storage.database import now
from storage.departures import delete_user as remove_user
from storage.events import Actor
from storage.invitations import create_password_reset
from storage.namespaces import NamespaceRow, find_holder
from storage.scopes import Scopes, write_scopes
from storage.tokens import AccessTokenRow, access_tokens, create_access_token, delete_access_token
from storage.users import (
    ROLES,
    UserRow,
    activate_user,
    create_user,
    deactivate_user,
    find_user,
    set_password,
    set_role,
    users,
)
from web.api import fields

TOKEN_DAYS, MOST_TOKEN_DAYS = 365, 3650
MOST_TOKENS = 100
DAY = 86_400_000
RESET_LIFE = DAY  # of a link by which somebody sets a new password


async def list_users(request: Request) -> Response:
    """All users by name, a page at a time; for administrators."""
    await require_administrator(request, _gate(request))

    after, limit = fields.page(request)
    rows = await _gate(request).database.look(_read_users, _gate(request), after, limit)
    return JSONResponse(
        {"users": [user_document(row) for row in rows], "next": fields.following([row.name for row in rows], limit)}
    )


async def post_user(request: Request) -> Response:
    """Makes a user. Without a password in the request one is made up and shown in the answer, once."""
    identity = await require_administrator(request, _gate(request))
    body = await read_json(request)
    name, role = fields.text(body, "name"), _role(body.get("role", "user"))
    password = fields.password(body) if "password" in body else secrets.token_urlsafe(15)

    password_hash = await _gate(request).passwords.hash(password)
    row = await anyio.to_thread.run_sync(_create_user, _gate(request), identity.actor(), name, password_hash, role)
    made_up = {} if "password" in body else {"password": password}
    return JSONResponse(user_document(row) | made_up, 201)


async def get_user(request: Request) -> Response:
    """One user; for administrators and for the user."""
    row = await _subject(request, await require_account(request, _gate(request)))

    return JSONResponse(user_document(row))


async def patch_user(request: Request) -> Response:
    """Changes a user's role or whether they are active; for administrators."""
    identity = await require_administrator(request, _gate(request))
    body = await read_json(request)
    row = await _subject(request, identity)

    await anyio.to_thread.run_sync(_change_user, _gate(request), identity.actor(), row, body)
    return JSONResponse(user_document(await _subject(request, identity)))


async def delete_user(request: Request) -> Response:
    """Removes a user for good; what they own goes to the `heir` of the query, a user or a team. For administrators."""
    gate = _gate(request)
    identity = await require_administrator(request, gate)
    row = await _subject(request, identity)
    named = request.query_params.get("heir")
    heir = await gate.database.look(_heir, gate, named) if named is not None else None

    await anyio.to_thread.run_sync(remove_user, gate.database, identity.actor(), row.id, heir)
    return Response(status_code=204)


async def put_password(request: Request) -> Response:
    """Sets a user's password: by an administrator, or by the user with the `current` one."""
    gate = _gate(request)
    identity = await require_account(request, gate)
    row = await _subject(request, identity)
    body = await read_json(request)
    password = fields.password(body)
    if not identity.administrator or row.id == identity.user_id:
        try:
            await gate.by_password(row.name, fields.text(body, "current"), identity.address)
        except SignInRefused as refusal:
            raise refused(refusal) if refusal.retry_after else fields.bad("the current password is wrong") from None

    password_hash = await gate.passwords.hash(password)
    await anyio.to_thread.run_sync(set_password, gate.database, identity.actor(), row.id, password_hash)
    return Response(status_code=204)


async def post_password_reset(request: Request) -> Response:
    """Makes a link by which a user sets a new password, for administrators; it is in this answer and nowhere else."""
    gate = _gate(request)
    identity = await require_administrator(request, gate)
    fields.only(await read_json(request))
    row = await _subject(request, identity)
    if row.id == identity.user_id:
        raise ApiError(403, "forbidden", "for yourself set a new password with the current one")
    secret, expires_at = new_secret(RESET), now() + RESET_LIFE

    await anyio.to_thread.run_sync(_create_reset, gate, identity.actor(), row, secret, expires_at)
    link = f"{gate.origins.of(request.scope).url}/password-reset/{secret}"
    return JSONResponse({"secret": secret, "link": link, "expires_at": fields.moment(expires_at)}, 201)


async def list_tokens(request: Request) -> Response:
    """The caller's personal tokens; never their secrets."""
    identity = await require_account(request, _gate(request))

    rows = await _gate(request).database.look(_read_tokens, _gate(request), identity)
    return JSONResponse({"tokens": [_token(row) for row in rows]})


async def post_token(request: Request) -> Response:
    """Makes a personal token, narrowed to `scopes` if it is given. Its secret is in this answer and nowhere else."""
    identity = await require_account(request, _gate(request))
    body = await read_json(request)
    fields.only(body, "name", "expires_in_days", "scopes")
    name, expires_at = fields.text(body, "name"), _expiry(body.get("expires_in_days", TOKEN_DAYS))
    scopes = fields.scopes(body)

    secret = new_secret(PERSONAL)
    row = await anyio.to_thread.run_sync(_create_token, _gate(request), identity, name, secret, expires_at, scopes)
    return JSONResponse(_token(row) | {"token": secret}, 201)


async def delete_token(request: Request) -> Response:
    """Ends one of the caller's personal tokens at once."""
    identity = await require_account(request, _gate(request))
    token_id = request.path_params["id"]

    if not await anyio.to_thread.run_sync(_delete_token, _gate(request), identity, token_id):
        raise ApiError(404, "not_found", f"you have no token {token_id[:20]!r}")
    return Response(status_code=204)


ROUTES = [
    Route("/api/v1/user/tokens", list_tokens, methods=["GET"]),
    Route("/api/v1/user/tokens", post_token, methods=["POST"]),
    Route("/api/v1/user/tokens/{id}", delete_token, methods=["DELETE"]),
    Route("/api/v1/users", list_users, methods=["GET"]),
    Route("/api/v1/users", post_user, methods=["POST"]),
    Route("/api/v1/users/{name}", get_user, methods=["GET"]),
    Route("/api/v1/users/{name}", patch_user, methods=["PATCH"]),
    Route("/api/v1/users/{name}", delete_user, methods=["DELETE"]),
    Route("/api/v1/users/{name}/password", put_password, methods=["PUT"]),
    Route("/api/v1/users/{name}/password-reset", post_password_reset, methods=["POST"]),
]


def user_document(row: UserRow) -> dict[str, Any]:
    """A user as administrators and they themselves see them."""
    return asdict(row) | {"created_at": fields.moment(row.created_at)}


def _gate(request: Request) -> Gate:
    gate: Gate = request.app.state.gate
    return gate


async def _subject(request: Request, identity: Identity) -> UserRow:
    """The user in the path, for administrators and for the user; for everybody else there is none."""
    name = request.path_params["name"]
    row = await _gate(request).database.look(_read_user, _gate(request), name)
    if row is None or not (identity.administrator or row.id == identity.user_id):
        raise ApiError(404, "not_found", f"there is no user {name[:64]!r}, or you may not see it")
    return row


def _role(value: Any) -> str:
    if not isinstance(value, str) or value not in ROLES:
        raise fields.bad(f"'role' must be one of {', '.join(ROLES)}")
    return value


def _expiry(days: Any) -> int | None:
    if days is None:
        return None
    if not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= MOST_TOKEN_DAYS:
        most = MOST_TOKEN_DAYS
        raise fields.bad(f"'expires_in_days' must be a number from 1 to {most}, or null for a token without end")
    return now() + days * DAY


def _token(row: AccessTokenRow) -> dict[str, Any]:
    times = {field: fields.moment(getattr(row, field)) for field in ("created_at", "expires_at", "used_at")}
    return {"id": row.id, "name": row.name, "hint": row.hint, "scopes": write_scopes(row.scopes)} | times


def _read_users(gate: Gate, after: str, limit: int) -> list[UserRow]:
    with gate.database.read() as session:
        return users(session, after=after, limit=limit)


def _read_user(gate: Gate, name: str) -> UserRow | None:
    with gate.database.read() as session:
        return find_user(session, name)


def _create_user(gate: Gate, actor: Actor, name: str, password_hash: str, role: str) -> UserRow:
    create_user(gate.database, actor, name, password_hash=password_hash, role=role)
    row = _read_user(gate, name)
    assert row is not None
    return row


def _change_user(gate: Gate, actor: Actor, row: UserRow, body: dict[str, Any]) -> None:
    if body.keys() - {"role", "active"} or not isinstance(body.get("active", True), bool):
        raise fields.bad("what can be changed is 'role' and 'active' (true or false)")
    role = _role(body.get("role", row.role))
    if role != row.role:
        set_role(gate.database, actor, row.id, role)
    active = body.get("active", row.active)
    if active != row.active:
        change = activate_user if active else deactivate_user
        change(gate.database, actor, row.id)


def _heir(gate: Gate, name: str) -> NamespaceRow:
    with gate.database.read() as session:
        row = find_holder(session, name)
    if row is None:
        raise fields.bad(f"the heir must be a user or a team, and there is none of the name {name[:64]!r}")
    return row


def _create_reset(gate: Gate, actor: Actor, row: UserRow, secret: str, expires_at: int) -> None:
    create_password_reset(
        gate.database, actor, row.id, row.name, secret_sha256=fingerprint(secret), expires_at=expires_at
    )


def _read_tokens(gate: Gate, identity: Identity) -> list[AccessTokenRow]:
    assert identity.user_id is not None
    with gate.database.read() as session:
        return access_tokens(session, identity.user_id)


def _create_token(
    gate: Gate, identity: Identity, name: str, secret: str, expires_at: int | None, scopes: Scopes | None
) -> AccessTokenRow:
    assert identity.user_id is not None
    if len(_read_tokens(gate, identity)) >= MOST_TOKENS:
        raise ApiError(409, "conflict", f"you have {MOST_TOKENS} tokens; delete one first")
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
    return next(row for row in _read_tokens(gate, identity) if row.id == token_id)


def _delete_token(gate: Gate, identity: Identity, token_id: str) -> bool:
    assert identity.user_id is not None
    row = next((row for row in _read_tokens(gate, identity) if str(row.id) == token_id), None)
    if row is not None:
        delete_access_token(gate.database, identity.actor(), identity.user_id, row.id)
    return row is not None
