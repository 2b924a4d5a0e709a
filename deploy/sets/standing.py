"""How the deployments of a set stand, read for whoever decides about it or looks at it."""

from sqlalchemy.orm import Session

from deploy.checks.windows import closed
from deploy.following.wanted import in_words
from deploy.meshes.kinds import MESHES
from deploy.sets.deciding import Part, SetStep, next_step
from deploy.sets.wanted import wanted_of
from deploy.status import READY, UNOBSERVED, WAITING, Standing
from deploy.targets.envoy_fleet import FILES
from deploy.views.deployments import stand
from storage.database import now
from storage.deployments import DeploymentRow, find_deployment
from storage.meshes import AWAY, TargetSeen, target_seen
from storage.nodes import NodeRow, nodes
from storage.rollout_rows import OPEN, deployment_rollouts
from storage.set_rows import MemberRow, SetRow, set_members
from storage.targets import TargetRow, find_target

NOT_YET = "it is not deployed yet"


def read_parts(session: Session, row: SetRow) -> list[Part]:
    """A set's deployments, those that it has no more too, in the order of its waves."""
    wanted = wanted_of(row.spec)
    free = wanted.force or wanted.going_back  # so that no window keeps it
    known: dict[str, tuple[TargetRow, list[NodeRow], TargetSeen | None]] = {}
    found = []
    for member in set_members(session, row.id):
        if member.target not in known:
            target = find_target(session, member.target)
            if target is None:
                continue  # it was removed just now
            known[member.target] = target, nodes(session, target.id), target_seen(session, target.id)
        found.append(_part(session, member, *known[member.target], free=free))
    return found


def stand_of_set(session: Session, row: SetRow) -> tuple[list[Part], SetStep]:
    """How a set's deployments stand, and what is next with it."""
    parts = read_parts(session, row)
    return parts, next_step(row, parts, at=now())


def _part(
    session: Session,
    member: MemberRow,
    target: TargetRow,
    proxies: list[NodeRow],
    seen: TargetSeen | None,
    *,
    free: bool,
) -> Part:
    shut = None if free else closed(target.settings, now())
    why_closed = f"{target.name} {shut.message}" if shut is not None else ""
    deployment = find_deployment(session, target.id, member.name)
    if deployment is None or deployment.id != member.deployment_id:
        return Part(member, None, WAITING, NOT_YET, closed=why_closed)
    standing = stand(target, deployment, proxies, seen)
    return Part(
        member,
        None if deployment.taken_back else deployment.current.number,
        standing.status,
        standing.message,
        settled=_settled(target, deployment, standing, seen),
        why_back=_why_back(session, member, deployment),
        closed=why_closed,
        follows=in_words(deployment.follows) if deployment.follows is not None else "",
    )


def _settled(target: TargetRow, deployment: DeploymentRow, standing: Standing, seen: TargetSeen | None) -> bool:
    """Whether there is nothing more to wait for. What could be seen, and is not just now, is waited for."""
    if standing.status == READY:
        return deployment.staged is None
    if standing.status != UNOBSERVED:
        return False
    if target.kind in MESHES:
        return seen is not None and seen.status != AWAY
    return target.settings.get("transport") == FILES


def _why_back(session: Session, member: MemberRow, deployment: DeploymentRow) -> str:
    """Why the deployment's own rollout of what the set gave it was taken back; empty if it was not."""
    now_has = None if deployment.taken_back else deployment.current.number
    if not member.given or now_has == member.given:
        return ""
    for one in deployment_rollouts(session, deployment.id):
        if one.to_revision == member.given and one.back_revision == now_has and one.state not in OPEN:
            return f"its rollout {one.id} was {one.state}: {one.why}"
    return ""
