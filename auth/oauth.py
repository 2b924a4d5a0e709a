"""Requests to the token service: forms, read and bounded, and refusals in the registry's dialect and in OAuth's."""

import json
from typing import Any
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from auth.gate import Gate, SignInRefused
from storage.database import StorageError

BODY_LIMIT = 65536
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
NOT_KEPT = {"Cache-Control": "no-store"}


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


Form = dict[str, list[str]]


async def read_form(request: Request) -> Form:
    """The fields of the form in the body. Raises TokenRefused for what is none, or is too large."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT:
            raise TokenRefused(413, "SIZE_INVALID", f"the form is larger than {BODY_LIMIT} bytes")
    try:
        return parse_qs(body.decode(), max_num_fields=200)
    except ValueError:
        raise TokenRefused(400, "UNSUPPORTED", "the body is not a form in UTF-8", oauth="invalid_request") from None


def one(form: Form, name: str) -> str:
    """The first value of a field; empty if there is none."""
    return form.get(name, [""])[0]


def gate_of(request: Request) -> Gate:
    """The gate of the door."""
    gate: Gate = request.app.state.gate
    return gate


def address_of(request: Request) -> str:
    """Where a request comes from."""
    return gate_of(request).origins.of(request.scope).address


def answer(reply: dict[str, Any]) -> Response:
    """An answer that nobody on the way keeps."""
    return Response(json.dumps(reply), media_type="application/json", headers=NOT_KEPT)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, TokenRefused)
    body: dict[str, Any] = {"errors": [{"code": error.code, "message": str(error)}]}
    if error.oauth:
        body |= {"error": error.oauth, "error_description": str(error)}
    headers = {**NOT_KEPT, **error.headers}
    if error.status == 401:
        headers["WWW-Authenticate"] = f'Basic realm="{gate_of(request).origins.of(request.scope).url}/token"'
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
    allowed = (error.headers or {}).get("Allow", "")
    if request.url.path == "/token":
        allowed = "GET, HEAD, POST"
    message = f"the token service answers {allowed} at {request.url.path}"
    return await _refused(request, TokenRefused(error.status_code, "UNSUPPORTED", message, {"Allow": allowed}))


async def _crashed(request: Request, error: Exception) -> Response:
    return await _refused(request, TokenRefused(500, "UNKNOWN", "the hub failed; its log says why"))


HANDLERS: dict[Any, Any] = {
    TokenRefused: _refused,
    SignInRefused: _sign_in_refused,
    StorageError: _storage,
    HTTPException: _routing,
    500: _crashed,
}
