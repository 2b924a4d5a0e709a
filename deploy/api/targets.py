"""The JSON API of targets: `/api/v1/targets`, and each of them; what only fleets have is in `fleets.py`."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from auth.door import ApiError, read_json, require
from auth.identity import Identity
from auth.permissions import Resource, may
from deploy.api.fleet_settings import KIND, fleet_settings, other_rules
from deploy.checks.rules import RULES
from deploy.fields import bad, only, text_field, word_field
from deploy.means import Means, allow, means_of
from deploy.meshes.kinds import MESHES
from deploy.meshes.kubeconfig import access_json
from deploy.meshes.reach import reach
from deploy.meshes.settings import Asked, access_fields, read_mesh_target, try_out
from deploy.views.shapes import state_json, target_json
from deploy.wishes import NAME
from storage.meshes import TargetSeen, target_seen
from storage.namespaces import Holding, find_namespace_holding
from storage.targets import (
    SettingsMoved,
    TargetRow,
    configure_target,
    create_target,
    delete_target,
    find_target,
    targets,
)

MAX_BODY = 1024 * 1024  # bytes; a kubeconfig may be long
_PAGE = 1000
_TURNS = 20  # how often a change is made anew from settings that others have changed meanwhile


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
    `deploy.checks.rules`, and of a fleet `slots` (8), `without_hub` (`wait`, or `open`), `refresh_seconds` (5),
    `node_limit` (1000), `transport` (`rest`, `grpc`, `delta-grpc`, `ads`, `delta-ads` or `file`). A mesh also takes
    `kubeconfig`, or Consul's `token` and `ca`, which nobody is ever shown again; the answer says under `reach` what the
    hub met there.
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

    `change` in the place of `settings` names some of them: these become others, or go where they are null, and what
    somebody else changes at once stays. Of a fleet's only the rules (`deploy.checks.rules`) can become others.
    """
    means, identity = means_of(request), await require(request, means_of(request).gate)
    target = await run_sync(_find, means, identity, "configure", request.path_params["target"])
    body = await read_json(request, limit=MAX_BODY)
    only(body, "settings", "change", *access_fields(target.kind))
    asked = await run_sync(_read_change, target, body)
    opened = asked if isinstance(asked, Asked) and asked.access is not None else None
    reach = await try_out(means.outgoing, opened) if opened is not None else None
    sealed = _sealed(means, opened) if opened is not None else None

    made = await run_sync(_configure, means, identity, target, body, sealed)

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
    return NewTarget(name, kind, namespace, fleet_settings(asked))


def _read_change(target: TargetRow, body: dict[str, Any]) -> Asked | dict[str, Any]:
    """A mesh as the body wants it, or the settings of a fleet. Raises ApiError."""
    wanted = _wanted_settings(target, body)
    if target.kind not in MESHES:
        return other_rules(target, wanted)
    asked = read_mesh_target(target.kind, wanted, body)
    if asked.access is None and asked.settings.get("address") != target.settings.get("address"):
        raise bad("the address is another one: give the token again, which would be sent there")
    return asked


def _wanted_settings(target: TargetRow, body: dict[str, Any]) -> Any:
    """The settings as they were given, whole or as a change of those that the target has. Raises ApiError."""
    if "change" not in body:
        return body.get("settings", target.settings)
    change = body["change"]
    if "settings" in body:
        raise bad("settings are given whole, or as a change of some of them; leave one of the two out")
    if not isinstance(change, dict):
        raise bad('change must be a JSON object of settings, such as {"freeze": null}')
    removable = {*RULES, *(target.settings if target.kind in MESHES else ())}
    for name, value in change.items():
        if value is None and name not in removable:
            raise bad(f"{target.name} has no setting {name[:64]!r} that could be taken away")
    return {name: value for name, value in (target.settings | change).items() if value is not None}


def _configure(
    means: Means, identity: Identity, target: TargetRow, body: dict[str, Any], sealed: bytes | None
) -> TargetRow:
    """Writes the change down; one of some settings is made anew where others were changed meanwhile."""
    write = partial(configure_target, means.database, identity.actor(), sealed_access=sealed)
    for _ in range(_TURNS):
        asked = _read_change(target, body)
        try:
            return write(target, settings=asked.settings if isinstance(asked, Asked) else asked)
        except SettingsMoved:
            if "change" not in body or sealed is not None:
                raise
        target = _find(means, identity, "configure", target.name)
    raise ApiError(409, "conflict", f"the settings of {target.name} are changed all the time; try again")


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


def _seen(means: Means, target: TargetRow) -> TargetSeen | None:
    with means.database.read() as session:
        return target_seen(session, target.id)


def _place(namespace: Holding, name: str) -> Resource:
    """What permissions ask of a target that would be made there."""
    return Resource(namespace.owner_user_id, namespace.roles, namespace.visibility, "target", name)


def _find(means: Means, identity: Identity, action: str, name: str) -> TargetRow:
    with means.database.read() as session:
        return allow(session, identity, action, name)
