"""Fields of requests to the JSON API: read, bounded, and refused with a sentence that names them."""

import re
import time
from typing import Any

from starlette.requests import Request

from auth.door import ApiError
from auth.passwords import password_problem
from storage.scopes import MOST, BadScope, Scopes, read_scopes

LONGEST = 1024
LONGEST_FULL_NAME, LONGEST_EMAIL = 100, 254  # the second as RFC 5321 has it, section 4.5.3.1.3
DAY = 86_400_000  # milliseconds
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")  # its shape alone: only a letter that arrives would show more


def bad(message: str) -> ApiError:
    """The 400 of this dialect."""
    return ApiError(400, "bad_request", message)


def text(body: dict[str, Any], field: str, default: str | None = None) -> str:
    """A text of printable characters; a default makes it one that may be left out or empty. Raises ApiError."""
    value = body.get(field, default)
    shortest = 0 if default is not None else 1
    if not isinstance(value, str) or not shortest <= len(value) <= LONGEST or not value.isprintable():
        raise bad(f"{field!r} must be a text of {shortest} to {LONGEST} printable characters")
    return value


def choice(body: dict[str, Any], field: str, words: tuple[str, ...], default: str | None = None) -> str:
    """One of these words. Raises ApiError."""
    value = body.get(field, default)
    if not isinstance(value, str) or value not in words:
        raise bad(f"{field!r} must be one of {', '.join(words)}")
    return value


def only(body: dict[str, Any], *fields: str) -> None:
    """Raises ApiError for a field that is none of these."""
    strange = sorted(body.keys() - set(fields))
    if strange:
        known = f"the fields are {', '.join(fields)}" if fields else "there are no fields"
        raise bad(f"{strange[0][:100]!r} is not known here; {known}")


def password(body: dict[str, Any]) -> str:
    """A new password. Raises ApiError."""
    value = text(body, "password")
    problem = password_problem(value)
    if problem is not None:
        raise bad(problem)
    return value


def full_name(body: dict[str, Any], default: str = "") -> str:
    """What somebody is called; may be empty. Raises ApiError."""
    value = text(body, "full_name", default)
    if len(value) > LONGEST_FULL_NAME:
        raise bad(f"'full_name' has at most {LONGEST_FULL_NAME} characters")
    return value


def email(body: dict[str, Any], default: str = "") -> str:
    """An e-mail address, of which the shape alone is looked at; may be empty. Raises ApiError."""
    value = text(body, "email", default)
    if value and (len(value) > LONGEST_EMAIL or not _EMAIL.fullmatch(value)):
        raise bad(f"'email' must look like ann@example.com and have at most {LONGEST_EMAIL} characters")
    return value


def flag(body: dict[str, Any], field: str, default: bool) -> bool:
    """True or false. Raises ApiError."""
    value = body.get(field, default)
    if not isinstance(value, bool):
        raise bad(f"{field!r} must be true or false")
    return value


def number(body: dict[str, Any], field: str, default: int, least: int, most: int) -> int:
    """A whole number. Raises ApiError."""
    value = body.get(field, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise bad(f"{field!r} must be a number from {least} to {most}")
    return value


def days(body: dict[str, Any], field: str, default: int, most: int) -> int:
    """A number of days, in milliseconds. Raises ApiError."""
    return number(body, field, default, 1, most) * DAY


def scopes(body: dict[str, Any]) -> Scopes | None:
    """The scopes that narrow a token; None if they are left out or null. Raises ApiError, also for an empty list.

    Else whatever makes such a list would some day make a token that is good for everything.
    """
    value = body.get("scopes")
    if value is None:
        return None
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        raise bad(f"'scopes' must be a list of 1 to {MOST} texts; leave it out for all that you may")
    try:
        return read_scopes(value)
    except BadScope as error:
        raise bad(str(error)) from None


def row_number(given: str, what: str) -> int:
    """The number of a row as somebody gave it. Raises ApiError for what can be none's."""
    if not (given.isascii() and given.isdigit() and len(given) < 19):
        raise ApiError(404, "not_found", f"there is no {what} {given[:50]!r}")
    return int(given)


def page(request: Request) -> tuple[str, int]:
    """`after` and `limit` of a list. Raises ApiError."""
    limit = request.query_params.get("limit", "100")
    if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit[:5]) <= 1000:
        raise bad("'limit' must be a number from 1 to 1000")
    return request.query_params.get("after", ""), int(limit[:5])


def asked(request: Request, parameter: str, words: tuple[str, ...], default: str = "") -> str:
    """A parameter of the address that is one of these words, or is left out or empty. Raises ApiError."""
    value = request.query_params.get(parameter) or default
    if value and value not in words:
        raise bad(f"{parameter!r} must be one of {', '.join(words)}")
    return value


def following(keys: list[str], limit: int) -> str | None:
    """What to give as `after` for the next page; None if this one was not full."""
    return keys[-1] if len(keys) == limit else None


def moment(milliseconds: int | None) -> str | None:
    """A time as RFC 3339 has it, in UTC."""
    return None if milliseconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(milliseconds / 1000))
