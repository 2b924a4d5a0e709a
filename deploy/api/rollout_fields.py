"""How a rollout is asked for: `{"waves": [20, 50, 100], "bake": "60s", "limits": {"errors": 1}}`."""

import re
from itertools import pairwise
from typing import Any

from deploy.fields import bad, only
from deploy.rollouts.health import LIMITS
from storage.rollout_rows import NewRollout

WAVES = (20, 50, 100)
MOST_WAVES = 20
BAKE = 60_000  # milliseconds
LONGEST_BAKE = 7 * 86_400_000
_DURATION = re.compile(r"([0-9]{1,7})(s|m|h|d)")
_UNITS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def read_rollout(asked: Any) -> NewRollout:
    """A rollout, complete; what is left out is as usual. Raises ApiError."""
    if not isinstance(asked, dict):
        raise bad('rollout must be an object, such as {"waves": [20, 50, 100], "bake": "60s"}')
    only(asked, "waves", "bake", "limits")
    return NewRollout(_waves(asked.get("waves", list(WAVES))), read_bake(asked.get("bake", "60s")), _limits(asked))


def usual_rollout() -> dict[str, Any]:
    """A rollout of which nothing is said: `waves`, `bake`, and of each limit the `usual` value and `words`."""
    limits = {name: {"usual": usual, "words": words} for name, (usual, _, _, words) in LIMITS.items()}
    return {"waves": list(WAVES), "bake": f"{BAKE // 1000}s", "limits": limits}


def _waves(waves: Any) -> tuple[int, ...]:
    if (
        not isinstance(waves, list)
        or not 0 < len(waves) <= MOST_WAVES
        or any(not isinstance(one, int) or isinstance(one, bool) or not 0 < one <= 100 for one in waves)
        or any(later <= earlier for earlier, later in pairwise(waves))
        or waves[-1] != 100
    ):
        raise bad(
            f"waves must be rising whole numbers of percent of the nodes, at most {MOST_WAVES}, and end with 100,"
            " such as [20, 50, 100]"
        )
    return tuple(waves)


def read_bake(bake: Any, *, least: int = 1) -> int:
    """A time to watch for, in milliseconds. Raises ApiError."""
    found = _DURATION.fullmatch(bake) if isinstance(bake, str) else None
    milliseconds = int(found[1]) * _UNITS[found[2]] if found else -1
    if not least <= milliseconds <= LONGEST_BAKE:
        raise bad('bake must be a time of at most 7 days, such as "60s", "10m" or "2h"')
    return milliseconds


def _limits(asked: dict[str, Any]) -> dict[str, float]:
    limits = asked.get("limits", {})
    if not isinstance(limits, dict):
        raise bad(f"limits must be an object with some of {', '.join(LIMITS)}")
    only(limits, *LIMITS)
    found = {}
    for name, (usual, low, high, _) in LIMITS.items():
        value = limits.get(name, usual)
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise bad(f"limits.{name} must be a number from {low:g} to {high:g}")
        found[name] = value
    return found
