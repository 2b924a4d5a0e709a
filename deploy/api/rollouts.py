"""The JSON API of rollouts: `/api/v1/rollouts`, and their progress as server-sent events."""

from typing import Any

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from auth.door import ApiError, read_json, require
from auth.identity import Identity
from deploy.api.timelines import follow
from deploy.fields import only, word_field
from deploy.means import Means, allow, means_of
from deploy.views.rollouts import TURNS, abort_rollout, find_seen, read_rollout, turn_rollout
from deploy.views.rollouts import list_rollouts as list_seen
from deploy.views.shapes import rollout_event_json, rollout_json
from storage.rollout_rows import OPEN, RolloutRow, find_rollout, rollout_events


async def list_rollouts(request: Request) -> Response:
    """`GET /api/v1/rollouts[?target=NAME][&deployment=NAME][&open=true]`: newest first, 100 of each target."""
    means, identity = means_of(request), await require(request, means_of(request).gate)
    query = dict(request.query_params)
    only(query, "target", "deployment", "open")
    under_way = word_field(query, "open", "false", ("true", "false")) == "true"

    found = await run_sync(list_seen, means, identity, query.get("target"))

    wanted = query.get("deployment")
    found = [one for one in found if wanted is None or one.deployment == wanted]
    found = [one for one in found if one.state in OPEN or not under_way]
    return JSONResponse({"rollouts": [rollout_json(one) for one in found]})


async def get_rollout(request: Request) -> Response:
    """`GET /api/v1/rollouts/{rollout}`: how it stands, its `health` now, and `events`, its timeline, oldest first."""
    means, identity = means_of(request), await require(request, means_of(request).gate)

    found = await run_sync(read_rollout, means, identity, request.path_params["rollout"])

    return JSONResponse(found)


async def post_pause(request: Request) -> Response:
    """`POST /api/v1/rollouts/{rollout}/pause`: no further wave begins; what refuses or does worse still halts it."""
    return await _turn(request, "pause")


async def post_resume(request: Request) -> Response:
    """`POST /api/v1/rollouts/{rollout}/resume`: goes on where it was paused."""
    return await _turn(request, "resume")


async def post_abort(request: Request) -> Response:
    """`POST /api/v1/rollouts/{rollout}/abort`: every node gets the revision before again, as a new one.

    `why`: a sentence for the timeline and the audit log.
    """
    means, identity = means_of(request), await require(request, means_of(request).gate)
    rollout = await run_sync(find_seen, means, identity, "deploy", request.path_params["rollout"])
    body = await read_json(request)
    only(body, "why")

    made = await run_sync(abort_rollout, means, identity, rollout, body.get("why", ""))

    return JSONResponse(made)


async def follow_rollout(request: Request) -> Response:
    """`GET /api/v1/rollouts/{rollout}/events`: the timeline as server-sent events, each a JSON document under its id.

    Whoever comes back with `Last-Event-ID` gets what came since. It ends by an event `end` when the rollout is over.
    """
    means, identity = means_of(request), await require(request, means_of(request).gate)
    rollout = await run_sync(find_seen, means, identity, "pull", request.path_params["rollout"])

    def news(identity: Identity, after: int) -> tuple[list[dict[str, Any]], bool] | None:
        return _news(means, identity, rollout, after)

    return follow(request, identity, news)


async def _turn(request: Request, verb: str) -> Response:
    means, identity = means_of(request), await require(request, means_of(request).gate)
    rollout = await run_sync(find_seen, means, identity, "deploy", request.path_params["rollout"])
    only(await read_json(request))

    made = await run_sync(turn_rollout, means, identity, rollout, TURNS[verb])

    return JSONResponse(made)


def _news(
    means: Means, identity: Identity, rollout: RolloutRow, after: int
) -> tuple[list[dict[str, Any]], bool] | None:
    with means.database.read() as session:
        try:
            allow(session, identity, "pull", rollout.target)
        except ApiError:
            return None
        now = find_rollout(session, rollout.id)
        if now is None:
            return None
        events = [rollout_event_json(one) for one in rollout_events(session, rollout.id, after=after)]
        return events, now.ended_at is not None
