"""The JSON API of targets: `/api/v1/targets` and what lies under each, except its deployments."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from auth.door import ApiError, read_json, require
from auth.identity import Identity
from auth.permissions import Resource, may
from auth.secrets import fingerprint, hint, new_secret
from deploy.fields import bad, number_field, only, text_field, word_field
from deploy.means import Means, allow, means_of
from deploy.shapes import key_json, node_json, target_json
from deploy.targets.envoy_fleet import BootstrapOptions, Fleet, bootstrap, key_document
from storage.namespaces import Holding, find_namespace_holding
from storage.nodes import nodes
from storage.targets import (
    TargetRow,
    create_target,
    create_target_key,
    delete_target,
    delete_target_key,
    find_target,
    target_keys,
    targets,
)

KIND = "envoy-fleet"
KEY = "whf"  # a fleet's key, `whf_...`
NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_ADDRESS = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):(?:0|[1-9][0-9]{0,4})")
_PAGE = 1000
_NUMBER = re.compile(r"[0-9]{1,16}")  # of a key; what is longer is none


@dataclass(frozen=True)
class NewTarget:
    """A target as asked for."""

    name: str
    namespace: str
    settings: dict[str, Any]


async def list_targets(request: Request) -> Response:
    """`GET /api/v1/targets[?after=NAME]`: the targets of the caller's namespaces, by name, 1,000 at a time."""
    means, identity = means_of(request), await require(request, means_of(request).gate)

    found = await run_sync(_list, means, identity, request.query_params.get("after", ""))

    following = found[-1].name if len(found) == _PAGE else None
    return JSONResponse({"targets": [target_json(one) for one in found], "next": following})


async def post_target(request: Request) -> Response:
    """`POST /api/v1/targets`: makes an Envoy fleet.

    `name`; `kind` (`envoy-fleet`); `namespace`, the caller's own by default; `settings`: `slots` (8), `without_hub`
    (`wait`, or `open`), `refresh_seconds` (5), `node_limit` (1000).
    """
    means, identity = means_of(request), await require(request, means_of(request).gate)
    new = _new_target(await read_json(request), identity)

    made = await run_sync(_create, means, identity, new)

    return JSONResponse(target_json(made), 201, {"Location": f"/api/v1/targets/{made.name}"})


async def get_target(request: Request) -> Response:
    """`GET /api/v1/targets/{target}`."""
    means, identity = means_of(request), await require(request, means_of(request).gate)

    target = await run_sync(_find, means, identity, "pull", request.path_params["target"])

    return JSONResponse(target_json(target))


async def remove_target(request: Request) -> Response:
    """`DELETE /api/v1/targets/{target}`: 409 while something is deployed on it."""
    means, identity = means_of(request), await require(request, means_of(request).gate)
    target = await run_sync(_find, means, identity, "configure", request.path_params["target"])

    await run_sync(delete_target, means.database, identity.actor(), target)

    return Response(status_code=204)


async def get_bootstrap(request: Request) -> Response:
    """`GET /api/v1/targets/{target}/bootstrap`: a whole Envoy bootstrap, as JSON, which Envoy takes as it is.

    Query: `listen`, `upstream`, `admin` (host:port each), `node` (else give Envoy `--service-node`), `key_env`
    (WASMHUB_FLEET_KEY) or `key_file`, `ca_file`, and `hub`, the hub's URL as the proxies reach it.
    """
    means, identity = means_of(request), await require(request, means_of(request).gate)
    options = _options(dict(request.query_params), means.gate.origins.of(request.scope).url)
    target = await run_sync(_find, means, identity, "pull", request.path_params["target"])

    return JSONResponse(bootstrap(_fleet(target), options))


async def list_keys(request: Request) -> Response:
    """`GET /api/v1/targets/{target}/keys`: at most two, oldest first, without their secrets."""
    means, identity = means_of(request), await require(request, means_of(request).gate)
    target = await run_sync(_find, means, identity, "configure", request.path_params["target"])

    found = await run_sync(_keys, means, target)

    return JSONResponse({"keys": [key_json(one) for one in found]})


async def post_key(request: Request) -> Response:
    """`POST /api/v1/targets/{target}/keys`: makes a key beside the one in use; the answer alone shows it, once.

    `document` is the same key as a file that an Envoy with `key_file=....json` follows as it changes.
    """
    means, identity = means_of(request), await require(request, means_of(request).gate)
    target = await run_sync(_find, means, identity, "configure", request.path_params["target"])
    only(await read_json(request))

    key, row = await run_sync(_create_key, means, identity, target)

    shown = {**key_json(row), "key": key, "document": key_document(key)}
    return JSONResponse(shown, 201, {"Cache-Control": "no-store"})


async def remove_key(request: Request) -> Response:
    """`DELETE /api/v1/targets/{target}/keys/{key}`: the key is good no more, from now on."""
    means, identity = means_of(request), await require(request, means_of(request).gate)
    target = await run_sync(_find, means, identity, "configure", request.path_params["target"])

    key: str = request.path_params["key"]

    if not _NUMBER.fullmatch(key) or not await run_sync(
        delete_target_key, means.database, identity.actor(), target, int(key)
    ):
        raise ApiError(404, "not_found", f"target {target.name} has no key {key[:100]!r}")
    return Response(status_code=204)


async def list_nodes(request: Request) -> Response:
    """`GET /api/v1/targets/{target}/nodes`: the proxies that asked, with what each runs and refused in each slot."""
    means, identity = means_of(request), await require(request, means_of(request).gate)
    target = await run_sync(_find, means, identity, "pull", request.path_params["target"])

    found = await run_sync(_nodes, means, target)

    return JSONResponse({"nodes": found})


def _new_target(body: dict[str, Any], identity: Identity) -> NewTarget:
    only(body, "name", "kind", "namespace", "settings")
    name = text_field(body, "name")
    if not NAME.fullmatch(name):
        raise bad(f"{name[:64]!r} is no name for a target: use lower-case letters, digits and dashes, at most 63")
    word_field(body, "kind", KIND, (KIND,))
    asked = body.get("settings", {})
    if not isinstance(asked, dict):
        raise bad("settings must be a JSON object")
    only(asked, "slots", "without_hub", "refresh_seconds", "node_limit")
    seconds = asked.get("refresh_seconds", 5)
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0.1 <= seconds <= 300:
        raise bad("refresh_seconds must be a number from 0.1 to 300")
    settings = {
        "slots": number_field(asked, "slots", 8, 1, 32),
        "without_hub": word_field(asked, "without_hub", "wait", ("wait", "open")),
        "refresh_seconds": seconds,
        "node_limit": number_field(asked, "node_limit", 1000, 1, 10_000),
    }
    return NewTarget(name, text_field(body, "namespace", identity.name), settings)


def _options(query: dict[str, str], hub: str) -> BootstrapOptions:
    only(query, "listen", "upstream", "admin", "node", "key_env", "key_file", "ca_file", "hub")
    for name in ("listen", "upstream", "admin"):
        given = query.get(name)
        if given is not None and not (_ADDRESS.fullmatch(given) and int(given.rpartition(":")[2]) <= 65535):
            raise bad(f"{name} must be host:port, such as 127.0.0.1:10000")
    hub_url = text_field(query, "hub", hub)
    if not re.fullmatch(r"https?://(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[1-9][0-9]{0,4})?/?", hub_url):
        raise bad("hub must be the hub's URL, such as https://hub.example.com")
    try:
        _ = urlsplit(hub_url).port
    except ValueError as error:
        raise bad(f"hub must be the hub's URL; {hub_url[:300]} is none: {error}") from None
    usual = BootstrapOptions(hub_url.rstrip("/"))
    return BootstrapOptions(
        hub_url=usual.hub_url,
        listen=query.get("listen", usual.listen),
        upstream=query.get("upstream", usual.upstream),
        admin=query.get("admin", usual.admin),
        node_id=text_field(query, "node", ""),
        key_env=text_field(query, "key_env", usual.key_env),
        key_file=text_field(query, "key_file", "", longest=4096),
        ca_file=text_field(query, "ca_file", usual.ca_file, longest=4096),
    )


def _fleet(target: TargetRow) -> Fleet:
    settings = target.settings
    return Fleet(target.name, settings["slots"], settings["without_hub"], settings["refresh_seconds"])


def _list(means: Means, identity: Identity, after: str) -> list[TargetRow]:
    with means.database.read() as session:
        return targets(session, identity.viewer(), after=after, limit=_PAGE)


def _create(means: Means, identity: Identity, new: NewTarget) -> TargetRow:
    with means.database.read() as session:
        namespace = find_namespace_holding(session, new.namespace, identity.user_id)
        taken = find_target(session, new.name)
    if namespace is None or not may(identity, "configure", _place(namespace, new.name)):
        raise ApiError(403, "denied", f"you may not make targets in the namespace {new.namespace!r}")
    if taken is not None:
        raise ApiError(409, "conflict", f"there is a target named {new.name!r} already; choose another name")
    return create_target(
        means.database,
        identity.actor(),
        new.name,
        kind=KIND,
        namespace_id=namespace.namespace_id,
        settings=new.settings,
    )


def _place(namespace: Holding, name: str) -> Resource:
    """What permissions ask of a target that would be made there."""
    return Resource(namespace.owner_user_id, namespace.roles, namespace.visibility, "target", name)


def _find(means: Means, identity: Identity, action: str, name: str) -> TargetRow:
    with means.database.read() as session:
        return allow(session, identity, action, name)


def _keys(means: Means, target: TargetRow) -> Any:
    with means.database.read() as session:
        return target_keys(session, target.id)


def _create_key(means: Means, identity: Identity, target: TargetRow) -> tuple[str, Any]:
    key = new_secret(KEY)
    row = create_target_key(means.database, identity.actor(), target, hint=hint(key), secret_sha256=fingerprint(key))
    return key, row


def _nodes(means: Means, target: TargetRow) -> list[dict[str, Any]]:
    with means.database.read() as session:
        return [node_json(node) for node in nodes(session, target.id)]
