"""The settings of an Envoy fleet, as its owner may give them."""

from typing import Any

from auth.door import ApiError
from deploy.checks.rules import RULES, read_rules, without_rules
from deploy.fields import bad, number_field, only, word_field
from deploy.targets.envoy_fleet import TRANSPORTS
from storage.targets import TargetRow

KIND = "envoy-fleet"


def fleet_settings(asked: Any) -> dict[str, Any]:
    """Settings of a fleet, complete. Raises ApiError."""
    if not isinstance(asked, dict):
        raise bad("settings must be a JSON object")
    only(asked, "slots", "without_hub", "refresh_seconds", "node_limit", "transport", *RULES)
    seconds = asked.get("refresh_seconds", 5)
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0.1 <= seconds <= 300:
        raise bad("refresh_seconds must be a number from 0.1 to 300")
    return {
        "slots": number_field(asked, "slots", 8, 1, 32),
        "without_hub": word_field(asked, "without_hub", "wait", ("wait", "open")),
        "refresh_seconds": seconds,
        "node_limit": number_field(asked, "node_limit", 1000, 1, 10_000),
        "transport": word_field(asked, "transport", "rest", tuple(TRANSPORTS)),
        **read_rules(asked),
    }


def other_rules(target: TargetRow, asked: Any) -> dict[str, Any]:
    """The settings of a fleet that gets other rules. Raises ApiError."""
    own = without_rules(target.settings)
    settings = fleet_settings({**own, **asked} if isinstance(asked, dict) else asked)
    if without_rules(settings) != without_rules(fleet_settings(own)):
        raise ApiError(
            409,
            "conflict",
            f"{target.name} is an Envoy fleet, whose settings its Envoys have been given; only its rules can be"
            f" changed, which are {', '.join(RULES)}",
        )
    return settings
