"""The JSON API of those who are not signed in: making one's own account, setting a new password by a link."""

from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth.door import ApiError, read_json, refused
from auth.gate import SignInRefused
from auth.secrets import fingerprint
from storage.arrivals import Newcomer, reset_password, sign_up
from storage.invitations import find_invitation, find_password_reset
from storage.namespaces import refuse_taken
from storage.users import Profile, UserRow, find_user
from web.api import fields
from web.api.accounts import user_document
from web.api.invitations import absent_invitation
from web.means import Means, means_of


async def post_sign_up(request: Request) -> Response:
    """Makes an account for whoever asks: with an invitation, or without one where the hub is open."""
    means = means_of(request)
    body = await read_json(request)
    row = await make_account(means, body, means.gate.origins.of(request.scope).address)
    return JSONResponse(user_document(row), 201)


async def make_account(means: Means, body: dict[str, Any], address: str) -> UserRow:
    """The same for other doors: the new user, by what they sent. Raises ApiError, InvalidName and Conflict."""
    fields.only(body, "name", "password", "full_name", "email", "invitation")
    _refuse_closed(means)
    secret = _invitation(means, body)
    name, password = fields.text(body, "name"), fields.password(body)
    profile = Profile(fields.full_name(body), fields.email(body))

    if secret is not None:
        await means.database.look(_refuse_bad, means, secret)
    password_hash = await _hashed(means, address, password, name)
    newcomer = Newcomer(name, password_hash, profile, address)
    row = await anyio.to_thread.run_sync(_sign_up, means, newcomer, secret)
    if secret is not None:
        await means.gate.forgive(address)
    return row


async def post_password_reset(request: Request) -> Response:
    """Sets a new password by a link, and ends what was signed in with the old one; answers whose it is."""
    means = means_of(request)
    body = await read_json(request)
    return JSONResponse({"name": await reset_by_link(means, body, means.gate.origins.of(request.scope).address)})


async def reset_by_link(means: Means, body: dict[str, Any], address: str) -> str:
    """The same for other doors: the user's name. Raises ApiError, of status 404 for a link that is not good."""
    fields.only(body, "secret", "password")
    secret, password = fields.text(body, "secret"), fields.password(body)

    await means.database.look(_refuse_bad_reset, means, secret)
    password_hash = await _hashed(means, address, password)
    name = await anyio.to_thread.run_sync(reset_password, means.database, fingerprint(secret), password_hash, address)
    if name is None:
        raise _absent_reset()
    await means.gate.forgive(address)
    return name


ROUTES = [
    Route("/api/v1/sign-up", post_sign_up, methods=["POST"]),
    Route("/api/v1/password-reset", post_password_reset, methods=["POST"]),
]


def _refuse_closed(means: Means) -> None:
    if means.sign_up == "closed":
        raise ApiError(403, "forbidden", "nobody can sign up at this hub; ask an administrator for an account")


def _invitation(means: Means, body: dict[str, Any]) -> str | None:
    """The secret of the invitation that was sent, which only an open hub does without."""
    if "invitation" in body:
        return fields.text(body, "invitation")
    if means.sign_up != "open":
        raise ApiError(
            403, "forbidden", "who signs up at this hub needs an invitation; ask an administrator or a team for one"
        )
    return None


async def _hashed(means: Means, address: str, password: str, name: str | None = None) -> str:
    """The password's hash, and that a new `name` is free. Each attempt is counted, so that names cannot be tried."""
    try:
        await means.gate.admit(address)
        if name is not None:
            await means.database.look(_refuse_taken, means, name)
        return await means.gate.hash_new(password)
    except SignInRefused as refusal:
        raise refused(refusal) from None


def _refuse_bad(means: Means, secret: str) -> None:
    with means.database.read() as session:
        if find_invitation(session, fingerprint(secret)) is None:
            raise absent_invitation()


def _refuse_bad_reset(means: Means, secret: str) -> None:
    with means.database.read() as session:
        if find_password_reset(session, fingerprint(secret)) is None:
            raise _absent_reset()


def _absent_reset() -> ApiError:
    return ApiError(404, "not_found", "this link has expired or was used; ask an administrator for a new one")


def _refuse_taken(means: Means, name: str) -> None:
    with means.database.read() as session:
        refuse_taken(session, name)


def _sign_up(means: Means, newcomer: Newcomer, secret: str | None) -> UserRow:
    made = sign_up(means.database, newcomer, fingerprint(secret) if secret is not None else None)
    if made is None:
        raise absent_invitation()
    with means.database.read() as session:
        row = find_user(session, newcomer.name)
    assert row is not None
    return row
