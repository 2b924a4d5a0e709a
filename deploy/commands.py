"""Deploying, changing, rolling back and undeploying: looked up, checked, then one command to the store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import sleep
from typing import Any

from sqlalchemy.orm import Session

from auth.door import ApiError
from auth.identity import Identity
from deploy.checks.examining import Taken, examine, refuse_force, take
from deploy.fields import bad
from deploy.fleets.slots import place
from deploy.following.wanted import Follow, begins_with, following_of, in_words
from deploy.images.derived import readable_manifest
from deploy.images.filters import Found, find_filter
from deploy.means import Means, allow
from deploy.meshes.kinds import MESHES, pulls_images
from deploy.meshes.settings import read_placement
from deploy.preview.drafting import mesh_problems
from deploy.targets.envoy_fleet import FILES
from deploy.views.deployments import find, show
from storage.database import Conflict
from storage.deployments import (
    Arrange,
    DeploymentRow,
    NewRevision,
    Note,
    Placed,
    RevisionRow,
    find_deployment,
    revisions,
    save_deployment,
    target_deployments,
    undeploy,
)
from storage.followings import Settle, end_following, keep_following
from storage.rollout_rows import NewRollout
from storage.targets import TargetRow

READ_WITHIN = 10.0  # seconds in which the reader has read what was just pushed
TRIES = 3
LAST = 0  # the order of a new deployment that asks for none


@dataclass(frozen=True)
class Wish:
    """What a deployer asks for; None (and `keeps_config`) leaves a thing as it is."""

    reference: str | None = None
    keeps_config: bool = True
    config: str | None = None
    order: int | None = None
    root_id: str | None = None
    failure_policy: str | None = None
    force: bool = False  # whatever speaks against it, as far as that can be forced
    placement: Any = None
    rollout: NewRollout | None = None  # how it is to reach the nodes; None: all at once
    ran: bool = False  # whether it ran there before, so that no closed window keeps it
    follow: Follow | None = None
    says_follow: bool = False

    @property
    def keeps_follow(self) -> bool:
        """Whether it says nothing of what is followed; to name what is to run without saying so ends it."""
        return not self.says_follow and self.reference is None


def change(
    means: Means, identity: Identity, target_name: str, name: str, wish: Wish, note: Note | None = None
) -> tuple[dict[str, Any], bool]:
    """Deploys a filter or changes what runs; answers the deployment and whether it is new. Raises ApiError.

    `note` is written down with it.
    """
    with means.database.read() as session:
        target = allow(session, identity, "deploy", target_name)
        current = find_deployment(session, target.id, name)
    if wish.rollout is not None:
        refuse_waves(target, wish, current)
    revision, found, taken = check(means, identity, target, name, wish, current)
    revision = replace(revision, image_digest=image_for(means, identity, found, target))
    settle: Settle = keep_following if wish.keeps_follow else end_following
    if wish.follow is not None:
        settle = following_of(wish.follow, revision, wish.rollout, identity.user_id)
    made = save(means, identity, target, name, revision, taken.forced, wish.rollout, settle, note)
    return {**show(means, target, made), "warnings": list(taken.warnings)}, current is None


def roll_back(
    means: Means, identity: Identity, target_name: str, name: str, number: int | None, force: bool
) -> dict[str, Any]:
    """Runs an earlier revision again, as a new one, in the place of now. Raises ApiError.

    The caller must be able to read its filter today, and the filter must be there.
    """
    with means.database.read() as session:
        target, deployment = find(session, identity, "deploy", target_name, name)
        refuse_force(identity, target, force)
        history = revisions(session, deployment.id)
    wanted = number if number is not None else deployment.current.number - 1
    earlier = next((one for one in history[1:] if one.number == wanted), None)
    if earlier is None:
        kept = ", ".join(str(one.number) for one in history[1:]) or "none"
        raise ApiError(409, "conflict", f"{target_name}/{name} cannot go back to {wanted}; earlier revisions: {kept}")
    pinned = f"{earlier.repository}@{earlier.manifest_digest}"
    found = read_filter(means, identity, pinned)
    examined = examine(means, target, name, pinned, found, earlier.config, earlier.placement, ran=True)
    taken = take(examined, force)
    revision = NewRevision(
        repository_id=earlier.repository_id,
        reference=earlier.reference,
        manifest_digest=earlier.manifest_digest,
        module_sha256=earlier.module_sha256,
        config=earlier.config,
        root_id=earlier.root_id,
        failure_policy=earlier.failure_policy,
        order=deployment.current.order,
        action="rollback",
        placement=earlier.placement,
        image_digest=image_for(means, identity, found, target),
    )
    made = save(means, identity, target, name, revision, taken.forced)
    ended = _ended(deployment, keeps=False)
    return {**show(means, target, made), "warnings": [*taken.warnings, *ended]}


def remove(means: Means, identity: Identity, target_name: str, name: str) -> None:
    """Undeploys. Raises ApiError."""
    with means.database.read() as session:
        target, _ = find(session, identity, "deploy", target_name, name)
    undeploy(means.database, identity.actor(), target, name)
    means.wake()


def check(
    means: Means, identity: Identity, target: TargetRow, name: str, wish: Wish, current: DeploymentRow | None
) -> tuple[NewRevision, Found, Taken]:
    """The revision that the wish makes, after everything was checked that can be before anything happens.

    It names the image as it was pushed. Raises ApiError.
    """
    refuse_force(identity, target, wish.force)
    if wish.reference is None and current is None:
        raise bad("the field reference is missing")
    if wish.reference is None and current is not None and current.taken_back:  # not by the way, on all proxies at once
        raise bad(
            f"nothing of {name} runs on {target.name}, since it was taken back: say in the field reference what is to"
        )
    before = current.current if current else None
    ended = _ended(current, keeps=wish.keeps_follow or wish.follow is not None)
    if wish.follow is not None:
        with means.database.read() as session:
            wish = replace(wish, reference=begins_with(session, identity, wish.follow, wish.reference, before))
    reference = wish.reference or (f"{before.repository}@{before.manifest_digest}" if before else "")
    found = read_filter(means, identity, reference)
    config = before.config if wish.keeps_config and before else wish.config
    placement = _placement(wish, before, target)
    taken = take(examine(means, target, name, reference, found, config, placement, ran=wish.ran), wish.force)
    revision = NewRevision(
        repository_id=found.repository_id,
        reference=wish.reference or (before.reference if before else ""),
        manifest_digest=found.digest,
        module_sha256=taken.module_sha256,
        config=taken.config,
        root_id=wish.root_id if wish.root_id is not None else before.root_id if before else "",
        failure_policy=wish.failure_policy or (before.failure_policy if before else "FAIL_CLOSED"),
        order=wish.order or (current.current.order if current and not current.taken_back else LAST),
        action="deploy",
        placement=placement,
    )
    return revision, found, replace(taken, warnings=(*taken.warnings, *ended))


def refuse_waves(target: TargetRow, wish: Wish, current: DeploymentRow | None) -> None:
    """Raises ApiError where a change cannot reach the proxies in waves."""
    trouble = no_waves(target)
    if trouble:
        raise ApiError(409, "conflict", trouble)
    if current is None or current.taken_back or wish.order is None:
        return
    if wish.order != current.current.order:
        raise bad("a rollout cannot move a filter past others; change its order by itself, before or after")


def no_waves(target: TargetRow) -> str:
    """Why nothing can go out in waves there; empty if it can."""
    if target.kind in MESHES:
        return (
            f"{target.name} is a mesh, whose own control plane gives a change to all proxies at once: deploy it without"
            " a rollout, or as a set (`wasmhub sets`), whose waves are targets, namespaces or workloads"
        )
    if target.settings.get("transport") == FILES:
        return (
            f"the proxies of {target.name} read files that somebody else fetches, and say nothing to the hub: which of"
            " them has a version, whether it took it and how requests do with it is not known, so no wave could be"
            " judged. Deploy it without a rollout; to go in steps, give some proxies a target of their own and deploy a"
            " set (`wasmhub sets`)"
        )
    return ""


def next_order(session: Session, target_id: int) -> int:
    """The place after all deployments of a target."""
    there = [one for one in target_deployments(session, target_id) if not one.taken_back]
    return max((one.current.order for one in there), default=0) + 1


def _ended(before: DeploymentRow | None, *, keeps: bool) -> tuple[str, ...]:
    """What its deployer should know of what it followed until now."""
    if keeps or before is None or before.follows is None:
        return ()
    return (f"it no longer follows {in_words(before.follows)}",)


def image_for(means: Means, identity: Identity, found: Found, target: TargetRow) -> str | None:
    """The image that the target pulls, where that is another than was pushed."""
    if not pulls_images(target):
        return None
    readable = readable_manifest(means, identity.actor(), found, target.kind)
    return readable if readable != found.digest else None


def _placement(wish: Wish, before: RevisionRow | None, target: TargetRow) -> dict[str, Any] | None:
    """For which workloads: as wished, else as before; read again, since the target's settings may be others now."""
    if wish.placement is not None:
        return read_placement(target.kind, wish.placement, target.settings)
    if target.kind not in MESHES:
        return None
    kept = before.placement if before and before.placement else {}
    given = {name: value for name, value in kept.items() if value not in ("", [], {}, None)}
    return read_placement(target.kind, given, target.settings)


def read_filter(means: Means, identity: Identity, reference: str) -> Found:
    """The filter once the reader has read it, which takes a moment after a push."""
    waited = 0.0
    while True:
        with means.database.read() as session:
            found = find_filter(session, identity, reference)
        if found.reading is None or found.reading.state != "pending" or waited >= READ_WITHIN:
            return found
        sleep(0.1)
        waited += 0.1


def save(
    means: Means,
    identity: Identity,
    target: TargetRow,
    name: str,
    revision: NewRevision,
    forced: Sequence[str],
    rollout: NewRollout | None = None,
    settle: Settle = end_following,
    note: Note | None = None,
) -> DeploymentRow:
    """Stores a revision; one without an order of its own comes after all others, also if another comes at once.

    Raises ApiError 422 for one that cannot be brought to its mesh.
    """
    with means.database.read() as session:
        problems = mesh_problems(session, target, name, revision)
    if problems:
        reasons = [{"code": "target", "message": one, "forcible": False} for one in problems]
        raise ApiError(422, "refused", "; ".join(problems), reasons=reasons)
    for _ in range(TRIES):
        with means.database.read() as session:
            order = revision.order or next_order(session, target.id)
        try:
            made = save_deployment(
                means.database,
                identity.actor(),
                target,
                name,
                replace(revision, order=order),
                arrange=None if target.kind in MESHES else arrangement(target, still=rollout is not None),
                detail={"forced": list(forced)} if forced else None,
                rollout=rollout,
                settle=settle,
                note=note,
            )
        except OrderTaken:
            if revision.order != LAST:
                raise
        else:
            means.wake()
            return made
    raise Conflict(f"too many deployments on {target.name} at once; try again")


def arrangement(target: TargetRow, *, still: bool = False) -> Arrange:
    """How this target's filters are placed into its slots; `still`: so that no other has to move."""
    slots = target.settings["slots"]

    def arrange(placed: Sequence[Placed], moved: int, order: int) -> Mapping[int, int]:
        others = [one for one in placed if one.id != moved]
        for one in others:
            if one.order == order:
                raise OrderTaken(
                    f"order {order} on target {target.name} is that of {one.name}; choose another number, filters run"
                    " in rising order"
                )
        held = {one.id: one.slot for one in placed}
        position = sum(one.order < order for one in others)
        found = place([one.id for one in others], held, moved, position, slots)
        if found is None:
            what = "move one filter past another" if moved in held else "take another filter"
            raise Conflict(
                f"all {slots} slots of target {target.name} are taken, so it cannot {what}; undeploy one first"
            )
        if still and any(found[one.id] != one.slot for one in others):
            raise Conflict(
                f"at order {order} another filter of target {target.name} would have to move, on all its proxies at"
                " once, which a rollout does not do; deploy it without waves, or with another order"
            )
        return found

    return arrange


class OrderTaken(Conflict):
    """Another deployment has that order; the text names it."""
