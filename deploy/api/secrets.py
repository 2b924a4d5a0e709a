"""The JSON API of the secrets that configs name: `/api/v1/targets/{target}/secrets`. A value is never answered."""

from functools import partial

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from auth.door import ApiError, read_json, require
from auth.identity import Identity
from deploy.config_secrets import NAME, NAMES, names_in
from deploy.fields import bad, only, text_field
from deploy.means import Means, allow, means_of
from deploy.views.shapes import moment
from storage.config_secrets import ConfigSecretRow, config_secrets, delete_config_secret, save_config_secret
from storage.targets import TargetRow

LONGEST = 16 * 1024  # characters of a value
MAX_BODY = 256 * 1024  # bytes, each character escaped


async def list_secrets(request: Request) -> Response:
    """`GET /api/v1/targets/{target}/secrets`: names, when each was changed, and the deployments that name it now."""
    means, identity = means_of(request), await require(request, means_of(request).gate)

    found = await run_sync(_list, means, identity, request.path_params["target"])

    return JSONResponse({"secrets": [{**vars(one), "changed_at": moment(one.changed_at)} for one in found]})


async def put_secret(request: Request) -> Response:
    """`PUT /api/v1/targets/{target}/secrets/{secret}`: gives it the text `value`, which nobody is ever shown again.

    Deployments whose configs name it get it without a new revision: 201 if it is new, else 200.
    """
    means, identity = means_of(request), await require(request, means_of(request).gate)
    target = await run_sync(_find, means, identity, request.path_params["target"])
    name: str = request.path_params["secret"]
    if not NAME.fullmatch(name):
        raise bad(f"{name[:64]!r} is no name for a secret: {NAMES}")
    body = await read_json(request, limit=MAX_BODY)
    only(body, "value")
    sealed = means.gate.secret_key.seal(text_field(body, "value", longest=LONGEST).encode())

    new = await run_sync(save_config_secret, means.database, identity.actor(), target, name, sealed)

    means.wake()
    return JSONResponse({"name": name}, 201 if new else 200)


async def remove_secret(request: Request) -> Response:
    """`DELETE /api/v1/targets/{target}/secrets/{secret}`: 409 while the config of a deployment names it."""
    means, identity = means_of(request), await require(request, means_of(request).gate)
    target = await run_sync(_find, means, identity, request.path_params["target"])
    name: str = request.path_params["secret"]

    remove = partial(delete_config_secret, names_in=names_in)
    if not await run_sync(remove, means.database, identity.actor(), target, name):
        raise ApiError(404, "not_found", f"target {target.name} has no secret {name[:64]!r}")
    return Response(status_code=204)


def _find(means: Means, identity: Identity, name: str) -> TargetRow:
    with means.database.read() as session:
        return allow(session, identity, "configure", name)


def _list(means: Means, identity: Identity, name: str) -> list[ConfigSecretRow]:
    with means.database.read() as session:
        target = allow(session, identity, "configure", name)
        return config_secrets(session, target.id, names_in)
