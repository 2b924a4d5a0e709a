"""Fields of a request's body and query, each checked and named where it is wrong."""

from collections.abc import Mapping
from typing import Any

from auth.door import ApiError


def bad(message: str) -> ApiError:
    """The answer to a request that nobody can make sense of."""
    return ApiError(400, "bad_request", message)


def only(fields: Mapping[str, Any], *known: str) -> None:
    """Refuses fields that nobody reads, so that a misspelt one is not silently ignored."""
    for name in fields:
        if name not in known:
            there = f"the fields are {', '.join(known)}" if known else "there are none"
            raise bad(f"there is no field {name[:100]!r} here; {there}")


def text_field(fields: Mapping[str, Any], name: str, default: str | None = None, *, longest: int = 256) -> str:
    """A text; required without a default."""
    value = fields.get(name, default)
    if value is None:
        raise bad(f"the field {name} is missing")
    if not isinstance(value, str) or len(value) > longest:
        raise bad(f"{name} must be a text of at most {longest} characters")
    if not _is_plain(value):
        raise bad(f"{name} must be a text without NUL and without halves of characters")
    return value


def word_field(fields: Mapping[str, Any], name: str, default: str, words: tuple[str, ...]) -> str:
    """One of some words."""
    value = fields.get(name, default)
    if value not in words:
        raise bad(f"{name} must be one of {', '.join(words)}")
    return str(value)


def number_field(fields: Mapping[str, Any], name: str, default: int, low: int, high: int) -> int:
    """A whole number within limits."""
    value = fields.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise bad(f"{name} must be a whole number from {low} to {high}")
    return value


def _is_plain(value: str) -> bool:
    """Whether a text can be stored and sent; JSON lets NUL and halves of surrogate pairs through."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value
