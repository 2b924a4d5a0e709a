"""The JSON API of second factors: one's own, set up and taken away, and an administrator's way out for others."""

from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth.challenge import Origin
from auth.door import ApiError, read_json, refused, require_account, require_administrator
from auth.gate import Gate, SignInRefused
from auth.identity import Identity
from auth.own_passkeys import keep_passkey, new_passkey_options
from auth.passkeys import BadPasskey
from auth.second_factor import begin_app, confirm_app, new_codes, prove, read_factors
from auth.totp import totp_text, totp_uri
from storage.passkeys import PasskeyRow
from storage.second_factors import remove_passkey, remove_second_factor, remove_totp
from storage.users import UserRow
from web.api import fields
from web.api.accounts import find_subject
from web.means import Means, means_of

ME = "/api/v1/user/second-factor"
LONGEST_NAME = 100


async def get_second_factor(request: Request) -> Response:
    """What the caller has."""
    means = means_of(request)
    identity = await require_account(request, means.gate)

    return JSONResponse(await means.database.look(_document, means, identity))


async def post_totp(request: Request) -> Response:
    """Begins to set up an authenticator app: its secret is in this answer and nowhere else."""
    means = means_of(request)
    identity = await require_account(request, means.gate)

    secret = await begin_totp(means.gate, identity, await read_json(request))
    uri = totp_uri(secret, identity.name, means.gate.origins.of(request.scope).host)
    return JSONResponse({"secret": totp_text(secret).replace(" ", ""), "uri": uri}, 201)


async def post_totp_code(request: Request) -> Response:
    """Has the app count, by its first `code`; recovery codes are in this answer if it is the first second factor."""
    means = means_of(request)
    identity = await require_account(request, means.gate)
    body = await read_json(request)
    fields.only(body, "code")

    return JSONResponse({"recovery_codes": await confirm_totp(means.gate, identity, fields.text(body, "code"))})


async def post_totp_removal(request: Request) -> Response:
    """Takes the caller's authenticator app away."""
    means = means_of(request)
    identity = await require_account(request, means.gate)

    await take_totp_away(means.gate, identity, await read_json(request))
    return Response(status_code=204)


async def post_recovery_codes(request: Request) -> Response:
    """Makes other recovery codes, which are in this answer and nowhere else."""
    means = means_of(request)
    identity = await require_account(request, means.gate)

    return JSONResponse({"recovery_codes": await make_codes(means.gate, identity, await read_json(request))}, 201)


async def post_passkey_removal(request: Request) -> Response:
    """Takes one of the caller's passkeys away."""
    means = means_of(request)
    identity = await require_account(request, means.gate)

    await take_passkey_away(means.gate, identity, request.path_params["id"], await read_json(request))
    return Response(status_code=204)


async def delete_second_factor(request: Request) -> Response:
    """Takes all away that a user signs in with beside the password, who lost it; for administrators."""
    gate = means_of(request).gate
    identity = await require_administrator(request, gate)
    row = await find_subject(gate, identity, request.path_params["name"])

    await free_user(gate, identity, row)
    return Response(status_code=204)


ROUTES = [
    Route(ME, get_second_factor, methods=["GET"]),
    Route(f"{ME}/totp", post_totp, methods=["POST"]),
    Route(f"{ME}/totp/confirm", post_totp_code, methods=["POST"]),
    Route(f"{ME}/totp/remove", post_totp_removal, methods=["POST"]),
    Route(f"{ME}/passkeys/{{id}}/remove", post_passkey_removal, methods=["POST"]),
    Route(f"{ME}/recovery-codes", post_recovery_codes, methods=["POST"]),
    Route("/api/v1/users/{name}/second-factor", delete_second_factor, methods=["DELETE"]),
]


async def begin_totp(gate: Gate, identity: Identity, body: dict[str, Any]) -> bytes:
    """The secret of an authenticator app that waits for its first code, for other doors too. Raises ApiError."""
    await require_proof(gate, identity, body)
    return await begin_app(gate, identity)


async def confirm_totp(gate: Gate, identity: Identity, code: str) -> list[str]:
    """Has it count; the recovery codes that came with it, for other doors too. Raises ApiError."""
    try:
        return await confirm_app(gate, identity, code)
    except SignInRefused as refusal:
        raise _bad(refusal) from None


async def take_totp_away(gate: Gate, identity: Identity, body: dict[str, Any]) -> None:
    """Takes the app away, for other doors too. Raises ApiError."""
    await require_proof(gate, identity, body)
    assert identity.user_id is not None
    await anyio.to_thread.run_sync(remove_totp, gate.database, identity.actor(), identity.user_id)


async def begin_passkey(gate: Gate, origin: Origin, identity: Identity, body: dict[str, Any]) -> dict[str, Any]:
    """What a browser is asked to make, for the page: programs have no authenticator. Raises ApiError."""
    await require_proof(gate, identity, body)
    try:
        return await gate.database.look(new_passkey_options, gate, origin, identity)
    except BadPasskey as problem:
        raise fields.bad(str(problem)) from None


async def register_passkey(gate: Gate, origin: Origin, identity: Identity, body: dict[str, Any]) -> list[str]:
    """Keeps a passkey by the `name` and the `credential` of a page; the recovery codes that came with it.

    Raises ApiError.
    """
    name = passkey_name(body)
    try:
        return await anyio.to_thread.run_sync(keep_passkey, gate, origin, identity, name, body.get("credential", ""))
    except BadPasskey as problem:
        raise fields.bad(str(problem)) from None


def passkey_name(body: dict[str, Any]) -> str:
    """What somebody calls a passkey. Raises ApiError."""
    name = fields.text(body, "name")
    if len(name) > LONGEST_NAME:
        raise fields.bad(f"'name' has at most {LONGEST_NAME} characters")
    return name


async def take_passkey_away(gate: Gate, identity: Identity, given: str, body: dict[str, Any]) -> None:
    """Takes the passkey of that number away, for other doors too. Raises ApiError."""
    number = fields.row_number(given, "passkey")
    await require_proof(gate, identity, body)
    assert identity.user_id is not None
    await anyio.to_thread.run_sync(remove_passkey, gate.database, identity.actor(), identity.user_id, number)


async def make_codes(gate: Gate, identity: Identity, body: dict[str, Any]) -> list[str]:
    """Other recovery codes, for other doors too. Raises ApiError."""
    await require_proof(gate, identity, body)
    return await anyio.to_thread.run_sync(new_codes, gate, identity)


async def free_user(gate: Gate, identity: Identity, row: UserRow) -> None:
    """Takes a user's second factor away, for other doors too. Raises ApiError."""
    if row.id == identity.user_id:
        raise ApiError(403, "forbidden", "remove your own second factor on the page /account/second-factor")
    await anyio.to_thread.run_sync(remove_second_factor, gate.database, identity.actor(), row.id)


async def require_proof(gate: Gate, identity: Identity, body: dict[str, Any]) -> None:
    """Has the caller show once more who they are, by the `proof` of a request. Raises ApiError."""
    fields.only(body, "proof")
    try:
        await prove(gate, identity, fields.text(body, "proof", ""))
    except SignInRefused as refusal:
        raise _bad(refusal) from None


def _bad(refusal: SignInRefused) -> ApiError:
    """A wrong proof is no 401: the caller is signed in."""
    return refused(refusal) if refusal.retry_after else fields.bad(str(refusal))


def _document(means: Means, identity: Identity) -> dict[str, Any]:
    has = read_factors(means.gate, identity)
    return {
        "enabled": has.enabled,
        "totp": None if has.totp_since is None else {"created_at": fields.moment(has.totp_since)},
        "passkeys": [_passkey(row) for row in has.passkeys],
        "recovery_codes": has.recovery_codes,
    }


def _passkey(row: PasskeyRow) -> dict[str, Any]:
    moments = {"created_at": fields.moment(row.created_at), "used_at": fields.moment(row.used_at)}
    return {"id": row.id, "name": row.name, **moments}
