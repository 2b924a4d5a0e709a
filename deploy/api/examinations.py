"""The JSON API of examinations: `POST /api/v1/examinations`, what a filter is, and whether it may run somewhere.

For those that render and apply by themselves, such as the operator in a cluster: the hub knows the filter, and they
know where it is to run.
"""

from dataclasses import dataclass
from typing import Any

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from auth.door import identify, read_json
from auth.identity import Identity
from deploy.api.deployments import MAX_BODY
from deploy.checks.examining import NO_TARGET, examine, take
from deploy.commands import read_filter
from deploy.fields import bad, only, text_field, word_field
from deploy.images.derived import find_readable, readable_manifest
from deploy.images.filters import find_module
from deploy.means import Means, means_of
from deploy.meshes.kinds import ISTIO, MESHES, pulls_images
from deploy.meshes.settings import read_mesh_target, read_placement
from deploy.wishes import read_config, refuse_crowd
from storage.database import now
from storage.pullers import is_public
from storage.targets import TargetRow

PLACE = "operator"  # what the place is called in reasons


@dataclass(frozen=True)
class Asked:
    """Which filter, with which config, where."""

    target: TargetRow
    reference: str
    config: str | None
    placement: dict[str, Any]


async def post_examination(request: Request) -> Response:
    """`POST /api/v1/examinations`: what a filter is, and whether it may run at a place that the hub knows nothing of.

    `reference` and `config` as for a deployment; `kind`, `settings` and `placement` as for a target of that kind and a
    deployment there. Answers the `repository`, the `digest` that the reference is now, `image`, the digest of what a
    target of that kind can fetch (null: it fetches the bare module, or who asks would have to be signed in for it to be
    made), the `module` with its facts, the `config` as a text, `settings` and `placement` complete, whether the
    repository is `public`, and `warnings`. Answers 422 with all `reasons` against it. Nothing is deployed.
    """
    means, identity = means_of(request), await identify(request, means_of(request).gate)
    asked = _read(await read_json(request, limit=MAX_BODY))

    limiter = means.strangers if identity.anonymous else means.checks
    refuse_crowd(limiter)
    found = await run_sync(_examine, means, identity, asked, limiter=limiter)

    return JSONResponse(found)


def _read(body: dict[str, Any]) -> Asked:
    only(body, "kind", "settings", "reference", "config", "placement")
    kind = word_field(body, "kind", ISTIO, tuple(MESHES))
    settings = read_mesh_target(kind, body.get("settings", {}), {}).settings
    if "max_filters" in settings:
        raise bad("max_filters cannot be examined: what else runs there is not known here; leave it out")
    target = TargetRow(NO_TARGET, PLACE, kind, settings, now(), f"the {PLACE}", None, None)
    reference = text_field(body, "reference", longest=600)
    placement = read_placement(kind, body.get("placement"), settings)
    return Asked(target, reference, read_config(body.get("config")), placement)


def _examine(means: Means, identity: Identity, asked: Asked) -> dict[str, Any]:
    """Raises ApiError and Conflict."""
    target = asked.target
    found = read_filter(means, identity, asked.reference)
    taken = take(
        examine(means, target, PLACE, asked.reference, found, asked.config, asked.placement),
        force=False,
    )
    image = None
    if pulls_images(target) and identity.anonymous:
        image = find_readable(means, found, target.kind)
    elif pulls_images(target):
        image = readable_manifest(means, identity.actor(), found, target.kind)
    with means.database.read() as session:
        module, _ = find_module(session, found, asked.reference)
        public = is_public(session, found.repository_id)
    assert module is not None, "what was taken has a module"
    return {
        "repository": found.repository,
        "digest": found.digest,
        "image": image,
        "module": {"sha256": module.sha256, "size": module.size, "facts": module.facts},
        "config": taken.config,
        "settings": target.settings,
        "placement": asked.placement,
        "public": public,
        "warnings": list(taken.warnings),
    }
