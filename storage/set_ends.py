"""How a deployment set ends what it was about: done, stopped, taken back, or taken away altogether."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import delete, update
from sqlalchemy.orm import Session
from sqlmodel import col

from storage.database import Conflict, Database, now
from storage.deployments import add_revision, again, end_deployment, find_deployment, revisions
from storage.events import SYSTEM, Actor, record
from storage.followings import end_following
from storage.rollouts import end_rollout
from storage.set_rows import (
    ABORTED,
    BACK,
    DONE,
    HALTED,
    OPEN,
    RUNNING,
    STOPPED,
    MemberRow,
    SetRow,
    find_set,
    set_members,
)
from storage.set_steps import (
    MovedOn,
    SetLine,
    add_line,
    change_member,
    forget_gone,
    record_set,
    set_again,
    state_of,
    step_on,
)
from storage.set_tables import DeploymentSet, SetRevision
from storage.tables import Deployment
from storage.targets import namespace_of_target, touch_target


def complete_set(database: Database, before: SetRow, message: str, lines: Sequence[SetLine] = ()) -> SetRow:
    """Ends the waves of a set that runs: what it has no more is undeployed now. Raises MovedOn."""
    with database.write() as session:
        step_on(session, before, {"state": DONE}, state=RUNNING)
        for line in (*lines, SetLine(DONE, message)):
            add_line(session, before, before.wave, line.kind, line.message)
        for member in reversed(set_members(session, before.id)):
            if not member.wanted:
                _undeploy(session, SYSTEM, before, member)
        forget_gone(session, before.id)
        record_set(session, SYSTEM, "set.done", before, {})
        if not any(not one.wanted for one in set_members(session, before.id)):
            _end(session, before)
        return set_again(session, before.id)


def close_set(database: Database, before: SetRow, message: str) -> None:
    """Notes that nothing is left to be done of what was halted, aborted or done. Raises MovedOn."""
    with database.write() as session:
        state = BACK if before.state == HALTED else before.state
        step_on(session, before, {"state": state, "ended_at": now()}, state=before.state)
        forget_gone(session, before.id)
        if before.state != DONE:
            add_line(session, before, before.wave, BACK, message)
            record_set(session, SYSTEM, "set.back", before, {})


def stop_set(database: Database, before: SetRow, why: str) -> None:
    """Leaves a set as it stands, until somebody says what is to become of it. Raises MovedOn."""
    with database.write() as session:
        step_on(session, before, {"state": STOPPED, "why": why, "ended_at": now()}, state=before.state)
        add_line(session, before, before.wave, STOPPED, why)
        told = _told(session, before, why, before.namespace_id)
        record_set(session, SYSTEM, "set.stop", before, {"why": told, "wave": before.wave})


def take_back_set(database: Database, actor: Actor, before: SetRow, why: str) -> SetRow:
    """Ends the present revision: all that it changed becomes what it was, the last wave first, in one step.

    By the hub itself it is halted, by anybody else aborted. Raises Conflict if there is nothing to take back.
    """
    with database.write() as session:
        found = find_set(session, before.id)
        if found is None or found.state not in (*OPEN, STOPPED) or found.leaving_at is not None:
            raise Conflict(f"the set {before.full_name} is {state_of(found)}: there is nothing under way to take back")
        itself = actor.kind == SYSTEM.kind
        if itself and found.step != before.step:
            raise MovedOn(f"the set {before.full_name} has moved on")
        state = HALTED if itself else ABORTED
        step_on(session, found, {"state": state, "why": why, "ended_at": None}, state=found.state)
        add_line(session, found, found.wave, state, why)
        detail = {"why": _told(session, found, why, found.namespace_id) if itself else why, "wave": found.wave}
        record_set(session, actor, "set.halt" if itself else "set.abort", found, detail)
        for member in reversed(set_members(session, found.id)):
            if member.before is not None:
                told = _told(session, found, why, namespace_of_target(session, member.target_id)) if itself else why
                said = _take_back(session, actor, found, member, told)
                add_line(session, found, member.wave, "back", f"{member.full_name} {said}")
        return set_again(session, found.id)


def end_set(database: Database, actor: Actor, row: SetRow) -> None:
    """Undeploys what the set has, the last wave first; it goes itself after the last of it, by `forget_set`."""
    with database.write() as session:
        found = find_set(session, row.id)
        if found is None or found.leaving_at is not None:
            return
        session.execute(update(DeploymentSet).where(col(DeploymentSet.id) == row.id).values(leaving_at=now()))
        over = {"ended_at": now(), **({"state": ABORTED, "why": "the set was removed"} if found.state in OPEN else {})}
        step_on(session, found, over, state=found.state)
        record_set(session, actor, "set.delete", found, {})
        for member in reversed(set_members(session, row.id)):
            _undeploy(session, actor, found, member)
        add_line(session, found, 0, "leaving", f"{actor.name} removed the set; its deployments are being taken away")


def forget_set(database: Database, row: SetRow) -> None:
    """Removes a set that was removed and has no deployment left."""
    with database.write() as session:
        found = session.get(DeploymentSet, row.id)
        if found is None or found.leaving_at is None:
            return
        session.execute(delete(DeploymentSet).where(col(DeploymentSet.id) == row.id))
        record_set(session, SYSTEM, "set.gone", row, {"after": now() - found.leaving_at})


def _take_back(session: Session, actor: Actor, row: SetRow, member: MemberRow, told: str) -> str:
    """Has a deployment be what it was before the set changed it; what became of it, for the timeline."""
    found = find_deployment(session, member.target_id, member.name)
    values: dict[str, Any] = {"before": None, "carries": member.carried}
    if found is None or found.id != member.deployment_id or found.ended_at is not None:
        change_member(session, member.id, **values, given=0)
        return "is gone already"
    if found.staged is not None and found.staged.revision == member.given and not found.staged.first:
        number = end_rollout(session, actor, found.staged.id, told).back_revision
        said = f"is as before, by revision {number}: its rollout was ended"
    elif found.current.number != member.given:
        number = found.current.number
        how = "is back already" if found.current.action == "rollback" else "stays as it is: it was changed since"
        said = f"{how}, by revision {number}"
    elif not member.before:
        end_deployment(session, actor, found)
        change_member(session, member.id, **values, given=0)
        return "is undeployed, as it was before"
    else:
        earlier = next((one for one in revisions(session, found.id) if one.number == member.before), None)
        if earlier is None:
            change_member(session, member.id, before=None)
            return f"stays as it is: its revision {member.before} is not kept any more"
        # In a fleet's listener it stays where it is; to move it would move others.
        order = earlier.order if found.slot is None else found.current.order
        new = replace(again(earlier), order=order)
        number = add_revision(session, actor, session.get_one(Deployment, found.id), new)
        end_following(session, found.id)
        place = namespace_of_target(session, member.target_id)
        detail = {"revision": number, "manifest": earlier.manifest_digest, "order": order, "set": row.full_name}
        record(session, actor, "deployment.rollback", member.full_name, namespace_id=place, detail=detail)
        said = f"is as before, by revision {number}"
    touch_target(session, member.target_id)
    change_member(session, member.id, **values, given=number)
    return said


def _told(session: Session, row: SetRow, why: str, namespace_id: int | None) -> str:
    """Why, for those who see what is in that namespace: it names deployments, which may be on targets elsewhere."""
    places = {namespace_of_target(session, one.target_id) for one in set_members(session, row.id)}
    return why if places <= {namespace_id} else "a deployment set was taken back or stopped; its timeline says why"


def _undeploy(session: Session, actor: Actor, row: SetRow, member: MemberRow) -> None:
    found = find_deployment(session, member.target_id, member.name)
    if found is None or found.id != member.deployment_id:
        return
    if found.ended_at is None or found.taken_back:
        end_deployment(session, actor, found)
        add_line(session, row, member.wave, "undeployed", f"{member.full_name} is undeployed")
        session.flush()


def _end(session: Session, before: SetRow) -> None:
    same = (col(SetRevision.set_id) == before.id, col(SetRevision.number) == before.number)
    session.execute(update(SetRevision).where(*same).values(ended_at=now()))
