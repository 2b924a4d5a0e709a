"""The JSON API of garbage collection: start a run, see how the last ones went; for administrators."""

from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth.door import ApiError, read_json, require_administrator
from storage.garbage_runs import Run, ask_for_run, find_run, list_runs
from web.means import Means, means_of
from web.rendering import show_moment

SHOWN = 20


async def post_run(request: Request) -> Response:
    """Asks for a run, which one of the hub's processes begins within seconds."""
    means = means_of(request)
    identity = await require_administrator(request, means.gate)
    body = await read_json(request)
    dry_run = body.pop("dry_run", False)
    if not isinstance(dry_run, bool) or body:
        raise ApiError(400, "bad_request", "the body may hold dry_run, true or false, and nothing else")

    actor = identity.actor()
    run = await anyio.to_thread.run_sync(lambda: ask_for_run(means.database, actor, dry_run=dry_run))
    return JSONResponse(_shown(run), 202, {"Location": f"/api/v1/garbage-collections/{run.id}"})


async def get_runs(request: Request) -> Response:
    """The last runs, newest first; one that is under way among them."""
    means = means_of(request)
    await require_administrator(request, means.gate)

    runs = await means.database.look(_read_runs, means)
    return JSONResponse({"garbage_collections": [_shown(run) for run in runs]})


async def get_run(request: Request) -> Response:
    """One run."""
    means, number = means_of(request), request.path_params["number"]
    await require_administrator(request, means.gate)
    known = number.isascii() and number.isdigit() and len(number) < 19
    run = await means.database.look(_read_run, means, int(number)) if known else None

    if run is None:
        raise ApiError(404, "not_found", f"there is no garbage collection {number[:50]!r}; only the last are kept")
    return JSONResponse(_shown(run))


ROUTES = [
    Route("/api/v1/garbage-collections", get_runs, methods=["GET"]),
    Route("/api/v1/garbage-collections", post_run, methods=["POST"]),
    Route("/api/v1/garbage-collections/{number}", get_run, methods=["GET"]),
]


def _read_runs(means: Means) -> list[Run]:
    with means.database.read() as session:
        return list_runs(session, SHOWN)


def _read_run(means: Means, number: int) -> Run | None:
    with means.database.read() as session:
        return find_run(session, number)


def _shown(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "state": run.state,
        "dry_run": run.dry_run,
        "asked_by": run.asked_by or None,
        "phase": run.phase or None,
        "figures": run.figures,
        "reason": run.reason,
        "created_at": show_moment(run.created_at),
        "ended_at": None if run.ended_at is None else show_moment(run.ended_at),
    }
