"""The JSON API of the catalog: repositories and their versions."""

from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth.door import ApiError, identify, read_json, unauthorized
from auth.identity import Identity
from auth.permissions import VISIBILITY
from storage.catalog import Entry, Version, list_repositories, list_versions
from storage.repositories import configure_repository
from storage.search import find_words
from web.access import Readable, find_readable
from web.means import Means, means_of
from web.rendering import show_moment

LONGEST_DESCRIPTION = 1000  # characters
MOST = 100  # entries of a page: each shows what its newest version says


async def get_repositories(request: Request) -> Response:
    """Repositories that the caller may read, by name; `q` narrows them to those that hold all its words."""
    identity = await identify(request, means_of(request).gate)

    after, limit = read_page(request)
    means = means_of(request)
    entries = await means.database.look(_list, means, identity, request.query_params, after, limit)
    page = entries[:limit]
    more = page[-1].name if len(entries) > limit else None
    return JSONResponse({"repositories": [_entry(entry) for entry in page], "next": more})


async def get_repository(request: Request) -> Response:
    """One repository, its newest version, and what the caller may do with it."""
    identity = await identify(request, means_of(request).gate)

    return await answer_repository(request, identity, request.path_params["name"])


async def patch_repository(request: Request) -> Response:
    """Changes `visibility` or `description`; for those who may configure the repository."""
    means = means_of(request)
    identity = await identify(request, means.gate)
    name = request.path_params["name"]
    found = await enter_configured(means, identity, name)

    await anyio.to_thread.run_sync(change_repository, means, identity, found, await read_json(request))
    return await answer_repository(request, identity, name)


async def get_versions(request: Request) -> Response:
    """A repository's versions, newest first."""
    means = means_of(request)
    identity = await identify(request, means.gate)
    name = request.path_params["name"]
    after, limit = read_page(request)

    page = await means_of(request).database.look(_versions, means, identity, name, after, limit)
    if page is None:  # a repository may itself be named so
        return await answer_repository(request, identity, f"{name}/versions")
    return JSONResponse(page)


ROUTES = [
    Route("/api/v1/repositories", get_repositories, methods=["GET"]),
    Route("/api/v1/repositories/{name:path}/versions", get_versions, methods=["GET"]),
    Route("/api/v1/repositories/{name:path}", get_repository, methods=["GET"]),
    Route("/api/v1/repositories/{name:path}", patch_repository, methods=["PATCH"]),
]


def read_page(request: Request) -> tuple[str, int]:
    """`after` and `limit` of a list. Raises ApiError for a limit that is none."""
    limit = request.query_params.get("limit", "25")
    if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit[:9]) <= MOST:
        raise ApiError(400, "bad_request", f"'limit' must be a number from 1 to {MOST}")
    return request.query_params.get("after", ""), int(limit[:9])


async def enter_configured(means: Means, identity: Identity, name: str) -> Readable:
    """The repository of that name, if somebody may change what it says, for other doors too. Raises ApiError."""
    found = await means.database.look(_find, means, identity, name)
    if "configure" not in found.actions:
        if identity.anonymous:
            raise unauthorized(f"sign in to change {name}")
        raise ApiError(403, "forbidden", f"you may read {name}, not change it")
    return found


def change_repository(means: Means, identity: Identity, found: Readable, body: dict[str, Any]) -> None:
    """Changes a repository's `visibility` or `description`, for other doors too. Raises ApiError."""
    changes = _changes(body)
    configure_repository(
        means.database,
        found.entry.id,
        identity.actor(),
        visibility=changes.get("visibility"),
        description=changes.get("description"),
    )


async def answer_repository(request: Request, identity: Identity, name: str) -> Response:
    """One repository, for whoever may see it. Raises ApiError."""
    found = await means_of(request).database.look(_find, means_of(request), identity, name)
    return JSONResponse(_entry(found.entry) | {"actions": sorted(found.actions)})


def _list(means: Means, identity: Identity, query: Any, after: str, limit: int) -> list[Entry]:
    asked = query.get("q", "").strip()
    words = find_words(asked)
    if asked and not words:
        return []
    with means.database.read() as session:
        return list_repositories(session, identity.viewer(), words=words, last=after, limit=limit + 1)


def _find(means: Means, identity: Identity, name: str) -> Readable:
    with means.database.read() as session:
        found = find_readable(session, identity, name)
    if found is None:
        raise ApiError(404, "not_found", f"there is no repository {name[:255]!r}, or you may not see it")
    return found


def _versions(means: Means, identity: Identity, name: str, after: str, limit: int) -> dict[str, Any] | None:
    with means.database.read() as session:
        found = find_readable(session, identity, name)
        if found is None:
            return None
        try:
            versions = list_versions(session, found.entry.id, after=after, limit=limit + 1)
        except ValueError as error:
            raise ApiError(400, "bad_request", f"'after' must be what an answer gave as 'next': {error}") from None
    page = versions[:limit]
    more = page[-1].cursor if len(versions) > limit else None
    return {"versions": [_version(version) for version in page], "next": more}


def _changes(body: dict[str, Any]) -> dict[str, str]:
    if body.keys() - {"visibility", "description"}:
        raise ApiError(400, "bad_request", "what can be changed is 'visibility' and 'description'")
    visibility = body.get("visibility", "private")
    if not isinstance(visibility, str) or visibility not in VISIBILITY:
        raise ApiError(400, "bad_request", f"'visibility' must be one of {', '.join(VISIBILITY)}")
    description = body.get("description", "")
    if not isinstance(description, str) or len(description) > LONGEST_DESCRIPTION or "\0" in description:
        raise ApiError(400, "bad_request", f"'description' must be a text of at most {LONGEST_DESCRIPTION} characters")
    if not all(char.isprintable() or char.isspace() for char in description):
        raise ApiError(400, "bad_request", "'description' must be printable text")
    return body


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "visibility": entry.visibility,
        "description": entry.description,
        "created_at": show_moment(entry.created_at),
        "pushed_at": show_moment(entry.pushed_at) if entry.pushed_at is not None else None,
        "newest": _version(entry.newest) if entry.newest else None,
    }


def _version(version: Version) -> dict[str, Any]:
    view = version.reading
    facts = view.facts or {}
    return {
        "tag": version.tag,
        "digest": version.digest,
        "media_type": version.media_type,
        "size": version.size,
        "pushed_at": show_moment(version.pushed_at),
        "pushed_by": version.pushed_by,
        "annotations": version.annotations,
        "module": {
            "state": view.state,
            "reason": view.reason,
            "format": view.format,
            "sha256": view.sha256,
            "size": view.size,
            "abi_version": facts.get("abi_version"),
            "sdk": (facts.get("sdk") or {}).get("name"),
            "loads_in_envoy": facts.get("loads_in_envoy"),
        },
    }
