"""Deploying, changing, rolling back and undeploying: looked up, checked, then one command to the store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import sleep
from typing import Any

from auth.door import ApiError
from auth.identity import Identity
from deploy.fields import bad
from deploy.filters import Found, check_module, find_filter, find_schema
from deploy.means import Means, allow
from deploy.schema import config_problem
from deploy.slots import place
from deploy.views import find, show
from storage.database import Conflict
from storage.deployments import (
    Arrange,
    DeploymentRow,
    NewRevision,
    Placed,
    find_deployment,
    revisions,
    save_deployment,
    target_deployments,
    undeploy,
)
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


def change(means: Means, identity: Identity, target_name: str, name: str, wish: Wish) -> tuple[dict[str, Any], bool]:
    """Deploys a filter or changes what runs; answers the deployment and whether it is new. Raises ApiError."""
    with means.database.read() as session:
        target = allow(session, identity, "deploy", target_name)
        current = find_deployment(session, target.id, name)
    if wish.reference is None and current is None:
        raise bad("the field reference is missing")
    revision = _checked(means, identity, wish, current)
    made = _save(means, identity, target, name, revision)
    return show(means, target, made), current is None


def roll_back(means: Means, identity: Identity, target_name: str, name: str, number: int | None) -> dict[str, Any]:
    """Runs an earlier revision again, as a new one, in the place of now. Raises ApiError."""
    with means.database.read() as session:
        target, deployment = find(session, identity, "deploy", target_name, name)
        history = revisions(session, deployment.id)
    wanted = number if number is not None else deployment.current.number - 1
    earlier = next((one for one in history[1:] if one.number == wanted), None)
    if earlier is None:
        kept = ", ".join(str(one.number) for one in history[1:]) or "none"
        raise ApiError(409, "conflict", f"{target_name}/{name} cannot go back to {wanted}; earlier revisions: {kept}")
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
    )
    return show(means, target, _save(means, identity, target, name, revision))


def remove(means: Means, identity: Identity, target_name: str, name: str) -> None:
    """Undeploys. Raises ApiError."""
    with means.database.read() as session:
        target, _ = find(session, identity, "deploy", target_name, name)
    undeploy(means.database, identity.actor(), target, name)


def _checked(means: Means, identity: Identity, wish: Wish, current: DeploymentRow | None) -> NewRevision:
    """The revision that the wish makes, after everything was checked that can be before anything happens."""
    before = current.current if current else None
    pinned = f"{before.repository}@{before.manifest_digest}" if before else ""
    found = _read_filter(means, identity, wish.reference or pinned)
    with means.database.read() as session:
        sha256, facts = check_module(session, found, wish.reference or pinned)
        schema = find_schema(session, found)
    config = before.config if wish.keeps_config and before else wish.config
    if not config and facts.get("needs_config"):
        config = "{}"  # the SDK for AssemblyScript traps when there is none
    problem = config_problem(means.blobs.read(schema[0]), config or "{}") if schema else None
    if problem:
        raise ApiError(422, "refused", f"the config does not fit the schema of {found.repository}: {problem}")
    return NewRevision(
        repository_id=found.repository_id,
        reference=wish.reference or (before.reference if before else ""),
        manifest_digest=found.digest,
        module_sha256=sha256,
        config=config,
        root_id=wish.root_id if wish.root_id is not None else before.root_id if before else "",
        failure_policy=wish.failure_policy or (before.failure_policy if before else "FAIL_CLOSED"),
        order=wish.order or (before.order if before else LAST),
        action="deploy",
    )


def _read_filter(means: Means, identity: Identity, reference: str) -> Found:
    """The filter once the reader has read it, which takes a moment after a push."""
    waited = 0.0
    while True:
        with means.database.read() as session:
            found = find_filter(session, identity, reference)
        if found.reading is None or found.reading.state != "pending" or waited >= READ_WITHIN:
            return found
        sleep(0.1)
        waited += 0.1


def _save(means: Means, identity: Identity, target: TargetRow, name: str, revision: NewRevision) -> DeploymentRow:
    """Stores a revision; one without an order of its own comes after all others, also if another comes at once."""
    for _ in range(TRIES):
        order = revision.order
        if order == LAST:
            with means.database.read() as session:
                taken = [one.current.order for one in target_deployments(session, target.id)]
            order = max(taken, default=0) + 1
        try:
            return save_deployment(
                means.database,
                identity.actor(),
                target,
                name,
                replace(revision, order=order),
                arrange=_arrange(target),
            )
        except OrderTaken:
            if revision.order != LAST:
                raise
    raise Conflict(f"too many deployments on {target.name} at once; try again")


def _arrange(target: TargetRow) -> Arrange:
    """How this target's filters are placed into its slots."""
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
        return found

    return arrange


class OrderTaken(Conflict):
    """Another deployment has that order; the text names it."""
