"""The JSON API of rollouts: `/api/v1/rollouts`, and their progress as server-sent events."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

from anyio.to_thread import run_sync
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from auth.door import ApiError, read_json, require
from auth.identity import Identity
from deploy.fields import only, word_field
from deploy.means import Means, allow, means_of
from deploy.rollouts import stand_of
from deploy.shapes import rollout_event_json, rollout_json
from storage.database import Database, StorageError
from storage.events import Actor
from storage.rollout_rows import OPEN, RolloutEventRow, RolloutRow, find_rollout, rollout_events, target_rollouts
from storage.rollouts import pause_rollout, resume_rollout, take_back_rollout
from storage.targets import targets

_NUMBER = re.compile(r"[0-9]{1,16}")
EVERY = 1.0  # seconds between two looks at a timeline that is followed
LONGEST = 120  # seconds after which who follows one is to ask again
FOLLOWERS = 64  # timelines that one process lets be followed at once
QUIET = 15  # looks without news after which a word is sent, so that nobody in between gives up


async def list_rollouts(request: Request) -> Response:
    """`GET /api/v1/rollouts[?target=NAME][&deployment=NAME][&open=true]`: newest first, 100 of each target."""
    means, identity = means_of(request), await require(request, means_of(request).gate)
    query = dict(request.query_params)
    only(query, "target", "deployment", "open")
    under_way = word_field(query, "open", "false", ("true", "false")) == "true"

    found = await run_sync(_list, means, identity, query.get("target"))

    wanted = query.get("deployment")
    found = [one for one in found if wanted is None or one.deployment == wanted]
    found = [one for one in found if one.state in OPEN or not under_way]
    return JSONResponse({"rollouts": [rollout_json(one) for one in found]})


async def get_rollout(request: Request) -> Response:
    """`GET /api/v1/rollouts/{rollout}`: how it stands, its `health` now, and `events`, its timeline, oldest first."""
    means, identity = means_of(request), await require(request, means_of(request).gate)

    found = await run_sync(_detail, means, identity, request.path_params["rollout"])

    return JSONResponse(found)


async def post_pause(request: Request) -> Response:
    """`POST /api/v1/rollouts/{rollout}/pause`: no further wave begins; what refuses or does worse still halts it."""
    return await _turn(request, pause_rollout)


async def post_resume(request: Request) -> Response:
    """`POST /api/v1/rollouts/{rollout}/resume`: goes on where it was paused."""
    return await _turn(request, resume_rollout)


async def post_abort(request: Request) -> Response:
    """`POST /api/v1/rollouts/{rollout}/abort`: every node gets the revision before again, as a new one.

    `why`: a sentence for the timeline and the audit log.
    """
    means, identity = means_of(request), await require(request, means_of(request).gate)
    rollout = await run_sync(_find, means, identity, "deploy", request.path_params["rollout"])
    body = await read_json(request)
    only(body, "why")
    why = body.get("why", "")
    if not isinstance(why, str) or len(why) > 500 or not why.isprintable():
        raise ApiError(400, "bad_request", "why must be one line of at most 500 characters")
    said = f"aborted by {identity.name}" + (f": {why}" if why else "")

    made = await run_sync(take_back_rollout, means.database, identity.actor(), rollout.id, said)

    means.wake()
    return JSONResponse(rollout_json(made))


async def follow_rollout(request: Request) -> Response:
    """`GET /api/v1/rollouts/{rollout}/events`: the timeline as server-sent events, each a JSON document under its id.

    Whoever comes back with `Last-Event-ID` gets what came since. It ends by an event `end` when the rollout is over.
    """
    means, identity = means_of(request), await require(request, means_of(request).gate)
    rollout = await run_sync(_find, means, identity, "pull", request.path_params["rollout"])
    last = request.headers.get("last-event-id", "0")
    if not _NUMBER.fullmatch(last):
        raise ApiError(400, "bad_request", "Last-Event-ID must be the id of an event")
    if len(means.following) >= FOLLOWERS:
        raise ApiError(503, "busy", "too many timelines are being followed; try again later", {"Retry-After": "15"})
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    # A password is hard to check on purpose; who shows one is asked once, and again with the next answer.
    asks_again = not request.headers.get("authorization", "").lower().startswith("basic")
    lines = _lines(request, None if asks_again else identity, rollout, int(last))
    return StreamingResponse(lines, media_type="text/event-stream", headers=headers)


async def _turn(request: Request, command: Callable[[Database, Actor, RolloutRow], RolloutRow]) -> Response:
    means, identity = means_of(request), await require(request, means_of(request).gate)
    rollout = await run_sync(_find, means, identity, "deploy", request.path_params["rollout"])
    only(await read_json(request))

    made = await run_sync(command, means.database, identity.actor(), rollout)

    means.wake()
    return JSONResponse(rollout_json(made))


async def _lines(request: Request, known: Identity | None, rollout: RolloutRow, last: int) -> AsyncIterator[str]:
    """The timeline as it grows, as lines of server-sent events. Who asks, unless known, is found anew each time."""
    means, follower = means_of(request), object()
    means.following.add(follower)
    try:
        quiet = 0
        yield "retry: 3000\n\n"
        for _ in range(int(LONGEST / EVERY)):
            if follower not in means.following:  # the hub is about to stop
                return
            try:
                identity = known or await require(request, means.gate)
                found = await means.database.look(_news, means, identity, rollout, last)
            except (ApiError, StorageError):  # who asks is signed out, or is to ask again in a moment
                return
            if found is None:  # it is gone, or may be seen no more
                return
            news, over = found
            for one in news:
                yield f"id: {one.id}\nevent: {one.kind}\ndata: {json.dumps(rollout_event_json(one))}\n\n"
                last = one.id
            if over:
                yield "event: end\ndata: {}\n\n"
                return
            quiet = 0 if news else quiet + 1
            if quiet % QUIET == QUIET - 1:
                yield ": still here\n\n"
            await asyncio.sleep(EVERY)
    finally:
        means.following.discard(follower)


def _news(
    means: Means, identity: Identity, rollout: RolloutRow, after: int
) -> tuple[list[RolloutEventRow], bool] | None:
    with means.database.read() as session:
        try:
            allow(session, identity, "pull", rollout.target)
        except ApiError:
            return None
        now = find_rollout(session, rollout.id)
        return None if now is None else (rollout_events(session, rollout.id, after=after), now.ended_at is not None)


def _list(means: Means, identity: Identity, target: str | None) -> list[RolloutRow]:
    with means.database.read() as session:
        seen = [allow(session, identity, "pull", target)] if target else targets(session, identity.viewer())
        found = [one for place in seen for one in target_rollouts(session, place.id)]
    return sorted(found, key=lambda one: -one.id)


def _detail(means: Means, identity: Identity, number: str) -> dict[str, Any]:
    rollout = _find(means, identity, "pull", number)
    stands = stand_of(means.database, rollout.id)
    with means.database.read() as session:
        events = rollout_events(session, rollout.id)
    shown = rollout_json(rollout)
    if stands is not None and stands[0].ended_at is None:
        shown = rollout_json(stands[0])
        shown["message"] = stands[1].message
        shown["health"] = stands[1].health.figures if stands[1].health is not None else None
    return shown | {"events": [rollout_event_json(one) for one in events]}


def _find(means: Means, identity: Identity, action: str, number: str) -> RolloutRow:
    """The rollout with that number, if the caller may do this with its target. Raises ApiError."""
    with means.database.read() as session:
        found = find_rollout(session, int(number)) if _NUMBER.fullmatch(number) else None
        if found is None or not _visible(session, identity, found):
            raise ApiError(404, "not_found", f"there is no rollout {number[:64]!r}, or you may not see it")
        allow(session, identity, action, found.target)
    return found


def _visible(session: Session, identity: Identity, rollout: RolloutRow) -> bool:
    try:
        allow(session, identity, "pull", rollout.target)
    except ApiError:
        return False
    return True
