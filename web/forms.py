"""Forms of pages: read, bounded, and known to come from a page of the hub."""

from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request

from auth.sessions import SignedIn, check_csrf, find_signed_in
from web.means import means_of

LIMIT = 16_384  # bytes


async def read_form(request: Request) -> dict[str, str]:
    """The last value of each field of a form in the body. Raises HTTPException for what is none, or is too large."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LIMIT:
            raise HTTPException(413, "The form is larger than a form of the hub can be.")
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=20, errors="strict"))
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
