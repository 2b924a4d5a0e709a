"""What proxies ask the hub: an Envoy's polls of its slots, and modules under a grant."""

import re
from collections.abc import Iterator

from anyio.to_thread import run_sync
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from auth.secrets import fingerprint
from deploy.fleets.polls import Answer, BadPoll, answer_poll, read_poll
from deploy.means import Means, means_of
from deploy.targets.envoy_fleet import inline
from storage.database import StorageError
from storage.nodes import mark_delivered
from storage.running import is_granted
from storage.targets import TargetRow, find_target_by_key

MAX_POLL = 1024 * 1024  # bytes; an Envoy lists its extensions in each poll, which makes 77 KB
PIECE = 3 * 64 * 1024  # bytes of a module that become base64 at a time; a multiple of three
_MODULE_NAME = re.compile(r"([0-9a-f]{64})\.wasm")


async def poll_slot(request: Request) -> Response:
    """`POST /v3/discovery:extension_configs`: 200 with a new resource, 304 where nothing changed, 401 without a key."""
    means = means_of(request)

    try:
        body = await _body(request)
        answer = await run_sync(_answer, means, _key(request), body)
    except BadPoll as error:
        headers = {"WWW-Authenticate": 'Bearer realm="fleet"'} if error.status == 401 else None
        return PlainTextResponse(f"{error}\n", error.status, headers)
    except StorageError as error:
        return PlainTextResponse(f"{error}\n", 503)

    return DiscoveryResponse(means, answer) if answer.version else Response(status_code=304)


async def get_granted_module(request: Request) -> Response:
    """`GET /modules/{grant}/{sha256}.wasm`: a module for proxies, as long as its deployment stands."""
    means = means_of(request)
    name = _MODULE_NAME.fullmatch(request.path_params["file"])

    module = await run_sync(_granted, means, request.path_params["grant"], name[1]) if name else None

    if module is None:
        return PlainTextResponse("there is no such module under this grant\n", 404)
    return Response(module, media_type="application/wasm", headers={"Cache-Control": "private, max-age=31536000"})


class DiscoveryResponse(Response):
    """Sends an answer piece by piece, then notes that it left in full."""

    def __init__(self, means: Means, answer: Answer) -> None:
        encoded = (len(answer.module) + 2) // 3 * 4
        length = len(answer.head) + encoded + len(answer.tail)
        super().__init__(media_type="application/json", headers={"Content-Length": str(length)})
        self._means = means
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends; what a client that went away was to get counts as not delivered."""
        answer = self._answer
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        for piece in _pieces(answer):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        # Nothing is written after this piece was taken up: whoever has gone by then has not got it all.
        if await Request(scope, receive).is_disconnected():
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        delivery = (answer.node_id, answer.slot, answer.version)
        self._means.left.add(delivery)
        try:
            await run_sync(mark_delivered, self._means.database, *delivery)
        finally:
            self._means.left.discard(delivery)


def _pieces(answer: Answer) -> Iterator[bytes]:
    yield answer.head
    for start in range(0, len(answer.module), PIECE):
        yield inline(answer.module[start : start + PIECE])
    if answer.tail:
        yield answer.tail


async def _body(request: Request) -> bytes:
    """The request's body. Raises BadPoll where it is longer than any poll, or was cut off."""
    pieces, length = [], 0
    try:
        async for piece in request.stream():
            length += len(piece)
            if length > MAX_POLL:
                raise BadPoll(413, f"the request is larger than {MAX_POLL} bytes")
            pieces.append(piece)
    except ClientDisconnect:
        raise BadPoll(400, "the request was cut off") from None
    return b"".join(pieces)


def _key(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _answer(means: Means, fleet_key: str, body: bytes) -> Answer:
    target = _target(means, fleet_key)
    if target is None:
        raise BadPoll(401, "a fleet's key is needed here: make one for the target and give it to this Envoy")
    key = means.gate.secret_key
    return answer_poll(means.database, means.modules, key, target, read_poll(body), left=means.left)


def _target(means: Means, key: str) -> TargetRow | None:
    if not key:
        return None
    with means.database.read() as session:
        return find_target_by_key(session, fingerprint(key))


def _granted(means: Means, grant: str, sha256: str) -> bytes | None:
    with means.database.read() as session:
        if not is_granted(session, grant, sha256):
            return None
    return means.modules.read(sha256)
