"""Sessions of browsers: signing in and out, and the token that shows that a form is one of ours."""

import hmac
from contextlib import suppress
from dataclasses import dataclass, field, replace

import anyio.to_thread
from starlette.requests import Request

from auth.challenge import Origin
from auth.gate import Gate, SecondFactorNeeded, SignInRefused
from auth.identity import Identity, identity_of
from auth.secrets import SESSION, SecretKey, fingerprint, is_secret, new_secret
from storage.database import Conflict, StorageError, now
from storage.sessions import NewSession, close_session, find_session, open_session, touch_session
from storage.users import identity_row

LIFETIME = 14 * 86_400  # seconds; one that is not used ends before (storage.sessions.IDLE)
SEEN_EVERY = 600_000  # milliseconds between two notes that a session was used
LONGEST_AGENT = 200  # characters of what a browser calls itself
COOKIE = "wasmhub"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True)
class SignedIn:
    """A browser's session: who it is, and the token that its forms carry."""

    identity: Identity
    csrf: str = field(repr=False)
    id: int  # of the session


async def find_signed_in(request: Request, gate: Gate) -> SignedIn | None:
    """The session that a request's cookie opens; None without one, or when it has ended."""
    origin = gate.origins.of(request.scope)
    secret = _secret(request, origin)
    if secret is None:
        return None
    found = await gate.database.look(_find, gate, secret)
    if found is None:
        return None
    identity, session_id, seen_at = found
    if seen_at < now() - SEEN_EVERY:
        with suppress(StorageError):  # a full disk must not put anybody out
            await anyio.to_thread.run_sync(touch_session, gate.database, session_id)
    return SignedIn(replace(identity, address=origin.address), csrf_token(gate, secret), session_id)


async def sign_in(request: Request, gate: Gate, name: str, password: str) -> str:
    """Signs a browser in with a password, always as a new session; answers the value of its `Set-Cookie` header.

    Raises SignInRefused, with `retry_after` when too many wrong passwords were tried, and SecondFactorNeeded.
    """
    if not is_same_site(request, gate):
        raise SignInRefused("sign in on the hub's own page")
    proof = await gate.by_password(name, password, gate.origins.of(request.scope).address)
    if proof.second_factor:
        raise SecondFactorNeeded(proof.identity)
    return await open_for(request, gate, proof.identity)


async def open_for(
    request: Request, gate: Gate, identity: Identity, provider_id: int | None = None, provider_sid: str | None = None
) -> str:
    """Opens a session for somebody who has shown all that they have to; answers the `Set-Cookie` header's value.

    Who came by a provider did so by one of its sessions. Raises SignInRefused if something about them changed since.
    """
    new, cookie = begin_session(request, gate)
    new = replace(new, provider_id=provider_id, provider_sid=provider_sid, generation=identity.generation)
    try:
        await anyio.to_thread.run_sync(_open, gate, identity, new)
    except Conflict as changed:
        raise SignInRefused(str(changed)) from None
    return cookie


def begin_session(request: Request, gate: Gate) -> tuple[NewSession, str]:
    """A session for this browser that is yet to be opened, and the value of the `Set-Cookie` header that gives it."""
    origin = gate.origins.of(request.scope)
    secret, before = new_secret(SESSION), _secret(request, origin)
    replaces = fingerprint(before) if before else None
    new = NewSession(fingerprint(secret), LIFETIME * 1000, replaces, agent=_agent(request))
    return new, cookie_of(origin, COOKIE, secret, LIFETIME)


async def sign_out(request: Request, gate: Gate) -> str:
    """Ends a browser's session; answers the value of the `Set-Cookie` header that takes its cookie away."""
    origin = gate.origins.of(request.scope)
    secret, signed_in = _secret(request, origin), await find_signed_in(request, gate)
    if secret is not None and signed_in is not None:
        actor = signed_in.identity.actor()
        await anyio.to_thread.run_sync(close_session, gate.database, actor, fingerprint(secret))
    return cookie_of(origin, COOKIE, "", 0)


def csrf_token(gate: Gate, secret: str) -> str:
    """The token that forms of a session carry. It follows from the session's secret and does not tell it."""
    return _token(gate.secret_key, secret)


def check_csrf(request: Request, gate: Gate, signed_in: SignedIn, token: str) -> bool:
    """Whether a request that changes something comes from a page of ours: by the token in its form or header."""
    given, secret = token.encode(errors="replace"), _secret(request, gate.origins.of(request.scope)) or ""
    # A form may come from a replica that has the secret key before this one or after it.
    good = [signed_in.csrf, *(_token(key, secret) for key in gate.secret_key.known[1:])]
    return is_same_site(request, gate) and any(hmac.compare_digest(one.encode(), given) for one in good)


def is_same_site(request: Request, gate: Gate) -> bool:
    """Whether the browser says that the request comes from the hub's own pages, or says nothing of it."""
    if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return False
    sent = request.headers.get("origin")
    # Compared as text: taking an address apart may fail, and an origin is no more than a scheme and a host.
    return sent is None or sent.partition("://")[2].lower() == gate.origins.of(request.scope).host.lower()


def _token(key: SecretKey, secret: str) -> str:
    return hmac.digest(key.derive("csrf"), secret.encode(), "sha256").hex()


def cookie_of(origin: Origin, name: str, value: str, seconds: int) -> str:
    """The value of a `Set-Cookie` header for a cookie of the hub that no page can read."""
    parts = [f"{cookie_name(origin, name)}={value}", "Path=/", f"Max-Age={seconds}", "HttpOnly", "SameSite=Lax"]
    return "; ".join([*parts, "Secure"] if origin.secure else parts)


def cookie_name(origin: Origin, name: str) -> str:
    """What a cookie is called: under https so that browsers let nobody but this very host set it."""
    return f"__Host-{name}" if origin.secure else name


def _secret(request: Request, origin: Origin) -> str | None:
    secret = request.cookies.get(cookie_name(origin, COOKIE), "")
    return secret if is_secret(secret, SESSION) else None


def _agent(request: Request) -> str:
    """What the browser calls itself, as far as it can be shown."""
    words = request.headers.get("user-agent", "")[:LONGEST_AGENT]
    return "".join(letter if letter.isprintable() else "?" for letter in words)


def _find(gate: Gate, secret: str) -> tuple[Identity, int, int] | None:
    """Whose session it is, its id, and when it was last seen."""
    with gate.database.read() as session:
        found = find_session(session, fingerprint(secret))
        row = identity_row(session, found.user_id) if found is not None else None
    return (identity_of(row), found.id, found.seen_at) if row is not None and found is not None else None


def _open(gate: Gate, identity: Identity, new: NewSession) -> None:
    assert identity.user_id is not None
    open_session(gate.database, identity.actor(), identity.user_id, new)
