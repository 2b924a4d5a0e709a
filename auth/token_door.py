"""The token door, /token: the Docker token protocol, by GET and (OAuth 2) by POST, token exchange (RFC 8693), and what
programs get by device logins."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio.to_thread
from starlette.applications import Starlette
from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from auth.bearer import LIFETIME, BearerTokens
from auth.device_door import ROUTES as DEVICE_ROUTES
from auth.device_door import give_token
from auth.devices import DeviceLogins
from auth.exchange import Exchange, ExchangeRefused
from auth.gate import Gate, Proof, SignInRefused
from auth.oauth import DEVICE_CODE, EXCHANGE, HANDLERS, Form, TokenRefused, address_of, answer, one, read_form
from auth.scopes import Scopes, grant, read_scopes
from auth.secrets import REFRESH, fingerprint, new_secret
from storage.database import Conflict, now
from storage.tokens import FoundToken, create_refresh_token

SUBJECTS = ("urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token")
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  (a name, not a secret)
LONGEST_NAME = 130  # of a robot with its team
REFRESH_LIFE = 180 * 86_400_000  # milliseconds


@dataclass(frozen=True)
class Wish:
    """What a client asks for beside its scopes."""

    offline: bool  # a refresh token, to come back with instead of the password
    client: str
    refresh_token: str | None = field(default=None, repr=False)  # the one that it came with


def create_token_door(gate: Gate, tokens: BearerTokens, exchange: Exchange, rule: str) -> Starlette:
    """The ASGI application for the paths of the token service; `rule` says who may make a namespace by pushing."""
    door = Starlette(routes=ROUTES, exception_handlers=HANDLERS)
    door.router.redirect_slashes = False
    door.state.devices = DeviceLogins(gate)
    door.state.gate, door.state.tokens, door.state.exchange, door.state.rule = gate, tokens, exchange, rule
    return door


async def get_token(request: Request) -> Response:
    """`GET /token`: Basic credentials or none, scopes in the query."""
    gate: Gate = request.app.state.gate
    proof = await gate.authorize(request.headers.get("authorization"), address_of(request), refresh=True)

    query = request.query_params
    offline = query.get("offline_token") in ("true", "1") or query.get("access_type") == "offline"
    wish = Wish(offline, query.get("client_id", "")[:100])
    return await _answer(request, proof, query.getlist("scope"), wish)


async def post_token(request: Request) -> Response:
    """`POST /token`: a form with `grant_type` password or refresh_token, as OAuth 2 has it, EXCHANGE or DEVICE_CODE."""
    form = await read_form(request)
    gate: Gate = request.app.state.gate
    if one(form, "grant_type") == EXCHANGE:
        return await _exchange(request, form)
    if one(form, "grant_type") == DEVICE_CODE:
        return await give_token(request, form)
    grant_type, refresh_token = one(form, "grant_type"), None
    if grant_type == "password":
        name, secret = one(form, "username"), one(form, "password")
    elif grant_type == "refresh_token":
        name, secret = "<token>", one(form, "refresh_token")
        refresh_token = secret
    else:
        what = f"password, refresh_token, {EXCHANGE} or {DEVICE_CODE}"
        raise TokenRefused(400, "UNSUPPORTED", f"grant_type must be {what}", oauth="unsupported_grant_type")
    if not secret:
        raise TokenRefused(401, "UNAUTHORIZED", "the form holds no password and no refresh_token")
    proof = await gate.sign_in(name, secret, address_of(request), refresh=True)

    wish = Wish(one(form, "access_type") == "offline", one(form, "client_id")[:100], refresh_token)
    return await _answer(request, proof, form.get("scope", []), wish)


async def _exchange(request: Request, form: Form) -> Response:
    """A robot's access token for the token of an issuer that a team trusts; counted like attempts of a stranger."""
    gate: Gate = request.app.state.gate
    subject, kind, robot = (one(form, name) for name in ("subject_token", "subject_token_type", "robot"))
    if not subject or kind not in SUBJECTS:
        raise _not_exchanged(f"the form needs a subject_token and its subject_token_type, {' or '.join(SUBJECTS)}")
    if not robot:
        raise _not_exchanged("the form names no `robot`; it is the whole name of one, such as shop+ci")
    if one(form, "requested_token_type") not in ("", ACCESS_TOKEN):
        raise _not_exchanged(f"what can be had by an exchange is {ACCESS_TOKEN}")
    await gate.admit(address_of(request))
    exchange: Exchange = request.app.state.exchange
    try:
        made = await exchange.exchange(subject, robot, address_of(request))
    except ExchangeRefused as refusal:
        gate.sign_ins.refuse("token.exchange", "no trust rule is met", address_of(request), robot[:LONGEST_NAME])
        raise _not_exchanged(str(refusal)) from None
    await gate.forgive(address_of(request))
    reply = {"access_token": made.secret, "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer"}
    return answer(reply | {"expires_in": made.seconds, "username": made.login})


def _not_exchanged(message: str) -> TokenRefused:
    """RFC 8693, section 2.2.2: whatever is wrong with the subject's token, it is the request that is not valid."""
    return TokenRefused(400, "UNAUTHORIZED", message, oauth="invalid_request")


async def _answer(request: Request, proof: Proof, scopes: Sequence[str], wish: Wish) -> Response:
    return answer(await anyio.to_thread.run_sync(_reply, request.app.state, proof, read_scopes(scopes), wish))


def _reply(state: State, proof: Proof, asked: Scopes, wish: Wish) -> dict[str, Any]:
    """The token and what the protocol says of it. It never outlives the personal token that it was got with."""
    gate: Gate = state.gate
    with gate.database.read() as session:
        granted = grant(session, proof.identity, asked, state.rule)
    lifetime = LIFETIME
    if proof.token is not None and proof.token.expires_at is not None:
        lifetime = max(1, min(LIFETIME, (proof.token.expires_at - now()) // 1000))
    token = state.tokens.issue(proof.identity, granted.repositories, catalog=granted.catalog, lifetime=lifetime)
    issued_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    reply: dict[str, Any] = {"token": token, "access_token": token, "expires_in": lifetime, "issued_at": issued_at}
    reply["scope"] = granted.text()
    if wish.refresh_token is not None:
        reply["refresh_token"] = wish.refresh_token
    elif wish.offline and not proof.identity.anonymous and not proof.refresh:
        reply["refresh_token"] = _new_refresh_token(gate, proof, wish)
    return reply


def _new_refresh_token(gate: Gate, proof: Proof, wish: Wish) -> str:
    assert proof.identity.user_id is not None
    secret = new_secret(REFRESH)
    until = now() + REFRESH_LIFE
    if proof.token is not None and proof.token.expires_at is not None:
        until = min(until, proof.token.expires_at)
    try:
        create_refresh_token(
            gate.database,
            proof.identity.actor(),
            proof.token or FoundToken(proof.identity.user_id, None, None),
            generation=proof.identity.generation,
            client=wish.client,
            secret_sha256=fingerprint(secret),
            expires_at=until,
        )
    except Conflict as changed:
        raise SignInRefused(str(changed)) from None
    return secret


ROUTES = [
    Route("/token", get_token, methods=["GET"]),
    Route("/token", post_token, methods=["POST"]),
    *DEVICE_ROUTES,
]
PATHS = frozenset(route.path for route in ROUTES)
