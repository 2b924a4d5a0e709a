"""The JSON API of the audit log: a page of it, or all that matches as JSON lines; of the whole hub, or of one team."""

import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from auth.door import ApiError, require_account
from storage.audit import RESULTS, EventPage, EventRow, Place, Wanted, find_events
from web.api import fields
from web.api.teams import enter_team, find_seen
from web.means import Means, means_of

FIELDS = ("actor", "action", "subject", "address", "result", "since", "until")
LONGEST = 400
AT_ONCE = 500  # rows of an export that are read at once
LINES = "application/x-ndjson"


async def list_events(request: Request) -> Response:
    """A page of the hub's audit log, newest first; for administrators and auditors."""
    return await _page(request, await _site(request))


async def export_events(request: Request) -> Response:
    """All of it that matches, as JSON lines."""
    return export(request, await _site(request), "events.jsonl")


async def list_team_events(request: Request) -> Response:
    """A page of a team's audit log; for its owners."""
    return await _page(request, await _team(request))


async def export_team_events(request: Request) -> Response:
    """All of that which matches, as JSON lines."""
    return export(request, await _team(request), "events.jsonl")


ROUTES = [
    Route("/api/v1/events", list_events, methods=["GET"]),
    Route("/api/v1/events/export", export_events, methods=["GET"]),
    Route("/api/v1/teams/{team}/events", list_team_events, methods=["GET"]),
    Route("/api/v1/teams/{team}/events/export", export_team_events, methods=["GET"]),
]


def wanted_by(query: Mapping[str, str], team_id: int | None = None) -> Wanted:
    """What somebody looks for, as the query says it. Raises ApiError."""
    for name in FIELDS:
        if len(query.get(name, "")) > LONGEST or not query.get(name, "").isprintable():
            raise fields.bad(f"{name!r} must be a text of at most {LONGEST} printable characters")
    result = query.get("result", "")
    if result and result not in RESULTS:
        raise fields.bad(f"'result' must be one of {', '.join(RESULTS)}")
    actor, action, subject, address = (query.get(name, "").strip() for name in FIELDS[:4])
    since, until = _moment(query, "since"), _moment(query, "until", whole_day=True)
    return Wanted(actor, action, subject, address, result, since, until, team_id)


def place_of(after: str) -> Place | None:
    """Where a page begins. Raises ApiError for what no page gave."""
    if not after:
        return None
    at, _, number = after.partition(".")
    if not all(part.isascii() and part.isdigit() and len(part) < 19 for part in (at, number)):
        raise fields.bad("'after' must be what an answer gave as 'next'")
    return int(at), int(number)


def following(page: EventPage) -> str | None:
    """What to give as `after` for the next page."""
    return None if page.next is None else f"{page.next[0]}.{page.next[1]}"


def look(means: Means, wanted: Wanted, before: Place | None, limit: int) -> EventPage:
    """A page of the log, for other doors too."""
    with means.database.read() as session:
        return find_events(session, wanted, before=before, limit=limit)


def export(request: Request, wanted: Wanted, name: str) -> Response:
    """All rows that match as JSON lines, read a little at a time, so that no reading lasts."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_lines(means_of(request), wanted), headers=headers, media_type=LINES)


def event_document(row: EventRow) -> dict[str, Any]:
    """A row as programs see it."""
    return {
        "id": row.id,
        "at": datetime.fromtimestamp(row.at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "actor": row.actor,
        "actor_kind": row.actor_kind,
        "address": row.address,
        "action": row.action,
        "subject": row.subject,
        "result": row.result,
        "team": row.team,
        "detail": row.detail,
    }


async def _site(request: Request) -> Wanted:
    means = means_of(request)
    identity = await require_account(request, means.gate)
    if not identity.viewer().sees_all:
        raise ApiError(403, "forbidden", "this needs an administrator or an auditor of the hub")
    team = request.query_params.get("team", "")
    found = await means.database.look(find_seen, means, identity, team) if team else None
    return wanted_by(request.query_params, found.id if found is not None else None)


async def _team(request: Request) -> Wanted:
    _, team = await enter_team(request, "audit", deleted=True)
    return wanted_by(request.query_params, team.id)


async def _page(request: Request, wanted: Wanted) -> Response:
    means = means_of(request)
    after, limit = fields.page(request)
    page = await means.database.look(look, means, wanted, place_of(after), limit)
    document = {"events": [event_document(row) for row in page.rows], "next": following(page)}
    return Response(json.dumps(document), media_type="application/json")  # in ASCII, whatever a row says


async def _lines(means: Means, wanted: Wanted) -> AsyncIterator[bytes]:
    place: Place | None = None
    while True:
        page = await means.database.look(look, means, wanted, place, AT_ONCE)
        yield "".join(f"{json.dumps(event_document(row))}\n" for row in page.rows).encode()
        if page.next is None:
            return
        place = page.next


def _moment(query: Mapping[str, str], name: str, *, whole_day: bool = False) -> int | None:
    """A time in milliseconds. A day alone is its beginning in UTC, or with `whole_day` its end."""
    typed = query.get(name, "").strip()
    if not typed:
        return None
    try:
        found = datetime.fromisoformat(typed)
        moment = (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
        if whole_day and _is_day(typed):
            moment += timedelta(days=1).total_seconds()
    except (ValueError, OverflowError):
        raise fields.bad(f"{name!r} must be a time such as 2026-11-21 or 2026-11-21T10:00:00Z") from None
    return max(0, round(moment * 1000))


def _is_day(typed: str) -> bool:
    """Whether it is a day alone, in any form that ISO 8601 has for one."""
    try:
        date.fromisoformat(typed)
    except ValueError:
        return False
    return True
