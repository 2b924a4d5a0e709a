"""The token door, /token: the Docker token protocol, by GET and (OAuth 2) by POST, and token exchange (RFC 8693)."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import anyio.to_thread
from starlette.applications import Starlette
from starlette.datastructures import State
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from auth.bearer import LIFETIME, BearerTokens
from auth.exchange import Exchange, ExchangeRefused
from auth.gate import Gate, Proof, SignInRefused
from auth.scopes import Scopes, grant, read_scopes
from auth.secrets import REFRESH, fingerprint, new_secret
from storage.database import StorageError, now
from storage.tokens import FoundToken, create_refresh_token

BODY_LIMIT = 65536
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
SUBJECTS = ("urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token")
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  (a name, not a secret)
LONGEST_NAME = 130  # of a robot with its team
REFRESH_LIFE = 180 * 86_400_000  # milliseconds


class TokenRefused(Exception):
    """A request that gets no token: an HTTP status, a code of the registry's dialect and of OAuth's, a sentence."""

    def __init__(
        self, status: int, code: str, message: str, headers: dict[str, str] | None = None, *, oauth: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.oauth = oauth
        self.headers = headers or {}


@dataclass(frozen=True)
class Wish:
    """What a client asks for beside its scopes."""

    offline: bool  # a refresh token, to come back with instead of the password
    client: str
    refresh_token: str | None = field(default=None, repr=False)  # the one that it came with


def create_token_door(gate: Gate, tokens: BearerTokens, exchange: Exchange, rule: str) -> Starlette:
    """The ASGI application for /token; `rule` says who may make a namespace by pushing."""
    door = Starlette(routes=ROUTES, exception_handlers=HANDLERS)
    door.state.gate, door.state.tokens, door.state.exchange, door.state.rule = gate, tokens, exchange, rule
    return door


async def get_token(request: Request) -> Response:
    """`GET /token`: Basic credentials or none, scopes in the query."""
    gate: Gate = request.app.state.gate
    proof = await gate.authorize(request.headers.get("authorization"), _address(request), refresh=True)

    query = request.query_params
    offline = query.get("offline_token") in ("true", "1") or query.get("access_type") == "offline"
    wish = Wish(offline, query.get("client_id", "")[:100])
    return await _answer(request, proof, query.getlist("scope"), wish)


async def post_token(request: Request) -> Response:
    """`POST /token`: a form with `grant_type` password or refresh_token, as OAuth 2 has it, or EXCHANGE."""
    form = _form(await _body(request))
    gate: Gate = request.app.state.gate
    if _one(form, "grant_type") == EXCHANGE:
        return await _exchange(request, form)
    grant_type, refresh_token = _one(form, "grant_type"), None
    if grant_type == "password":
        name, secret = _one(form, "username"), _one(form, "password")
    elif grant_type == "refresh_token":
        name, secret = "<token>", _one(form, "refresh_token")
        refresh_token = secret
    else:
        raise TokenRefused(400, "UNSUPPORTED", f"grant_type must be password, refresh_token or {EXCHANGE}")
    if not secret:
        raise TokenRefused(401, "UNAUTHORIZED", "the form holds no password and no refresh_token")
    proof = await gate.sign_in(name, secret, _address(request), refresh=True)

    wish = Wish(_one(form, "access_type") == "offline", _one(form, "client_id")[:100], refresh_token)
    return await _answer(request, proof, form.get("scope", []), wish)


async def _exchange(request: Request, form: dict[str, list[str]]) -> Response:
    """A robot's access token for the token of an issuer that a team trusts; counted like attempts of a stranger."""
    gate: Gate = request.app.state.gate
    subject, kind, robot = (_one(form, name) for name in ("subject_token", "subject_token_type", "robot"))
    if not subject or kind not in SUBJECTS:
        raise _not_exchanged(f"the form needs a subject_token and its subject_token_type, {' or '.join(SUBJECTS)}")
    if not robot:
        raise _not_exchanged("the form names no `robot`; it is the whole name of one, such as shop+ci")
    if _one(form, "requested_token_type") not in ("", ACCESS_TOKEN):
        raise _not_exchanged(f"what can be had by an exchange is {ACCESS_TOKEN}")
    await gate.admit(_address(request))
    exchange: Exchange = request.app.state.exchange
    try:
        made = await exchange.exchange(subject, robot, _address(request))
    except ExchangeRefused as refusal:
        gate.sign_ins.refuse("token.exchange", "no trust rule is met", _address(request), robot[:LONGEST_NAME])
        raise _not_exchanged(str(refusal)) from None
    await gate.forgive(_address(request))
    reply = {"access_token": made.secret, "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer"}
    told = reply | {"expires_in": made.seconds, "username": made.login}
    return Response(json.dumps(told), media_type="application/json", headers={"Cache-Control": "no-store"})


def _not_exchanged(message: str) -> TokenRefused:
    """RFC 8693, section 2.2.2: whatever is wrong with the subject's token, it is the request that is not valid."""
    return TokenRefused(400, "UNAUTHORIZED", message, oauth="invalid_request")


async def _answer(request: Request, proof: Proof, scopes: Sequence[str], wish: Wish) -> Response:
    reply = await anyio.to_thread.run_sync(_reply, request.app.state, proof, read_scopes(scopes), wish)
    return Response(json.dumps(reply), media_type="application/json", headers={"Cache-Control": "no-store"})


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
    create_refresh_token(
        gate.database,
        proof.identity.actor(),
        proof.token or FoundToken(proof.identity.user_id, None, None),
        client=wish.client,
        secret_sha256=fingerprint(secret),
        expires_at=until,
    )
    return secret


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT:
            raise TokenRefused(413, "SIZE_INVALID", f"the form is larger than {BODY_LIMIT} bytes")
    return body


def _form(body: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(body.decode(), max_num_fields=200)
    except ValueError:
        raise TokenRefused(400, "UNSUPPORTED", "the body is not a form in UTF-8") from None


def _one(form: dict[str, list[str]], name: str) -> str:
    return form.get(name, [""])[0]


def _address(request: Request) -> str:
    gate: Gate = request.app.state.gate
    return gate.origins.of(request.scope).address


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, TokenRefused)
    body: dict[str, Any] = {"errors": [{"code": error.code, "message": str(error)}]}
    if error.oauth:
        body |= {"error": error.oauth, "error_description": str(error)}
    headers = {"Cache-Control": "no-store", **error.headers}
    if error.status == 401:
        gate: Gate = request.app.state.gate
        headers["WWW-Authenticate"] = f'Basic realm="{gate.origins.of(request.scope).url}/token"'
    return Response(json.dumps(body), error.status, headers, "application/json")


async def _sign_in_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, SignInRefused)
    if error.retry_after is None:
        return await _refused(request, TokenRefused(401, "UNAUTHORIZED", str(error)))
    headers = {"Retry-After": str(error.retry_after)}
    return await _refused(request, TokenRefused(429, "TOOMANYREQUESTS", str(error), headers))


async def _storage(request: Request, error: Exception) -> Response:
    status = 507 if "full" in str(error) else 503
    return await _refused(request, TokenRefused(status, "UNAVAILABLE", str(error), {"Retry-After": "5"}))


async def _routing(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = "the token service answers GET and POST /token"
    return await _refused(
        request, TokenRefused(error.status_code, "UNSUPPORTED", message, {"Allow": "GET, HEAD, POST"})
    )


async def _crashed(request: Request, error: Exception) -> Response:
    return await _refused(request, TokenRefused(500, "UNKNOWN", "the hub failed; its log says why"))


ROUTES = [Route("/token", get_token, methods=["GET"]), Route("/token", post_token, methods=["POST"])]
HANDLERS: dict[Any, Any] = {
    TokenRefused: _refused,
    SignInRefused: _sign_in_refused,
    StorageError: _storage,
    HTTPException: _routing,
    500: _crashed,
}
