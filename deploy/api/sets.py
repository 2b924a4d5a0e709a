"""The JSON API of deployment sets: `/api/v1/sets`, and their progress as server-sent events."""

from typing import Any

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from auth.door import ApiError, read_json, require
from auth.identity import Identity
from deploy.api.set_fields import read_set
from deploy.api.timelines import follow
from deploy.fields import number_field, only
from deploy.means import Means, means_of
from deploy.sets.commands import apply_set, find_seen_set, roll_back_set
from deploy.views.sets import (
    abort_set,
    hidden_targets,
    list_sets,
    read_set_detail,
    read_timeline,
    remove_set,
    show_set,
    turn_set,
)
from deploy.wishes import new_name, refuse_crowd
from storage.set_rows import SetRow, find_set

MAX_BODY = 1024 * 1024  # bytes
PAGE = 100


async def list_all(request: Request) -> Response:
    """`GET /api/v1/sets[?after=NAMESPACE/NAME]`: the caller's sets with how each stands, by name, 100 at a time."""
    means, identity = means_of(request), await require(request, means_of(request).gate)
    query = dict(request.query_params)
    only(query, "after")
    space, _, name = query.get("after", "").partition("/")

    found = await run_sync(list_sets, means, identity, (space, name), PAGE)

    following = f"{found[-1]['namespace']}/{found[-1]['name']}" if len(found) == PAGE else None
    return JSONResponse({"sets": found, "next": following})


async def get_set(request: Request) -> Response:
    """`GET /api/v1/sets/{namespace}/{set}`: how it stands as one, and each member; its `revisions` and `events`."""
    means, identity = means_of(request), await require(request, means_of(request).gate)

    found = await run_sync(read_set_detail, means, identity, *_names(request))

    return JSONResponse(found)


async def put_set(request: Request) -> Response:
    """`PUT /api/v1/sets/{namespace}/{set}`: has a filter run on several targets, one wave after the other.

    `reference`: NAME[:TAG|@DIGEST], resolved now, once for all. `config`, `root_id`, `failure_policy`, `order`: as of a
    deployment. `members`: each with its `target`, and if need be `deployment` (its name there; the set's), `placement`,
    a `config` of its own, `wave` (1) and, on a fleet, `rollout`. `bake` ("60s"): for how long a wave must stay ready
    before the next begins. `on_failure`: `roll-back`, or `stop`. What is left out is as usual, not as before: a member
    that is no more named is undeployed in the end.
    Answers 201 or 200 once the checks of all members are passed and the first wave begins, 422 with all `reasons`, each
    with its `member`; then nothing at all has happened. `force` as of a deployment.
    """
    means, identity = means_of(request), await require(request, means_of(request).gate)
    namespace, name = _names(request)
    wanted = read_set(await read_json(request, limit=MAX_BODY), new_name(name))

    refuse_crowd(means.checks)
    made, fresh = await run_sync(apply_set, means, identity, namespace, name, wanted, limiter=means.checks)

    return JSONResponse(await run_sync(show_set, means, made), 201 if fresh else 200)


async def post_set_pause(request: Request) -> Response:
    """`POST /api/v1/sets/{namespace}/{set}/pause`: nothing more is changed; what fails still halts it."""
    return await _turn(request, "pause")


async def post_set_resume(request: Request) -> Response:
    """`POST /api/v1/sets/{namespace}/{set}/resume`: goes on where it was paused, or where it stopped."""
    return await _turn(request, "resume")


async def post_set_abort(request: Request) -> Response:
    """`POST /api/v1/sets/{namespace}/{set}/abort`: all that it changed is as before again, the last wave first.

    `why`: a sentence for the timeline and the audit log.
    """
    means, identity = means_of(request), await require(request, means_of(request).gate)
    row = await run_sync(_find, means, identity, "deploy", *_names(request))
    body = await read_json(request)
    only(body, "why")

    made = await run_sync(abort_set, means, identity, row, body.get("why", ""))

    return JSONResponse(made)


async def post_set_rollback(request: Request) -> Response:
    """`POST /api/v1/sets/{namespace}/{set}/rollback`: an earlier revision again, as a new one, in the same waves.

    `revision`: its number; by default the newest before the present one that went through all its waves.
    """
    means, identity = means_of(request), await require(request, means_of(request).gate)
    row = await run_sync(_find, means, identity, "deploy", *_names(request))
    body = await read_json(request)
    only(body, "revision")
    number = number_field(body, "revision", 0, 1, 2**31) if "revision" in body else None

    refuse_crowd(means.checks)
    made = await run_sync(roll_back_set, means, identity, row, number, limiter=means.checks)

    return JSONResponse(await run_sync(show_set, means, made))


async def delete_set(request: Request) -> Response:
    """`DELETE /api/v1/sets/{namespace}/{set}`: undeploys all of it, the last wave first; it goes with the last of it.

    Answers 202 with the set, whose members are those that are left.
    """
    means, identity = means_of(request), await require(request, means_of(request).gate)
    row = await run_sync(_find, means, identity, "deploy", *_names(request))

    left = await run_sync(remove_set, means, identity, row)

    return JSONResponse(left, 202) if left is not None else Response(status_code=204)


async def follow_set(request: Request) -> Response:
    """`GET /api/v1/sets/{namespace}/{set}/events`: the timeline as server-sent events, each a JSON document.

    Whoever comes back with `Last-Event-ID` gets what came since. It ends by an event `end` when nothing is under way.
    """
    means, identity = means_of(request), await require(request, means_of(request).gate)
    row = await run_sync(_find, means, identity, "pull", *_names(request))

    def news(identity: Identity, after: int) -> tuple[list[dict[str, Any]], bool] | None:
        return _news(means, identity, row, after)

    return follow(request, identity, news)


async def _turn(request: Request, verb: str) -> Response:
    means, identity = means_of(request), await require(request, means_of(request).gate)
    row = await run_sync(_find, means, identity, "deploy", *_names(request))
    only(await read_json(request))

    made = await run_sync(turn_set, means, identity, row, verb)

    return JSONResponse(made)


def _find(means: Means, identity: Identity, action: str, namespace: str, name: str) -> SetRow:
    with means.database.read() as session:
        return find_seen_set(session, identity, action, namespace, name)


def _news(means: Means, identity: Identity, row: SetRow, after: int) -> tuple[list[dict[str, Any]], bool] | None:
    with means.database.read() as session:
        try:
            find_seen_set(session, identity, "pull", row.namespace, row.name)
        except ApiError:
            return None
        now = find_set(session, row.id)
        if now is None:
            return None
        events = read_timeline(session, hidden_targets(session, identity, now), now, after)
        return events, now.ended_at is not None and now.leaving_at is None


def _names(request: Request) -> tuple[str, str]:
    return request.path_params["namespace"], request.path_params["set"]
