"""A deployment as it goes on: server-sent events, one each time that it stands otherwise."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from auth.door import ApiError, require
from auth.identity import Identity
from deploy.api.streams import Events
from deploy.fields import bad, only
from deploy.means import Means, means_of
from deploy.views.deployments import find, read_detail
from deploy.wishes import known_name
from storage.database import StorageError
from storage.rollout_rows import newest_rollout

EVERY = 1.0  # seconds between two looks
LASTS = 15  # seconds that one answer lasts; then its reader asks again, and shows again who it is
LONGEST = 60
_LIVELY = ("status", "message", "follow", "revision", "nodes", "objects", "proxies", "ended_at")


async def watch_deployment(request: Request) -> Response:
    """`GET /api/v1/targets/{target}/deployments/{deployment}/events[?seconds=15]`: server-sent events of how it stands.

    Each `deployment` has `status`, `message`, the current `revision`, what each proxy says, and of the newest `rollout`
    its `id`, `state` and newest `event`; the first comes at once. `gone` is the last one of a deployment that is no
    more, or that may no longer be seen. An answer ends after a while, after `seconds` at most; browsers ask again by
    themselves.
    """
    means, identity = means_of(request), await require(request, means_of(request).gate)
    target, name = request.path_params["target"], known_name(request.path_params["deployment"])
    lasts = _seconds(dict(request.query_params))
    await means.database.look(read_detail, means, identity, target, name)
    # A password is hard to check on purpose; who shows one is asked once, and again with the next answer.
    asks_again = not request.headers.get("authorization", "").lower().startswith("basic")
    known = None if asks_again else identity
    return Events(means.watching, identity, lambda _: _events(request, known, target, name, lasts))


async def _events(request: Request, known: Identity | None, target: str, name: str, lasts: int) -> AsyncIterator[str]:
    """The events. Who asks, unless known, is found anew before each look: who is signed out sees no more of it."""
    means = means_of(request)
    end, before = asyncio.get_running_loop().time() + lasts, ""
    yield "retry: 1000\n\n"
    while True:
        try:
            identity = known or await require(request, means.gate)
            found = await means.database.look(_look, means, identity, target, name)
        except ApiError:
            yield "event: gone\ndata: {}\n\n"
            return
        except StorageError:  # its reader asks again in a moment
            return
        said = json.dumps(found)
        if said != before:
            yield f"event: deployment\ndata: {said}\n\n"
            before = said
        if asyncio.get_running_loop().time() >= end:
            return
        await asyncio.sleep(EVERY)


def _look(means: Means, identity: Identity, target: str, name: str) -> dict[str, Any]:
    found = read_detail(means, identity, target, name)
    with means.database.read() as session:
        said = newest_rollout(session, find(session, identity, "pull", target, name)[1].id)
    return {part: found[part] for part in _LIVELY} | {"rollout": said}


def _seconds(query: dict[str, str]) -> int:
    only(query, "seconds")
    asked = query.get("seconds", str(LASTS))
    if not (asked.isascii() and asked.isdigit() and len(asked) < 3 and int(asked) <= LONGEST):
        raise bad(f"seconds must be a whole number from 0 to {LONGEST}")
    return int(asked)
