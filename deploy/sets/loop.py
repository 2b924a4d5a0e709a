"""Takes deployment sets on: one process in the world looks at each that is under way, and does what is next."""

import logging
from functools import partial

from auth.door import ApiError
from auth.identity import Identity, identity_of
from deploy.commands import change
from deploy.leading import Leader
from deploy.means import Means
from deploy.meshes.kinds import MESHES
from deploy.sets.commands import CLOSED
from deploy.sets.deciding import Part
from deploy.sets.standing import stand_of_set
from deploy.sets.wanted import STOP, still_follows, wanted_of
from storage.database import Conflict, StorageError
from storage.events import SYSTEM
from storage.scopes import stored_scopes
from storage.set_ends import close_set, complete_set, forget_set, stop_set, take_back_set
from storage.set_rows import SetRow, any_watched_set, find_set, watched_sets
from storage.set_steps import MovedOn
from storage.sets import move_set, note_change
from storage.targets import find_target
from storage.users import identity_row

log = logging.getLogger("wasmhub.deploy")
AT_ONCE = 200  # steps of one set in one look; it has two for each wave and one for each deployment


class SetKeeper(Leader):
    """Looks after sets. Two at once would do no harm: every step says what it expects to find."""

    lease = "sets"

    def __init__(self, means: Means) -> None:
        super().__init__(means.database)
        self._means = means

    def any(self) -> bool:
        """Whether a set is under way, or on its way out."""
        with self._means.database.read() as session:
            return any_watched_set(session)

    def look(self) -> None:
        """Takes each of them as far as it goes at once."""
        with self._means.database.read() as session:
            found = watched_sets(session)
        for one in found:
            try:
                for _ in range(AT_ONCE):
                    if not take_on(self._means, one.id):
                        break
            except MovedOn:  # a person was faster; the next look sees it
                log.info("set %s has moved on", one.full_name)
            except StorageError:
                raise
            except Exception:  # a mistake with one is not to hold up the others
                log.exception("set %s cannot be looked after", one.full_name)


def take_on(means: Means, set_id: int) -> bool:
    """Does what is next with a set; whether there may be more to do at once. Raises MovedOn."""
    database = means.database
    with database.read() as session:
        row = find_set(session, set_id)
        if row is None:
            return False
        step = stand_of_set(session, row)[1]
    if step.do == "change" and step.part is not None:
        return _change(means, row, step.part)
    if step.do == "move":
        return move_set(database, row, wave=step.wave, baking_since=step.baking_since, lines=step.lines)
    if step.do == "halt":
        _halt(means, row, step.message)
        return True
    if step.do == "complete":
        complete_set(database, row, step.message, step.lines)
        means.wake()
        return True
    if step.do == "close":
        close_set(database, row, step.message)
    elif step.do == "forget":
        forget_set(database, row)
    return False


def _halt(means: Means, row: SetRow, why: str) -> None:
    if row.spec["on_failure"] == STOP:
        stop_set(means.database, row, why)
    else:
        take_back_set(means.database, SYSTEM, row, why)
    means.wake()
    log.warning("set %s: %s", row.full_name, why)


def _change(means: Means, row: SetRow, part: Part) -> bool:
    """Gives one deployment what the set wants it to have, as the person who asked would. Raises MovedOn."""
    wanted = wanted_of(row.spec)
    member = wanted.member(part.member.target, part.member.name)
    identity = _asker(means, row)
    if identity is None or member is None:
        who = row.asked_by or "the person who asked for it"
        _halt(means, row, f"{part.name} cannot be deployed: {who} may not sign in any more")
        return True
    with means.database.read() as session:
        target = find_target(session, member.target)
    if part.follows and not (wanted.force or wanted.going_back):
        _halt(means, row, f"{part.name} cannot be deployed: {still_follows(member, part.follows)}")
        return True
    mesh = target is not None and target.kind in MESHES
    wish = wanted.wish(member, mesh=mesh)
    try:
        change(means, identity, member.target, member.name, wish, partial(note_change, row, part.member, part.follows))
    except MovedOn:
        raise
    except ApiError as error:
        if error.status >= 500 or (error.reasons and all(one["code"] in CLOSED for one in error.reasons)):
            return False  # later
        _halt(means, row, f"{part.name} cannot be deployed for {identity.name}: {error.message}")
    except Conflict as conflict:
        _halt(means, row, f"{part.name} cannot be deployed: {conflict}")
    return True


def _asker(means: Means, row: SetRow) -> Identity | None:
    """Who asked for the set, as they are now, with a token as narrow as theirs was; None if they are gone."""
    if row.asked_by_id is None:
        return None
    with means.database.read() as session:
        found = identity_row(session, row.asked_by_id)
    return identity_of(found, scopes=stored_scopes(row.scopes)) if found is not None else None
