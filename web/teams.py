"""The list of teams: one's own, or all for those who see everything, and the form that makes one."""

from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from auth.identity import Identity
from storage.repositories import Viewer
from storage.teams import teams
from web.api.teams import VISIBILITIES, make_team, may_make_teams
from web.forms import Act, Sent, carry_out, to_sign_in
from web.means import means_of
from web.rendering import render
from web.visitor import Visitor, find_visitor

PAGE = 50


async def show_teams(request: Request) -> Response:
    """`GET /teams`: by name; with `?mine=1` one's own alone."""
    visitor = await find_visitor(request)
    return to_sign_in(request) if visitor.identity.anonymous else await _page(request, visitor, Sent())


async def post_teams(request: Request) -> Response:
    """`POST /teams`: makes a team."""
    return await carry_out(request, ACTS, _page)


async def _page(request: Request, visitor: Visitor, sent: Sent) -> Response:
    return await means_of(request).database.look(_show, request, visitor, sent)


def _show(request: Request, visitor: Visitor, sent: Sent) -> Response:
    means, after = means_of(request), request.query_params.get("after", "")[:64]
    viewer = visitor.identity.viewer()
    mine = "mine" in request.query_params or not viewer.sees_all
    with means.database.read() as session:
        rows = teams(session, Viewer(viewer.user_id, not mine), after=after, limit=PAGE + 1)
    return render(
        request,
        visitor,
        "teams.html",
        here="/teams",
        sent=sent,
        done_now=None,
        mine=mine,
        rows=rows[:PAGE],
        after=after,
        more=rows[PAGE - 1].name if len(rows) > PAGE else None,
        may_make=may_make_teams(means, visitor.identity),
        visibilities=VISIBILITIES,
    )


async def _make(request: Request, identity: Identity, form: dict[str, str]) -> str:
    body: dict[str, Any] = {
        name: form[name].strip() for name in ("name", "description", "default_visibility") if name in form
    }
    made = await anyio.to_thread.run_sync(make_team, means_of(request), identity, body)
    return f"/teams/{made.name}"


ACTS: dict[str, Act] = {"make": _make}
