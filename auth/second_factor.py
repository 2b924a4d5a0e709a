"""Second factors: setting them up, showing them, and the moment between the password and the second factor.

That moment is a row and a cookie of its own, good for five minutes and nothing else: no door takes it for a session.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import anyio.to_thread
from sqlalchemy.orm import Session as OrmSession
from starlette.requests import Request

from auth.challenge import Origin
from auth.gate import Gate, SignInRefused
from auth.identity import Identity
from auth.passkeys import SECOND, BadPasskey, credential_of, party_of, read_signature, sign_in_options
from auth.secret_rotation import keep_sealed
from auth.secrets import PENDING, fingerprint, is_secret, new_secret
from auth.sessions import cookie_name, cookie_of, is_same_site, open_for
from auth.totp import matching_step, new_recovery_codes, new_totp_secret, read_recovery_code, read_totp_code
from storage.database import Conflict
from storage.passkeys import PasskeyRow, passkeys
from storage.second_factors import (
    Factors,
    NewPending,
    PendingRow,
    Shown,
    TotpRow,
    begin_sign_in,
    begin_totp,
    confirm_totp,
    factors,
    find_pending,
    find_totp,
    finish_sign_in,
    replace_recovery_codes,
    show_factor,
)
from storage.users import identity_row

Found = TypeVar("Found")
COOKIE = "wasmhub-step"
PENDING_FOR = 300  # seconds between the password and the second factor
WRONG = "the code is wrong, or was used already"
WRONG_PASSKEY = "the passkey is not one of yours, or it took too long; try again"
_MISSING = "show who you are: your password, a code of your authenticator app, or a recovery code"


async def wait_for_factor(request: Request, gate: Gate, identity: Identity) -> str:
    """Has a browser wait whose user has shown the password; answers the value of its `Set-Cookie` header."""
    assert identity.user_id is not None
    new, cookie = begin_waiting(request, gate)
    await anyio.to_thread.run_sync(begin_sign_in, gate.database, identity.user_id, identity.generation, new)
    return cookie


def begin_waiting(request: Request, gate: Gate) -> tuple[NewPending, str]:
    """What is to be kept of a browser that is about to wait, and the value of its `Set-Cookie` header."""
    secret = new_secret(PENDING)
    cookie = cookie_of(gate.origins.of(request.scope), COOKIE, secret, PENDING_FOR)
    return NewPending(fingerprint(secret), PENDING_FOR * 1000), cookie


async def find_waiting(request: Request, gate: Gate) -> PendingRow | None:
    """Who waits in that browser to show the second factor; None if nobody does, or it took too long."""
    secret = _secret(request, gate.origins.of(request.scope))
    return None if secret is None else await gate.database.look(_read_pending, gate, secret)


async def waiting_options(request: Request, gate: Gate, waiting: PendingRow) -> dict[str, Any] | None:
    """What the browser of who waits is asked to sign; None for who has no passkey, or where there can be none."""
    origin = gate.origins.of(request.scope)
    party, secret = party_of(origin), _secret(request, origin)
    if party is None or secret is None:
        return None
    known = await gate.database.look(_read_passkeys, gate, waiting.user_id)
    return sign_in_options(gate.secret_key, party, SECOND, fingerprint(secret), known) if known else None


async def sign_in_with(request: Request, gate: Gate, waiting: PendingRow, code: str, brought: str) -> list[str]:
    """Opens a session for who waits and shows a right code, or has their browser bring what their passkey signed.

    Answers the values of two `Set-Cookie` headers. Raises SignInRefused, with `retry_after` when too many wrong codes
    were tried.
    """
    origin = gate.origins.of(request.scope)
    secret = _secret(request, origin)
    if secret is None or not is_same_site(request, gate):
        raise SignInRefused("sign in on the hub's own page")

    def finish() -> Identity | None:
        if brought:
            shown: Shown | None = _read_passkey(gate, origin, waiting.user_id, secret, brought)
        else:
            with gate.database.read() as session:
                shown = _read_code(gate, session, waiting.user_id, code)
        if shown is None or not finish_sign_in(gate.database, fingerprint(secret), shown, origin.address):
            return None
        with gate.database.read() as session:
            row = identity_row(session, waiting.user_id)
        return None if row is None else Identity(row.user_id, row.name, row.role, waiting.generation, origin.address)

    wrong = WRONG_PASSKEY if brought else WRONG
    try:
        identity = await _throttled(gate, waiting.user_id, origin.address, finish, wrong)
    except SignInRefused as refusal:
        reason = "wrong second factor" if refusal.retry_after is None else "too many attempts"
        gate.sign_ins.refuse("sign-in.second-factor", reason, origin.address, waiting.name)
        raise
    await gate.sign_ins.note("sign-in.second-factor", identity, f"second factor {identity.user_id}")
    cookie = await open_for(request, gate, identity, waiting.provider_id, waiting.provider_sid)
    return [cookie, cookie_of(origin, COOKIE, "", 0)]


async def prove(gate: Gate, identity: Identity, proof: str) -> None:
    """Has somebody who is signed in show once more who they are, by their password or a code of their second factor.

    Whoever has neither (they sign in at another service) shows nothing, but no token stands for them. Raises
    SignInRefused.
    """
    assert identity.user_id is not None
    has = await gate.database.look(read_factors, gate, identity)
    if not has.enabled and not has.has_password:
        if identity.by_token:
            raise SignInRefused("a token alone does not do here; sign in at the hub's page")
        return
    if not proof:
        raise SignInRefused(_MISSING)
    if has.enabled and (read_totp_code(proof) or read_recovery_code(proof)):
        user_id, actor = identity.user_id, identity.actor()

        def show() -> bool | None:
            with gate.database.read() as session:
                shown = _read_code(gate, session, user_id, proof)
            return (shown is not None and show_factor(gate.database, actor, user_id, shown)) or None

        await _throttled(gate, user_id, identity.address, show)
    else:
        try:
            await gate.by_password(identity.name, proof, identity.address)
        except SignInRefused as refusal:
            if refusal.retry_after is not None:
                raise
            raise SignInRefused("the password is wrong") from None


async def begin_app(gate: Gate, identity: Identity) -> bytes:
    """The secret of a new authenticator app, which counts once `confirm_app` had its first code. Raises Conflict."""
    assert identity.user_id is not None
    user_id, secret = identity.user_id, new_totp_secret()

    def keep(sealed: bytes) -> None:
        begin_totp(gate.database, identity.actor(), user_id, sealed)

    await anyio.to_thread.run_sync(keep_sealed, gate.secret_key, secret, keep)
    return secret


async def confirm_app(gate: Gate, identity: Identity, code: str) -> list[str]:
    """Has the app count that was begun, by its first code; answers the recovery codes that came with it, if any did.

    Raises SignInRefused for a wrong code, and Conflict if no app was begun or it took too long.
    """
    assert identity.user_id is not None
    user_id, codes = identity.user_id, new_recovery_codes()

    def confirm() -> bool | None:
        with gate.database.read() as session:
            row = find_totp(session, user_id)
        if row is None or row.confirmed:
            raise Conflict("no authenticator app waits for its first code; begin anew")
        step = _step(gate, row, read_totp_code(code) or "")
        if step is None:
            return None
        kept = [fingerprint(one) for one in codes]
        made = confirm_totp(gate.database, identity.actor(), user_id, begun_at=row.begun_at, step=step, codes=kept)
        return made

    made = await _throttled(gate, user_id, identity.address, confirm)
    return codes if made else []


def begun_secret(gate: Gate, identity: Identity) -> bytes | None:
    """The secret of the app that waits for its first code; None without one."""
    assert identity.user_id is not None
    with gate.database.read() as session:
        row = find_totp(session, identity.user_id)
    return None if row is None or row.confirmed else _opened(gate, row)


def new_codes(gate: Gate, identity: Identity) -> list[str]:
    """Other recovery codes in the place of those before. Raises Conflict for who has no second factor."""
    assert identity.user_id is not None
    codes = new_recovery_codes()
    kept = [fingerprint(one) for one in codes]
    replace_recovery_codes(gate.database, identity.actor(), identity.user_id, kept)
    return codes


def read_factors(gate: Gate, identity: Identity) -> Factors:
    """What somebody who is signed in has as a second factor."""
    assert identity.user_id is not None
    with gate.database.read() as session:
        return factors(session, identity.user_id)


async def _throttled(
    gate: Gate, user_id: int, address: str, find: Callable[[], Found | None], wrong: str = WRONG
) -> Found:
    """What a right code leads to. A wrong one, for which nothing is found, is counted for the user and the address."""
    account = f"second factor {user_id}"
    seconds = await gate.codes.take(account, address)
    if seconds:
        raise SignInRefused(f"too many wrong codes; try again in {seconds} s", seconds)
    found = await anyio.to_thread.run_sync(find)
    if found is None:
        raise SignInRefused(wrong)
    await gate.codes.succeeded(account, address)
    return found


def _read_code(gate: Gate, session: OrmSession, user_id: int, typed: str) -> Shown | None:
    """What was typed as a step of the user's app or as a recovery code; None for what can be neither."""
    code = read_totp_code(typed)
    if code is None:
        recovery = read_recovery_code(typed)
        return None if recovery is None else Shown(code_sha256=fingerprint(recovery))
    row = find_totp(session, user_id)
    step = None if row is None else _step(gate, row, code)
    return None if step is None else Shown(step=step)


def _read_passkey(gate: Gate, origin: Origin, user_id: int, secret: str, brought: str) -> Shown | None:
    """What a passkey of the user has signed for that browser; None for what is not good."""
    party = party_of(origin)
    known = {one.credential_id: one for one in _read_passkeys(gate, user_id)}
    try:
        passkey = known.get(credential_of(brought))
        if party is None or passkey is None:
            return None
        signed = read_signature(gate.secret_key, party, SECOND, fingerprint(secret), passkey, brought)
    except BadPasskey:
        return None
    return Shown(signed=signed)


def _read_passkeys(gate: Gate, user_id: int) -> list[PasskeyRow]:
    with gate.database.read() as session:
        return passkeys(session, user_id)


def _step(gate: Gate, row: TotpRow, code: str) -> int | None:
    secret = _opened(gate, row)
    return None if secret is None else matching_step(secret, code)


def _opened(gate: Gate, row: TotpRow) -> bytes | None:
    """An app's secret; None if it was sealed with a secret key that is no more. Then recovery codes are left."""
    try:
        return gate.secret_key.unseal(row.sealed_secret)
    except ValueError:
        return None


def _read_pending(gate: Gate, secret: str) -> PendingRow | None:
    with gate.database.read() as session:
        return find_pending(session, fingerprint(secret))


def _secret(request: Request, origin: Origin) -> str | None:
    secret = request.cookies.get(cookie_name(origin, COOKIE), "")
    return secret if is_secret(secret, PENDING) else None
