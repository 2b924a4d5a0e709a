"""Modules by the sha256 of their bytes: what they say, and the bytes, for those who may read a repository with them."""

import re
from collections.abc import AsyncIterator, Generator
from typing import Any

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from auth.door import ApiError, identify
from auth.identity import Identity
from proxywasm import ModuleError
from proxywasm.images import RAW
from proxywasm.unpacking import extract_module
from storage.holders import Copy, find_copy, list_holders
from storage.modules import find_facts
from web.means import Means, means_of

NAMED = 100  # repositories that are listed as holders
IMMUTABLE = "private, max-age=31536000, immutable"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


class Unpacking:
    """Takes modules out of archives, two at a time, because each is held whole in memory while it is sent."""

    def __init__(self, at_once: int = 2) -> None:
        self._turns = anyio.Semaphore(at_once)

    async def unpack(self, means: Means, copy: Copy) -> bytes:
        """The module in a wrapped copy, verified to be one when it was read. Raises ApiError if it is gone."""
        async with self._turns:
            return await anyio.to_thread.run_sync(_extract, means, copy)


async def get_module(request: Request) -> Response:
    """`GET /api/v1/modules/<sha256>`: what the module's bytes say."""
    identity = await identify(request, means_of(request).gate)
    sha256 = _read_sha256(request)

    return JSONResponse(await means_of(request).database.look(_describe, means_of(request), identity, sha256))


async def get_bytes(request: Request) -> Response:
    """`GET /modules/<sha256>.wasm`: the module itself, out of its layer."""
    means = means_of(request)
    identity = await identify(request, means.gate)
    sha256 = _read_sha256(request)
    copy = await means_of(request).database.look(_find_copy, means, identity, sha256)

    headers = {
        "ETag": f'"{sha256}"',
        "Cache-Control": IMMUTABLE,
        "Accept-Ranges": "bytes",
        "Content-Disposition": f'attachment; filename="{sha256[:12]}.wasm"',
    }
    if _matches(request.headers.get("if-none-match", ""), sha256):
        return Response(status_code=304, headers=headers)
    if copy.wrapping in (None, RAW):
        return await _send_file(request, means, copy, headers)
    unpacking: Unpacking = request.app.state.unpacking
    module = await unpacking.unpack(means, copy)
    start, stop = _part(request, len(module), headers)
    return Response(module[start:stop], _status(headers), headers, "application/wasm")


ROUTES = [
    Route("/api/v1/modules/{sha256}", get_module, methods=["GET"]),
    Route("/modules/{sha256}.wasm", get_bytes, methods=["GET"]),
]


def _read_sha256(request: Request) -> str:
    sha256: str = request.path_params["sha256"]
    if not _SHA256.fullmatch(sha256):
        raise _absent(sha256)
    return sha256


def _absent(sha256: str) -> ApiError:
    return ApiError(404, "not_found", f"there is no module {sha256[:64]!r}, or you may not see it")


def _describe(means: Means, identity: Identity, sha256: str) -> dict[str, Any]:
    with means.database.read() as session:
        holders = list_holders(session, identity.viewer(), sha256, limit=NAMED)
        found = find_facts(session, sha256) if holders else None
    if found is None:
        raise _absent(sha256)
    return {"sha256": sha256, "size": found.size, "repositories": holders, "facts": found.facts}


def _find_copy(means: Means, identity: Identity, sha256: str) -> Copy:
    with means.database.read() as session:
        copy = find_copy(session, identity.viewer(), sha256)
    if copy is None:
        raise _absent(sha256)
    return copy


def _extract(means: Means, copy: Copy) -> bytes:
    with means.blobs.file(copy.key) as file:
        try:
            module = extract_module(file, copy.wrapping or RAW)
        except ModuleError as error:
            raise ApiError(
                422, "unreadable", f"the module cannot be taken out of its layer: {error.sentence}"
            ) from None
    if module is None:
        raise ApiError(422, "unreadable", "the layer holds no module any more")
    return module


async def _send_file(request: Request, means: Means, copy: Copy, headers: dict[str, str]) -> Response:
    start, stop = _part(request, copy.size, headers)
    headers["Content-Length"] = str(stop - start)
    if request.method == "HEAD":
        return Response(None, _status(headers), headers, "application/wasm")
    pieces = means.blobs.stream(copy.key, start, stop)
    first = await anyio.to_thread.run_sync(next, pieces, b"")  # what cannot be read is refused, not broken off
    return StreamingResponse(_send(first, pieces), _status(headers), headers, "application/wasm")


async def _send(piece: bytes, more: Generator[bytes, None, None]) -> AsyncIterator[bytes]:
    try:
        while piece:
            yield piece
            piece = await anyio.to_thread.run_sync(next, more, b"")
    finally:
        more.close()


def _part(request: Request, size: int, headers: dict[str, str]) -> tuple[int, int]:
    """Start and stop of what is asked for (RFC 9110, 14.1.2), noted in the headers. Raises ApiError 416."""
    unless = request.headers.get("if-range", headers["ETag"])
    found = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if found is None or unless != headers["ETag"] or not any(found.groups()):
        return 0, size
    first, last = found.groups()
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= stop:
        raise ApiError(416, "range", f"the module has {size} bytes", {"Content-Range": f"bytes */{size}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return start, stop


def _status(headers: dict[str, str]) -> int:
    return 206 if "Content-Range" in headers else 200


def _matches(known: str, sha256: str) -> bool:
    return known.strip() == "*" or f'"{sha256}"' in known
