"""Configs for targets that carry them as JSON values, not as texts: what would not reach the filter as written."""

import json
from typing import Any

_LARGEST = 2**53  # JSON's numbers are doubles there: whole numbers above it lose their last digits


class Unfaithful(ValueError):
    """A config that a JSON value cannot carry; the text says why."""


def config_value(config: str) -> Any:
    """The value that a config's text means. Raises Unfaithful where the filter would not be given the same."""
    try:
        value = json.loads(
            config, object_pairs_hook=_pairs, parse_int=_whole, parse_float=_number, parse_constant=_none
        )
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Unfaithful("holds half a character") from None
    except json.JSONDecodeError:
        raise Unfaithful("is no JSON") from None
    except RecursionError:
        raise Unfaithful("is nested too deeply") from None
    return value


def config_object(config: str) -> dict[str, Any]:
    """The same for targets that take objects alone."""
    value = config_value(config)
    if not isinstance(value, dict):
        raise Unfaithful("is no JSON object")
    return value


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for index, (name, _) in enumerate(pairs) if name in dict(pairs[:index]))
        raise Unfaithful(f"says {twice[:100]!r} twice")
    return found


def _whole(digits: str) -> int:
    if len(digits) > 20 or abs(int(digits)) > _LARGEST:
        raise Unfaithful(f"holds the number {digits[:40]}, of which the last digits would be lost")
    return int(digits)


def _number(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise Unfaithful(f"holds the number {digits[:40]}, which is too large")
    return value


def _none(name: str) -> Any:
    raise Unfaithful(f"holds {name}, which JSON cannot say")
