"""What a deployer asks for, read from a body's fields: by the JSON API and by the pages alike."""

import json
import re
from typing import Any

from anyio import CapacityLimiter

from auth.door import ApiError
from deploy.api.rollout_fields import read_rollout
from deploy.commands import Wish
from deploy.fields import bad, number_field, only, text_field, word_field
from deploy.following.wanted import read_follow
from deploy.means import CHECKS_WAITING

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")  # of a target and of a deployment
MAX_CONFIG = 256 * 1024  # characters
MAX_ORDER = 9999
POLICIES = ("FAIL_CLOSED", "FAIL_OPEN", "FAIL_RELOAD")


def read_wish(body: dict[str, Any]) -> Wish:
    """The wish in a body. Raises ApiError."""
    only(body, "reference", "config", "order", "root_id", "failure_policy", "placement", "force", "rollout", "follow")
    return Wish(
        reference=text_field(body, "reference", longest=600) if "reference" in body else None,
        keeps_config="config" not in body,
        config=read_config(body.get("config")),
        order=number_field(body, "order", 0, 1, MAX_ORDER) if "order" in body else None,
        root_id=text_field(body, "root_id") if "root_id" in body else None,
        failure_policy=word_field(body, "failure_policy", "", POLICIES) if "failure_policy" in body else None,
        force=read_force(body),
        placement=body.get("placement"),
        rollout=read_rollout(body["rollout"]) if body.get("rollout") is not None else None,
        follow=read_follow(body.get("follow")),
        says_follow="follow" in body,
    )


def read_force(body: dict[str, Any]) -> bool:
    """Whether a target's rules are to be overridden. Raises ApiError."""
    force = body.get("force", False)
    if not isinstance(force, bool):
        raise bad("force must be true or false")
    return force


def new_name(name: str) -> str:
    """The name of a deployment that may be new. Raises ApiError for what can be none."""
    if not NAME.fullmatch(name):
        raise bad(f"{name[:64]!r} is no name for a deployment: use lower-case letters, digits and dashes, at most 63")
    return name


def known_name(name: str) -> str:
    """The name of a deployment that must be there. Raises ApiError 404 for what can be none."""
    if not NAME.fullmatch(name):
        raise ApiError(404, "not_found", f"there is no deployment {name[:64]!r}")
    return name


def refuse_crowd(checks: CapacityLimiter) -> None:
    """Raises ApiError 503 where too many wait for their checks already."""
    if checks.statistics().tasks_waiting >= CHECKS_WAITING:
        raise ApiError(503, "busy", "too many filters are being deployed; try again in a moment", {"Retry-After": "5"})


def json_text(value: Any) -> str:
    """A JSON value as a text that people can read again. Raises ApiError for what is none, or is nested too deeply."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        raise ApiError(400, "bad_request", "'config' holds what JSON cannot say, or is nested too deeply") from None


def read_config(value: Any) -> str | None:
    """The text that the filter gets. Raises ApiError."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json_text(value)
    return text_field({"config": text}, "config", longest=MAX_CONFIG)
