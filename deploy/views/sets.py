"""Deployment sets for whoever may see them: what the JSON API and the pages alike ask."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy.orm import Session

from auth.door import ApiError
from auth.identity import Identity
from deploy.fields import bad
from deploy.means import Means
from deploy.sets.commands import find_seen_set, may_see
from deploy.sets.deciding import Part, SetStep
from deploy.sets.standing import stand_of_set
from deploy.status import PROGRESSING, READY, STALLED, UNOBSERVED, WAITING
from deploy.views.shapes import moment
from storage.set_ends import end_set, take_back_set
from storage.set_rows import (
    ABORTED,
    HALTED,
    OPEN,
    SetEventRow,
    SetRevisionRow,
    SetRow,
    find_set,
    seen_sets,
    set_events,
    set_revisions,
)
from storage.sets import pause_set, resume_set

LONGEST_WHY = 500
LEAVING = "leaving"
TURNS = {"pause": pause_set, "resume": resume_set}
_WORST = (STALLED, WAITING, PROGRESSING, UNOBSERVED)
_READ_AT_ONCE = 100


def list_sets(
    means: Means, identity: Identity, after: tuple[str, str] = ("", ""), limit: int = 100
) -> list[dict[str, Any]]:
    """Those that the caller may see, by namespace and name, each with how it stands now."""
    with means.database.read() as session:
        found: list[dict[str, Any]] = []
        for row in _seen(session, identity, after):
            if len(found) == limit:
                break
            found.append(set_json(row, *stand_of_set(session, row)))
    return found


def read_set_detail(means: Means, identity: Identity, namespace: str, name: str) -> dict[str, Any]:
    """A set with its `revisions`, newest first, and `events`, its timeline, oldest first. Raises ApiError."""
    with means.database.read() as session:
        row = find_seen_set(session, identity, "pull", namespace, name)
        shown = set_json(row, *stand_of_set(session, row))
        hidden = hidden_targets(session, identity, row)
        shown["revisions"] = [_revision_json(one, hidden) for one in set_revisions(session, row.id)]
        shown["events"] = read_timeline(session, hidden, row)
    return shown


def show_set(means: Means, row: SetRow) -> dict[str, Any]:
    """A set that was just changed."""
    with means.database.read() as session:
        now = find_set(session, row.id) or row
        return set_json(now, *stand_of_set(session, now))


def turn_set(means: Means, identity: Identity, row: SetRow, verb: str) -> dict[str, Any]:
    """Pauses or resumes a set that was found for who may deploy it. Raises Conflict if it cannot be."""
    made = TURNS[verb](means.database, identity.actor(), row)
    means.wake()
    return show_set(means, made)


def abort_set(means: Means, identity: Identity, row: SetRow, why: Any) -> dict[str, Any]:
    """Takes back what a set that was found is about. Raises ApiError, and Conflict if that is over."""
    if not isinstance(why, str) or len(why) > LONGEST_WHY or not why.isprintable():
        raise bad(f"why must be one line of at most {LONGEST_WHY} characters")
    said = f"aborted by {identity.name}" + (f": {why}" if why else "")
    made = take_back_set(means.database, identity.actor(), row, said)
    means.wake()
    return show_set(means, made)


def remove_set(means: Means, identity: Identity, row: SetRow) -> dict[str, Any] | None:
    """Undeploys all of a set that was found; None if nothing of it is left already."""
    end_set(means.database, identity.actor(), row)
    means.wake()
    with means.database.read() as session:
        now = find_set(session, row.id)
        return set_json(now, *stand_of_set(session, now)) if now is not None else None


def set_json(row: SetRow, parts: Sequence[Part], step: SetStep) -> dict[str, Any]:
    """A set: one `status` and `message` for all of it, and each of its `members`."""
    spec = row.spec
    return {
        "namespace": row.namespace,
        "name": row.name,
        "status": _status(row, parts),
        "message": step.message,
        "state": row.state,
        "revision": row.number,
        "action": row.action,
        "wave": row.wave,
        "waves": row.waves,
        "reference": spec["reference"],
        "runs": spec["pinned"],
        "config": spec["config"],
        "root_id": spec["root_id"],
        "failure_policy": spec["failure_policy"],
        "order": spec["order"],
        "bake_seconds": spec["bake"] / 1000,
        "on_failure": spec["on_failure"],
        "members": [_member_json(row, one) for one in parts],
        "asked_by": row.asked_by,
        "created_at": moment(row.created_at),
        "revised_at": moment(row.revised_at),
        "ended_at": moment(row.ended_at) if row.ended_at is not None else None,
    }


def hidden_targets(session: Session, identity: Identity, row: SetRow) -> set[str]:
    """Targets that the set had deployments on, and that the caller may not see: the set itself may be seen by now."""
    named = {str(member["target"]) for one in set_revisions(session, row.id) for member in one.spec["members"]}
    return {one for one in named if not may_see(session, identity, one)}


def read_timeline(session: Session, hidden: set[str], row: SetRow, after: int = 0) -> list[dict[str, Any]]:
    """The lines of a set's timeline after that one, but for those that name a hidden target."""
    lines = set_events(session, row.id, after=after)
    return [_event_json(one) for one in lines if not _names(one.message, hidden)]


def _names(message: str, hidden: set[str]) -> bool:
    return any(re.search(rf"(?<![a-z0-9-]){re.escape(one)}(?![a-z0-9-])", message) for one in hidden)


def _event_json(event: SetEventRow) -> dict[str, Any]:
    """A line of a set's timeline."""
    return {
        "id": event.id,
        "revision": event.revision,
        "at": moment(event.at),
        "kind": event.kind,
        "wave": event.wave,
        "message": event.message,
    }


def _seen(session: Session, identity: Identity, after: tuple[str, str]) -> Iterator[SetRow]:
    while True:
        some = seen_sets(session, identity.viewer(), after, _READ_AT_ONCE)
        yield from (one for one in some if _visible(session, identity, one))
        if len(some) < _READ_AT_ONCE:
            return
        after = some[-1].namespace, some[-1].name


def _visible(session: Session, identity: Identity, row: SetRow) -> bool:
    try:
        find_seen_set(session, identity, "pull", row.namespace, row.name)
    except ApiError:
        return False
    return True


def _status(row: SetRow, parts: Sequence[Part]) -> str:
    """One word: what is under way or, when nothing is, how the deployments stand."""
    if row.leaving_at is not None:
        return LEAVING
    if row.state in OPEN or (row.state in (HALTED, ABORTED) and row.ended_at is None):
        return row.state
    found = {one.status for one in parts if one.there or (one.member.wanted and not row.why)}
    return next((word for word in _WORST if word in found), READY)


def _member_json(row: SetRow, part: Part) -> dict[str, Any]:
    member = part.member
    return {
        "target": member.target,
        "deployment": member.name,
        "wave": member.wave,
        "wanted": member.wanted and row.leaving_at is None,
        "changed": member.moved,
        "set_revision": member.carries or None,
        "revision": part.number,
        "status": part.status,
        "message": part.message,
        "follows": part.follows,
        "waits_for": part.closed if member.wanted and not member.moved and row.state in OPEN else "",
    }


def _revision_json(one: SetRevisionRow, hidden: set[str]) -> dict[str, Any]:
    return {
        "number": one.number,
        "action": one.action,
        "of": one.spec["of"],
        "reference": one.spec["reference"],
        "runs": one.spec["pinned"],
        "members": [
            {"target": member["target"], "deployment": member["name"], "wave": member["wave"]}
            for member in one.spec["members"]
            if member["target"] not in hidden
        ],
        "state": one.state,
        "message": "" if _names(one.why, hidden) else one.why,
        "asked_by": one.asked_by,
        "created_at": moment(one.created_at),
        "ended_at": moment(one.ended_at) if one.ended_at is not None else None,
    }
