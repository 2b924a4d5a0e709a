"""Passkeys of people: made for an account, and signed in with in the place of password and second factor."""

from typing import Any

import anyio.to_thread
from starlette.requests import Request

from auth.challenge import Origin
from auth.gate import Gate, SignInRefused
from auth.identity import Identity, identity_of
from auth.passkeys import (
    ALONE,
    BadPasskey,
    Party,
    credential_of,
    party_of,
    read_registration,
    read_signature,
    registration_options,
    sign_in_options,
)
from auth.secrets import fingerprint
from auth.sessions import is_same_site, open_for
from auth.totp import new_recovery_codes
from storage.passkeys import find_passkey, passkeys
from storage.second_factors import add_passkey, sign_in_by_passkey
from storage.users import identity_row

NOWHERE = "passkeys need https and a host name; this hub is reached without, so use an authenticator app"


def new_passkey_options(gate: Gate, origin: Origin, identity: Identity) -> dict[str, Any]:
    """What a browser is asked to make for somebody who has shown who they are. Raises BadPasskey."""
    assert identity.user_id is not None
    with gate.database.read() as session:
        known = passkeys(session, identity.user_id)
    return registration_options(gate.secret_key, _party(origin), identity.user_id, identity.name, known)


def keep_passkey(gate: Gate, origin: Origin, identity: Identity, name: str, brought: str) -> list[str]:
    """Keeps what the browser has made, under that name; answers the recovery codes that came with it, if any did.

    Raises BadPasskey and Conflict.
    """
    assert identity.user_id is not None
    made, challenge = read_registration(gate.secret_key, _party(origin), identity.user_id, name, brought)
    codes = new_recovery_codes()
    kept = [fingerprint(one) for one in codes]
    new = add_passkey(gate.database, identity.actor(), identity.user_id, made, challenge, kept)
    return codes if new else []


def alone_options(gate: Gate, origin: Origin) -> dict[str, Any] | None:
    """What a browser is asked to sign where nobody has said yet who they are; None where there are no passkeys."""
    party = party_of(origin)
    return None if party is None else sign_in_options(gate.secret_key, party, ALONE, "", [])


async def sign_in_alone(request: Request, gate: Gate, brought: str) -> str:
    """Signs a browser in by a passkey that has checked who holds it; answers the value of its `Set-Cookie` header.

    Raises SignInRefused, with `retry_after` when too much came from that address.
    """
    origin = gate.origins.of(request.scope)
    if not is_same_site(request, gate):
        raise SignInRefused("sign in on the hub's own page")
    await gate.admit(origin.address)
    try:
        identity = await anyio.to_thread.run_sync(_find, gate, origin, brought)
    except BadPasskey as problem:
        raise SignInRefused(str(problem)) from None
    await gate.forgive(origin.address)
    return await open_for(request, gate, identity)


def _find(gate: Gate, origin: Origin, brought: str) -> Identity:
    party, credential_id = _party(origin), credential_of(brought)
    with gate.database.read() as session:
        passkey = find_passkey(session, credential_id)
    if passkey is None:
        raise BadPasskey("this hub does not know that passkey; sign in with your password")
    signed = read_signature(gate.secret_key, party, ALONE, "", passkey, brought)
    if not sign_in_by_passkey(gate.database, passkey.user_id, signed):
        raise BadPasskey("this was answered before, or too late; reload the page and try again")
    with gate.database.read() as session:
        row = identity_row(session, passkey.user_id)
    if row is None:
        raise BadPasskey("this hub does not know that passkey; sign in with your password")
    return identity_of(row, origin.address)


def _party(origin: Origin) -> Party:
    party = party_of(origin)
    if party is None:
        raise BadPasskey(NOWHERE)
    return party
