"""What the JSON doors have in common: who a request comes from, errors in their dialect, bodies that are bounded."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from auth.gate import Gate, SignInRefused
from auth.identity import Identity
from auth.sessions import SAFE_METHODS, check_csrf, find_signed_in
from storage.database import Conflict, StorageError
from storage.namespaces import InvalidName

BODY_LIMIT = 65536  # bytes, unless a handler says otherwise
HELD_LIMIT = 1024 * 1024  # bytes that any handler may take
# What HTTP's own refusals are called here; others are `refused`.
_CODES = {404: "not_found", 405: "method_not_allowed"}


class ApiError(Exception):
    """A request that is refused: an HTTP status, a word for programs, a sentence for people.

    Where several things are wrong, `reasons` has a document for each, with a `code` and a `message` at least.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: dict[str, str] | None = None,
        reasons: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}
        self.reasons = reasons

    def response(self) -> Response:
        """The error as an answer: `{"error": {"code", "message"}}`, with `reasons` if there are any."""
        said: dict[str, Any] = {"code": self.code, "message": _sayable(self.message)}
        if self.reasons:
            said["reasons"] = [{**one, "message": _sayable(one["message"])} for one in self.reasons]
        return JSONResponse({"error": said}, self.status, self.headers)


async def identify(request: Request, gate: Gate) -> Identity:
    """Who a request comes from: a personal token or password in `Authorization`, else the session cookie, else nobody.

    Raises ApiError 401 for credentials that are not good, 429 when too many were tried, and 403 for a request that
    changes something by the cookie alone: such a one carries the session's CSRF token in `X-CSRF-Token`.
    The body is taken in first: it may take for ever to come, and rights go meanwhile. Raises ApiError 413 for it.
    """
    if request.method not in SAFE_METHODS:
        await _hold_body(request)
    origin = gate.origins.of(request.scope)
    header = request.headers.get("authorization")
    if header is None:
        signed_in = await find_signed_in(request, gate)
        if signed_in is not None:
            if request.method not in SAFE_METHODS and not check_csrf(
                request, gate, signed_in, request.headers.get("x-csrf-token", "")
            ):
                raise ApiError(403, "csrf", "this request must carry the session's token in X-CSRF-Token")
            return signed_in.identity
    try:
        return (await gate.authorize(header, origin.address)).identity
    except SignInRefused as refusal:
        raise refused(refusal) from None


async def require(request: Request, gate: Gate) -> Identity:
    """Who a request comes from, which must be somebody. Raises as `identify` does, and ApiError 401 for nobody."""
    identity = await identify(request, gate)
    if identity.anonymous:
        raise unauthorized("sign in: send a personal token as Bearer, or a user name and password as Basic")
    return identity


async def require_account(request: Request, gate: Gate) -> Identity:
    """The same for what only a person with all their rights may do. Raises ApiError 403 for robots and scopes."""
    identity = await require(request, gate)
    if identity.robot:
        raise ApiError(403, "forbidden", "robots look after no accounts, teams or tokens; sign in as a person")
    if identity.scopes is not None:
        raise ApiError(
            403,
            "forbidden",
            "this token is narrowed by scopes; sign in with a password or with a token that has none",
        )
    return identity


async def require_administrator(request: Request, gate: Gate) -> Identity:
    """Who a request comes from, which must be an administrator. Raises as
    `require_account`, and ApiError 403 for others."""
    identity = await require_account(request, gate)
    if not identity.administrator:
        raise ApiError(403, "forbidden", "this needs an administrator of the hub")
    return identity


async def require_auditor(request: Request, gate: Gate) -> Identity:
    """Who a request comes from, which must be an auditor or an administrator. Raises as `require_account`, and
    ApiError 403 for others."""
    identity = await require_account(request, gate)
    if not identity.viewer().sees_all:
        raise ApiError(403, "forbidden", "this needs an auditor or an administrator of the hub")
    return identity


def unauthorized(message: str) -> ApiError:
    """The 401 of this dialect. Not a Basic challenge: browsers would open their own sign-in window."""
    return ApiError(401, "unauthorized", message, {"WWW-Authenticate": 'Bearer realm="wasmhub"'})


def refused(refusal: SignInRefused) -> ApiError:
    """A refused sign-in in this dialect."""
    if refusal.retry_after is None:
        return unauthorized(str(refusal))
    return ApiError(429, "too_many_requests", str(refusal), {"Retry-After": str(refusal.retry_after)})


async def read_json(request: Request, *, limit: int = BODY_LIMIT) -> dict[str, Any]:
    """The JSON object in a request's body; nothing sent is an empty one. Raises ApiError 413 and 400."""
    body = await _hold_body(request)
    if len(body) > limit:
        raise _too_large(limit)
    try:
        value = json.loads(body or b"{}")
        if b"\\ud" in body.lower():
            json.dumps(value, ensure_ascii=False).encode()  # halves of surrogate pairs are no text, and nowhere kept
    except (ValueError, RecursionError):
        raise ApiError(400, "bad_request", "the body is not valid JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise ApiError(400, "bad_request", "the body must be a JSON object")
    return value


def _sayable(message: str) -> str:
    """The message as it can be sent: JSON may have brought halves of surrogate pairs."""
    return message.encode(errors="replace").decode()


async def _hold_body(request: Request) -> bytes:
    """The request's body, which is kept with it."""
    held: bytearray | None = getattr(request.state, "body", None)
    if held is None:
        held = bytearray()
        async for chunk in request.stream():
            held += chunk
            if len(held) > HELD_LIMIT:
                raise _too_large(HELD_LIMIT)
        request.state.body = held
    return bytes(held)


def _too_large(limit: int) -> ApiError:
    return ApiError(413, "too_large", f"the body is larger than {limit} bytes")


def from_storage(error: StorageError) -> ApiError:
    """What the store could not do, in this dialect."""
    if isinstance(error, Conflict):
        return ApiError(409, "conflict", str(error))
    if "full" in str(error):
        return ApiError(507, "full", str(error))
    return ApiError(503, "unavailable", str(error), {"Retry-After": "5"})


async def _api(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error.response()


async def _storage(request: Request, error: Exception) -> Response:
    assert isinstance(error, StorageError)
    return from_storage(error).response()


async def _name(request: Request, error: Exception) -> Response:
    return ApiError(400, "invalid_name", str(error)).response()


async def _routing(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = "there is nothing at this path" if error.status_code == 404 else f"{request.method} is not possible here"
    code = _CODES.get(error.status_code, "refused")
    return ApiError(error.status_code, code, message, dict(error.headers or {})).response()


async def _crashed(request: Request, error: Exception) -> Response:
    return ApiError(500, "internal_error", "the hub failed; its log says why").response()


# For Starlette(exception_handlers=...) of every door that speaks this dialect.
HANDLERS: dict[Any, Any] = {
    ApiError: _api,
    StorageError: _storage,
    InvalidName: _name,
    HTTPException: _routing,
    500: _crashed,
}
