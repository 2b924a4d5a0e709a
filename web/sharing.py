"""The forms of a filter's page: how visible it is, what it says of itself, and with whom it is shared."""

from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from auth.identity import Identity
from web.api.grants import enter_owned, share, unshare
from web.api.repositories import change_repository, enter_configured
from web.filter import page_of_filter
from web.forms import Act, carry_out
from web.means import means_of


async def post_filter(request: Request) -> Response:
    """`POST /r/<repository>`: what one of its forms asks for."""
    return await carry_out(request, ACTS, page_of_filter)


async def _configure(request: Request, identity: Identity, form: dict[str, str]) -> str:
    means = means_of(request)
    found = await enter_configured(means, identity, request.path_params["name"])
    body: dict[str, Any] = {name: form[name] for name in ("visibility", "description") if name in form}
    if "description" in body:
        body["description"] = body["description"].replace("\r\n", "\n").strip()
    await anyio.to_thread.run_sync(change_repository, means, identity, found, body)
    return f"/r/{found.entry.name}?done=configure"


async def _share(request: Request, identity: Identity, form: dict[str, str]) -> str:
    means = means_of(request)
    found = await enter_owned(means, identity, request.path_params["name"])
    body = {"role": form.get("role")}
    await anyio.to_thread.run_sync(share, means, identity, found, form.get("holder", "").strip(), body)
    return f"/r/{found.entry.name}"


async def _unshare(request: Request, identity: Identity, form: dict[str, str]) -> str:
    means = means_of(request)
    found = await enter_owned(means, identity, request.path_params["name"])
    await anyio.to_thread.run_sync(unshare, means, identity, found, form.get("holder", ""))
    return f"/r/{found.entry.name}"


ACTS: dict[str, Act] = {"configure": _configure, "share": _share, "unshare": _unshare}
