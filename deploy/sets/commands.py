"""Making deployment sets and changing them: permission first, then all checks, then one step."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from auth.door import ApiError
from auth.identity import Identity
from auth.permissions import Resource, may
from deploy.commands import check, read_filter, refuse_waves
from deploy.following.wanted import in_words
from deploy.means import Means, allow
from deploy.meshes.kinds import MESHES
from deploy.preview.drafting import mesh_problems
from deploy.sets.room import crowded
from deploy.sets.wanted import WantedMember, WantedSet, still_follows, wanted_of
from storage.database import Conflict
from storage.deployments import DeploymentRow, find_deployment
from storage.namespaces import Holding, find_namespace_holding
from storage.scopes import write_scopes
from storage.set_rows import DONE, STOPPED, SetRow, claiming_set, find_set_named, set_members, set_revisions
from storage.sets import NewMember, NewSetRevision, begin_set_revision, not_the_sets, refuse_busy
from storage.targets import TargetRow

CLOSED = ("freeze", "window")  # reasons that hold a member back, and refuse nothing


def apply_set(means: Means, identity: Identity, namespace: str, name: str, wanted: WantedSet) -> tuple[SetRow, bool]:
    """Makes a set or gives it another revision, which goes out from now on; whether it is new. Raises ApiError."""
    with means.database.read() as session:
        space, row, targets = _allow_all(session, identity, namespace, name, wanted)
    if row is not None:
        refuse_busy(row)
    found = read_filter(means, identity, wanted.pinned or wanted.reference)
    wanted = replace(wanted, pinned=f"{found.repository}@{found.digest}")
    reasons = [reason for one in wanted.members for reason in _against(means, identity, row, targets, wanted, one)]
    if not reasons:
        with means.database.read() as session:
            reasons = [_reason(one, "conflict", said) for one, said in crowded(session, targets, wanted)]
    if reasons:
        said = "; ".join(f"{one['member']}: {one['message']}" for one in reasons)
        raise ApiError(422, "refused", said, reasons=reasons)
    new = NewSetRevision(
        action="rollback" if wanted.going_back else "apply",
        spec=wanted.spec(),
        members=[NewMember(targets[one.target].id, one.target, one.name, one.wave) for one in wanted.members],
        scopes=write_scopes(identity.scopes),
    )
    after = row.number if row is not None else 0
    made = begin_set_revision(means.database, identity.actor(), space.namespace_id, name, new, after=after)
    means.wake()
    return made, row is None


def roll_back_set(means: Means, identity: Identity, row: SetRow, number: int | None) -> SetRow:
    """Has a set that was found be what an earlier revision of it was, in the same waves. Raises ApiError."""
    refuse_busy(row)
    with means.database.read() as session:
        history = set_revisions(session, row.id)[1:]
    through = [one.number for one in history if one.state == DONE]
    if row.state not in (DONE, STOPPED):
        through = through[1:]  # the newest of them is what runs now
    wanted = number if number is not None else next(iter(through), 0)
    earlier = next((one for one in history if one.number == wanted), None)
    if earlier is None:
        kept = ", ".join(str(one.number) for one in history) or "none"
        asked = f"revision {wanted}" if wanted else "a revision before, since none went through all its waves"
        raise ApiError(409, "conflict", f"{row.full_name} cannot go back to {asked}; earlier revisions: {kept}")
    again = replace(wanted_of(earlier.spec), of=earlier.number, force=False)
    try:
        made, _ = apply_set(means, identity, row.namespace, row.name, again)
    except ApiError as error:
        if error.status != 404:
            raise
        said = f"{row.full_name} cannot go back to revision {wanted}: {error.message}"
        raise ApiError(404, error.code, f"{said}; go back to another, or apply the set anew") from None
    return made


def find_seen_set(session: Session, identity: Identity, action: str, namespace: str, name: str) -> SetRow:
    """The set of that name, if the caller may do this in its namespace and with all its targets.

    Raises ApiError: 404 to those who may not even see all of it, the same as where there is none; 403 to those who may.
    """
    space = find_namespace_holding(session, namespace, identity.user_id)
    row = None
    if space is not None and _may_in(identity, "pull", space):
        row = find_set_named(session, space.namespace_id, name)
    if space is None or row is None or not sees_all_of(session, identity, row):
        full = f"{namespace}/{name}"[:130]
        raise ApiError(404, "not_found", f"there is no deployment set {full!r}, or you may not see it")
    _refuse_in(identity, action, space)
    for target in {one.target for one in set_members(session, row.id)}:
        allow(session, identity, action, target)
    return row


def sees_all_of(session: Session, identity: Identity, row: SetRow) -> bool:
    """Whether somebody may see each target that a set has deployments on; one of no target is seen by any token."""
    targets = {one.target for one in set_members(session, row.id)}
    if not targets and identity.scopes is not None:
        return False
    return all(may_see(session, identity, one) for one in targets)


def may_see(session: Session, identity: Identity, target: str) -> bool:
    """Whether somebody may see the target of that name; one that is gone is seen by administrators."""
    if identity.administrator and identity.scopes is None:
        return True
    try:
        allow(session, identity, "pull", target)
    except ApiError:
        return False
    return True


def _allow_all(
    session: Session, identity: Identity, namespace: str, name: str, wanted: WantedSet
) -> tuple[Holding, SetRow | None, dict[str, TargetRow]]:
    """The namespace, the set if it is there, and the targets of what is wanted. Raises ApiError."""
    space = find_namespace_holding(session, namespace, identity.user_id)
    if space is None or not _may_in(identity, "pull", space):
        raise ApiError(404, "not_found", f"there is no namespace {namespace[:100]!r}, or you may not see it")
    _refuse_in(identity, "deploy", space)
    if find_set_named(session, space.namespace_id, name) is None:
        row = None
    else:
        row = find_seen_set(session, identity, "deploy", namespace, name)
    targets = {one.target: allow(session, identity, "deploy", one.target) for one in wanted.members}
    if wanted.force:
        for target in targets:
            allow(session, identity, "configure", target)
    return space, row, targets


def _may_in(identity: Identity, action: str, space: Holding) -> bool:
    """Whether the identity may do this in the namespace. Scopes are of targets, which are asked one by one."""
    resource = Resource(space.owner_user_id, space.roles, space.visibility, kind="set")
    return may(replace(identity, scopes=None), action, resource)


def _refuse_in(identity: Identity, action: str, space: Holding) -> None:
    if not _may_in(identity, action, space):
        said = f"you may not {action} in {space.name}; ask an owner or maintainer of it"
        raise ApiError(403, "denied", said)


def _against(
    means: Means,
    identity: Identity,
    row: SetRow | None,
    targets: dict[str, TargetRow],
    wanted: WantedSet,
    member: WantedMember,
) -> Sequence[dict[str, Any]]:
    """What speaks against a member, as reasons that name it; that its target is closed now does not."""
    target = targets[member.target]
    with means.database.read() as session:
        current = find_deployment(session, target.id, member.name)
        held = claiming_set(session, target.id, member.name)
        own = {one.deployment_id for one in set_members(session, row.id)} if row is not None else set()
    if current is not None and current.ended_at is not None:
        current = None  # it is on its way out
    if held is not None and (row is None or held != row.id):
        said = f"another deployment set has {member.full_name}; give the deployment another name there"
        return [_reason(member, "set", said)]
    if current is not None and current.id not in own:
        return [_reason(member, "set", not_the_sets(member.full_name))]
    follows = current.follows if current is not None and not (wanted.force or wanted.going_back) else None
    ends = [_reason(member, "follows", still_follows(member, in_words(follows)), True)] if follows is not None else []
    return [*ends, *_checked(means, identity, target, wanted, member, current)]


def _checked(
    means: Means,
    identity: Identity,
    target: TargetRow,
    wanted: WantedSet,
    member: WantedMember,
    current: DeploymentRow | None,
) -> Sequence[dict[str, Any]]:
    """What speaks against a member by the checks of deployments."""
    wish = wanted.wish(member, mesh=target.kind in MESHES)
    try:
        if member.rollout is not None:
            refuse_waves(target, wish, current)
        revision, _, _ = check(means, identity, target, member.name, wish, None)
        with means.database.read() as session:
            return [_reason(member, "target", one) for one in mesh_problems(session, target, member.name, revision)]
    except ApiError as error:
        if error.status >= 500:
            raise
        given = error.reasons or [{"code": error.code, "message": error.message}]
        return [
            _reason(member, one["code"], one["message"], one.get("forcible", False))
            for one in given
            if one["code"] not in CLOSED
        ]
    except Conflict as conflict:
        return [_reason(member, "conflict", str(conflict))]


def _reason(member: WantedMember, code: str, message: str, forcible: bool = False) -> dict[str, Any]:
    return {"member": member.full_name, "code": code, "message": message, "forcible": forcible}
