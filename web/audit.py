"""The pages of the audit log: of the whole hub, and of one team. They search; programs get the same as JSON lines."""

import json
from typing import Any
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from auth.door import ApiError
from auth.identity import Identity
from storage.audit import EXAMINED, RESULTS, EventPage, EventRow, Wanted, actions, find_events
from web.api.events import FIELDS, following, place_of, wanted_by
from web.api.teams import find_seen, find_team_for
from web.forms import in_words_of_pages, to_sign_in
from web.means import Means, means_of
from web.rendering import as_sentence, render, show_moment
from web.visitor import Visitor, find_visitor

PAGE = 50
YEAR_2001 = 10**12  # milliseconds; nothing that rows count is as much
LONGEST_DETAIL = 300  # characters of a row that the page shows


async def show_site_audit(request: Request) -> Response:
    """`GET /site/audit`: for administrators and auditors; `team` narrows it to one."""
    visitor = await find_visitor(request)
    if visitor.identity.anonymous:
        return to_sign_in(request)
    if not visitor.identity.viewer().sees_all:
        raise HTTPException(404)
    return await _page(request, visitor, "/site/audit", "/api/v1/events", None)


async def show_team_audit(request: Request) -> Response:
    """`GET /teams/<team>/audit`: for a team's owners; an old name leads to the new one."""
    visitor = await find_visitor(request)
    if visitor.identity.anonymous:
        return to_sign_in(request)
    name = request.path_params["team"]
    team = await find_team_for(means_of(request), visitor.identity, name, "audit", deleted=True)
    if team.name != name:
        return RedirectResponse(f"/teams/{team.name}/audit", 303)
    return await _page(request, visitor, f"/teams/{name}/audit", f"/api/v1/teams/{name}/events", (team.id, name))


async def _page(request: Request, visitor: Visitor, here: str, api: str, team: tuple[int, str] | None) -> Response:
    query = {name: request.query_params.get(name, "").strip() for name in (*FIELDS, "team")}
    if team is not None:
        query["team"] = ""
    problem, page, known = "", EventPage([], None), list[str]()
    after = request.query_params.get("after", "")
    try:
        found = await means_of(request).database.look(
            _find, means_of(request), visitor.identity, query, after, team[0] if team else None
        )
        page, known = found
    except ApiError as error:
        problem = as_sentence(in_words_of_pages(error.message))
    asked = {name: value for name, value in query.items() if value}
    more = following(page)
    values: dict[str, Any] = {"rows": [(row, told(row)) for row in page.rows], "asked": query, "filtered": bool(asked)}
    values |= {"known": known, "results": RESULTS, "problem": problem, "after": after, "examined": EXAMINED}
    values |= {"first": _address(here, asked), "export": _address(f"{api}/export", asked), "here": here}
    values |= {"next": _address(here, {**asked, "after": more}) if more else None, "team": team[1] if team else ""}
    return render(request, visitor, "audit.html", 400 if problem else 200, **values)


def _find(
    means: Means, identity: Identity, query: dict[str, str], after: str, team_id: int | None
) -> tuple[EventPage, list[str]]:
    """The page that was asked for, and all actions that can be. Raises ApiError."""
    if query["team"]:
        team_id = find_seen(means, identity, query["team"]).id
    wanted: Wanted = wanted_by(query, team_id)
    with means.database.read() as session:
        return find_events(session, wanted, before=place_of(after), limit=PAGE), actions(session)


def told(row: EventRow) -> str:
    """What a row says besides, on one line."""
    parts = (f"{name.replace('_', ' ')}: {_plain(value)}" for name, value in row.detail.items() if value is not None)
    text = ", ".join(parts)
    return text if len(text) <= LONGEST_DETAIL else f"{text[:LONGEST_DETAIL]}…"


def _plain(value: Any) -> str:
    if isinstance(value, int) and value > YEAR_2001:
        return show_moment(value)
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value)


def _address(path: str, query: dict[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path
