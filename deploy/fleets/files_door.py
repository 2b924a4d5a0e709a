"""The filters of a fleet as files: for whoever can reach the hub and puts them where Envoys that cannot will read."""

import re
from dataclasses import replace
from typing import Any

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from auth.door import ApiError, require, unauthorized
from auth.identity import Identity
from auth.secrets import fingerprint
from deploy.fields import bad, only, text_field
from deploy.fleets.ecds import EMPTY
from deploy.fleets.polls import FORGOTTEN_AFTER, LONGEST, NODE_LIMIT, SEEN_EVERY, YIELDS_AFTER, contents, held_of
from deploy.means import Means, allow, may_with, means_of
from deploy.status import FETCHER
from deploy.targets.envoy_files import file_document, module_name
from deploy.targets.envoy_fleet import FILES, slot_name
from deploy.targets.envoy_parts import file_name
from storage.database import now
from storage.deployments import DeploymentRow, target_deployments
from storage.nodes import SlotRow, add_node, find_node, save_slot, touch_node
from storage.targets import TargetRow, find_target_by_key

_FOLDER = re.compile(r"(?:/[A-Za-z0-9._@%+=:,-]+)+")


async def get_files(request: Request) -> Response:
    """`GET /api/v1/targets/{target}/files`: each slot's file, and where the modules are that they name.

    Query: `folder`, where the proxies see the files, and `by`, who puts them there. The fleet's own key is good here
    too, as Bearer. What was given to whom is noted, as what a node was served.
    """
    means = means_of(request)
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip().startswith("whf_"):
        target = await run_sync(_by_key, means, key.strip(), request.path_params["target"])
    else:
        identity = await require(request, means.gate)
        target = await run_sync(_by_name, means, identity, request.path_params["target"])
    query = dict(request.query_params)
    only(query, "folder", "by")
    folder, by = folder_field(query, "folder"), text_field(query, "by")
    if not 0 < len(by) <= LONGEST or not by.isprintable():
        raise bad(f"by must be a name of at most {LONGEST} printable characters")

    files = await run_sync(_files, means, target, folder, by)

    return JSONResponse({"target": target.name, "files": files}, headers={"Cache-Control": "no-store"})


def folder_field(query: dict[str, str], name: str) -> str:
    """The path of a folder, as proxies see it. Raises ApiError."""
    folder = text_field(query, name, longest=4096).rstrip("/")
    if not _FOLDER.fullmatch(folder) or ".." in folder.split("/"):
        raise bad(f"{name} must be the whole path of a folder, such as /etc/envoy/filters")
    return folder


def _by_name(means: Means, identity: Identity, name: str) -> TargetRow:
    with means.database.read() as session:
        target = _of_files(allow(session, identity, "deploy", name))
        told = any(one.current.secrets_at is not None for one in target_deployments(session, target.id))
    if told and not may_with(identity, "configure", target):
        raise ApiError(
            403,
            "denied",
            f"the files of {target.name} hold secrets; fetch them with the fleet's key, or with a token that may"
            " configure the target",
        )
    return target


def _by_key(means: Means, key: str, name: str) -> TargetRow:
    with means.database.read() as session:
        found = find_target_by_key(session, fingerprint(key))
    if found is None:
        raise unauthorized("this key is of no fleet: it was removed or never was one")
    if found.name != name:
        raise ApiError(404, "not_found", f"this key belongs to target {found.name}, not to {name[:100]!r}")
    return _of_files(found)


def _of_files(target: TargetRow) -> TargetRow:
    if target.settings.get("transport") != FILES:
        raise ApiError(409, "conflict", f"proxies of {target.name} read no files; make a target with transport {FILES}")
    return target


def _files(means: Means, target: TargetRow, folder: str, by: str) -> list[dict[str, Any]]:
    with means.database.read() as session:
        placed = {one.slot: one for one in target_deployments(session, target.id) if one.slot is not None}
    slots = range(1, target.settings["slots"] + 1)
    files = [_file(means, target, slot, placed.get(slot), folder) for slot in slots]
    _note(means, target, by, {slot: one["version"] for slot, one in zip(slots, files, strict=True)})
    return files


def _file(means: Means, target: TargetRow, slot: int, placed: DeploymentRow | None, folder: str) -> dict[str, Any]:
    resource = slot_name(target.name, slot)
    shown: dict[str, Any] = {"name": file_name(slot), "deployment": None, "module": None}
    if placed is None:
        return {**shown, "version": EMPTY, "document": file_document(resource, EMPTY, None, "", folder)}
    revision, version = placed.current, contents(placed, [placed.current])[0]
    sha256 = revision.module_sha256
    held = held_of(means.database, means.gate.secret_key, placed, revision)
    return {
        "name": shown["name"],
        "deployment": placed.name,
        "version": version,
        "module": {"name": module_name(sha256), "sha256": sha256, "path": f"/modules/{placed.grant}/{sha256}.wasm"},
        "document": file_document(resource, version, held, sha256, folder),
    }


def _note(means: Means, target: TargetRow, by: str, versions: dict[int, str]) -> None:
    """Writes down who was given what, where that is new; the last one noted wins."""
    with means.database.read() as session:
        node = find_node(session, target.id, by)
    if node is None:
        limit = target.settings.get("node_limit", NODE_LIMIT)
        before = {"forget_before": now() - FORGOTTEN_AFTER, "yield_before": now() - YIELDS_AFTER}
        node = add_node(means.database, target.id, by, FETCHER, limit=limit, **before)
        if node is None:
            raise ApiError(429, "too_many_requests", f"target {target.name} has as many nodes as its node_limit")
    for slot, version in versions.items():
        known = node.slots.get(slot, SlotRow())
        if known.served != version:
            given = replace(known, served=version, delivered=True)
            save_slot(means.database, node.id, slot, known, given, refusal=None)
    if node.seen_at < now() - SEEN_EVERY:
        touch_node(means.database, node.id, FETCHER)
