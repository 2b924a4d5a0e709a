"""The JSON API of deployments: `/api/v1/deployments` and `/api/v1/targets/{target}/deployments/{deployment}`."""

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from auth.door import read_json, require
from deploy.commands import change, remove, roll_back
from deploy.fields import number_field, only
from deploy.means import means_of
from deploy.preview.objects import preview
from deploy.preview.sidecar_forms import read_form
from deploy.views.deployments import read_detail, read_list
from deploy.wishes import known_name, new_name, read_force, read_wish, refuse_crowd

MAX_BODY = 1024 * 1024  # bytes


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
    `rollout`: in waves, on a fleet, as `deploy.api.rollout_fields` reads it; without it all proxies get it at once.
    A field that is left out stays as it is.
    Answers 201 or 200 with the deployment and `warnings`, 422 with all `reasons` if it would not run there or if the
    target does not want it. `force` has it anyway where that can be forced, for those who may configure the target.
    """
    means, identity = means_of(request), await require(request, means_of(request).gate)
    target, name = _names(request)
    wish = read_wish(await read_json(request, limit=MAX_BODY))

    refuse_crowd(means.checks)
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
    wish, form = read_wish(await read_json(request, limit=MAX_BODY)), read_form(request.query_params)

    refuse_crowd(means.checks)
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

    refuse_crowd(means.checks)
    made = await run_sync(roll_back, means, identity, *_names(request), number, read_force(body), limiter=means.checks)

    return JSONResponse(made)


async def delete_deployment(request: Request) -> Response:
    """`DELETE /api/v1/targets/{target}/deployments/{deployment}`: undeploys; proxies drop it at their next poll."""
    means, identity = means_of(request), await require(request, means_of(request).gate)

    await run_sync(remove, means, identity, *_names(request))

    return Response(status_code=204)


def _names(request: Request) -> tuple[str, str]:
    target, name = request.path_params["target"], request.path_params["deployment"]
    may_be_new = request.method == "PUT" or request.url.path.endswith("/preview")
    return target, new_name(name) if may_be_new else known_name(name)
