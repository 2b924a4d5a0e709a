"""The page of health and jobs: what the hub stands on, what it stores, and how its garbage collections went."""

import asyncio
from typing import Any

import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from auth.identity import Identity
from storage.garbage_runs import Run, ask_for_run, list_runs
from web.forms import Act, Sent, administrate, carry_out, to_sign_in
from web.means import Means, means_of
from web.rendering import render
from web.visitor import Visitor, find_visitor

SHOWN = 10  # runs


async def show_upkeep(request: Request) -> Response:
    """`GET /site/upkeep`: for those who see everything."""
    visitor = await find_visitor(request)
    return to_sign_in(request) if visitor.identity.anonymous else await _page(request, visitor, Sent())


async def post_upkeep(request: Request) -> Response:
    """`POST /site/upkeep`: asks for a garbage collection."""
    return await carry_out(request, ACTS, _page)


async def _page(request: Request, visitor: Visitor, sent: Sent) -> Response:
    if not visitor.identity.viewer().sees_all:
        raise HTTPException(404)
    means = means_of(request)
    parts, figures, runs = await asyncio.gather(
        means.parts(), means.figures.look(), means.database.look(_read_runs, means)
    )
    values: dict[str, Any] = {"parts_said": parts, "figures": figures, "runs": runs, "sent": sent}
    values |= {"here": "/site/upkeep", "done_now": request.query_params.get("done")}
    return render(request, visitor, "upkeep.html", runs_it=visitor.identity.administrator, **values)


async def _collect(request: Request, identity: Identity, form: dict[str, str]) -> str:
    administrate(identity)
    database, actor = means_of(request).database, identity.actor()
    await anyio.to_thread.run_sync(lambda: ask_for_run(database, actor, dry_run="dry_run" in form))
    return "/site/upkeep?done=collect#runs"


ACTS: dict[str, Act] = {"collect": _collect}


def _read_runs(means: Means) -> list[Run]:
    with means.database.read() as session:
        return list_runs(session, SHOWN)
