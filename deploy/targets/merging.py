"""Ours in a list that others keep: put in, changed and taken out without touching what is theirs."""

from collections.abc import Callable, Sequence
from typing import Any


def mark(hub_id: str, target: str) -> str:
    """What the names of a target's filters begin with, and nobody else's."""
    return f"wasmhub/{hub_id}/{target}/"


def merged(held: Sequence[Any], ours: Sequence[Any], own: str, name_of: Callable[[Any], str]) -> list[Any]:
    """The list with ours together where the first of ours stood, or at the end, and no others that begin with `own`."""
    place = next((index for index, one in enumerate(held) if name_of(one).startswith(own)), len(held))
    before, after = ([one for one in part if not name_of(one).startswith(own)] for part in (held[:place], held[place:]))
    return [*before, *ours, *after]
