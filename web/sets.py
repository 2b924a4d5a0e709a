"""The pages of deployment sets: all that somebody may see, and one with its members and its timeline."""

from itertools import groupby
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from auth.door import ApiError
from auth.identity import Identity
from web.api import fields
from web.forms import Act, Sent, carry_out, confirmed, to_sign_in
from web.means import means_of
from web.rendering import render
from web.standing import STANDING, Words
from web.visitor import Visitor, find_visitor

PAGE = 50
LONGEST = 130
OPEN = ("running", "paused")
STATES = {
    "running": Words("", "Under way"),
    "paused": Words("warn", "Paused", "Nothing more is changed until it is resumed. What fails halts it all the same."),
    "halted": Words("bad", "Halted, and on its way back"),
    "rolled-back": Words("bad", "Halted and taken back"),
    "aborted": Words("warn", "Aborted"),
    "stopped": Words("bad", "Stopped", "It stays as it is. Resume it once the cause is mended, or abort it."),
    "done": Words("good", "Done"),
    "leaving": Words("warn", "Being taken away"),
}
EVENTS = {
    "started": Words("", "Begun"),
    "wave": Words("", "Wave"),
    "changed": Words("", "Changed"),
    "baking": Words("", "Watched"),
    "passed": Words("good", "Stood"),
    "paused": Words("warn", "Paused"),
    "resumed": Words("", "Resumed"),
    "halted": Words("bad", "Halted"),
    "stopped": Words("bad", "Stopped"),
    "aborted": Words("warn", "Aborted"),
    "back": Words("", "Taken back"),
    "rolled-back": Words("", "All is back"),
    "undeployed": Words("", "Undeployed"),
    "done": Words("good", "Done"),
    "leaving": Words("warn", "Removed"),
}
STATUS = {**STANDING, **STATES}


async def show_sets(request: Request) -> Response:
    """`GET /sets[?after=NAMESPACE/NAME]`."""
    visitor = await find_visitor(request)
    if visitor.identity.anonymous:
        return to_sign_in(request)
    space, _, name = request.query_params.get("after", "")[:LONGEST].partition("/")
    found = await means_of(request).deploying.sets.list(visitor.identity, (space, name), PAGE + 1)
    rows = found[:PAGE]
    following = f"{rows[-1]['namespace']}/{rows[-1]['name']}" if len(found) > PAGE else ""
    moving = any(one["status"] in STATES for one in rows)
    values: dict[str, Any] = {"rows": rows, "following": following, "words": STATUS, "moving": moving}
    return render(request, visitor, "sets.html", here="/sets", **values)


async def show_set(request: Request) -> Response:
    """`GET /sets/<namespace>/<set>`: for those who may see the namespace and all of its targets."""
    visitor = await find_visitor(request)
    return to_sign_in(request) if visitor.identity.anonymous else await _page(request, visitor, Sent())


async def post_set(request: Request) -> Response:
    """`POST /sets/<namespace>/<set>`: what one of its forms asks for."""
    return await carry_out(request, ACTS, _page)


async def _page(request: Request, visitor: Visitor, sent: Sent) -> Response:
    namespace, name = _names(request)
    found = await means_of(request).deploying.sets.show(visitor.identity, namespace, name)
    moving = found["status"] in STATES
    by_wave = [(wave, list(some)) for wave, some in groupby(found["members"], key=lambda one: one["wave"])]
    values: dict[str, Any] = {"one": found, "words": STATUS[found["status"]], "states": STATES, "standing": STANDING}
    values |= {"waves": by_wave, "event_words": EVENTS, "here": address_of(namespace, name)}
    values |= {"moving": moving, "reloads": moving and not sent.form, "open": found["status"] in OPEN}
    values |= {"abortable": found["may_hold"] and found["state"] in (*OPEN, "stopped")}
    values |= {"resumable": found["state"] in ("paused", "stopped"), "done_now": request.query_params.get("done")}
    return render(request, visitor, "set.html", sent=sent, **values)


def address_of(namespace: str, name: str) -> str:
    """Where a set's page is."""
    return f"/sets/{namespace}/{name}"


async def _turn(request: Request, identity: Identity, form: dict[str, str]) -> str:
    await means_of(request).deploying.sets.turn(identity, *_names(request), form["form"])
    return address_of(*_names(request))


async def _abort(request: Request, identity: Identity, form: dict[str, str]) -> str:
    sets = means_of(request).deploying.sets
    found = await sets.show(identity, *_names(request))
    if found["may_hold"] and "sure" not in form:  # others are refused whatever they sent
        raise ApiError(400, "bad_request", "say that you are sure to abort it: tick the box")
    await sets.abort(identity, *_names(request), form.get("why", "").strip())
    return f"{address_of(*_names(request))}?done=abort"


async def _roll_back(request: Request, identity: Identity, form: dict[str, str]) -> str:
    number = fields.row_number(form.get("revision", ""), "revision")
    await means_of(request).deploying.sets.roll_back(identity, *_names(request), number)
    return f"{address_of(*_names(request))}?done=rollback"


async def _remove(request: Request, identity: Identity, form: dict[str, str]) -> str:
    sets, (namespace, name) = means_of(request).deploying.sets, _names(request)
    found = await sets.show(identity, namespace, name)
    if found["may_hold"]:  # others are refused whatever they typed
        confirmed(form, name, "undeploy all of it")
    await sets.remove(identity, namespace, name)
    return "/sets"


ACTS: dict[str, Act] = {
    "pause": _turn,
    "resume": _turn,
    "abort": _abort,
    "rollback": _roll_back,
    "delete": _remove,
}


def _names(request: Request) -> tuple[str, str]:
    return request.path_params["namespace"], request.path_params["set"]
