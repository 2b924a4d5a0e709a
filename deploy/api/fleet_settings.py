"""The settings of an Envoy fleet, as its owner may give them."""

from typing import Any

from auth.door import ApiError
from auth.identity import Identity
from deploy.checks.rules import RULES, read_rules, without_rules
from deploy.fields import bad, number_field, only, word_field
from deploy.means import Means
from deploy.targets.envoy_fleet import TRANSPORTS
from storage.targets import TargetRow, configure_target

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


def change_rules(means: Means, identity: Identity, target: TargetRow, body: dict[str, Any]) -> TargetRow:
    """Gives a fleet other rules. Raises ApiError."""
    asked, own = body.get("settings", target.settings), without_rules(target.settings)
    settings = fleet_settings({**own, **asked} if isinstance(asked, dict) else asked)
    if without_rules(settings) != without_rules(fleet_settings(own)):
        raise ApiError(
            409,
            "conflict",
            f"{target.name} is an Envoy fleet, whose settings its Envoys have been given; only its rules can be"
            f" changed, which are {', '.join(RULES)}",
        )
    return configure_target(means.database, identity.actor(), target, settings=settings, sealed_access=None)
