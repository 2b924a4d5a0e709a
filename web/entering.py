"""Pages of those who come in: making an account, following an invitation, setting a new password by a link."""

from typing import Any

import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from auth.door import ApiError
from auth.gate import SecondFactorNeeded, SignInRefused
from auth.secrets import fingerprint
from auth.sessions import is_same_site, sign_in
from storage.database import Conflict
from storage.invitations import InvitationRow, accept_invitation, find_invitation, find_password_reset
from storage.namespaces import InvalidName
from storage.users import identity_row
from web.api.sign_up import make_account, reset_by_link
from web.forms import as_api, failed, find_sender, read_form
from web.means import Means, means_of
from web.rendering import render
from web.second_step import lead_on
from web.visitor import find_visitor

UNTYPED = {"name": "", "full_name": "", "email": ""}
BAD_INVITATION = "This invitation has expired, was used or was taken back. Ask for a new one."
BAD_RESET = "This link has expired or was used. Ask an administrator of the hub for a new one."


async def show_sign_up(request: Request) -> Response:
    """`GET /sign-up`: the form, or why there is none."""
    visitor = await find_visitor(request)
    if not visitor.identity.anonymous:
        return RedirectResponse("/", 303)
    return _sign_up_page(request, visitor, UNTYPED, None)


async def post_sign_up(request: Request) -> Response:
    """`POST /sign-up`: makes the account and signs in with it; somebody who is signed in needs none."""
    form = await read_form(request)
    visitor = await find_visitor(request)
    if not visitor.identity.anonymous:
        return RedirectResponse("/", 303)
    return await _make_account(request, form, None)


async def show_invitation(request: Request) -> Response:
    """`GET /invitations/{secret}`: where it leads to. Looking at it does not use it up."""
    visitor = await find_visitor(request)
    found = await _invitation(request)
    return _invitation_page(request, visitor, found, UNTYPED, None)


async def post_invitation(request: Request) -> Response:
    """`POST /invitations/{secret}`: joins the team, or makes an account with it."""
    form = await read_form(request)
    sender = await find_sender(request, form)
    found = await _invitation(request)
    if sender is None:
        return await _make_account(request, form, found)
    means, identity, secret = means_of(request), sender.identity, request.path_params["secret"]
    if found.team is None:
        raise HTTPException(409, "You have an account already, and this invitation is good for making one.")
    assert identity.user_id is not None
    try:
        await anyio.to_thread.run_sync(
            accept_invitation, means.database, identity.actor(), identity.user_id, fingerprint(secret)
        )
    except Conflict:
        raise HTTPException(404, BAD_INVITATION) from None
    return RedirectResponse("/", 303)


async def show_password_reset(request: Request) -> Response:
    """`GET /password-reset/{secret}`: the form for a new password."""
    visitor = await find_visitor(request)
    return render(request, visitor, "password-reset.html", name=await _whose_reset(request), problem=None)


async def post_password_reset(request: Request) -> Response:
    """`POST /password-reset/{secret}`: sets the new password and signs in with it."""
    form = await read_form(request)
    _refuse_other_sites(request)
    whose = await _whose_reset(request)
    password = form.get("password", "")
    body = {"secret": request.path_params["secret"], "password": password}
    try:
        name = await reset_by_link(means_of(request), body, _address(request))
    except ApiError as error:
        if error.status == 404:
            raise HTTPException(404, BAD_RESET) from None
        visitor = await find_visitor(request)
        page = render(request, visitor, "password-reset.html", name=whose, problem=error.message)
        return failed(error, page)
    return await _signed_in(request, name, password)


async def _make_account(request: Request, form: dict[str, str], invitation: InvitationRow | None) -> Response:
    """Makes an account by what was typed; the form again, with the reason, where that cannot be."""
    _refuse_other_sites(request)
    body: dict[str, Any] = {key: form.get(key, "") for key in ("name", "password", "full_name", "email")}
    body["name"] = body["name"].strip()
    if invitation is not None:
        body["invitation"] = request.path_params["secret"]
    elif form.get("invitation"):  # the link as it was sent, or the secret at its end
        body["invitation"] = form["invitation"].strip().rstrip("/").rpartition("/")[2]
    try:
        made = await make_account(means_of(request), body, _address(request))
    except (ApiError, InvalidName, Conflict) as error:
        refused = as_api(error)
        visitor = await find_visitor(request)
        typed = {key: body[key][:300] for key in ("name", "full_name", "email")}
        if invitation is None:
            return failed(refused, _sign_up_page(request, visitor, typed, refused.message))
        return failed(refused, _invitation_page(request, visitor, invitation, typed, refused.message))
    return await _signed_in(request, made.name, body["password"])


async def _signed_in(request: Request, name: str, password: str) -> Response:
    """On to the first page, signed in; where too many do so at this moment, to the page where one does that.

    A new password does not stand for the second factor of who has one.
    """
    try:
        cookie = await sign_in(request, means_of(request).gate, name, password)
    except SecondFactorNeeded as needed:
        return await lead_on(request, needed.identity, "/")
    except SignInRefused:
        return RedirectResponse("/sign-in", 303)
    return RedirectResponse("/", 303, headers={"Set-Cookie": cookie})


async def _invitation(request: Request) -> InvitationRow:
    found = await means_of(request).database.look(_find, means_of(request), request.path_params["secret"])
    if found is None:
        raise HTTPException(404, BAD_INVITATION)
    return found


async def _whose_reset(request: Request) -> str:
    """The name of the user whose password the link sets. Raises HTTPException for one that is not good."""
    name = await means_of(request).database.look(_find_reset, means_of(request), request.path_params["secret"])
    if name is None:
        raise HTTPException(404, BAD_RESET)
    return name


def _sign_up_page(request: Request, visitor: Any, typed: dict[str, str], problem: str | None) -> Response:
    how = means_of(request).sign_up
    return render(request, visitor, "sign-up.html", how=how, typed=typed, problem=problem, action="/sign-up")


def _invitation_page(
    request: Request, visitor: Any, found: InvitationRow, typed: dict[str, str], problem: str | None
) -> Response:
    values: dict[str, Any] = {"how": means_of(request).sign_up, "typed": typed, "problem": problem}
    return render(request, visitor, "invitation.html", invitation=found, action=request.url.path, **values)


def _refuse_other_sites(request: Request) -> None:
    if not is_same_site(request, means_of(request).gate):
        raise HTTPException(403, "This form is not from a page of the hub. Open the hub's own page and try again.")


def _address(request: Request) -> str:
    return means_of(request).gate.origins.of(request.scope).address


def _find(means: Means, secret: str) -> InvitationRow | None:
    with means.database.read() as session:
        return find_invitation(session, fingerprint(secret))


def _find_reset(means: Means, secret: str) -> str | None:
    with means.database.read() as session:
        user_id = find_password_reset(session, fingerprint(secret))
        row = identity_row(session, user_id) if user_id is not None else None
    return row.name if row is not None else None
