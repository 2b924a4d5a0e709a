"""The second page of signing in, for who has a second factor: between the password and the session."""

import json
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from auth.gate import Gate, SignInRefused
from auth.identity import Identity
from auth.second_factor import find_waiting, sign_in_with, wait_for_factor, waiting_options
from storage.second_factors import Factors, PendingRow, factors
from web.forms import SECRET, read_form, safe_path
from web.means import means_of
from web.rendering import render
from web.visitor import find_visitor

PAGE = "/sign-in/second-factor"


async def lead_on(request: Request, identity: Identity, there: str) -> Response:
    """On to this page for who has shown the password, and from there to where they wanted."""
    cookie = await wait_for_factor(request, means_of(request).gate, identity)
    return RedirectResponse(f"{PAGE}?next={quote(there, safe='/')}", 303, headers={"Set-Cookie": cookie})


async def show_second_step(request: Request) -> Response:
    """`GET /sign-in/second-factor`: the form; who has not shown the password just now is led to where one does."""
    there = safe_path(request.query_params.get("next", ""))
    waiting = await find_waiting(request, means_of(request).gate)
    return _back(there) if waiting is None else await _page(request, waiting, there)


async def post_second_step(request: Request) -> Response:
    """`POST /sign-in/second-factor`: opens the session and goes where the person wanted to."""
    form = await read_form(request)
    there, gate = safe_path(form.get("next", "")), means_of(request).gate
    waiting = await find_waiting(request, gate)
    if waiting is None:
        return _back(there)
    try:
        cookies = await sign_in_with(request, gate, waiting, form.get("code", ""), form.get("credential", ""))
    except SignInRefused as refusal:
        page = await _page(request, waiting, there, str(refusal), 401 if refusal.retry_after is None else 429)
        if refusal.retry_after is not None:
            page.headers["Retry-After"] = str(refusal.retry_after)
        return page
    answer = RedirectResponse(there, 303)
    for cookie in cookies:
        answer.headers.append("Set-Cookie", cookie)
    return answer


def _back(there: str) -> Response:
    return RedirectResponse(f"/sign-in?next={quote(there, safe='/')}", 303)


async def _page(
    request: Request, waiting: PendingRow, there: str, problem: str | None = None, status: int = 200
) -> Response:
    visitor = await find_visitor(request)
    gate = means_of(request).gate
    has, options = await gate.database.look(_has, gate, waiting), await waiting_options(request, gate, waiting)
    values: dict[str, Any] = {"there": there, "name": waiting.name, "problem": problem, "action": PAGE, "has": has}
    values["options"] = None if options is None else json.dumps(options)
    page = render(request, visitor, "second-step.html", status, **values)
    page.headers.update(SECRET)
    return page


def _has(gate: Gate, waiting: PendingRow) -> Factors:
    with gate.database.read() as session:
        return factors(session, waiting.user_id)
