"""Rollouts for whoever may see or hold them: what the JSON API and the pages alike ask."""

import re
from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import Session

from auth.door import ApiError
from auth.identity import Identity
from deploy.fields import bad
from deploy.means import Means, allow
from deploy.rollouts.loop import stand_of
from deploy.views.shapes import rollout_event_json, rollout_json
from storage.database import Database
from storage.events import Actor
from storage.rollout_rows import RolloutRow, find_rollout, rollout_events, target_rollouts
from storage.rollouts import pause_rollout, resume_rollout, take_back_rollout
from storage.targets import targets

NUMBER = re.compile(r"[0-9]{1,16}")
LONGEST_WHY = 500

Turn = Callable[[Database, Actor, RolloutRow], RolloutRow]
TURNS: dict[str, Turn] = {"pause": pause_rollout, "resume": resume_rollout}


def list_rollouts(means: Means, identity: Identity, target: str | None) -> list[RolloutRow]:
    """Those that the caller may see, newest first, 100 of each target. Raises ApiError."""
    with means.database.read() as session:
        seen = [allow(session, identity, "pull", target)] if target else targets(session, identity.viewer())
        found = [one for place in seen for one in target_rollouts(session, place.id)]
    return sorted(found, key=lambda one: -one.id)


def read_rollout(means: Means, identity: Identity, number: str) -> dict[str, Any]:
    """A rollout with its `events`, and its `health` now while it is under way. Raises ApiError."""
    rollout = find_seen(means, identity, "pull", number)
    stands = stand_of(means.database, rollout.id)
    with means.database.read() as session:
        events = rollout_events(session, rollout.id)
    shown = rollout_json(rollout)
    if stands is not None and stands[0].ended_at is None:
        shown = rollout_json(stands[0])
        shown["message"] = stands[1].message
        shown["health"] = stands[1].health.figures if stands[1].health is not None else None
    return shown | {"events": [rollout_event_json(one) for one in events]}


def turn_rollout(means: Means, identity: Identity, rollout: RolloutRow, turn: Turn) -> dict[str, Any]:
    """Pauses or resumes one that was found for who may deploy there. Raises Conflict if it cannot be."""
    made = turn(means.database, identity.actor(), rollout)
    means.wake()
    return rollout_json(made)


def abort_rollout(means: Means, identity: Identity, rollout: RolloutRow, why: Any) -> dict[str, Any]:
    """Takes one back that was found for who may deploy there. Raises ApiError, and Conflict if it is over."""
    if not isinstance(why, str) or len(why) > LONGEST_WHY or not why.isprintable():
        raise bad(f"why must be one line of at most {LONGEST_WHY} characters")
    said = f"aborted by {identity.name}" + (f": {why}" if why else "")
    made = take_back_rollout(means.database, identity.actor(), rollout.id, said)
    means.wake()
    return rollout_json(made)


def find_seen(means: Means, identity: Identity, action: str, number: str) -> RolloutRow:
    """The rollout with that number, if the caller may do this with its target. Raises ApiError."""
    with means.database.read() as session:
        found = find_rollout(session, int(number)) if NUMBER.fullmatch(number) else None
        if found is None or not _visible(session, identity, found):
            raise ApiError(404, "not_found", f"there is no rollout {number[:64]!r}, or you may not see it")
        allow(session, identity, action, found.target)
    return found


def _visible(session: Session, identity: Identity, rollout: RolloutRow) -> bool:
    try:
        allow(session, identity, "pull", rollout.target)
    except ApiError:
        return False
    return True
