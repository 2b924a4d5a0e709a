"""Lists: tags, referrers and the catalog, all by pages (distribution-spec, "Content discovery")."""

import json
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from registry.access import Caller, allow, identify
from registry.documents import OCI_INDEX
from registry.errors import OCIError
from registry.means import Means, means_of
from registry.names import is_digest
from storage.manifests import Referrer, list_referrers, list_tags
from storage.repositories import list_names

PAGE_LIMIT = 1000
REFERRERS_LIMIT = 500
REFERRERS_BYTES = 3 * 2**20  # clients stop reading at 4 MiB
CATALOG = "registry:catalog:*"


async def get_tags(request: Request) -> Response:
    """A page of tags, bytewise."""
    means, name = means_of(request), request.path_params["name"]
    limit, last = _page(request)
    caller = await means.calls.caller(request.scope)

    def find() -> list[str]:
        with means.database.read() as session:
            entry = allow(session, caller, "pull", name)
            if entry.repository_id is None:
                raise OCIError("NAME_UNKNOWN", f"there is no repository {name}, or you may not see it")
            return list_tags(session, entry.repository_id, last=last, limit=limit + 1)

    return _listed(request, "tags", await means.database.look(find), limit, {"name": name})


async def get_catalog(request: Request) -> Response:
    """A page of the repositories that the caller may pull."""
    means = means_of(request)
    limit, last = _page(request)
    caller = await means.calls.caller(request.scope)

    def find() -> list[str]:
        with means.database.read() as session:
            identity, claims = identify(session, caller, CATALOG)
            if not claims.catalog:
                raise caller.challenge(CATALOG, error="insufficient_scope")
            return list_names(session, identity.viewer(), last=last, limit=limit + 1)

    return _listed(request, "repositories", await means.database.look(find), limit, {})


async def get_referrers(request: Request) -> Response:
    """The manifests that refer to a digest: never 404, for a digest or a repository that is not there has none."""
    means, name, digest = means_of(request), request.path_params["name"], request.path_params["digest"]
    artifact_type = request.query_params.get("artifactType") or None
    caller = await means.calls.caller(request.scope)
    last = request.query_params.get("last", "0")

    def find() -> list[Referrer]:
        with means.database.read() as session:
            entry = allow(session, caller, "pull", name)
            if not is_digest(digest):
                raise OCIError("DIGEST_INVALID", f"{digest[:200]!r} is no sha256 or sha512 digest")
            if not last.isdigit() or not last.isascii() or len(last) > 18:
                raise OCIError("PAGINATION_NUMBER_INVALID", "'last' must be as the Link header gave it")
            if entry.repository_id is None:
                return []
            return list_referrers(
                session,
                entry.repository_id,
                digest,
                artifact_type=artifact_type,
                last=int(last),
                limit=REFERRERS_LIMIT + 1,
            )

    found = await means.database.look(find)
    shown = _fitting(found[:REFERRERS_LIMIT])
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [_descriptor(item) for item in shown]}
    headers = {"OCI-Filters-Applied": "artifactType"} if artifact_type else {}
    if len(shown) < len(found):
        query = {"last": str(shown[-1].id)} | ({"artifactType": artifact_type} if artifact_type else {})
        headers["Link"] = f'<{request.url.path}?{urlencode(query)}>; rel="next"'
    return Response(json.dumps(index), headers=headers, media_type=OCI_INDEX)


async def get_version(request: Request) -> Response:
    """Says to whoever has a valid token that this is a registry."""
    means = means_of(request)
    caller = await means.calls.caller(request.scope)
    await means.database.look(_identified, means, caller)

    return Response("{}", media_type="application/json", headers={"Docker-Distribution-API-Version": "registry/2.0"})


def _identified(means: Means, caller: Caller) -> None:
    with means.database.read() as session:
        identify(session, caller)


def _page(request: Request) -> tuple[int, str]:
    """How many to show and after which."""
    given = request.query_params.get("n")
    if given is None:
        return PAGE_LIMIT, request.query_params.get("last", "")
    if not given.isdigit() or not given.isascii() or len(given) > 9:
        raise OCIError("PAGINATION_NUMBER_INVALID", f"n must be a number from 0 to {PAGE_LIMIT}, not {given[:100]!r}")
    return min(int(given), PAGE_LIMIT), request.query_params.get("last", "")


def _listed(request: Request, field: str, found: list[str], limit: int, more: dict[str, str]) -> Response:
    """A page and the link to the next one; `found` holds one more than the page if there is one."""
    shown = found[:limit]
    headers = {}
    if len(found) > limit and shown:
        query = urlencode({"n": limit, "last": shown[-1]})
        headers["Link"] = f'<{request.url.path}?{query}>; rel="next"'
    return Response(json.dumps({**more, field: shown}), headers=headers, media_type="application/json")


def _fitting(found: list[Referrer]) -> list[Referrer]:
    """As many as make an index that clients will read, at least one."""
    size = 0
    for count, item in enumerate(found):
        size += 300 + len(json.dumps(item.annotations)) if item.annotations else 300
        if size > REFERRERS_BYTES and count:
            return found[:count]
    return found


def _descriptor(item: Referrer) -> dict[str, Any]:
    descriptor: dict[str, Any] = {"mediaType": item.media_type, "size": item.size, "digest": item.digest}
    if item.artifact_type:
        descriptor["artifactType"] = item.artifact_type
    if item.annotations:
        descriptor["annotations"] = item.annotations
    return descriptor
