"""What runs where: the deployments on the targets that somebody may see, narrowed and a page at a time."""

from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from auth.door import ApiError
from web.forms import to_sign_in
from web.means import means_of
from web.rendering import as_sentence, render
from web.standing import STANDING
from web.visitor import find_visitor

PAGE = 30
LONGEST = 255


async def show_deployments(request: Request) -> Response:
    """`GET /deployments[?target=NAME][&repository=NAME][&status=WORD]`."""
    visitor = await find_visitor(request)
    if visitor.identity.anonymous:
        return to_sign_in(request)
    asked = {name: request.query_params.get(name, "").strip()[:LONGEST] for name in ("target", "repository", "status")}
    after, deploying = request.query_params.get("after", "")[:200], means_of(request).deploying
    problem, found = "", dict[str, Any](deployments=[], next=None)
    if asked["status"] not in ("", *deploying.statuses):
        asked["status"] = ""
    try:
        found = await deploying.list_deployments(visitor.identity, asked, after, PAGE)
    except ApiError as error:
        problem = as_sentence(error.message)
    narrowed = {name: value for name, value in asked.items() if value}
    values = {"rows": found["deployments"], "asked": asked, "narrowed": narrowed, "after": after, "problem": problem}
    values |= {"first": _address(narrowed), "standing": STANDING, "statuses": deploying.statuses}
    values["next"] = _address({**narrowed, "after": found["next"]}) if found["next"] else None
    values["moving"] = any(one["status"] == "progressing" for one in found["deployments"])
    return render(request, visitor, "deployments.html", 404 if problem else 200, **values)


def _address(query: dict[str, str]) -> str:
    return f"/deployments?{urlencode(query)}" if query else "/deployments"
