"""The pages of what namespaces hold and may hold: of a team, of one's own account, of the whole hub."""

import re
from typing import Any

import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from auth.identity import Identity
from auth.permissions import may
from storage.namespaces import find_namespace_holding
from storage.usage import NEARLY, Use, find_use, uses_of
from web.api.fields import bad
from web.api.teams import find_team_for, resource_of_team
from web.api.usage import change_quota, most, place_after, place_in, use_document
from web.forms import Act, Sent, administrate, carry_out, to_sign_in
from web.means import Means, means_of
from web.rendering import render
from web.visitor import Visitor, find_visitor

PAGE = 50
_SIZE = re.compile(r"([0-9]{1,15})\s*(|B|KB|KiB|MB|MiB|GB|GiB|TB|TiB)", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}


async def show_team_usage(request: Request) -> Response:
    """`GET /teams/<team>/usage`: for its members; an old name leads to the new one."""
    visitor = await find_visitor(request)
    if visitor.identity.anonymous:
        return to_sign_in(request)
    name = request.path_params["team"]
    team = await find_team_for(means_of(request), visitor.identity, name, "pull", deleted=True)
    if team.name != name:
        return RedirectResponse(f"/teams/{team.name}/usage", 303)
    rows = await means_of(request).database.look(_of, means_of(request), None, team.id)
    audits = may(visitor.identity, "audit", resource_of_team(team))
    return _own(request, visitor, f"/teams/{name}/usage", name, rows, audits)


async def show_account_usage(request: Request) -> Response:
    """`GET /account/usage`: of the visitor's own namespaces."""
    visitor = await find_visitor(request)
    if visitor.identity.anonymous:
        return to_sign_in(request)
    rows = await means_of(request).database.look(_of, means_of(request), visitor.identity.user_id, None)
    return _own(request, visitor, "/account/usage", "", rows, False)


async def show_site_usage(request: Request) -> Response:
    """`GET /site/usage`: what holds most; with `?q=` the namespace of that name."""
    visitor = await find_visitor(request)
    return to_sign_in(request) if visitor.identity.anonymous else await _site(request, visitor, Sent())


async def post_site_usage(request: Request) -> Response:
    """`POST /site/usage`: a quota."""
    return await carry_out(request, ACTS, _site)


def _own(request: Request, visitor: Visitor, here: str, team: str, rows: list[Use], audits: bool) -> Response:
    uses = [use_document(means_of(request).meter, row) for row in rows]
    return render(request, visitor, "usage.html", here=here, team=team, uses=uses, nearly=NEARLY, audits=audits)


async def _site(request: Request, visitor: Visitor, sent: Sent) -> Response:
    if not visitor.identity.viewer().sees_all:
        raise HTTPException(404)
    means, after = means_of(request), request.query_params.get("after", "")
    asked = request.query_params.get("q", "").strip()[:64]
    if asked:
        one = await means.database.look(_named, means, asked)
        uses, following = [one] if one is not None else [], None
    else:
        rows = await means.database.look(most, means, place_in(after), PAGE)
        uses, following = [use for use, _ in rows], place_after(rows, PAGE)
    values: dict[str, Any] = {"uses": [use_document(means.meter, use) for use in uses], "asked": asked, "after": after}
    values |= {"next": following, "usual": means.meter.usual, "nearly": NEARLY, "here": "/site/usage", "sent": sent}
    done = request.query_params.get("done")
    return render(request, visitor, "site-usage.html", runs=visitor.identity.administrator, done_now=done, **values)


def _of(means: Means, user_id: int | None, team_id: int | None) -> list[Use]:
    with means.database.read() as session:
        return uses_of(session, user_id=user_id, team_id=team_id)


def _named(means: Means, name: str) -> Use | None:
    with means.database.read() as session:
        held = find_namespace_holding(session, name, None)
        return find_use(session, held.namespace_id) if held is not None else None


async def _set_quota(request: Request, identity: Identity, form: dict[str, str]) -> str:
    administrate(identity)
    name = form.get("namespace", "")
    body = {"bytes": _typed_size(form.get("bytes", "")), "repositories": _typed_count(form.get("repositories", ""))}
    await anyio.to_thread.run_sync(change_quota, means_of(request), identity, name, body)
    return f"/site/usage?q={name}&done=quota"


def _typed_size(typed: str) -> int | None:
    """A size as people type it; None where nothing was typed. Raises ApiError."""
    if not typed.strip():
        return None
    match = _SIZE.fullmatch(typed.strip())
    if match is None:
        raise bad("the size must be such as 10 GB, 512 MiB or a number of bytes; 0 is without limit")
    return int(match[1]) * _UNITS[match[2].lower()]


def _typed_count(typed: str) -> int | None:
    if not typed.strip():
        return None
    if not (typed.strip().isascii() and typed.strip().isdigit() and len(typed.strip()) < 10):
        raise bad("the number of repositories must be a whole number; 0 is without limit")
    return int(typed)


ACTS: dict[str, Act] = {"quota": _set_quota}
