"""A deployment's page: how it stands, what each proxy says, its objects and revisions, and how it is undone."""

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from auth.identity import Identity
from web.api import fields
from web.forms import Act, Sent, carry_out, confirmed, to_sign_in
from web.means import means_of
from web.rendering import render
from web.standing import NODE, STANDING, kind_in_words
from web.visitor import Visitor, find_visitor


async def show_deployment(request: Request) -> Response:
    """`GET /targets/<target>/deployments/<deployment>`: for those who may see the target."""
    visitor = await find_visitor(request)
    return to_sign_in(request) if visitor.identity.anonymous else await _page(request, visitor, Sent())


async def post_deployment(request: Request) -> Response:
    """`POST /targets/<target>/deployments/<deployment>`: what one of its forms asks for."""
    return await carry_out(request, ACTS, _page)


async def _page(request: Request, visitor: Visitor, sent: Sent) -> Response:
    target, name = _names(request)
    found = await means_of(request).deploying.show_deployment(visitor.identity, target, name)
    ended = found["ended_at"] is not None
    current = found["revision"]
    values: dict[str, Any] = {"one": found, "current": current, "ended": ended, "words": STANDING[found["status"]]}
    values |= {"node_words": NODE, "kind": kind_in_words(found["kind"]), "here": address_of(target, name)}
    values |= {"placement": _given(current["placement"]), "moving": found["status"] == "progressing" and not sent.form}
    values |= {"deploys": "deploy" in found["actions"] and not ended, "forces": "configure" in found["actions"]}
    values |= {"done_now": request.query_params.get("done"), "config": _pretty(current["config"])}
    return render(request, visitor, "deployment.html", sent=sent, **values)


def address_of(target: str, name: str) -> str:
    """Where a deployment's page is."""
    return f"/targets/{target}/deployments/{name}"


async def _roll_back(request: Request, identity: Identity, form: dict[str, str]) -> str:
    target, name = _names(request)
    deploying = means_of(request).deploying
    number = fields.row_number(form.get("revision", ""), "revision")
    await deploying.roll_back(identity, target, name, number, "force" in form)
    return f"{address_of(target, name)}?done=rollback"


async def _undeploy(request: Request, identity: Identity, form: dict[str, str]) -> str:
    target, name = _names(request)
    deploying = means_of(request).deploying
    found = await deploying.show_deployment(identity, target, name)
    if "deploy" in found["actions"]:  # others are refused whatever they typed
        confirmed(form, name, "undeploy it")
    await deploying.undeploy(identity, target, name)
    return f"/deployments?target={target}"


ACTS: dict[str, Act] = {"rollback": _roll_back, "undeploy": _undeploy}


def _names(request: Request) -> tuple[str, str]:
    return request.path_params["target"], request.path_params["deployment"]


def _given(placement: dict[str, Any] | None) -> list[tuple[str, str]]:
    """A placement without what was left open."""
    said = [(name, value) for name, value in (placement or {}).items() if value not in ("", [], {}, None)]
    return [(name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)) for name, value in said]


def _pretty(config: str | None) -> str:
    """A config as people read it; one that is no JSON as it is."""
    try:
        return json.dumps(json.loads(config or ""), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return config or ""
