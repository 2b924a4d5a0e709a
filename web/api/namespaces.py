"""The JSON API of namespaces: making them, and their names, which change while old ones go on answering."""

from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth.door import ApiError, read_json, require_account, require_administrator
from auth.identity import Identity
from auth.namespaces import resource_of
from auth.permissions import may
from storage.events import Actor
from storage.names import forget_name, old_names, rename_namespace
from storage.namespaces import (
    Holding,
    NamespaceRow,
    create_namespace,
    find_namespace,
    find_namespace_holding,
    namespaces,
)
from storage.users import find_user
from web.api import fields
from web.means import Means, means_of


async def list_namespaces(request: Request) -> Response:
    """All namespaces by name, a page at a time; for administrators."""
    means = means_of(request)
    await require_administrator(request, means.gate)

    after, limit = fields.page(request)
    rows = await means.database.look(_read, means, after, limit)
    page = [_namespace(row) for row in rows]
    return JSONResponse({"namespaces": page, "next": fields.following([row.name for row in rows], limit)})


async def post_namespace(request: Request) -> Response:
    """Makes a namespace that belongs to a user (`owner`) or to administrators alone; for administrators."""
    identity = await require_administrator(request, means_of(request).gate)
    body = await read_json(request)
    fields.only(body, "name", "owner")
    name, owner = fields.text(body, "name"), fields.text(body, "owner") if "owner" in body else None

    row = await anyio.to_thread.run_sync(_create, means_of(request), identity.actor(), name, owner)
    return JSONResponse(_namespace(row), 201)


async def get_namespace(request: Request) -> Response:
    """A namespace and its old names; for those who own it or are in the team that does."""
    _, held = await _entered(request, "pull")

    return JSONResponse(await means_of(request).database.look(_show, means_of(request), held))


async def patch_namespace(request: Request) -> Response:
    """Gives a namespace another `name`, and with it the user or team that it is of; for those who own it."""
    means = means_of(request)
    identity, held = await _entered(request, "administer")
    body = await read_json(request)
    fields.only(body, "name")
    name = fields.text(body, "name")

    await anyio.to_thread.run_sync(rename_namespace, means.database, identity.actor(), held.namespace_id, name)
    return JSONResponse(await means.database.look(_show, means, held))


async def delete_old_name(request: Request) -> Response:
    """Lets an old name go, so that anybody may take it; for those who own the namespace."""
    means = means_of(request)
    identity, held = await _entered(request, "administer")
    old = request.path_params["old"]

    await anyio.to_thread.run_sync(forget_name, means.database, identity.actor(), held.namespace_id, old)
    return Response(status_code=204)


_NAMESPACE = "/api/v1/namespaces/{namespace}"
ROUTES = [
    Route("/api/v1/namespaces", list_namespaces, methods=["GET"]),
    Route("/api/v1/namespaces", post_namespace, methods=["POST"]),
    Route(_NAMESPACE, get_namespace, methods=["GET"]),
    Route(_NAMESPACE, patch_namespace, methods=["PATCH"]),
    Route(_NAMESPACE + "/old-names/{old}", delete_old_name, methods=["DELETE"]),
]


async def enter_namespace(means: Means, identity: Identity, name: str, action: str) -> Holding:
    """The namespace of that name, if somebody may do this with it, for other doors too. Raises ApiError."""
    held = await means.database.look(_held, means, identity, name)
    if held is None or not may(identity, "pull", resource_of(held)):
        raise ApiError(404, "not_found", f"there is no namespace {name[:64]!r}, or you may not see it")
    if not may(identity, action, resource_of(held)):
        raise ApiError(403, "forbidden", f"you may not rename {held.name}; ask one of its owners")
    return held


async def _entered(request: Request, action: str) -> tuple[Identity, Holding]:
    """Who calls and the namespace in the path, if they may do this with it. Raises ApiError."""
    means = means_of(request)
    identity = await require_account(request, means.gate)
    return identity, await enter_namespace(means, identity, request.path_params["namespace"], action)


def _held(means: Means, identity: Identity, name: str) -> Holding | None:
    with means.database.read() as session:
        return find_namespace_holding(session, name, identity.user_id)


def _read(means: Means, after: str, limit: int) -> list[NamespaceRow]:
    with means.database.read() as session:
        return namespaces(session, after=after, limit=limit)


def _show(means: Means, held: Holding) -> dict[str, Any]:
    with means.database.read() as session:
        row = find_namespace(session, held.namespace_id)
        if row is None:
            raise ApiError(404, "not_found", f"the namespace {held.name} was removed meanwhile")
        return _namespace(row) | {"old_names": old_names(session, row.id)}


def _create(means: Means, actor: Actor, name: str, owner: str | None) -> NamespaceRow:
    with means.database.read() as session:
        user = find_user(session, owner) if owner is not None else None
    if owner is not None and user is None:
        raise fields.bad(f"there is no user {owner[:64]!r}")
    made = create_namespace(means.database, actor, name, user_id=user.id if user else None)
    with means.database.read() as session:
        row = find_namespace(session, made)
    assert row is not None
    return row


def _namespace(row: NamespaceRow) -> dict[str, Any]:
    return {"id": row.id, "name": row.name, "kind": row.kind, "user_id": row.user_id, "team_id": row.team_id}
