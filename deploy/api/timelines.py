"""Timelines as they grow, as server-sent events: of rollouts and of deployment sets."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import StreamingResponse

from auth.door import ApiError, require
from auth.identity import Identity
from deploy.api.watching import STREAM
from deploy.means import means_of
from storage.database import StorageError

EVERY = 1.0  # seconds between two looks at a timeline that is followed
LONGEST = 120  # seconds after which who follows one is to ask again
FOLLOWERS = 64  # timelines that one process lets be followed at once
QUIET = 15  # looks without news after which a word is sent, so that nobody in between gives up
_NUMBER = re.compile(r"[0-9]{1,16}")

# The lines after a number that somebody may see, as JSON, and whether there will be no more; None: it is gone, or may
# be seen no more.
News = Callable[[Identity, int], tuple[list[dict[str, Any]], bool] | None]


def follow(request: Request, identity: Identity, news: News) -> StreamingResponse:
    """The answer to who follows a timeline, from `Last-Event-ID` on. Raises ApiError."""
    means = means_of(request)
    last = request.headers.get("last-event-id", "0")
    if not _NUMBER.fullmatch(last):
        raise ApiError(400, "bad_request", "Last-Event-ID must be the id of an event")
    if len(means.following) >= FOLLOWERS:
        raise ApiError(503, "busy", "too many timelines are being followed; try again later", {"Retry-After": "15"})
    # A password is hard to check on purpose; who shows one is asked once, and again with the next answer.
    asks_again = not request.headers.get("authorization", "").lower().startswith("basic")
    lines = _lines(request, None if asks_again else identity, news, int(last))
    return StreamingResponse(lines, media_type="text/event-stream", headers=STREAM)


async def _lines(request: Request, known: Identity | None, news: News, last: int) -> AsyncIterator[str]:
    """The timeline as lines of server-sent events. Who asks, unless known, is found anew each time."""
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
                found = await means.database.look(news, identity, last)
            except (ApiError, StorageError):  # who asks is signed out, or is to ask again in a moment
                return
            if found is None:
                return
            fresh, over = found
            for one in fresh:
                yield f"id: {one['id']}\nevent: {one['kind']}\ndata: {json.dumps(one)}\n\n"
                last = one["id"]
            if over:
                yield "event: end\ndata: {}\n\n"
                return
            quiet = 0 if fresh else quiet + 1
            if quiet % QUIET == QUIET - 1:
                yield ": still here\n\n"
            await asyncio.sleep(EVERY)
    finally:
        means.following.discard(follower)
