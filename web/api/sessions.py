"""The JSON API of sessions: the sign-ins of browsers, listed and ended by their user and by administrators."""

from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth.door import ApiError, require_account
from auth.gate import Gate
from auth.identity import Identity
from auth.sessions import find_signed_in
from storage.sessions import SessionRow, end_session, end_sessions, sessions
from storage.users import UserRow
from web.agents import read_agent
from web.api import fields
from web.api.accounts import find_subject
from web.means import means_of


async def list_sessions(request: Request) -> Response:
    """The caller's sessions, or those of the user in the path, the one seen last first."""
    gate, _, subject = await _asked(request)
    rows = await gate.database.look(read_sessions, gate, subject.id)
    current = await _current(request, gate)
    return JSONResponse({"sessions": [_document(row, current) for row in rows]})


async def delete_session(request: Request) -> Response:
    """Ends one of them at once."""
    gate, identity, subject = await _asked(request)
    await end_one(gate, identity, subject, request.path_params["id"])
    return Response(status_code=204)


async def delete_sessions(request: Request) -> Response:
    """Ends all of them at once, but for the one that the request itself comes with."""
    gate, identity, subject = await _asked(request)
    ended = await end_all(gate, identity, subject, await _current(request, gate))
    return JSONResponse({"ended": ended})


ROUTES = [
    Route(path + ending, act, methods=[method])
    for path in ("/api/v1/user/sessions", "/api/v1/users/{name}/sessions")
    for ending, act, method in (
        ("", list_sessions, "GET"),
        ("", delete_sessions, "DELETE"),
        ("/{id}", delete_session, "DELETE"),
    )
]


def read_sessions(gate: Gate, user_id: int) -> list[SessionRow]:
    """A user's sessions, for other doors too."""
    with gate.database.read() as session:
        return sessions(session, user_id)


async def end_one(gate: Gate, identity: Identity, subject: UserRow, given: str) -> None:
    """Ends a user's session of that number, for other doors too. Raises ApiError and Conflict."""
    number = fields.row_number(given, "session")
    if number not in [row.id for row in await gate.database.look(read_sessions, gate, subject.id)]:
        raise ApiError(404, "not_found", f"there is no session {number}, or it has ended")
    who = (identity.actor(), subject.id, subject.name)
    await anyio.to_thread.run_sync(end_session, gate.database, *who, number)


async def end_all(gate: Gate, identity: Identity, subject: UserRow, kept: int | None) -> int:
    """Ends all of a user's sessions but the one to be kept, for other doors too; answers how many that were."""

    def end() -> int:
        return end_sessions(gate.database, identity.actor(), subject.id, subject.name, kept=kept)

    return await anyio.to_thread.run_sync(end)


async def _asked(request: Request) -> tuple[Gate, Identity, UserRow]:
    """Who asks, and about whom: themselves, or somebody else as an administrator. Raises ApiError."""
    gate = means_of(request).gate
    identity = await require_account(request, gate)
    name = request.path_params.get("name", identity.name)
    return gate, identity, await find_subject(gate, identity, name)


async def _current(request: Request, gate: Gate) -> int | None:
    """The session that the request itself comes with."""
    if "authorization" in request.headers:
        return None
    signed_in = await find_signed_in(request, gate)
    return None if signed_in is None else signed_in.id


def _document(row: SessionRow, current: int | None) -> dict[str, Any]:
    said = {"id": row.id, "address": row.address, "browser": read_agent(row.agent), "user_agent": row.agent}
    times = {name: fields.moment(getattr(row, name)) for name in ("created_at", "seen_at", "expires_at")}
    return said | times | {"current": row.id == current}
