"""The JSON API of accounts: the hub's users, made, changed and ended by administrators."""

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
from auth.secrets import RESET, fingerprint, new_secret
from storage.database import now
from storage.departures import delete_user as delete_row
from storage.events import Actor
from storage.invitations import create_password_reset
from storage.namespaces import NamespaceRow, find_holder
from storage.users import (
    ROLES,
    SORTS,
    STATES,
    Narrowing,
    UserRow,
    activate_user,
    create_user,
    deactivate_user,
    find_user,
    place,
    set_password,
    set_role,
    users,
)
from web.api import fields

RESET_LIFE = fields.DAY  # of a link by which somebody sets a new password


async def list_users(request: Request) -> Response:
    """Users, a page at a time, narrowed as the address says; for administrators."""
    await require_administrator(request, _gate(request))

    after, limit = fields.page(request)
    narrowing = read_narrowing(request, after)
    rows = await _gate(request).database.look(_read_users, _gate(request), narrowing, after, limit)
    following = fields.following([place(row, narrowing.sort) for row in rows], limit)
    return JSONResponse({"users": [user_document(row) for row in rows], "next": following})


async def post_user(request: Request) -> Response:
    """Makes a user. Without a password in the request one is made up and shown in the answer, once."""
    identity = await require_administrator(request, _gate(request))
    row, password = await make_user(_gate(request), identity, await read_json(request))

    made_up = {} if password is None else {"password": password}
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

    await anyio.to_thread.run_sync(change_user, _gate(request), identity, row, body)
    return JSONResponse(user_document(await _subject(request, identity)))


async def delete_user(request: Request) -> Response:
    """Removes a user for good; what they own goes to the `heir` of the query, a user or a team. For administrators."""
    gate = _gate(request)
    identity = await require_administrator(request, gate)
    row = await _subject(request, identity)

    await end_user(gate, identity, row, request.query_params.get("heir"))
    return Response(status_code=204)


async def put_password(request: Request) -> Response:
    """Sets a user's password: by an administrator, or by the user with the `current` one."""
    identity = await require_account(request, _gate(request))
    row = await _subject(request, identity)

    await change_password(_gate(request), identity, row, await read_json(request))
    return Response(status_code=204)


async def post_password_reset(request: Request) -> Response:
    """Makes a link by which a user sets a new password, for administrators; it is in this answer and nowhere else."""
    gate = _gate(request)
    identity = await require_administrator(request, gate)
    fields.only(await read_json(request))
    row = await _subject(request, identity)

    secret, expires_at = await make_reset(gate, identity, row)
    link = f"{gate.origins.of(request.scope).url}/password-reset/{secret}"
    return JSONResponse({"secret": secret, "link": link, "expires_at": fields.moment(expires_at)}, 201)


ROUTES = [
    Route("/api/v1/users", list_users, methods=["GET"]),
    Route("/api/v1/users", post_user, methods=["POST"]),
    Route("/api/v1/users/{name}", get_user, methods=["GET"]),
    Route("/api/v1/users/{name}", patch_user, methods=["PATCH"]),
    Route("/api/v1/users/{name}", delete_user, methods=["DELETE"]),
    Route("/api/v1/users/{name}/password", put_password, methods=["PUT"]),
    Route("/api/v1/users/{name}/password-reset", post_password_reset, methods=["POST"]),
]


def read_narrowing(request: Request, after: str) -> Narrowing:
    """Which users the address means, for pages too. Raises ApiError."""
    beginning = request.query_params.get("q", "").strip().lower()[:64]  # as all names are
    role, state = fields.asked(request, "role", ROLES), fields.asked(request, "state", STATES)
    sort = fields.asked(request, "sort", SORTS, "name")
    if sort == "newest" and after and not (after.isascii() and after.isdigit() and len(after) < 19):
        raise fields.bad("'after' must be what an answer gave as 'next'")
    return Narrowing(beginning, role, state, sort)


def user_document(row: UserRow) -> dict[str, Any]:
    """A user as administrators and they themselves see them."""
    return asdict(row) | {"created_at": fields.moment(row.created_at)}


async def make_user(gate: Gate, identity: Identity, body: dict[str, Any]) -> tuple[UserRow, str | None]:
    """A new user, and the password that was made up for want of one, for other doors too. Raises ApiError."""
    fields.only(body, "name", "role", "password")
    name, role = fields.text(body, "name"), fields.choice(body, "role", ROLES, "user")
    chosen = fields.password(body) if "password" in body else None
    password = chosen or secrets.token_urlsafe(15)

    password_hash = await gate.passwords.hash(password)
    row = await anyio.to_thread.run_sync(_create_user, gate, identity.actor(), name, password_hash, role)
    return row, None if chosen else password


def change_user(gate: Gate, identity: Identity, row: UserRow, body: dict[str, Any]) -> None:
    """Changes a user's `role` or whether they are `active`, for other doors too. Raises ApiError."""
    if body.keys() - {"role", "active"} or not isinstance(body.get("active", True), bool):
        raise fields.bad("what can be changed is 'role' and 'active' (true or false)")
    role = fields.choice(body, "role", ROLES, row.role)
    if role != row.role:
        set_role(gate.database, identity.actor(), row.id, role)
    active = body.get("active", row.active)
    if active != row.active:
        change = activate_user if active else deactivate_user
        change(gate.database, identity.actor(), row.id)


async def end_user(gate: Gate, identity: Identity, row: UserRow, heir: str | None) -> None:
    """Removes a user for good, whose things go to the heir of that name, for other doors too. Raises ApiError."""
    found = await gate.database.look(_heir, gate, heir) if heir is not None else None
    await anyio.to_thread.run_sync(delete_row, gate.database, identity.actor(), row.id, found)


async def change_password(gate: Gate, identity: Identity, row: UserRow, body: dict[str, Any]) -> None:
    """Sets a user's `password`, one's own with the `current` one, for other doors too. Raises ApiError."""
    fields.only(body, "current", "password")
    password = fields.password(body)
    if not identity.administrator or row.id == identity.user_id:
        try:
            await gate.by_password(row.name, fields.text(body, "current"), identity.address)
        except SignInRefused as refusal:
            raise refused(refusal) if refusal.retry_after else fields.bad("the current password is wrong") from None

    password_hash = await gate.passwords.hash(password)
    await anyio.to_thread.run_sync(set_password, gate.database, identity.actor(), row.id, password_hash)


async def make_reset(gate: Gate, identity: Identity, row: UserRow) -> tuple[str, int]:
    """The secret of a link by which a user sets a new password, and when it ends, for other doors too.

    Raises ApiError.
    """
    if row.id == identity.user_id:
        raise ApiError(403, "forbidden", "for yourself set a new password with the current one")
    secret, expires_at = new_secret(RESET), now() + RESET_LIFE
    await anyio.to_thread.run_sync(_create_reset, gate, identity.actor(), row, secret, expires_at)
    return secret, expires_at


async def find_subject(gate: Gate, identity: Identity, name: str) -> UserRow:
    """The user of that name, for administrators and for the user; for everybody else there is none: an ApiError."""
    row = await gate.database.look(_read_user, gate, name)
    if row is None or not (identity.administrator or row.id == identity.user_id):
        raise ApiError(404, "not_found", f"there is no user {name[:64]!r}, or you may not see it")
    return row


def _gate(request: Request) -> Gate:
    gate: Gate = request.app.state.gate
    return gate


async def _subject(request: Request, identity: Identity) -> UserRow:
    return await find_subject(_gate(request), identity, request.path_params["name"])


def _read_users(gate: Gate, narrowing: Narrowing, after: str, limit: int) -> list[UserRow]:
    with gate.database.read() as session:
        return users(session, narrowing, after=after, limit=limit)


def _read_user(gate: Gate, name: str) -> UserRow | None:
    with gate.database.read() as session:
        return find_user(session, name)


def _create_user(gate: Gate, actor: Actor, name: str, password_hash: str, role: str) -> UserRow:
    create_user(gate.database, actor, name, password_hash=password_hash, role=role)
    row = _read_user(gate, name)
    assert row is not None
    return row


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
