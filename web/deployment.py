"""A deployment's page: how it stands, what each proxy says, its objects and revisions, and how it is undone."""

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from auth.door import ApiError
from auth.identity import Identity
from web.api import fields
from web.forms import Act, Sent, carry_out, confirmed, to_sign_in
from web.means import means_of
from web.rendering import render
from web.staged import EVENTS, STATES, figures_in_words, waves_in_words
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
    # On a fleet what has no slot is what was taken back at its first rollout.
    values["nothing"] = found["kind"] == "envoy-fleet" and found["slot"] is None
    values |= {"node_words": NODE, "kind": kind_in_words(found["kind"]), "here": address_of(target, name)}
    # Whoever aborts a rollout is to have the time to say why: their page does not load anew by itself without scripts.
    moving = found["status"] == "progressing" and found["rollout"] is None and not sent.form
    values |= {"placement": _given(current["placement"]), "moving": moving, "follow": found["follow"]}
    values |= {"deploys": "deploy" in found["actions"] and not ended, "forces": "configure" in found["actions"]}
    values |= {"done_now": request.query_params.get("done"), "config": _pretty(current["config"])}
    values |= await _rollout(request, visitor, found, sent)
    return render(request, visitor, "deployment.html", sent=sent, **values)


async def _rollout(request: Request, visitor: Visitor, found: dict[str, Any], sent: Sent) -> dict[str, Any]:
    """The rollout that the page shows: the newest, or the one that `?rollout=NUMBER` asks for."""
    asked = request.query_params.get("rollout") or sent.typed.get("rollout") or ""
    newest = found["rollouts"][0]["id"] if found["rollouts"] else None
    if newest is None or (asked and asked not in {str(one["id"]) for one in found["rollouts"]}):
        if request.query_params.get("rollout"):
            raise ApiError(404, "not_found", f"{found['target']}/{found['name']} has no rollout {asked[:64]!r}")
        asked = ""
    values: dict[str, Any] = {"rollout": None, "newest": newest, "states": STATES, "event_words": EVENTS}
    if newest is not None:
        target, name, number = found["target"], found["name"], asked or str(newest)
        rollout = await means_of(request).deploying.show_rollout(visitor.identity, target, name, number)
        values |= {
            "rollout": rollout,
            "waves": waves_in_words(rollout),
            "told": figures_in_words(rollout.get("health")),
        }
        values["figures"] = {one["id"]: figures_in_words(one["figures"]) for one in rollout["events"]}
    return values


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


async def _turn(request: Request, identity: Identity, form: dict[str, str]) -> str:
    (target, name), verb = _names(request), form["form"]
    await means_of(request).deploying.turn_rollout(identity, target, name, form.get("rollout", ""), verb)
    return f"{address_of(target, name)}#rollout"


async def _abort(request: Request, identity: Identity, form: dict[str, str]) -> str:
    target, name = _names(request)
    deploying, number = means_of(request).deploying, form.get("rollout", "")
    found = await deploying.show_deployment(identity, target, name)
    if "deploy" in found["actions"] and "sure" not in form:  # others are refused whatever they sent
        raise ApiError(400, "bad_request", "say that you are sure to abort it: tick the box")
    await deploying.abort_rollout(identity, target, name, number, form.get("why", "").strip())
    return f"{address_of(target, name)}?done=abort"


ACTS: dict[str, Act] = {
    "rollback": _roll_back,
    "undeploy": _undeploy,
    "pause": _turn,
    "resume": _turn,
    "abort": _abort,
}


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
