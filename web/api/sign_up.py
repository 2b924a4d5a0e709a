"""The JSON API of those who are not signed in: making one's own account, setting a new password by a link."""

from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth.door import ApiError, read_json, refused
from auth.gate import SignInRefused
from auth.secrets import fingerprint
from storage.arrivals import Newcomer, sign_up
from storage.invitations import find_invitation
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
    fields.only(body, "name", "password", "full_name", "email", "invitation")
    _refuse_closed(means)
    secret = _invitation(means, body)
    name, password = fields.text(body, "name"), fields.password(body)
    profile = Profile(fields.full_name(body), fields.email(body))
    address = means.gate.origins.of(request.scope).address

    if secret is not None:
        await means.database.look(_refuse_bad, means, secret)
    password_hash = await _hashed(means, address, password, name)
    newcomer = Newcomer(name, password_hash, profile, address)
    row = await anyio.to_thread.run_sync(_sign_up, means, newcomer, secret)
    if secret is not None:
        await means.gate.forgive(address)
    return JSONResponse(user_document(row), 201)


ROUTES = [
    Route("/api/v1/sign-up", post_sign_up, methods=["POST"]),
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


async def _hashed(means: Means, address: str, password: str, name: str) -> str:
    """The password's hash. What is taken is found out before that work, and counted, so that names are not tried."""
    try:
        await means.gate.admit(address)
        await means.database.look(_refuse_taken, means, name)
        return await means.gate.hash_new(password)
    except SignInRefused as refusal:
        raise refused(refusal) from None


def _refuse_bad(means: Means, secret: str) -> None:
    with means.database.read() as session:
        if find_invitation(session, fingerprint(secret)) is None:
            raise absent_invitation()


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
