"""A deployment as it would be: its row, what a renderer is given of it, and why it cannot be on its mesh."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.orm import Session

from deploy.meshes.kinds import MESHES, plan_of, secret_for
from deploy.targets.plan import Plan
from storage.database import now
from storage.deployments import DeploymentRow, NewRevision, RevisionRow, target_deployments
from storage.hubs import hub_id_in
from storage.modules import find_facts
from storage.pullers import PullRow, is_public, login_of
from storage.targets import TargetRow

UNKNOWN = "GRANT"  # in the place of a grant that is made when the deployment is


def draft_row(
    target: TargetRow, name: str, before: DeploymentRow | None, revision: NewRevision, repository: str
) -> DeploymentRow:
    """The deployment's row as it would be."""
    number = before.current.number + 1 if before is not None else 1
    current = RevisionRow(**vars(revision), number=number, created_at=now(), repository=repository, created_by=None)
    if before is not None:
        return replace(before, ended_at=None, current=current)
    return DeploymentRow(0, target.id, target.name, name, None, UNKNOWN, now(), None, None, current)


def draft_plans(
    session: Session, target: TargetRow, row: DeploymentRow, *, with_secret: bool, alone: bool = False
) -> tuple[Plan, list[Plan]]:
    """What the renderer is given of the deployment, and of the others on the target unless it is asked for `alone`."""
    hub_id, held = hub_id_in(session), None
    if with_secret:
        held = PullRow(row.current.repository_id, row.current.repository, login_of(target.name), b"", now(), None)
    there = [] if alone else target_deployments(session, target.id)
    others = [one for one in there if one.name != row.name and one.ended_at is None]
    found = []
    for one in (row, *others):
        facts, public = find_facts(session, one.current.module_sha256), is_public(session, one.current.repository_id)
        found.append(plan_of(target, one, facts, hub_id, held, public=public))
    return found[0], found[1:]


def mesh_problems(session: Session, target: TargetRow, name: str, revision: NewRevision) -> list[str]:
    """Why a revision cannot be brought to its mesh, each with the way out; none for a fleet."""
    if target.kind not in MESHES:
        return []
    row = draft_row(target, name, None, revision, revision.reference)
    secret = secret_for(target, public=is_public(session, revision.repository_id))
    alone = MESHES[target.kind].together is None
    return plan_problems(target, *draft_plans(session, target, row, with_secret=secret, alone=alone))


def plan_problems(target: TargetRow, plan: Plan, others: Sequence[Plan]) -> list[str]:
    """Why a plan cannot be brought to its mesh, alone or with what else is there."""
    mesh = MESHES[target.kind]
    alone = mesh.problems(plan)
    return alone if alone or mesh.together is None else mesh.together.problems([plan, *others])
