"""Forms of pages: read, bounded, known to come from a page of the hub, and answered by that page or by a way on."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from auth.door import ApiError, from_storage
from auth.identity import Identity
from auth.sessions import SignedIn, check_csrf, find_signed_in
from storage.database import Conflict
from storage.namespaces import InvalidName
from web.means import means_of
from web.visitor import Visitor, find_visitor

# A path of the hub: one slash first, since two begin another host's address, as do the backslashes of some browsers.
_LOCAL = re.compile(r"/(?![/\\])[!-\[\]-~]*")
LIMIT = 16_384  # bytes
MOST_FIELDS = 20
# What the API's fields are called on pages, where that is another word.
LABELS = {
    "default_visibility": "New repositories are",
    "email": "E-mail",
    "expires_in_days": "Days",
    "full_name": "Full name",
    "overlap_hours": "Hours",
    "scopes": "Only for",
    "since": "From day",
    "until": "To day",
    "user_code": "Code",
}
SECRET = {"Cache-Control": "no-store"}  # of a page that shows a secret, which no browser is to keep


@dataclass(frozen=True)
class Sent:
    """What one of a page's forms brought and why it could not be done; nothing on a page that is looked at.

    `secret` is what was made by it and is shown this once.
    """

    form: str = ""
    typed: Mapping[str, str] = field(default_factory=dict, repr=False)
    problem: str = ""
    secret: str = field(default="", repr=False)

    def value(self, form: str, name: str, default: str = "") -> str:
        """What stands in a field of that form: what was typed, where that could not be done."""
        return self.typed.get(name, default) if self.problem and form == self.form else default

    def ticked(self, form: str, name: str, default: bool = False) -> bool:
        """Whether a box of that form is ticked: as it was sent, where that could not be done."""
        return name in self.typed if self.problem and form == self.form else default


# Does what a form asks for. Its answer: where to go on, the page with a secret, or what else is to be sent.
Act = Callable[[Request, Identity, dict[str, str]], Awaitable[str | Sent | Response]]
Show = Callable[[Request, Visitor, Sent], Awaitable[Response]]


async def carry_out(
    request: Request, acts: Mapping[str, Act], show: Show, *, limit: int = LIMIT, most: int = MOST_FIELDS
) -> Response:
    """Does what a form of a page asks for by its field `form`; where that cannot be, the page again with the reason.

    Raises HTTPException for what is no form of that page, and ApiError 403 for what the sender may not do.
    """
    form = await read_form(request, limit, most)
    sender = await find_sender(request, form)
    if sender is None:
        return to_sign_in(request)
    name = form.get("form", "")
    if name not in acts:
        raise HTTPException(400, "The form could not be read. Go back, reload, try again.")
    try:
        done = await acts[name](request, sender.identity, form)
    except (ApiError, InvalidName, Conflict) as error:
        refusal = as_api(error)
        if refusal.status == 403:
            raise refusal from None
        page = await show(request, await find_visitor(request), Sent(name, form, in_words_of_pages(refusal.message)))
        return failed(refusal, page)
    if isinstance(done, str):
        return RedirectResponse(done, 303)
    if isinstance(done, Sent):
        done_page = await show(request, await find_visitor(request), done)
        done_page.headers.update(SECRET)
        return done_page
    return done


async def read_form(request: Request, limit: int = LIMIT, most: int = MOST_FIELDS) -> dict[str, str]:
    """The last value of each field of a form in the body. Raises HTTPException for what is none, or is too large.

    It may be `limit` bytes and have `most` fields.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise HTTPException(413, "The form is larger than a form of the hub can be.")
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=most, errors="strict"))
    except ValueError:
        raise HTTPException(400, "The form could not be read. Go back, reload, try again.") from None


async def find_sender(request: Request, form: dict[str, str]) -> SignedIn | None:
    """The signed-in person whose form this is, by the token that it carries; None for who is not signed in.

    Raises HTTPException for a form that another site made or that is of another session.
    """
    gate = means_of(request).gate
    signed_in = await find_signed_in(request, gate)
    if signed_in is not None and not check_csrf(request, gate, signed_in, form.get("csrf", "")):
        raise HTTPException(403, "This form is not from a page of the hub, or it is old. Go back, reload, try again.")
    return signed_in


def administrate(identity: Identity) -> None:
    """Raises ApiError for who is no administrator: to those who do not even see everything there is nothing."""
    if not identity.viewer().sees_all:
        raise ApiError(404, "not_found", "there is no such page, or you may not see it")
    if not identity.administrator:
        raise ApiError(403, "forbidden", "this needs an administrator of the hub")


def confirmed(form: dict[str, str], name: str, what: str) -> None:
    """Raises ApiError unless the name of what is to go was typed."""
    if form.get("confirm", "").strip() != name:
        raise ApiError(400, "bad_request", f"type the name {name} to {what}")


def whole(form: dict[str, str], name: str) -> int | str:
    """A field as the number that was typed there, else as it is: whoever wants a number says what is wrong."""
    typed = form.get(name, "").strip()
    return int(typed) if typed.isascii() and typed.isdigit() and len(typed) < 10 else typed


def lines(form: dict[str, str], name: str) -> list[str]:
    """What was typed into a field of many lines, one thing a line."""
    return [line.strip() for line in form.get(name, "").splitlines() if line.strip()]


def to_sign_in(request: Request) -> Response:
    """On to the page where one signs in, and from there back to this one."""
    there = request.url.path + (f"?{request.url.query}" if request.method == "GET" and request.url.query else "")
    return RedirectResponse(f"/sign-in?next={quote(there, safe='/')}", 303)


def safe_path(asked: str) -> str:
    """Where to go after signing in: a path of this hub, never another place."""
    return asked if len(asked) <= 2000 and _LOCAL.fullmatch(asked) else "/"


def failed(error: ApiError, page: Response) -> Response:
    """The page that says why, with the refusal's status and headers."""
    page.status_code = error.status
    page.headers.update(error.headers)
    return page


def as_api(error: ApiError | InvalidName | Conflict) -> ApiError:
    """Any refusal as one of a status and a sentence."""
    if isinstance(error, ApiError):
        return error
    return from_storage(error) if isinstance(error, Conflict) else ApiError(400, "invalid_name", str(error))


def in_words_of_pages(message: str) -> str:
    """The API's sentence with the field's label for its name."""
    for field_name, label in LABELS.items():
        message = message.replace(f"'{field_name}'", f"'{label}'")
    return message
