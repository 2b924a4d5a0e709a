"""Device logins as OAuth has them (RFC 8628), the end of a token (RFC 7009), what tells clients of both (RFC 8414)."""

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth.addresses import network_of
from auth.devices import INTERVAL, DeviceLogins, DeviceRefused
from auth.oauth import DEVICE_CODE, EXCHANGE, Form, TokenRefused, address_of, answer, gate_of, one, read_form
from auth.secrets import PERSONAL, REFRESH, ROBOT, fingerprint, is_secret
from storage.database import Conflict, now
from storage.device_logins import Asking
from storage.scopes import BadScope, Scopes, read_scopes, write_scopes
from storage.tokens import revoke_secret

LONGEST = 60  # characters of what a program says of itself


async def get_metadata(request: Request) -> Response:
    """`GET /.well-known/oauth-authorization-server`: where the token service has what (RFC 8414)."""
    url = gate_of(request).origins.of(request.scope).url
    metadata = {
        "issuer": url,
        "token_endpoint": f"{url}/token",
        "device_authorization_endpoint": f"{url}/device_authorization",
        "revocation_endpoint": f"{url}/revoke",
        "grant_types_supported": ["password", "refresh_token", EXCHANGE, DEVICE_CODE],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
    }
    return JSONResponse(metadata)


async def post_device_authorization(request: Request) -> Response:
    """`POST /device_authorization`: a form with `client_id`, and maybe `scope` and `device_name` (the machine's).

    The answer has the codes, and where a person types theirs.
    """
    form = await read_form(request)
    client, device = _words(form, "client_id"), _words(form, "device_name")
    if not client:
        raise _invalid("the form names no client_id: what the program is called")
    address = address_of(request)
    asking = Asking(client, device, address, network_of(address), _scopes(form))
    devices: DeviceLogins = request.app.state.devices
    try:
        begun = await devices.begin(asking)
    except Conflict as error:
        raise TokenRefused(429, "TOOMANYREQUESTS", str(error), {"Retry-After": "60"}, oauth="slow_down") from None
    page = f"{gate_of(request).origins.of(request.scope).url}/device"
    reply = {"device_code": begun.device_code, "user_code": begun.user_code, "verification_uri": page}
    reply["verification_uri_complete"] = f"{page}?user_code={begun.user_code}"
    return answer({**reply, "expires_in": begun.seconds, "interval": INTERVAL})


async def give_token(request: Request, form: Form) -> Response:
    """`POST /token` with DEVICE_CODE: the personal token that somebody approved, or how their answer stands."""
    devices: DeviceLogins = request.app.state.devices
    if not one(form, "device_code") or not one(form, "client_id"):
        raise _invalid("the form needs the device_code and the client_id that it was given for")
    try:
        given = await devices.fetch(one(form, "device_code"), one(form, "client_id"), address_of(request))
    except DeviceRefused as refusal:
        raise TokenRefused(400, "UNAUTHORIZED", str(refusal), oauth=refusal.word) from None
    made = given.redeemed
    reply = {"access_token": given.secret, "token_type": "Bearer", "scope": " ".join(write_scopes(made.scopes) or [])}
    told = {"username": made.user, "token_id": made.token_id, "token_name": made.name}
    seconds = {} if made.expires_at is None else {"expires_in": max(0, made.expires_at - now()) // 1000}
    return answer(reply | told | seconds)


async def post_revoke(request: Request) -> Response:
    """`POST /revoke`: ends the `token` in the form, as whoever holds one may; one that is not good is as well ended."""
    form = await read_form(request)
    token = one(form, "token")
    if not token:
        raise _invalid("the form holds no token")
    if any(is_secret(token, kind) for kind in (PERSONAL, ROBOT, REFRESH)):
        database, address = gate_of(request).database, address_of(request)
        await anyio.to_thread.run_sync(revoke_secret, database, fingerprint(token), address)
    return answer({})


ROUTES = [
    Route("/.well-known/oauth-authorization-server", get_metadata, methods=["GET"]),
    Route("/device_authorization", post_device_authorization, methods=["POST"]),
    Route("/revoke", post_revoke, methods=["POST"]),
]


def _words(form: Form, name: str) -> str:
    """What a program says, which people will read. Raises TokenRefused for what they could not."""
    words = one(form, name).strip()
    if len(words) > LONGEST or not words.isprintable():
        raise _invalid(f"{name} has at most {LONGEST} characters, all of them printable")
    return words


def _scopes(form: Form) -> Scopes | None:
    words = one(form, "scope").split()
    try:
        return read_scopes(words) if words else None
    except BadScope as error:
        raise TokenRefused(400, "UNSUPPORTED", str(error), oauth="invalid_scope") from None


def _invalid(message: str) -> TokenRefused:
    return TokenRefused(400, "UNSUPPORTED", message, oauth="invalid_request")
