"""What went wrong, as a page."""

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from auth.door import ApiError
from storage.database import StorageError
from web.forms import to_sign_in
from web.rendering import as_sentence, render
from web.visitor import find_visitor, nobody

HEADLINES = {
    400: "That could not be read",
    403: "That is not allowed",
    404: "There is nothing here",
    409: "That cannot be done twice",
    405: "This page does not do that",
    413: "That is too large",
}


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    own_words = error.detail != HTTPException(error.status_code).detail
    return await _page(request, error.status_code, error.detail if own_words else "", dict(error.headers or {}))


async def _api(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    if error.status == 401:
        return to_sign_in(request)
    return await _page(request, error.status, as_sentence(error.message), error.headers)


async def _storage(request: Request, error: Exception) -> Response:
    return await _page(request, 503, as_sentence(str(error)), {"Retry-After": "5"})


async def _crashed(request: Request, error: Exception) -> Response:
    return await _page(request, 500, "")


async def _page(request: Request, status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    # What failed may be what would tell who looks at the page: then it shows no person.
    visitor = nobody(request) if status >= 500 else await find_visitor(request)
    headline = HEADLINES.get(status, "The hub cannot do that now" if status == 503 else "The hub failed")
    page = render(request, visitor, "error.html", status, code=status, headline=headline, sentence=sentence)
    page.headers.update(headers or {})
    return page


# For the pages' application; the JSON API speaks auth.door's dialect.
HANDLERS: dict[Any, Any] = {HTTPException: _refused, ApiError: _api, StorageError: _storage, 500: _crashed}
