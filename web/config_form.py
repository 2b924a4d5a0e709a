"""A filter's config as a form: the fields of its own JSON Schema, and the config that they make."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from web.typed import ABSENT, Field, read, write

MOST_FIELDS = 40  # of a form; a schema with more is filled in as JSON
PREFIX = "c-"
_LONGEST = 400  # characters of an explanation


def config_fields(schema: Any) -> list[Field]:
    """A field for each property that a schema names; none where it is no schema of an object."""
    if not isinstance(schema, Mapping) or not isinstance(schema.get("properties"), Mapping):
        return []
    if schema.get("type", "object") != "object" or len(schema["properties"]) > MOST_FIELDS:
        return []
    required = schema.get("required")
    needed = set(map(str, required)) if isinstance(required, list) else set()
    properties = schema["properties"].items()
    return [_field(name, _followed(schema, said), name in needed) for name, said in properties]


def read_config(fields: Sequence[Field], typed: Mapping[str, str]) -> str | None:
    """The config that was typed; None for none at all. Raises ApiError that names the field that is wrong."""
    found = {one.name: value for one in fields if (value := read(one, typed.get(PREFIX + one.name, ""))) is not ABSENT}
    return json.dumps(found, ensure_ascii=False) if found else None


def write_config(fields: Sequence[Field], config: str) -> dict[str, str] | None:
    """What stands in the fields for a config; None where they cannot say all of it."""
    if not config.strip():
        return {}
    try:
        values = json.loads(config)
    except (ValueError, RecursionError):
        return None
    known = {one.name: one for one in fields}
    if not isinstance(values, dict) or values.keys() - known.keys():
        return None
    typed = {PREFIX + name: write(known[name], value) for name, value in values.items()}
    return {name: text for name, text in typed.items() if text} if all(typed.values()) else None


def _followed(schema: Mapping[str, Any], said: Any) -> Mapping[str, Any]:
    """A property's schema, where it refers to one of the schema's own definitions that one."""
    reference = said.get("$ref") if isinstance(said, Mapping) else None
    if isinstance(reference, str) and reference.startswith("#/"):
        found: Any = schema
        for part in reference[2:].split("/"):
            found = found.get(part) if isinstance(found, Mapping) else None
        said = {**found, **said} if isinstance(found, Mapping) else said
    return said if isinstance(said, Mapping) else {}


def _field(name: str, said: Mapping[str, Any], required: bool) -> Field:
    words, values = _choices(said.get("enum"))
    kind = said.get("type")
    items = said.get("items")
    if words:
        what = "choice"
    elif kind == "boolean":
        what, words = "flag", ("true", "false")
    elif kind == "array" and isinstance(items, Mapping) and items.get("type") == "string":
        what = "list"
    else:
        simple = {"string": "text", "integer": "whole", "number": "number"}
        what = simple.get(kind, "json") if isinstance(kind, str) else "json"
    return Field(name, name, what, required, words, values, _hint(said, what))


def _choices(enum: Any) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """What an enum offers, if each of it is a simple value."""
    if not isinstance(enum, list) or not enum or not all(isinstance(one, str | int | float | None) for one in enum):
        return (), ()
    words = tuple(one if isinstance(one, str) and one.strip() == one else json.dumps(one) for one in enum)
    return (words, tuple(enum)) if len(set(words)) == len(words) and all(words) else ((), ())


def _hint(said: Mapping[str, Any], what: str) -> str:
    """What the author says of a property, and how it is typed."""
    parts = [said[name].strip().rstrip(".") for name in ("title", "description") if isinstance(said.get(name), str)]
    parts += ["One a line"] if what == "list" else ["As JSON"] if what == "json" else []
    low, high = said.get("minimum"), said.get("maximum")
    parts += [f"At least {low}"] if low is not None and high is None else []
    parts += [f"At most {high}"] if high is not None and low is None else []
    parts += [f"From {low} to {high}"] if low is not None and high is not None else []
    if "default" in said:
        parts.append(f"Left empty: {json.dumps(said['default'], ensure_ascii=False)}")
    return ". ".join(dict.fromkeys(part[:_LONGEST] for part in parts if part)) + ("." if parts else "")
