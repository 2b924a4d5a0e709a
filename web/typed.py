"""Fields of forms that stand for a JSON value: how each is written into the form, and read from what was typed."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auth.door import ApiError
from web.api.fields import bad
from web.rendering import show_json

ABSENT = object()  # the value of a field that was left empty
_WHOLE = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True)
class Field:
    """One field. `what`: text, whole, number, flag, choice, list, map, env, places, ports or json.

    `words` are what a choice offers, and `values` what they stand for where that is another thing.
    """

    name: str
    label: str
    what: str
    required: bool = False
    words: Sequence[str] = ()
    values: Sequence[Any] = ()
    hint: str = ""

    @property
    def long(self) -> bool:
        """Whether it has many lines."""
        return self.what in ("list", "map", "env", "places", "json")


def read(field: Field, typed: str) -> Any:
    """What was typed as its value; ABSENT for nothing. Raises ApiError that names the field."""
    text = typed.replace("\r\n", "\n").strip()
    if not text:
        return ABSENT
    try:
        return _READERS[field.what](field, text)
    except (ValueError, RecursionError) as error:
        raise bad(f"the field '{field.label}' {error}") from None


def write(field: Field, value: Any) -> str | None:
    """A value as it is typed there; None if it cannot be."""
    try:
        text = _WRITERS.get(field.what, _as_json)(field, value)
        return text if read(field, text) == value else None
    except (ApiError, AttributeError, KeyError, LookupError, TypeError, ValueError):
        return None


def _choice(field: Field, text: str) -> Any:
    if text not in field.words:
        raise ValueError(f"must be one of {', '.join(field.words)}")
    return field.values[list(field.words).index(text)] if field.values else text


def _whole(field: Field, text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ValueError("must be a whole number")
    return int(text)


def _number(field: Field, text: str) -> int | float:
    if _WHOLE.fullmatch(text):
        return int(text)
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, float) or value - value != 0:
        raise ValueError("must be a number, such as 3 or 0.5")
    return value


def _flag(field: Field, text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def _pairs(field: Field, text: str) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for line in _lines(text):
        name, equals, value = (part.strip() for part in line.partition("="))
        if not name or not (equals or field.what == "env"):
            raise ValueError(f"has the line {line[:60]!r}, which must be a name, = and a value")
        if name in found:
            raise ValueError(f"has {name[:60]!r} twice")
        found[name] = value if equals else None
    return found


def _places(field: Field, text: str) -> list[dict[str, str]]:
    found = []
    for line in _lines(text):
        parts = [part.strip() for part in line.split("/")]
        if len(parts) not in (2, 3) or not all(parts):
            raise ValueError(f"has the line {line[:60]!r}, which must be a kind and a name, such as Gateway/edge")
        found.append(dict(zip(("kind", "name", "section"), parts, strict=False)))
    return found


def _ports(field: Field, text: str) -> list[int]:
    parts = re.split(r"[\s,]+", text.strip(", \n"))
    if not all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts):
        raise ValueError("must be port numbers, such as 80, 8080")
    return [int(part) for part in parts]


def _json(field: Field, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"must be JSON: {error}") from None


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


def _write_choice(field: Field, value: Any) -> str:
    if not field.values:
        return str(value)
    return field.words[[(type(one), one) for one in field.values].index((type(value), value))]


def _write_pairs(field: Field, value: Mapping[str, str | None]) -> str:
    return "\n".join(name if said is None else f"{name}={said}" for name, said in value.items())


def _write_places(field: Field, value: Sequence[Mapping[str, str]]) -> str:
    return "\n".join("/".join(part for part in one.values() if part) for one in value)


def _as_json(field: Field, value: Any) -> str:
    return show_json(value)


_READERS: dict[str, Callable[[Field, str], Any]] = {
    "text": lambda field, text: text,
    "choice": _choice,
    "whole": _whole,
    "number": _number,
    "flag": _flag,
    "list": lambda field, text: _lines(text),
    "map": _pairs,
    "env": _pairs,
    "places": _places,
    "ports": _ports,
    "json": _json,
}
_WRITERS: dict[str, Callable[[Field, Any], str]] = {
    "text": lambda field, value: str(value),
    "choice": _write_choice,
    "list": lambda field, value: "\n".join(value),
    "map": _write_pairs,
    "env": _write_pairs,
    "places": _write_places,
    "ports": lambda field, value: ", ".join(map(str, value)),
}
