"""What somebody did by hand to what the hub has made, for deployments that ask for it to be said and not mended."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deploy.meshes.kubernetes import fields_of, is_item
from deploy.status import some_names
from deploy.targets.plan import MANAGER, Object

Path = tuple[str | int, ...]


def way_out(names: Sequence[str] = ()) -> str:
    """How what was done by hand is ended; `names` are the deployments that ask, where an object is not of one alone."""
    return f"deploy {' or '.join(names)}{' ' if names else ''}again to put it right, or undo that"


def changed_by_hand(live: Object, wished: Object) -> str:
    """Which fields of its spec were another's doing, and whose, as a part of a sentence; empty where none was.

    Of a list that is written as one all is said that differs, also what the hub wants otherwise by now.
    What the hub has applied and wants otherwise by now is its own still: the API server notes who wrote a field last.
    """
    ours = fields_of(live, MANAGER, "Apply")
    paths = [("spec", *path) for path in _differing(live.get("spec"), wished.get("spec"))]
    taken = [path for path in paths if not any(_depth(fields, path, wished) for fields in ours)]
    if not taken:
        return ""
    who = dict.fromkeys(name for path in taken for name in _writers(live, path, wished))
    return f"was changed by {some_names([*who]) or 'hand'} and differs in {some_names([*map(_said, taken)])}"


def changed_parts(live: Any, wished: Any) -> str:
    """Which fields differ, also those that only one of the two has; empty where none does."""
    both = dict.fromkeys((*_differing(live, wished), *_differing(wished, live)))
    return some_names([*map(_said, both)])


def editors_of(live: Object, path: Path) -> str:
    """Who but the hub wrote a field last, as a part of a sentence."""
    return some_names(_writers(live, path, live)) or "hand"


def _differing(live: Any, wished: Any, at: Path = ()) -> Iterator[Path]:
    """Where a live value has not what is wished."""
    if isinstance(wished, Mapping) and isinstance(live, Mapping):
        for name, value in wished.items():
            if name in live:
                yield from _differing(live[name], value, (*at, name))
            else:
                yield (*at, name)
    elif isinstance(wished, list) and isinstance(live, list) and len(live) == len(wished):
        for number, (one, value) in enumerate(zip(live, wished, strict=True)):
            yield from _differing(one, value, (*at, number))
    elif live != wished:
        yield at


def _writers(live: Object, path: Path, wished: Any) -> list[str]:
    """Who but the hub is noted for a field: not who once made something empty that it is in, if others are closer."""
    others = {str(one.get("manager")) for one in live["metadata"].get("managedFields") or []} - {MANAGER}
    close = {name: max((_depth(each, path, wished) for each in fields_of(live, name)), default=0) for name in others}
    closest = max(close.values(), default=0)
    return sorted(name for name, depth in close.items() if depth == closest > 0)


def _depth(fields: Mapping[str, Any], path: Path, wished: Any) -> int:
    """How far `fieldsV1` follow a path, where they name what is there or something that holds it; else 0."""
    for depth, step in enumerate(path):
        if not fields:
            return depth
        if isinstance(step, str):
            below = fields.get(f"f:{step}")
        else:
            below = next((each for name, each in fields.items() if is_item(name, wished[step])), None)
        if below is None:
            return 0
        fields, wished = below, wished[step]
    return len(path)


def _said(path: Path) -> str:
    text = "".join(f".{step}" if isinstance(step, str) else f"[{step}]" for step in path)
    return text.removeprefix(".")[:100]
