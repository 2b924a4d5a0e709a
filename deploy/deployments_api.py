"""The JSON API of deployments: `/api/v1/deployments` and `/api/v1/targets/{target}/deployments/{deployment}`."""

import json
from typing import Any

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from auth.door import ApiError, read_json, require
from deploy.commands import Wish, change, remove, roll_back
from deploy.fields import bad, number_field, only, text_field, word_field
from deploy.means import CHECKS_WAITING, Means, means_of
from deploy.preview import preview
from deploy.rollout_fields import read_rollout
from deploy.sidecar_forms import read_form
from deploy.targets_api import NAME
from deploy.views import read_detail, read_list

MAX_BODY = 1024 * 1024  # bytes
MAX_CONFIG = 256 * 1024  # characters
MAX_ORDER = 9999
POLICIES = ("FAIL_CLOSED", "FAIL_OPEN", "FAIL_RELOAD")


async def list_deployments(request: Request) -> Response:
    """`GET /api/v1/deployments[?target=NAME][&repository=NAME]`: what runs where, in the order of the filters."""
    means, identity = means_of(request), await require(request, means_of(request).gate)
    query = dict(request.query_params)
    only(query, "target", "repository")

    found = await run_sync(read_list, means, identity, query.get("target"), query.get("repository"))

    return JSONResponse({"deployments": found})


async def get_deployment(request: Request) -> Response:
    """`GET /api/v1/targets/{target}/deployments/{deployment}`: with its `revisions`, newest first, and its `nodes`.

    Those who may deploy also see `module_path`, under which proxies fetch the module without a token.
    """
    means, identity = means_of(request), await require(request, means_of(request).gate)

    found = await run_sync(read_detail, means, identity, *_names(request))

    return JSONResponse(found)


async def put_deployment(request: Request) -> Response:
    """`PUT /api/v1/targets/{target}/deployments/{deployment}`: deploys a filter, or changes what runs.

    `reference`: NAME[:TAG|@DIGEST], resolved now. `config`: a text, which the filter gets as it is, or any other JSON
    value, of which it gets the text; null for none. `order`: filters run in rising order (default: last).
    `root_id`, `failure_policy` (FAIL_CLOSED, FAIL_OPEN, FAIL_RELOAD). `placement`: for which workloads, on a mesh.
    `rollout`: in waves, on a fleet, as `deploy.rollout_fields` reads it; without it all proxies get it at once.
    A field that is left out stays as it is.
    Answers 201 or 200 with the deployment and `warnings`, 422 with all `reasons` if it would not run there or if the
    target does not want it. `force` has it anyway where that can be forced, for those who may configure the target.
    """
    means, identity = means_of(request), await require(request, means_of(request).gate)
    target, name = _names(request)
    wish = _wish(await read_json(request, limit=MAX_BODY))

    refuse_crowd(means)
    made, fresh = await run_sync(change, means, identity, target, name, wish, limiter=means.checks)

    return JSONResponse(made, 201 if fresh else 200)


async def post_preview(request: Request) -> Response:
    """`POST /api/v1/targets/{target}/deployments/{deployment}/preview`: what the same body would make as a PUT.

    `objects` as they would be applied, but for secrets; `problems` that keep them from it; `diff` with what is there,
    null where that is not known; `notes`. Nothing is changed. For a Consul on Kubernetes the query may ask for a `form`
    for another tool to apply: `service-defaults`, `volume` or `fork`, with `kube_namespace` and, of the latter two,
    `workload`, the Deployment; of the last `sidecar_image` and `sidecar_base` too.
    """
    means, identity = means_of(request), await require(request, means_of(request).gate)
    target, name = _names(request)
    wish, form = _wish(await read_json(request, limit=MAX_BODY)), read_form(request.query_params)

    refuse_crowd(means)
    found = await preview(means, identity, target, name, wish, form)

    return JSONResponse(found)


async def post_rollback(request: Request) -> Response:
    """`POST /api/v1/targets/{target}/deployments/{deployment}/rollback`: runs an earlier revision again, as a new one.

    `revision`: its number; the one before the current by default. Its place in the order stays as it is now. It is
    checked as a new deployment is (`force` too), but for its config, which it ran with.
    """
    means, identity = means_of(request), await require(request, means_of(request).gate)
    body = await read_json(request)
    only(body, "revision", "force")
    number = number_field(body, "revision", 0, 1, 2**31) if "revision" in body else None

    refuse_crowd(means)
    made = await run_sync(roll_back, means, identity, *_names(request), number, _force(body), limiter=means.checks)

    return JSONResponse(made)


async def delete_deployment(request: Request) -> Response:
    """`DELETE /api/v1/targets/{target}/deployments/{deployment}`: undeploys; proxies drop it at their next poll."""
    means, identity = means_of(request), await require(request, means_of(request).gate)

    await run_sync(remove, means, identity, *_names(request))

    return Response(status_code=204)


def refuse_crowd(means: Means) -> None:
    """Raises ApiError 503 where too many wait for their turn to be checked."""
    if means.checks.statistics().tasks_waiting >= CHECKS_WAITING:
        raise ApiError(503, "busy", "too many filters are being deployed; try again in a moment", {"Retry-After": "5"})


def _force(body: dict[str, Any]) -> bool:
    force = body.get("force", False)
    if not isinstance(force, bool):
        raise bad("force must be true or false")
    return force


def _names(request: Request) -> tuple[str, str]:
    target, name = request.path_params["target"], request.path_params["deployment"]
    if not NAME.fullmatch(name):
        if request.method == "PUT" or request.url.path.endswith("/preview"):
            raise bad(
                f"{name[:64]!r} is no name for a deployment: use lower-case letters, digits and dashes, at most 63"
            )
        raise ApiError(404, "not_found", f"there is no deployment {name[:64]!r}")
    return target, name


def _wish(body: dict[str, Any]) -> Wish:
    only(body, "reference", "config", "order", "root_id", "failure_policy", "placement", "force", "rollout")
    return Wish(
        reference=text_field(body, "reference", longest=600) if "reference" in body else None,
        keeps_config="config" not in body,
        config=read_config(body.get("config")),
        order=number_field(body, "order", 0, 1, MAX_ORDER) if "order" in body else None,
        root_id=text_field(body, "root_id") if "root_id" in body else None,
        failure_policy=word_field(body, "failure_policy", "", POLICIES) if "failure_policy" in body else None,
        force=_force(body),
        placement=body.get("placement"),
        rollout=read_rollout(body["rollout"]) if body.get("rollout") is not None else None,
    )


def read_config(value: Any) -> str | None:
    """The text that the filter gets. Raises ApiError."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json_text(value)
    return text_field({"config": text}, "config", longest=MAX_CONFIG)


def json_text(value: Any) -> str:
    """A JSON value as a text that people can read again. Raises ApiError for what is none, or is nested too deeply."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        raise ApiError(400, "bad_request", "'config' holds what JSON cannot say, or is nested too deeply") from None
