"""Deployments: which filter runs where, as a list of revisions, and the grants under which proxies fetch modules."""

import json
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, text, update
from sqlalchemy.orm import Session
from sqlmodel import col, select

from storage.database import Conflict, Database, now
from storage.events import Actor, record
from storage.followings import Follows, Settle, end_following, followed_there, follows_of
from storage.mesh_tables import ConfigSecret, DeploymentState
from storage.rollout_rows import NOTHING, OPEN, NewRollout, begin_rollout, refuse_beside_rollout
from storage.rollout_tables import Rollout
from storage.running import module_location
from storage.tables import Deployment, Revision, Target
from storage.targets import TargetRow, namespace_of_target, touch_target

KEPT_REVISIONS = 20  # of each deployment, for rollback
_SEEN = 7  # columns of a deployment's state
_STAGED = 6  # columns of its rollout
_FOLLOWS = 11  # columns of what it follows


@dataclass(frozen=True)
class NewRevision:
    """What a deployment is to run from now on."""

    repository_id: int
    reference: str  # as the deployer typed it
    manifest_digest: str
    module_sha256: str
    config: str | None
    root_id: str
    failure_policy: str
    order: int
    action: str  # deploy | rollback | follow
    placement: dict[str, Any] | None = None  # for which workloads, where the target is a mesh
    image_digest: str | None = None  # of the same module in a form that the target's fetcher reads; None: as pushed


@dataclass(frozen=True)
class RevisionRow:
    """A revision with the names of its repository and of who made it."""

    number: int
    repository_id: int
    reference: str
    manifest_digest: str
    module_sha256: str
    config: str | None
    root_id: str
    failure_policy: str
    order: int
    action: str
    created_at: int
    repository: str
    created_by: str | None
    placement: dict[str, Any] | None = None
    image_digest: str | None = None
    secrets_at: int | None = None  # when a secret was changed of those that its config may name


@dataclass(frozen=True)
class DeploymentSeen:
    """What the last pass over its target made of a deployment; `revision` is what was applied, 0 if nothing was."""

    revision: int
    status: str
    message: str
    detail: dict[str, Any] | None
    objects: list[Any] | None
    applied_at: int | None
    changed_at: int


@dataclass(frozen=True)
class Staged:
    """The rollout by which a revision is on its way: only nodes whose place is below `cut` are to have it."""

    id: int
    revision: int
    cut: int
    wave: int
    state: str
    before: int  # the revision that the other nodes have; 0: nothing, as at a first deployment

    @property
    def first(self) -> bool:
        """Whether nothing ran there before it."""
        return self.before == NOTHING


@dataclass(frozen=True)
class DeploymentRow:
    """A deployment with its current revision."""

    id: int
    target_id: int
    target: str
    name: str
    slot: int | None  # of a fleet's listener; None: the target has no slots
    grant: str
    created_at: int
    ended_at: int | None
    seen: DeploymentSeen | None
    current: RevisionRow
    staged: Staged | None = None
    follows: Follows | None = None

    @property
    def taken_back(self) -> bool:
        """Whether its first rollout was taken back: nothing runs, and the row stays for the timeline."""
        return self.ended_at is not None and self.seen is not None and "rollout" in (self.seen.detail or {})


@dataclass(frozen=True)
class Placed:
    """What placing filters needs of a deployment."""

    id: int
    name: str
    slot: int
    order: int


# What belongs into a slot: see `slot_revisions`.
Place = tuple[int, int | None, int | None]

# Decides the slots of all deployments of a target, given those there are and the one (by id and order) that is new or
# moves; it may raise Conflict.
Arrange = Callable[[Sequence[Placed], int, int], Mapping[int, int]]

# Writes down whose doing a revision is, in its transaction: given the deployment's id, its revision until now (0: it
# was not deployed), and the new one. It may raise Conflict.
Note = Callable[[Session, int, int, int], None]

_REVISION = (
    "v.number, v.repository_id, v.reference, v.manifest_digest, v.module_sha256, v.config, v.root_id, v.failure_policy,"
    ' v."order", v.action, v.created_at, r.name, u.name, v.placement, v.image_digest,'
    """ CASE WHEN v.config LIKE '%"$secret"%' THEN (SELECT max(c.changed_at) FROM config_secrets c"""
    " JOIN deployments x ON x.target_id = c.target_id WHERE x.id = v.deployment_id) END"
)
_JOINED = (
    "JOIN repositories r ON r.id = v.repository_id"
    " LEFT JOIN namespaces u ON u.user_id = v.created_by AND u.kind IN ('user', 'robot')"
)
_DEPLOYMENTS = (
    'SELECT d.id, d.target_id, t.name, d.name, d.slot, d."grant", d.created_at, d.ended_at,'
    " s.revision, s.status, s.message, s.detail, s.objects, s.applied_at, s.changed_at,"
    " o.id, o.to_revision, o.cut, o.wave, o.state, o.from_revision, e.name, f.tag, f.versions, f.since,"
    f" w.name, f.rollout, f.seen_tag, f.state, f.message, f.said_at, f.again_at, {_REVISION} FROM deployments d"
    f" JOIN targets t ON t.id = d.target_id JOIN revisions v ON v.id = d.revision_id {_JOINED}"
    " LEFT JOIN deployment_states s ON s.deployment_id = d.id"
    " LEFT JOIN rollouts o ON o.deployment_id = d.id AND o.state IN ('running', 'paused')"
    " LEFT JOIN followings f ON f.deployment_id = d.id LEFT JOIN repositories e ON e.id = f.repository_id"
    " LEFT JOIN namespaces w ON w.user_id = f.user_id AND w.kind IN ('user', 'robot')"
)
_FIND = text(f"{_DEPLOYMENTS} WHERE d.target_id = :target AND d.name = :name")
_OF_TARGET = text(f'{_DEPLOYMENTS} WHERE d.target_id = :target ORDER BY v."order", d.name')
_OF_REPOSITORY = text(f'{_DEPLOYMENTS} WHERE v.repository_id = :repo ORDER BY t.name, v."order", d.name LIMIT 1000')
_HISTORY = text(
    f"SELECT {_REVISION} FROM revisions v {_JOINED} WHERE v.deployment_id = :deployment"
    " ORDER BY v.number DESC LIMIT :limit"
)
_PLACED = text(
    'SELECT d.id, d.name, d.slot, v."order" FROM deployments d JOIN revisions v ON v.id = d.revision_id'
    ' WHERE d.target_id = :target AND d.slot IS NOT NULL ORDER BY v."order"'
)


def find_deployment(session: Session, target_id: int, name: str) -> DeploymentRow | None:
    """The deployment of that name on the target."""
    found = session.execute(_FIND, {"target": target_id, "name": name}).first()
    return _row(found) if found else None


def target_deployments(session: Session, target_id: int) -> list[DeploymentRow]:
    """A target's deployments in the order in which requests pass their filters."""
    return [_row(found) for found in session.execute(_OF_TARGET, {"target": target_id})]


def slot_revisions(session: Session, target_ids: Collection[int]) -> dict[int, dict[int, Place]]:
    """For each of some fleets what belongs into each taken slot, one query for all: the row id of its revision, and
    for how many of the nodes that is by now, and when a secret of the target was changed last.
    """
    found: dict[int, dict[int, Place]] = {one: {} for one in target_ids}
    beside = (col(Rollout.deployment_id) == col(Deployment.id)) & col(Rollout.state).in_(OPEN)
    changed = select(func.max(ConfigSecret.changed_at)).where(col(ConfigSecret.target_id) == col(Deployment.target_id))
    query = select(Deployment.target_id, Deployment.slot, Deployment.revision_id)
    places = query.add_columns(col(Rollout.cut), changed.scalar_subquery()).join(Rollout, beside, isouter=True)
    for target_id, slot, revision_id, cut, told in session.execute(
        places.where(col(Deployment.target_id).in_(target_ids))
    ):
        if slot is not None and revision_id is not None:
            found[target_id][slot] = (revision_id, cut, told)
    return found


def repository_deployments(session: Session, repository_id: int) -> list[DeploymentRow]:
    """The deployments whose current revision comes from the repository, at most 1,000."""
    return [_row(found) for found in session.execute(_OF_REPOSITORY, {"repo": repository_id})]


def revisions(session: Session, deployment_id: int, *, limit: int = KEPT_REVISIONS) -> list[RevisionRow]:
    """A deployment's revisions that are kept, newest first."""
    return [_revision(row) for row in session.execute(_HISTORY, {"deployment": deployment_id, "limit": limit})]


def save_deployment(
    database: Database,
    actor: Actor,
    target: TargetRow,
    name: str,
    revision: NewRevision,
    *,
    arrange: Arrange | None,
    detail: dict[str, Any] | None = None,
    rollout: NewRollout | None = None,
    settle: Settle = end_following,
    note: Note | None = None,
) -> DeploymentRow:
    """Makes a deployment, or gives it a new revision; `detail` goes into the event. Without `arrange` it has no slot.

    With `rollout` the revision reaches the nodes in waves; `settle` says what it follows from now on. Raises Conflict
    if the target or the module's bytes are gone, if another revision is being rolled out, or as the callbacks do.
    """
    with database.write() as session:
        if session.get(Target, target.id) is None:
            raise Conflict(f"the target {target.name} was removed meanwhile")
        if module_location(session, revision.module_sha256) is None:
            raise Conflict(f"the bytes of {revision.reference} were removed meanwhile; push them again")
        deployment, before = _begun(session, target.id, name)
        refuse_beside_rollout(session, deployment.id, f"{target.name}/{name}")
        more = {**(detail or {}), **_settle(session, deployment.id, settle)}
        if arrange is not None:
            _arrange(session, target.id, deployment.id, revision.order, arrange)
        number = add_revision(session, actor, deployment, revision)
        _forget_before(session, deployment.id, before if arrange is not None else number, number)
        touch_target(session, target.id)
        if note is not None:
            note(session, deployment.id, before, number)
        said = {"revision": number, "manifest": revision.manifest_digest, "order": revision.order, **more}
        if rollout is not None:
            said["rollout"] = begin_rollout(session, deployment.id, rollout, before, number, _user(actor))
        record(
            session,
            actor,
            f"deployment.{revision.action}",
            f"{target.name}/{name}",
            repository_id=revision.repository_id,
            namespace_id=namespace_of_target(session, target.id),
            detail=said,
        )
        session.flush()
        made = find_deployment(session, target.id, name)
        assert made is not None
        return made


def undeploy(database: Database, actor: Actor, target: TargetRow, name: str) -> bool:
    """Ends a deployment. Returns whether it was there.

    On a fleet it goes at once with its revisions and its grant; on a mesh after the last of its objects, by `forget`.
    """
    with database.write() as session:
        deployment = find_deployment(session, target.id, name)
        if deployment is None or (deployment.ended_at is not None and not deployment.taken_back):
            return False
        end_deployment(session, actor, deployment)
        return True


def end_deployment(session: Session, actor: Actor, deployment: DeploymentRow) -> None:
    """Ends a deployment within a larger command, as `undeploy` does."""
    target = session.get_one(Target, deployment.target_id)
    if target.sealed_access is not None:
        session.execute(update(Deployment).where(col(Deployment.id) == deployment.id).values(ended_at=now()))
        end_following(session, deployment.id)
        touch_target(session, target.id)
    else:
        session.execute(delete(Deployment).where(col(Deployment.id) == deployment.id))
    record(
        session,
        actor,
        "deployment.undeploy",
        f"{deployment.target}/{deployment.name}",
        repository_id=deployment.current.repository_id,
        namespace_id=target.namespace_id,
        detail={"revision": deployment.current.number, "manifest": deployment.current.manifest_digest},
    )


def _begun(session: Session, target_id: int, name: str) -> tuple[Deployment, int]:
    """The row of a deployment that is deployed or changed now, and its revision until now; 0: it was not deployed."""
    query = select(Deployment).where(col(Deployment.target_id) == target_id, col(Deployment.name) == name)
    row = session.execute(query).scalar_one_or_none()
    if row is None:
        row = Deployment(target_id=target_id, name=name, grant=secrets.token_urlsafe(24), created_at=now())
        session.add(row)
        session.flush()
    before = 0 if row.ended_at is not None else _newest(session, row.id)
    row.ended_at = None
    return row, before


def _settle(session: Session, deployment_id: int, settle: Settle) -> dict[str, Any]:
    """Says what a deployment follows from now on; for the event what it followed, if that ends."""
    before = followed_there(session, deployment_id)
    settle(session, deployment_id)
    over = before is not None and followed_there(session, deployment_id) is None
    return {"no_longer_follows": before} if over else {}


def _arrange(session: Session, target_id: int, deployment_id: int, order: int, arrange: Arrange) -> None:
    placed = [Placed(*row) for row in session.execute(_PLACED, {"target": target_id})]
    before = {one.id: one.slot for one in placed}
    for moved, slot in arrange(placed, deployment_id, order).items():
        if before.get(moved) != slot:
            session.execute(update(Deployment).where(col(Deployment.id) == moved).values(slot=slot))


def _forget_before(session: Session, deployment_id: int, before: int, number: int) -> None:
    """Where nothing ran on a fleet until now: what was taken back there is nothing that a node could go back to."""
    if before:
        return
    early = (col(Revision.deployment_id) == deployment_id, col(Revision.number) < number)
    session.execute(delete(Revision).where(*early))
    session.execute(delete(DeploymentState).where(col(DeploymentState.deployment_id) == deployment_id))


def _user(actor: Actor) -> int | None:
    return actor.id if actor.kind in ("user", "robot") else None


def add_revision(session: Session, actor: Actor, deployment: Deployment, revision: NewRevision) -> int:
    """Writes the next revision, makes it the current one and forgets those that are too old."""
    number = _newest(session, deployment.id) + 1
    row = Revision(
        deployment_id=deployment.id,
        number=number,
        created_by=_user(actor),
        created_at=now(),
        **vars(revision),
    )
    session.add(row)
    session.flush()
    session.execute(update(Deployment).where(col(Deployment.id) == deployment.id).values(revision_id=row.id))
    session.execute(
        delete(Revision).where(
            col(Revision.deployment_id) == deployment.id, col(Revision.number) <= number - KEPT_REVISIONS
        )
    )
    return number


def again(earlier: RevisionRow) -> NewRevision:
    """An earlier revision as a new one."""
    fields = {name: getattr(earlier, name) for name in NewRevision.__dataclass_fields__}
    return NewRevision(**{**fields, "action": "rollback"})


def _newest(session: Session, deployment_id: int) -> int:
    """The number of the newest revision; 0: there is none."""
    last = revisions(session, deployment_id, limit=1)
    return last[0].number if last else 0


def _row(found: Sequence[Any]) -> DeploymentRow:
    id_, target_id, target, name, slot, grant, created_at, ended_at, *rest = found
    revision, status, message, detail, objects, *times = rest[:_SEEN]
    seen = (
        None if status is None else DeploymentSeen(revision, status, message, json_of(detail), json_of(objects), *times)
    )
    staged = None if rest[_SEEN] is None else Staged(*rest[_SEEN : _SEEN + _STAGED])
    follows = follows_of(rest[_SEEN + _STAGED : _SEEN + _STAGED + _FOLLOWS])
    current = _revision(rest[_SEEN + _STAGED + _FOLLOWS :])
    return DeploymentRow(
        id_, target_id, target, name, slot, grant, created_at, ended_at, seen, current, staged, follows
    )


def _revision(found: Sequence[Any]) -> RevisionRow:
    values = [*found]
    values[-3] = json_of(values[-3])  # the placement
    return RevisionRow(*values)


def json_of(value: Any) -> Any:
    """A JSON column of a statement in text, which one driver reads and the other hands over as it is."""
    return json.loads(value) if isinstance(value, str) else value
