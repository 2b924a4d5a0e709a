"""Errors in the registry's dialect: one class, one table, one writer (distribution-spec, "Error Codes")."""

import json
import logging
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from storage.database import Conflict, StorageError
from storage.errors import OverQuota

log = logging.getLogger("wasmhub.registry")

# code -> (status, what it says when nothing better is known)
CODES: dict[str, tuple[int, str]] = {
    "BLOB_UNKNOWN": (404, "the repository holds no such blob"),
    "BLOB_UPLOAD_INVALID": (400, "the upload cannot go on like this"),
    "BLOB_UPLOAD_UNKNOWN": (404, "there is no such upload; begin a new one"),
    "DENIED": (403, "you may not do this"),
    "DIGEST_INVALID": (400, "the digest does not fit"),
    "MANIFEST_BLOB_UNKNOWN": (404, "the manifest names blobs that the repository does not hold; push them first"),
    "MANIFEST_INVALID": (400, "the manifest is not valid"),
    "MANIFEST_UNKNOWN": (404, "the repository holds no such manifest"),
    "NAME_INVALID": (400, "this is no repository name; it must be namespace/name in lower case"),
    "NAME_UNKNOWN": (404, "there is no such repository, or you may not see it"),
    "PAGINATION_NUMBER_INVALID": (400, "the page asked for does not exist"),
    "RANGE_INVALID": (416, "the range does not fit"),
    "SIZE_INVALID": (400, "the length does not fit"),
    "TAG_INVALID": (400, "this is no tag"),
    "TOOMANYREQUESTS": (429, "too many requests; wait a little"),
    "UNAUTHORIZED": (401, "sign in with a token that covers this"),
    "UNAVAILABLE": (503, "the hub cannot do this now"),
    "UNKNOWN": (500, "the hub failed; its log says why"),
    "UNSUPPORTED": (405, "the registry does not do this here"),
}


class OCIError(Exception):
    """A request that is refused; `code` is one of CODES, `status` only where it differs from the code's own."""

    def __init__(
        self,
        code: str,
        message: str | None = None,
        *,
        detail: Any = None,
        status: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        usual, default = CODES[code]
        super().__init__(message or default)
        self.code = code
        self.message = message or default
        self.status = status or usual
        self.detail = detail
        self.headers = headers or {}

    def body(self) -> bytes:
        """The error as the specification's JSON."""
        error = {"code": self.code, "message": self.message}
        if self.detail is not None:
            error["detail"] = self.detail
        return json.dumps({"errors": [error]}).encode()

    def response(self) -> Response:
        """The error as an answer."""
        return Response(self.body(), self.status, self.headers, media_type="application/json")


def from_storage(error: StorageError) -> OCIError:
    """What the store could not do, in this dialect."""
    if isinstance(error, Conflict):
        return OCIError("BLOB_UPLOAD_INVALID", str(error), status=409)
    if isinstance(error, OverQuota):
        return OCIError("DENIED", str(error))
    log.warning("a request failed: %s", error)
    status = 507 if "full" in str(error) else 503
    return OCIError("UNAVAILABLE", str(error), status=status, headers={"Retry-After": "5"})


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, OCIError)
    return error.response()


async def _storage(request: Request, error: Exception) -> Response:
    assert isinstance(error, StorageError)
    return from_storage(error).response()


async def _gone(request: Request, error: Exception) -> Response:
    """Nobody reads this answer: it is for the counts."""
    return OCIError("SIZE_INVALID", "the connection ended before the request did").response()


async def _routing(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        headers = dict(error.headers or {})
        return OCIError("UNSUPPORTED", f"{request.method} is not possible here", headers=headers).response()
    return OCIError("NAME_INVALID", "there is no such path in a registry", status=404).response()


async def _crashed(request: Request, error: Exception) -> Response:
    return OCIError("UNKNOWN").response()


HANDLERS: dict[Any, Any] = {
    OCIError: _refused,
    StorageError: _storage,
    ClientDisconnect: _gone,
    HTTPException: _routing,
    500: _crashed,
}
