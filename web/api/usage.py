"""The JSON API of what namespaces hold and may hold."""

from collections.abc import Sequence
from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth.door import ApiError, read_json, require_account, require_administrator
from auth.identity import Identity
from storage.namespaces import find_namespace_holding
from storage.usage import Limits, Meter, Use, find_use, most_used, set_quota
from web.api import fields
from web.api.namespaces import enter_namespace
from web.means import Means, means_of

MOST_BYTES, MOST_REPOSITORIES = 2**60, 10**9

Placed = Sequence[tuple[Use, tuple[int, int]]]


async def list_usage(request: Request) -> Response:
    """What namespaces hold, those that hold most first; for administrators and auditors."""
    means = means_of(request)
    identity = await require_account(request, means.gate)
    if not identity.viewer().sees_all:
        raise ApiError(403, "forbidden", "this needs an administrator or an auditor of the hub")
    after, limit = fields.page(request)
    rows = await means.database.look(most, means, place_in(after), limit)
    document = {"usage": [use_document(means.meter, use) for use, _ in rows]}
    return JSONResponse(document | {"next": place_after(rows, limit)})


async def get_usage(request: Request) -> Response:
    """What one namespace holds and may hold; for those who own it or are in the team that does."""
    means = means_of(request)
    identity = await require_account(request, means.gate)
    held = await enter_namespace(means, identity, request.path_params["namespace"], "pull")
    return JSONResponse(use_document(means.meter, await means.database.look(use_of, means, held.namespace_id)))


async def put_quota(request: Request) -> Response:
    """Gives a namespace limits of its own; what is left out, or null, is as the settings say. For administrators."""
    means, name = means_of(request), request.path_params["namespace"]
    identity = await require_administrator(request, means.gate)
    body = await read_json(request)
    use = await anyio.to_thread.run_sync(change_quota, means, identity, name, body)
    return JSONResponse(use_document(means.meter, use))


ROUTES = [
    Route("/api/v1/usage", list_usage, methods=["GET"]),
    Route("/api/v1/namespaces/{namespace}/usage", get_usage, methods=["GET"]),
    Route("/api/v1/namespaces/{namespace}/quota", put_quota, methods=["PUT"]),
]


def change_quota(means: Means, identity: Identity, name: str, body: dict[str, Any]) -> Use:
    """Gives a namespace limits of its own, for other doors too. Raises ApiError."""
    fields.only(body, "bytes", "repositories")
    limits = Limits(_limit(body, "bytes", MOST_BYTES), _limit(body, "repositories", MOST_REPOSITORIES))
    with means.database.read() as session:
        held = find_namespace_holding(session, name, None)
    if held is None:
        raise ApiError(404, "not_found", f"there is no namespace {name[:64]!r}")
    set_quota(means.database, identity.actor(), held.namespace_id, limits)
    return use_of(means, held.namespace_id)


def use_of(means: Means, namespace_id: int) -> Use:
    """What a namespace holds. Raises ApiError if it is gone."""
    with means.database.read() as session:
        use = find_use(session, namespace_id)
    if use is None:
        raise ApiError(404, "not_found", "the namespace was removed meanwhile")
    return use


def most(means: Means, after: tuple[int, int] | None, limit: int) -> Placed:
    """The namespaces that hold most, for other doors too."""
    with means.database.read() as session:
        return most_used(session, after=after, limit=limit)


def place_in(after: str) -> tuple[int, int] | None:
    """Where a page begins. Raises ApiError for what no page gave."""
    if not after:
        return None
    held, _, number = after.partition(".")
    if not all(part.isascii() and part.isdigit() and len(part) < 19 for part in (held, number)):
        raise fields.bad("'after' must be what an answer gave as 'next'")
    return int(held), int(number)


def place_after(rows: Placed, limit: int) -> str | None:
    """What to give as `after` for the next page."""
    return "{}.{}".format(*rows[-1][1]) if len(rows) == limit else None


def use_document(meter: Meter, use: Use) -> dict[str, Any]:
    """What a namespace holds, as programs see it. A quota of null is without limit, an own one of null is not there."""
    limits = meter.limits(use.own)
    return {
        "namespace": use.namespace,
        "bytes": use.bytes,
        "repositories": use.repositories,
        "percent": meter.share(use),
        "quota": {"bytes": limits.bytes or None, "repositories": limits.repositories or None},
        "own_quota": {"bytes": use.own.bytes, "repositories": use.own.repositories},
    }


def _limit(body: dict[str, Any], field: str, highest: int) -> int | None:
    return None if body.get(field) is None else fields.number(body, field, 0, 0, highest)
