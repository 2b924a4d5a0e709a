"""Timelines as they grow, as server-sent events: of rollouts and of deployment sets."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.requests import Request

from auth.door import ApiError, require
from auth.identity import Identity
from deploy.api.streams import Events
from deploy.means import means_of
from storage.database import StorageError

EVERY = 1.0  # seconds between two looks at a timeline that is followed
LONGEST = 120  # seconds after which who follows one is to ask again
QUIET = 15  # looks without news after which a word is sent, so that nobody in between gives up
_NUMBER = re.compile(r"[0-9]{1,16}")

# The lines after a number that somebody may see, as JSON, and whether there will be no more; None: it is gone, or may
# be seen no more.
News = Callable[[Identity, int], tuple[list[dict[str, Any]], bool] | None]


def follow(request: Request, identity: Identity, news: News) -> Events:
    """The answer to who follows a timeline, from `Last-Event-ID` on. Raises ApiError."""
    means = means_of(request)
    last = request.headers.get("last-event-id", "0")
    if not _NUMBER.fullmatch(last):
        raise ApiError(400, "bad_request", "Last-Event-ID must be the id of an event")
    # A password is hard to check on purpose; who shows one is asked once, and again with the next answer.
    asks_again = not request.headers.get("authorization", "").lower().startswith("basic")
    known = None if asks_again else identity
    return Events(means.following, identity, lambda goes_on: _lines(request, known, news, int(last), goes_on))


async def _lines(
    request: Request, known: Identity | None, news: News, last: int, goes_on: Callable[[], bool]
) -> AsyncIterator[str]:
    """The timeline as lines of server-sent events. Who asks, unless known, is found anew each time."""
    means, quiet = means_of(request), 0
    yield "retry: 3000\n\n"
    for _ in range(int(LONGEST / EVERY)):
        if not goes_on():  # the hub is about to stop
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
