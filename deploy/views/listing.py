"""Deployments a page at a time, each with how it stands now, of the targets that somebody may see."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from auth.identity import Identity
from deploy.means import Means, allow
from deploy.views.deployments import of_repository, stand
from deploy.views.shapes import deployment_json
from storage.deployments import DeploymentRow, target_deployments
from storage.meshes import target_seen
from storage.nodes import nodes
from storage.targets import TargetRow, targets

EXAMINED = 2000  # deployments that one page looks at to find those of a status
_TARGETS = 100  # that are read at once
_CURSOR = re.compile(r"([a-z0-9-]{1,63})/([0-9]{1,9})/([a-z0-9-]{1,63})")

Cursor = tuple[str, int, str]  # target, order and name of the last deployment of the page before


@dataclass(frozen=True)
class Wanted:
    """Which deployments; an empty text leaves a thing open."""

    target: str = ""
    repository: str = ""
    status: str = ""


def read_page(means: Means, identity: Identity, wanted: Wanted, after: str, limit: int) -> dict[str, Any]:
    """The `deployments` after a place, by target and order, and the place where the `next` page begins, or None.

    Raises ApiError for a target that there is none of.
    """
    found: list[dict[str, Any]] = []
    last = ""
    with means.database.read() as session:
        for looked_at, (target, deployment, standing) in enumerate(_all(session, identity, wanted, _place(after))):
            if len(found) == limit or looked_at == EXAMINED:
                return {"deployments": found, "next": last}
            if wanted.status in ("", standing.status):
                found.append(deployment_json(deployment, standing))
            last = f"{target.name}/{deployment.current.order}/{deployment.name}"
    return {"deployments": found, "next": None}


def _all(session: Session, identity: Identity, wanted: Wanted, start: Cursor | None) -> Iterator[tuple[Any, ...]]:
    """Targets, deployments and how each stands, from the start on."""
    rows = _rows(session, identity, wanted, start)
    for target, deployments in rows:
        later = [one for one in deployments if start is None or _place_of(target, one) > start]
        if later:
            proxies, seen = nodes(session, target.id), target_seen(session, target.id)
            yield from ((target, one, stand(target, one, proxies, seen)) for one in later)


def _rows(
    session: Session, identity: Identity, wanted: Wanted, start: Cursor | None
) -> Iterator[tuple[TargetRow, list[DeploymentRow]]]:
    if wanted.repository:
        by_target: dict[str, list[DeploymentRow]] = {}
        for one in of_repository(session, identity, wanted.repository):
            by_target.setdefault(one.target, []).append(one)
        for target in _targets(session, identity, wanted.target, start):
            if target.name in by_target:
                yield target, by_target[target.name]
        return
    for target in _targets(session, identity, wanted.target, start):
        yield target, target_deployments(session, target.id)


def _targets(session: Session, identity: Identity, name: str, start: Cursor | None) -> Iterator[TargetRow]:
    """The targets that may be seen, by name, from that of the start on."""
    if name:
        yield allow(session, identity, "pull", name)
        return
    first, after = start[0] if start is not None else "", ""
    while True:
        some = targets(session, identity.viewer(), after=after, limit=_TARGETS)
        yield from (one for one in some if one.name >= first)
        if len(some) < _TARGETS:
            return
        after = some[-1].name


def _place_of(target: TargetRow, one: DeploymentRow) -> Cursor:
    return target.name, one.current.order, one.name


def _place(text: str) -> Cursor | None:
    found = _CURSOR.fullmatch(text)
    return (found[1], int(found[2]), found[3]) if found else None
