"""Deployments as they are looked at: each with how it stands now."""

from typing import Any

from sqlalchemy.orm import Session

from auth.door import ApiError
from auth.identity import Identity
from auth.namespaces import resource_of
from auth.permissions import may
from deploy.fleets.polls import contents
from deploy.means import Means, allow, may_with
from deploy.meshes.kinds import MESHES
from deploy.status import FETCHER, Standing, judge, judge_files, standing_of
from deploy.targets.envoy_fleet import FILES
from deploy.views.shapes import deployment_json, revision_json, seen_json, standing_json
from storage.database import now
from storage.deployments import (
    DeploymentRow,
    find_deployment,
    repository_deployments,
    revisions,
    target_deployments,
)
from storage.meshes import TargetSeen, target_seen
from storage.namespaces import find_holding
from storage.nodes import NodeRow, nodes
from storage.targets import TargetRow, targets

SHORTEST_LIVE = 60_000  # milliseconds after which a node that does not ask is away
POLLS_MISSED = 8  # or so many of its polls, where that is longer


def read_list(means: Means, identity: Identity, target: str | None, repository: str | None) -> list[dict[str, Any]]:
    """Deployments on the targets that the caller may see, by target and order. Raises ApiError."""
    with means.database.read() as session:
        seen = [allow(session, identity, "pull", target)] if target else targets(session, identity.viewer())
        by_id = {one.id: one for one in seen}
        if repository is None:
            found = [one for place in seen for one in target_deployments(session, place.id)]
        else:
            found = [one for one in of_repository(session, identity, repository) if one.target_id in by_id]
        places = {one.target_id for one in found}
        proxies = {target_id: nodes(session, target_id) for target_id in places}
        seen_there = {target_id: target_seen(session, target_id) for target_id in places}
    return [
        deployment_json(one, stand(by_id[one.target_id], one, proxies[one.target_id], seen_there[one.target_id]))
        for one in found
    ]


def read_detail(means: Means, identity: Identity, target_name: str, name: str) -> dict[str, Any]:
    """A deployment with its history and its nodes. Raises ApiError."""
    with means.database.read() as session:
        target, deployment = find(session, identity, "pull", target_name, name)
        history = revisions(session, deployment.id)
        standing = stand(target, deployment, nodes(session, target.id), target_seen(session, target.id))
    shown = deployment_json(deployment, standing)
    shown["revisions"] = [revision_json(one) for one in history]
    shown["nodes"] = standing_json(standing)
    shown |= seen_json(deployment)
    if may_with(identity, "deploy", target):
        shown["module_path"] = f"/modules/{deployment.grant}/{deployment.current.module_sha256}.wasm"
    return shown


def show(means: Means, target: TargetRow, deployment: DeploymentRow) -> dict[str, Any]:
    """A deployment that was just changed."""
    with means.database.read() as session:
        seen = target_seen(session, target.id)
        return deployment_json(deployment, stand(target, deployment, nodes(session, target.id), seen))


def find(
    session: Session, identity: Identity, action: str, target_name: str, name: str
) -> tuple[TargetRow, DeploymentRow]:
    """A deployment and its target, if the caller may do this with it. Raises ApiError."""
    target = allow(session, identity, action, target_name)
    deployment = find_deployment(session, target.id, name)
    if deployment is None:
        raise ApiError(404, "not_found", f"there is no deployment {name!r} on target {target_name}")
    return target, deployment


def stand(target: TargetRow, deployment: DeploymentRow, proxies: list[NodeRow], seen: TargetSeen | None) -> Standing:
    """How a deployment stands now: on a mesh, as the last pass over it has found."""
    if target.kind in MESHES:
        return standing_of(deployment, seen)
    content = contents(deployment, [deployment.current])[0]
    fetchers = [one for one in proxies if one.version == FETCHER]
    proxies = [one for one in proxies if one.version != FETCHER]
    if target.settings.get("transport") == FILES and not proxies:
        return judge_files(deployment, content, fetchers)
    return judge(deployment, content, proxies, at=now(), live=live_for(target))


def live_for(target: TargetRow) -> int:
    """Milliseconds after which a node of the fleet that does not ask is away."""
    return max(SHORTEST_LIVE, int(target.settings["refresh_seconds"] * 1000) * 2 * POLLS_MISSED)


def of_repository(session: Session, identity: Identity, name: str) -> list[DeploymentRow]:
    """What runs from a repository; nothing, as if it did not exist, for those who may not read it."""
    holding = find_holding(session, name, identity.user_id)
    if holding is None or holding.repository_id is None:
        return []
    readable = may(identity, "pull", resource_of(holding))
    return repository_deployments(session, holding.repository_id) if readable else []
