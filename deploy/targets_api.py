"""The JSON API of targets: `/api/v1/targets` and what lies under each, except its deployments."""

import re
from dataclasses import dataclass
from functools import partial
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
from deploy.files_door import folder_field
from deploy.kubeconfig import access_json
from deploy.means import Means, allow, means_of
from deploy.mesh_targets import Asked, access_fields, read_mesh_target, try_out
from deploy.meshes import MESHES
from deploy.reach import reach
from deploy.rules import RULES, read_rules, without_rules
from deploy.shapes import key_json, node_json, state_json, target_json
from deploy.targets.envoy_fleet import FILES, OVER_GRPC, TRANSPORTS, BootstrapOptions, Fleet, bootstrap, key_document
from deploy.wishes import NAME
from storage.meshes import TargetSeen, target_seen
from storage.namespaces import Holding, find_namespace_holding
from storage.nodes import nodes
from storage.targets import (
    TargetRow,
    configure_target,
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
_ADDRESS = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):(?:0|[1-9][0-9]{0,4})")
MAX_BODY = 1024 * 1024  # bytes; a kubeconfig may be long
_PAGE = 1000
_CERTIFICATES = ("ca_file", "cert_file", "cert_key_file")  # files of a bootstrap
_NUMBER = re.compile(r"[0-9]{1,16}")  # of a key; what is longer is none


@dataclass(frozen=True)
class NewTarget:
    """A target as asked for."""

    name: str
    kind: str
    namespace: str
    settings: dict[str, Any]
    asked: Asked | None = None  # of one that the hub reaches out to


async def list_targets(request: Request) -> Response:
    """`GET /api/v1/targets[?after=NAME]`: the targets of the caller's namespaces, by name, 1,000 at a time."""
    means, identity = means_of(request), await require(request, means_of(request).gate)

    found = await run_sync(_list, means, identity, request.query_params.get("after", ""))

    following = found[-1].name if len(found) == _PAGE else None
    return JSONResponse({"targets": [target_json(one) for one in found], "next": following})


async def post_target(request: Request) -> Response:
    """`POST /api/v1/targets`: makes a target.

    `name`; `kind` (`envoy-fleet`, or a mesh's); `namespace`, the caller's own by default; `settings`: the rules of
    `deploy.rules`, and of a fleet `slots` (8), `without_hub` (`wait`, or `open`), `refresh_seconds` (5), `node_limit`
    (1000), `transport` (`rest`, `grpc`, `delta-grpc`, `ads`, `delta-ads` or `file`). A mesh also takes `kubeconfig`, or
    Consul's `token` and `ca`, which nobody is ever shown again; the answer says under `reach` what the hub met there.
    """
    means, identity = means_of(request), await require(request, means_of(request).gate)
    # In a thread: a long kubeconfig takes a while to read.
    new = await run_sync(_new_target, await read_json(request, limit=MAX_BODY), identity)
    await run_sync(_allow_new, means, identity, new)
    reach = await try_out(means.outgoing, new.asked) if new.asked is not None else None

    made = await run_sync(_create, means, identity, new)

    means.wake()
    shown = target_json(made) | ({"reach": reach} if reach is not None else {})
    return JSONResponse(shown, 201, {"Location": f"/api/v1/targets/{made.name}"})


async def patch_target(request: Request) -> Response:
    """`PATCH /api/v1/targets/{target}`: other `settings` (all of them), another access, or both, for a mesh.

    Of a fleet's `settings` only the rules (`deploy.rules`) can become others: those that are given are all that hold.
    """
    means, identity = means_of(request), await require(request, means_of(request).gate)
    target = await run_sync(_find, means, identity, "configure", request.path_params["target"])
    body = await read_json(request, limit=MAX_BODY)
    only(body, "settings", *access_fields(target.kind))
    if target.kind not in MESHES:
        return JSONResponse(target_json(await run_sync(_change_rules, means, identity, target, body)))
    asked = await run_sync(read_mesh_target, target.kind, body.get("settings", target.settings), body)
    if asked.access is None and asked.settings.get("address") != target.settings.get("address"):
        raise bad("the address is another one: give the token again, which would be sent there")
    reach = await try_out(means.outgoing, asked) if asked.access is not None else None
    sealed = _sealed(means, asked)

    made = await run_sync(
        partial(
            configure_target, means.database, identity.actor(), target, settings=asked.settings, sealed_access=sealed
        )
    )

    means.wake()
    return JSONResponse(target_json(made) | ({"reach": reach} if reach is not None else {}))


async def get_target(request: Request) -> Response:
    """`GET /api/v1/targets/{target}`: with `state`, how the hub last met one that it reaches out to."""
    means, identity = means_of(request), await require(request, means_of(request).gate)

    target = await run_sync(_find, means, identity, "pull", request.path_params["target"])
    seen = await run_sync(_seen, means, target)

    return JSONResponse(target_json(target) | ({"state": state_json(seen)} if seen is not None else {}))


async def post_reach(request: Request) -> Response:
    """`POST /api/v1/targets/{target}/reach`: what the hub meets there now: the server's `version`, and its `rights`."""
    means, identity = means_of(request), await require(request, means_of(request).gate)
    only(await read_json(request))

    return JSONResponse(await reach(means, identity, request.path_params["target"]))


async def remove_target(request: Request) -> Response:
    """`DELETE /api/v1/targets/{target}[?abandon=true]`: 409 while something is deployed on it.

    So it is while objects of what was undeployed are being taken away; `abandon` leaves them where they are.
    """
    means, identity = means_of(request), await require(request, means_of(request).gate)
    target = await run_sync(_find, means, identity, "configure", request.path_params["target"])

    query = dict(request.query_params)
    only(query, "abandon")
    abandon = word_field(query, "abandon", "false", ("true", "false")) == "true"

    await run_sync(partial(delete_target, means.database, identity.actor(), target, abandon=abandon))

    return Response(status_code=204)


async def get_bootstrap(request: Request) -> Response:
    """`GET /api/v1/targets/{target}/bootstrap`: a whole Envoy bootstrap, as JSON, which Envoy takes as it is.

    Query: `listen`, `upstream`, `admin` (host:port each), `node` (else give Envoy `--service-node`), `key_env`
    (WASMHUB_FLEET_KEY) or `key_file`, `ca_file`, `cert_file` with `cert_key_file`, and `hub`, the hub's URL as the
    proxies reach it; where the target is served over gRPC, `xds` too: the URL of what WASMHUB_XDS_LISTEN opens; where
    its proxies read files, `files`: the folder.
    """
    means, identity = means_of(request), await require(request, means_of(request).gate)
    options = _options(dict(request.query_params), means.gate.origins.of(request.scope).url)
    target = _fleet_only(await run_sync(_find, means, identity, "pull", request.path_params["target"]))
    fleet = _fleet(target)
    if fleet.transport == FILES and not options.files:
        raise bad(f"the field files is missing: proxies of {target.name} read files, so say in which folder they lie")
    if fleet.transport in OVER_GRPC and not options.xds:
        raise bad(
            f"the field xds is missing: proxies of {target.name} are served over gRPC, so say where they reach that"
            " port of the hub (WASMHUB_XDS_LISTEN), such as https://hub.example.com:18000"
        )

    return JSONResponse(bootstrap(fleet, options))


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
    target = _fleet_only(await run_sync(_find, means, identity, "configure", request.path_params["target"]))
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
    kind = word_field(body, "kind", KIND, (KIND, *MESHES))
    only(body, "name", "kind", "namespace", "settings", *access_fields(kind))
    name = text_field(body, "name")
    if not NAME.fullmatch(name):
        raise bad(f"{name[:64]!r} is no name for a target: use lower-case letters, digits and dashes, at most 63")
    namespace = text_field(body, "namespace", identity.name)
    asked = body.get("settings", {})
    if kind in MESHES:
        mesh = read_mesh_target(kind, asked, body)
        if mesh.access is None:
            raise bad(f"the field {access_fields(kind)[0]} is missing: how the hub gets in there")
        return NewTarget(name, kind, namespace, mesh.settings, mesh)
    return NewTarget(name, kind, namespace, _fleet_settings(asked))


def _fleet_settings(asked: Any) -> dict[str, Any]:
    """Settings of an Envoy fleet, complete."""
    if not isinstance(asked, dict):
        raise bad("settings must be a JSON object")
    only(asked, "slots", "without_hub", "refresh_seconds", "node_limit", "transport", *RULES)
    seconds = asked.get("refresh_seconds", 5)
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0.1 <= seconds <= 300:
        raise bad("refresh_seconds must be a number from 0.1 to 300")
    return {
        "slots": number_field(asked, "slots", 8, 1, 32),
        "without_hub": word_field(asked, "without_hub", "wait", ("wait", "open")),
        "refresh_seconds": seconds,
        "node_limit": number_field(asked, "node_limit", 1000, 1, 10_000),
        "transport": word_field(asked, "transport", "rest", tuple(TRANSPORTS)),
        **read_rules(asked),
    }


def _change_rules(means: Means, identity: Identity, target: TargetRow, body: dict[str, Any]) -> TargetRow:
    """Gives a fleet other rules."""
    asked, own = body.get("settings", target.settings), without_rules(target.settings)
    settings = _fleet_settings({**own, **asked} if isinstance(asked, dict) else asked)
    if without_rules(settings) != without_rules(_fleet_settings(own)):
        raise ApiError(
            409,
            "conflict",
            f"{target.name} is an Envoy fleet, whose settings its Envoys have been given; only its rules can be"
            f" changed, which are {', '.join(RULES)}",
        )
    return configure_target(means.database, identity.actor(), target, settings=settings, sealed_access=None)


def _options(query: dict[str, str], hub: str) -> BootstrapOptions:
    only(query, "listen", "upstream", "admin", "node", "key_env", "key_file", *_CERTIFICATES, "hub", "xds", "files")
    if ("cert_file" in query) != ("cert_key_file" in query):
        raise bad("cert_file and cert_key_file go together: the proxy's certificate and its key")
    for name in ("listen", "upstream", "admin"):
        given = query.get(name)
        if given is not None and not (_ADDRESS.fullmatch(given) and int(given.rpartition(":")[2]) <= 65535):
            raise bad(f"{name} must be host:port, such as 127.0.0.1:10000")
    usual = BootstrapOptions(_hub_url("hub", text_field(query, "hub", hub)))
    return BootstrapOptions(
        hub_url=usual.hub_url,
        xds=_hub_url("xds", text_field(query, "xds")) if "xds" in query else "",
        files=folder_field(query, "files") if "files" in query else "",
        listen=query.get("listen", usual.listen),
        upstream=query.get("upstream", usual.upstream),
        admin=query.get("admin", usual.admin),
        node_id=text_field(query, "node", ""),
        key_env=text_field(query, "key_env", usual.key_env),
        key_file=text_field(query, "key_file", "", longest=4096),
        **{name: text_field(query, name, getattr(usual, name), longest=4096) for name in _CERTIFICATES},
    )


def _hub_url(name: str, url: str) -> str:
    if not re.fullmatch(r"https?://(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[1-9][0-9]{0,4})?/?", url):
        raise bad(f"{name} must be the hub's URL, such as https://hub.example.com")
    try:
        _ = urlsplit(url).port
    except ValueError as error:
        raise bad(f"{name} must be the hub's URL; {url[:300]} is none: {error}") from None
    return url.rstrip("/")


def _fleet(target: TargetRow) -> Fleet:
    settings = target.settings
    return Fleet(
        target.name,
        settings["slots"],
        settings["without_hub"],
        settings["refresh_seconds"],
        settings.get("transport", "rest"),
    )


def _list(means: Means, identity: Identity, after: str) -> list[TargetRow]:
    with means.database.read() as session:
        return targets(session, identity.viewer(), after=after, limit=_PAGE)


def _allow_new(means: Means, identity: Identity, new: NewTarget) -> int:
    """The namespace where the caller may make that target. Raises ApiError."""
    with means.database.read() as session:
        namespace = find_namespace_holding(session, new.namespace, identity.user_id)
        taken = find_target(session, new.name)
    if namespace is None or not may(identity, "configure", _place(namespace, new.name)):
        raise ApiError(403, "denied", f"you may not make targets in the namespace {new.namespace!r}")
    if taken is not None:
        raise ApiError(409, "conflict", f"there is a target named {new.name!r} already; choose another name")
    return namespace.namespace_id


def _create(means: Means, identity: Identity, new: NewTarget) -> TargetRow:
    return create_target(
        means.database,
        identity.actor(),
        new.name,
        kind=new.kind,
        namespace_id=_allow_new(means, identity, new),
        settings=new.settings,
        sealed_access=_sealed(means, new.asked) if new.asked is not None else None,
    )


def _sealed(means: Means, asked: Asked) -> bytes | None:
    return means.gate.secret_key.seal(access_json(asked.access)) if asked.access is not None else None


def _fleet_only(target: TargetRow) -> TargetRow:
    if target.kind != KIND:
        raise ApiError(409, "conflict", f"{target.name} is no Envoy fleet, so it has neither keys nor a bootstrap")
    return target


def _seen(means: Means, target: TargetRow) -> TargetSeen | None:
    with means.database.read() as session:
        return target_seen(session, target.id)


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
