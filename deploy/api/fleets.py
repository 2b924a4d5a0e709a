"""The JSON API of what only fleets have: a bootstrap, keys, and nodes that ask."""

import re
from typing import Any
from urllib.parse import urlsplit

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from auth.door import ApiError, read_json, require
from auth.identity import Identity
from auth.secrets import fingerprint, hint, new_secret
from deploy.api.fleet_settings import KIND
from deploy.fields import bad, only, text_field
from deploy.fleets.files_door import folder_field
from deploy.means import Means, allow, means_of
from deploy.targets.envoy_fleet import FILES, OVER_GRPC, BootstrapOptions, Fleet, bootstrap, key_document
from deploy.views.shapes import key_json, node_json
from storage.nodes import nodes
from storage.targets import TargetRow, create_target_key, delete_target_key, target_keys

KEY = "whf"  # a fleet's key, `whf_...`
_ADDRESS = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):(?:0|[1-9][0-9]{0,4})")
_CERTIFICATES = ("ca_file", "cert_file", "cert_key_file")  # files of a bootstrap
_NUMBER = re.compile(r"[0-9]{1,16}")  # of a key; what is longer is none


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


def _fleet_only(target: TargetRow) -> TargetRow:
    if target.kind != KIND:
        raise ApiError(409, "conflict", f"{target.name} is no Envoy fleet, so it has neither keys nor a bootstrap")
    return target


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
