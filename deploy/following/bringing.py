"""Brings out what a deployment follows, by the way of a deploy: the same checks, for whoever said that it follows."""

from dataclasses import replace
from datetime import datetime

from auth.door import ApiError
from auth.identity import Identity, identity_of
from deploy.checks.windows import Closed, closed
from deploy.commands import Wish, check, image_for, refuse_waves, save
from deploy.images.filters import find_filter, find_readable_repository
from deploy.means import Means, may_with
from storage.database import Conflict, now
from storage.deployments import find_deployment
from storage.errors import OverQuota
from storage.events import SYSTEM
from storage.followings import (
    REFUSED,
    RUNS,
    UNREADABLE,
    WAITING,
    Moved,
    Overtaken,
    follow_moved,
    note_following,
    was_taken_back,
)
from storage.rollout_rows import BesideRollout
from storage.targets import TargetRow, find_target
from storage.users import identity_row

FIRST_WAIT, LONGEST_WAIT = 2_000, 15 * 60_000  # milliseconds until what was refused is tried again
UNREAD = 503  # the status of what the reader has not read yet, which is no refusal


class NotFollowed(Exception):
    """Why it is not followed; `again` is whether that may change by itself."""

    def __init__(self, message: str, *, again: bool = True, state: str = REFUSED) -> None:
        super().__init__(message)
        self.again = again
        self.state = state


def bring(means: Means, one: Moved) -> bool:
    """Makes what was found the next revision, or notes why not. False: it was not read yet, so look again soon.

    Raises StorageError where the store cannot be asked.
    """
    try:
        return _bring(means, one)
    except (Overtaken, BesideRollout):
        return True  # the next look sees what is so by now
    except ApiError as error:
        if error.status == UNREAD:
            return False
        _refuse(means, one, error.message)
    except NotFollowed as error:
        _refuse(means, one, str(error), again=error.again, state=error.state)
    except (Conflict, OverQuota) as error:
        _refuse(means, one, str(error))
    return True


def _refuse(means: Means, one: Moved, message: str, *, again: bool = True, state: str = REFUSED) -> None:
    tries = 0 if one.fresh else one.tries + 1
    wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(tries, 16))
    note_following(means.database, SYSTEM, one, state, message, now() + wait if again else None)


def _bring(means: Means, one: Moved) -> bool:
    identity, target = _allowed(means, one)
    with means.database.read() as session:
        current = find_deployment(session, target.id, one.deployment)
        if current is None:
            raise Overtaken(f"{one.target}/{one.deployment} is gone")
        found = find_filter(session, identity, one.reference)
        taken_back = was_taken_back(session, one.deployment_id, found.digest)
    runs = current.current
    if (found.repository_id, found.digest) == (runs.repository_id, runs.manifest_digest):
        note_following(means.database, SYSTEM, one, RUNS)
        return True
    if taken_back:
        raise NotFollowed(taken_back, again=False)
    shut = closed(target.settings, now())
    if shut is not None:
        note_following(means.database, SYSTEM, one, WAITING, f"{target.name} {shut.message}", _opens(shut))
        return True
    if found.reading is None or found.reading.state == "pending":
        return False
    wish = Wish(reference=one.reference, rollout=one.rollout)
    if wish.rollout is not None:
        refuse_waves(target, wish, current)
    revision, found, taken = check(means, identity, target, one.deployment, wish, current)
    image = image_for(means, identity, found, target)
    revision = replace(revision, action="follow", image_digest=image)
    save(means, identity, target, one.deployment, revision, taken.forced, wish.rollout, follow_moved(one))
    return True


def _allowed(means: Means, one: Moved) -> tuple[Identity, TargetRow]:
    """Whoever said that it follows, as far as they may still deploy there. Raises NotFollowed."""
    with means.database.read() as session:
        row = identity_row(session, one.user_id) if one.user_id is not None else None
        if row is None:
            raise NotFollowed("whoever said that it follows may not sign in any more; somebody else has to say so anew")
        identity = identity_of(row)
        target = find_target(session, one.target, identity.user_id)
        if target is None:
            raise Overtaken(f"{one.target} is gone")
        who = f"{identity.name}, who said that it follows, may not"
        if not may_with(identity, "deploy", target):
            raise NotFollowed(f"{who} deploy to {target.name} any more; somebody who may has to say so anew")
        try:
            find_readable_repository(session, identity, one.repository)
        except ApiError:
            said = f"{who} read {one.repository} any more; somebody who may has to say so anew"
            raise NotFollowed(said, state=UNREADABLE) from None
    return identity, target


def _opens(shut: Closed) -> int | None:
    """When it is looked at again; None: when the target's settings change."""
    opens: datetime | None = shut.opens_at
    return None if opens is None else int(opens.timestamp() * 1000)
