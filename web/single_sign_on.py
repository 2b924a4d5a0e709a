"""Signing in with a provider: on to it, and back from it."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from auth.second_factor import begin_waiting
from auth.sessions import begin_session, cookie_name, cookie_of
from auth.sign_on import COOKIE, LIFETIME, Answer, Attempt, SignOnRefused
from web.forms import SECRET, safe_path
from web.means import means_of
from web.rendering import render
from web.second_step import second_step
from web.visitor import find_visitor

_LONGEST_COOKIE = 4096  # characters
_PARTS = ("state", "code", "iss", "error")


async def show_provider(request: Request) -> Response:
    """`GET /sign-in/with/<provider>`: on to the provider; somebody who is signed in already is sent on."""
    means, visitor = means_of(request), await find_visitor(request)
    there = safe_path(request.query_params.get("next", ""))
    if not visitor.identity.anonymous:
        return RedirectResponse(there, 303)
    name = request.path_params["provider"]
    try:
        address, cookie = await means.sign_on.begin(name, visitor.origin.url, there)
    except SignOnRefused as refusal:
        return await _refused(request, refusal, there)
    answer = RedirectResponse(address, 303, headers=SECRET)
    answer.headers["Set-Cookie"] = cookie_of(visitor.origin, COOKIE, cookie, LIFETIME)
    return answer


async def show_callback(request: Request) -> Response:
    """`GET /sign-in/with/<provider>/callback`: the browser is back; the session opens, or one sentence says why not."""
    means, visitor = means_of(request), await find_visitor(request)
    attempt, there = _attempt(request), "/"
    try:
        if attempt is None:
            raise SignOnRefused(
                "this sign-in was not begun in this browser, or too long ago, or another was begun since; begin again"
            )
        there = attempt.there
        new, cookie = begin_session(request, means.gate)
        pending, waiting_cookie = begin_waiting(request, means.gate)
        name = request.path_params["provider"]
        answered = _answer(request)
        there, waits = await means.sign_on.finish(name, attempt, answered, new, pending, visitor.identity)
    except SignOnRefused as refusal:
        means.gate.sign_ins.refuse("sign-in.provider", refusal.reason[:200], visitor.origin.address)
        answer = await _refused(request, refusal, there)
    else:
        answer = RedirectResponse(second_step(there) if waits else there, 303, headers=SECRET)
        if attempt.user_id is None:
            answer.headers.append("Set-Cookie", waiting_cookie if waits else cookie)
    if attempt is not None:  # whose state it is not must not end somebody's sign-in
        answer.headers.append("Set-Cookie", cookie_of(visitor.origin, COOKIE, "", 0))
    return answer


def _attempt(request: Request) -> Attempt | None:
    """The sign-in that this browser began and now comes back from."""
    means = means_of(request)
    kept = request.cookies.get(cookie_name(means.gate.origins.of(request.scope), COOKIE), "")
    if not kept or len(kept) > _LONGEST_COOKIE:
        return None
    return means.sign_on.attempt(kept, _answer(request).state)


def _answer(request: Request) -> Answer:
    """What the address says; of what it says twice, nothing."""
    found = {name: request.query_params.getlist(name) for name in _PARTS}
    state, code, issuer, error = (found[name][0] if len(found[name]) == 1 else None for name in _PARTS)
    return Answer(state, code, issuer if len(found["iss"]) <= 1 else "twice", error)


async def _refused(request: Request, refusal: SignOnRefused, there: str) -> Response:
    visitor = await find_visitor(request)
    values = {"sentence": str(refusal), "there": there, "provider": request.path_params["provider"]}
    page = render(request, visitor, "sign-on.html", refusal.status, **values, known=refusal.status != 404)
    page.headers.update(SECRET)
    return page
