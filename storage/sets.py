"""Deployment sets: every step that one takes, and the way back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, update
from sqlalchemy.orm import Session
from sqlmodel import col

from storage.database import Conflict, Database, now
from storage.events import Actor
from storage.people_tables import Namespace
from storage.set_rows import (
    KEPT_SET_REVISIONS,
    OPEN,
    PAUSED,
    RUNNING,
    STOPPED,
    MemberRow,
    SetRow,
    claiming_set,
    find_set,
    find_set_named,
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
from storage.set_tables import DeploymentSet, SetEvent, SetMember, SetRevision

RESUMABLE = (PAUSED, STOPPED)


@dataclass(frozen=True)
class NewMember:
    """A deployment that a set is to have."""

    target_id: int
    target: str
    name: str
    wave: int


@dataclass(frozen=True)
class NewSetRevision:
    """What a set is to be from now on."""

    action: str  # apply | rollback
    spec: Mapping[str, Any]
    members: Sequence[NewMember]
    scopes: list[str] | None


def begin_set_revision(
    database: Database, actor: Actor, namespace_id: int, name: str, new: NewSetRevision, *, after: int
) -> SetRow:
    """Makes a set, or gives it another revision, which goes out from now on; `after` is the newest until now, or 0.

    Raises Conflict if one is under way, if the set was changed meanwhile, or if another set has one of the deployments.
    """
    with database.write() as session:
        if session.get(Namespace, namespace_id) is None:
            raise Conflict("the namespace was removed meanwhile")
        found = find_set_named(session, namespace_id, name)
        if found is not None:
            refuse_busy(found)
        if (found.number if found is not None else 0) != after:
            raise Conflict(f"the set {name} was changed by somebody else meanwhile; look at it and try again")
        set_id = found.id if found is not None else _add_set(session, namespace_id, name)
        _put_members(session, set_id, new.members)
        row = SetRevision(
            set_id=set_id,
            number=after + 1,
            action=new.action,
            spec=dict(new.spec),
            state=RUNNING,
            asked_by=actor.id if actor.kind in ("user", "robot") else None,
            scopes=new.scopes,
            created_at=now(),
        )
        session.add(row)
        # What was on its way back goes there no more.
        late = (
            col(SetRevision.set_id) == set_id,
            col(SetRevision.number) <= after,
            col(SetRevision.ended_at).is_(None),
        )
        session.execute(update(SetRevision).where(*late).values(ended_at=now()))
        for table, number in ((SetRevision, SetRevision.number), (SetEvent, SetEvent.revision)):
            old = col(number) <= after + 1 - KEPT_SET_REVISIONS
            session.execute(delete(table).where(col(table.set_id) == set_id, old))
        session.flush()
        made = find_set(session, set_id)
        assert made is not None
        said = f"revision {made.number} goes to {len(new.members)} deployments in {made.waves} waves"
        if new.action == "rollback":
            said += f", as revision {new.spec['of']} was"
        add_line(session, made, 0, "started", said)
        record_set(session, actor, f"set.{new.action}", made, {"members": len(new.members)})
        return made


def note_change(
    before: SetRow, member: MemberRow, ended: str, session: Session, deployment_id: int, was: int, number: int
) -> None:
    """Notes in the transaction that changes a deployment that it was the set; the rest is as `Note` says.

    `ended` is what the deployment followed until now, in words; empty if it followed nothing.
    Raises MovedOn if the set was changed meanwhile, and Conflict if the deployment is not the set's.
    """
    step_on(session, before, {}, state=RUNNING)
    if was and member.deployment_id != deployment_id:
        raise Conflict(not_the_sets(member.full_name))
    change_member(
        session,
        member.id,
        deployment_id=deployment_id,
        carries=before.number,
        given=number,
        moved=True,
        before=was,
        carried=member.carries,
    )
    said = f" and no longer follows {ended}" if ended else ""
    add_line(session, before, member.wave, "changed", f"{member.full_name} has revision {number}{said}")


def not_the_sets(name: str) -> str:
    """Why a deployment cannot be a set's."""
    return (
        f"{name} was deployed by itself and is not this set's: undeploy it first, or give the set's deployment another"
        " name there"
    )


def move_set(
    database: Database, before: SetRow, *, wave: int, baking_since: int | None, lines: Sequence[SetLine]
) -> bool:
    """Takes a set that runs a step on, unless somebody else has changed it meanwhile: then False.

    Bookkeeping: what a person asked for, and how it ended, are events.
    """
    with database.write() as session:
        try:
            step_on(session, before, {"wave": wave, "baking_since": baking_since}, state=RUNNING)
        except MovedOn:
            return False
        for line in lines:
            add_line(session, before, wave if line.wave is None else line.wave, line.kind, line.message)
        return True


def pause_set(database: Database, actor: Actor, row: SetRow) -> SetRow:
    """Keeps the set as it stands until it is resumed. Raises Conflict if it does not run."""
    return _turn(database, actor, row, "pause", (RUNNING,), PAUSED)


def resume_set(database: Database, actor: Actor, row: SetRow) -> SetRow:
    """Goes on with what was paused, or stopped. Raises Conflict if it was not."""
    return _turn(database, actor, row, "resume", RESUMABLE, RUNNING)


def refuse_busy(found: SetRow) -> None:
    """Raises Conflict while a set cannot become another."""
    if found.leaving_at is not None:
        raise Conflict(f"the set {found.full_name} is being taken away; wait until it is gone")
    if found.state in OPEN:
        raise Conflict(
            f"revision {found.number} of the set {found.full_name} is {found.state}: wait until that is done, or abort"
            f" it: `wasmhub sets abort {found.full_name}`"
        )


def _add_set(session: Session, namespace_id: int, name: str) -> int:
    row = DeploymentSet(namespace_id=namespace_id, name=name, created_at=now())
    session.add(row)
    session.flush()
    return row.id


def _put_members(session: Session, set_id: int, members: Sequence[NewMember]) -> None:
    """Has the set want these and no others; those of the others that are gone are forgotten."""
    fresh = {"wanted": False, "moved": False, "before": None}
    session.execute(update(SetMember).where(col(SetMember.set_id) == set_id).values(**fresh))
    for position, one in enumerate(members):
        held = claiming_set(session, one.target_id, one.name)
        if held is None:
            session.add(
                SetMember(
                    set_id=set_id, target_id=one.target_id, name=one.name, wave=one.wave, position=position, wanted=True
                )
            )
        elif held == set_id:
            same = (col(SetMember.target_id) == one.target_id, col(SetMember.name) == one.name)
            values = {"wave": one.wave, "position": position, "wanted": True}
            session.execute(update(SetMember).where(*same).values(**values))
        else:
            raise Conflict(f"{one.target}/{one.name} is another set's; give the deployment another name there")
    session.flush()
    forget_gone(session, set_id)


def _turn(database: Database, actor: Actor, row: SetRow, verb: str, before: Sequence[str], after: str) -> SetRow:
    with database.write() as session:
        found = find_set(session, row.id)
        if found is None or found.state not in before or found.leaving_at is not None:
            may = " or ".join(before)
            raise Conflict(f"the set {row.full_name} is {state_of(found)}, and only one that is {may} can be {verb}d")
        step_on(session, found, {"state": after, "ended_at": None, "why": ""}, state=found.state)
        add_line(session, found, found.wave, f"{verb}d", f"{verb}d by {actor.name}")
        record_set(session, actor, f"set.{verb}", found, {"wave": found.wave})
        return set_again(session, found.id)
