"""The JSON API of grants: who has a role on one repository besides those who own it."""

from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth.door import ApiError, identify, read_json, unauthorized
from auth.identity import Identity
from storage.grants import ROLES, GrantRow, give_grant, grants, take_grant
from storage.namespaces import NamespaceRow, find_holder
from web.access import Readable, find_readable
from web.api import fields
from web.api.repositories import answer_repository
from web.means import Means, means_of


async def list_grants(request: Request) -> Response:
    """Whom a repository is shared with; for those who own it."""
    means, name = means_of(request), request.path_params["name"]
    identity = await identify(request, means.gate)
    if await means.database.look(_find, means, identity, name) is None:  # a repository may itself be named so
        return await answer_repository(request, identity, f"{name}/grants")
    found = await enter_owned(means, identity, name)

    rows = await means.database.look(_grants, means, found)
    return JSONResponse({"grants": [_grant(row) for row in rows]})


async def put_grant(request: Request) -> Response:
    """Gives a user or a team a role on a repository."""
    means = means_of(request)
    identity, found = await _entered(request)
    body = await read_json(request)

    holder, role = await anyio.to_thread.run_sync(share, means, identity, found, request.path_params["holder"], body)
    return JSONResponse({"name": holder.name, "kind": holder.kind, "role": role})


async def delete_grant(request: Request) -> Response:
    """Takes that role back."""
    means = means_of(request)
    identity, found = await _entered(request)

    await anyio.to_thread.run_sync(unshare, means, identity, found, request.path_params["holder"])
    return Response(status_code=204)


_GRANTS = "/api/v1/repositories/{name:path}/grants"
ROUTES = [
    Route(_GRANTS, list_grants, methods=["GET"]),
    Route(_GRANTS + "/{holder}", put_grant, methods=["PUT"]),
    Route(_GRANTS + "/{holder}", delete_grant, methods=["DELETE"]),
]


async def enter_owned(means: Means, identity: Identity, name: str) -> Readable:
    """The repository of that name, if it is somebody's to share, for other doors too. Raises ApiError."""
    found = await means.database.look(_find, means, identity, name)
    if found is None:
        raise ApiError(404, "not_found", f"there is no repository {name[:255]!r}, or you may not see it")
    if "administer" not in found.actions:
        if identity.anonymous:
            raise unauthorized(f"sign in to share {name}")
        raise ApiError(403, "forbidden", f"you may not share {name}; ask one of its owners")
    return found


def share(
    means: Means, identity: Identity, found: Readable, holder: str, body: dict[str, Any]
) -> tuple[NamespaceRow, str]:
    """Gives the user or team of that name a role, for other doors too: to whom, and which. Raises ApiError."""
    fields.only(body, "role")
    role, to = fields.choice(body, "role", ROLES), _holder(means, holder)
    give_grant(means.database, identity.actor(), found.entry.id, to, role)
    return to, role


def unshare(means: Means, identity: Identity, found: Readable, holder: str) -> None:
    """Takes the role of the user or team of that name back, for other doors too. Raises ApiError."""
    back_from = _holder(means, holder, deleted=True)  # what is listed can be taken back
    take_grant(means.database, identity.actor(), found.entry.id, back_from)


async def _entered(request: Request) -> tuple[Identity, Readable]:
    """Who calls and the repository in the path, if it is theirs to share. Raises ApiError."""
    means = means_of(request)
    identity = await identify(request, means.gate)
    return identity, await enter_owned(means, identity, request.path_params["name"])


def _find(means: Means, identity: Identity, name: str) -> Readable | None:
    with means.database.read() as session:
        return find_readable(session, identity, name)


def _holder(means: Means, name: str, deleted: bool = False) -> NamespaceRow:
    with means.database.read() as session:
        found = find_holder(session, name, deleted=deleted)
    if found is None:
        raise ApiError(404, "not_found", f"there is no user and no team {name[:64]!r}")
    return found


def _grants(means: Means, found: Readable) -> list[GrantRow]:
    with means.database.read() as session:
        return grants(session, found.entry.id)


def _grant(row: GrantRow) -> dict[str, Any]:
    return {"name": row.name, "kind": row.kind, "role": row.role, "created_at": fields.moment(row.created_at)}
