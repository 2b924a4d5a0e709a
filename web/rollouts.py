"""The rollouts on the targets that somebody may see: those under way first."""

from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from auth.door import ApiError
from web.forms import to_sign_in
from web.means import means_of
from web.rendering import as_sentence, render
from web.staged import OPEN, STATES
from web.visitor import find_visitor

MOST = 100
LONGEST = 63


async def show_rollouts(request: Request) -> Response:
    """`GET /rollouts[?target=NAME][&deployment=NAME][&state=WORD]`."""
    visitor = await find_visitor(request)
    if visitor.identity.anonymous:
        return to_sign_in(request)
    asked = {name: request.query_params.get(name, "").strip()[:LONGEST] for name in ("target", "deployment", "state")}
    if asked["state"] not in STATES:
        asked["state"] = ""
    problem, found = "", dict[str, Any](rollouts=[], more=False)
    try:
        found = await means_of(request).deploying.list_rollouts(visitor.identity, asked, MOST)
    except ApiError as error:
        problem = as_sentence(error.message)
    values = {"rows": found["rollouts"], "more": found["more"], "asked": asked, "narrowed": any(asked.values())}
    values |= {"problem": problem, "states": STATES, "moving": any(one["state"] in OPEN for one in found["rollouts"])}
    values["here"] = f"/rollouts?{urlencode({name: one for name, one in asked.items() if one})}"
    return render(request, visitor, "rollouts.html", 404 if problem else 200, **values)
