"""What the pages ask of this room: the functions of the JSON API, in its shapes, for whoever looks at a page."""

import json
from itertools import pairwise
from typing import Any

from anyio.to_thread import run_sync

from auth.door import ApiError
from auth.identity import Identity
from auth.permissions import ACTIONS
from deploy.api.rollout_fields import usual_rollout
from deploy.commands import change, no_waves, remove, roll_back
from deploy.images.filters import find_filter, find_schema
from deploy.means import Means, allow, may_with
from deploy.meshes.kinds import MESHES
from deploy.meshes.reach import reach
from deploy.preview.foresight import foresee, revision_changes
from deploy.rollouts.waves import taken_in
from deploy.sets.desk import SetDesk
from deploy.status import PROGRESSING, READY, STALLED, UNOBSERVED, WAITING
from deploy.views.deployments import find, read_detail, stand
from deploy.views.listing import Wanted, read_page
from deploy.views.placing import placement_fields
from deploy.views.rollouts import TURNS, abort_rollout, find_seen, list_rollouts, read_rollout, turn_rollout
from deploy.views.shapes import deployment_json, follow_json, revision_json, rollout_json, target_json
from deploy.views.target_health import health_json, proxies_json
from deploy.wishes import POLICIES, known_name, new_name, read_wish, refuse_crowd
from storage.deployments import find_deployment, revisions, target_deployments
from storage.meshes import target_seen
from storage.nodes import nodes
from storage.rollout_rows import OPEN, RolloutRow, deployment_rollouts
from storage.targets import TargetRow, target_keys, targets

STATUSES = (READY, PROGRESSING, WAITING, STALLED, UNOBSERVED)
_SHOWN = 20  # deployments on a target's own page
_NODES = 200  # proxies there


class Desk:
    """Targets and deployments for pages. Each method asks first whether the visitor may, and raises ApiError."""

    statuses = STATUSES
    policies = POLICIES

    def __init__(self, means: Means) -> None:
        self._means = means
        self.sets = SetDesk(means)

    async def list_targets(self, identity: Identity, after: str, limit: int) -> list[dict[str, Any]]:
        """The targets after a name, each with its `health` and how many `deployments` are on it."""
        return await self._means.database.look(self._targets, identity, after, limit)

    async def deployable(self, identity: Identity) -> list[str]:
        """The names of the targets that the visitor may deploy to, the first 1,000."""
        return await self._means.database.look(self._deployable, identity)

    async def show_target(self, identity: Identity, name: str) -> dict[str, Any]:
        """A target with its `health`, `proxies` by version, some `deployments`, and the `actions` of the visitor."""
        return await self._means.database.look(self._target, identity, name)

    async def try_target(self, identity: Identity, name: str) -> dict[str, Any]:
        """What the hub meets there now: `version` and `rights`."""
        return await reach(self._means, identity, name)

    async def list_deployments(
        self, identity: Identity, wanted: dict[str, str], after: str, limit: int
    ) -> dict[str, Any]:
        """A page of `deployments`, and where the `next` begins; `wanted` may hold target, repository and status."""
        return await self._means.database.look(read_page, self._means, identity, Wanted(**wanted), after, limit)

    async def show_deployment(self, identity: Identity, target: str, name: str) -> dict[str, Any]:
        """A deployment as the API shows it, with `kind`, the `actions` of the visitor and what revisions changed."""
        return await self._means.database.look(self._deployment, identity, target, known_name(name))

    async def open_form(self, identity: Identity, target: str, name: str, reference: str) -> dict[str, Any]:
        """What the form of a deployment needs: the target, the `fields` of its placement, the filter's `schema`.

        `current` is the revision that runs, if there is one of that name; `rollout` how one in waves goes as usual, if
        its change can go out so; `follow` what it follows.
        """
        return await self._means.database.look(self._form, identity, target, name, reference)

    async def foresee(self, identity: Identity, target: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """What a deployment would be: `reasons`, `objects`, `diff`, `changes`, `notes`."""
        refuse_crowd(self._means.checks)
        return await foresee(self._means, identity, target, new_name(name), read_wish(body))

    async def deploy(self, identity: Identity, target: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Deploys, or changes what runs; the deployment with its `warnings`."""
        wish, means = read_wish(body), self._means
        refuse_crowd(means.checks)
        made, _ = await run_sync(change, means, identity, target, new_name(name), wish, limiter=means.checks)
        return made

    async def roll_back(self, identity: Identity, target: str, name: str, number: int, force: bool) -> dict[str, Any]:
        """Runs an earlier revision again, as a new one."""
        means = self._means
        refuse_crowd(means.checks)
        return await run_sync(roll_back, means, identity, target, known_name(name), number, force, limiter=means.checks)

    async def undeploy(self, identity: Identity, target: str, name: str) -> None:
        """Ends a deployment."""
        await run_sync(remove, self._means, identity, target, known_name(name))

    async def list_rollouts(self, identity: Identity, wanted: dict[str, str], limit: int) -> dict[str, Any]:
        """The `rollouts` that the visitor may see, open ones first, then newest first, and whether there are `more`.

        `wanted` may hold target, deployment and state.
        """
        return await self._means.database.look(self._rollouts, identity, wanted, limit)

    async def show_rollout(self, identity: Identity, target: str, name: str, number: str) -> dict[str, Any]:
        """A rollout of that deployment with its `events`, and the `nodes` that it `reached` and the `others`."""
        return await self._means.database.look(self._rollout, identity, target, known_name(name), number)

    async def turn_rollout(self, identity: Identity, target: str, name: str, number: str, verb: str) -> None:
        """Pauses or resumes a rollout of that deployment: `verb` is the word for it."""
        rollout = await run_sync(self._held, identity, "deploy", target, known_name(name), number)
        await run_sync(turn_rollout, self._means, identity, rollout, TURNS[verb])

    async def abort_rollout(self, identity: Identity, target: str, name: str, number: str, why: str) -> None:
        """Has every proxy run the revision before again."""
        rollout = await run_sync(self._held, identity, "deploy", target, known_name(name), number)
        await run_sync(abort_rollout, self._means, identity, rollout, why)

    def _targets(self, identity: Identity, after: str, limit: int) -> list[dict[str, Any]]:
        found = []
        with self._means.database.read() as session:
            for one in targets(session, identity.viewer(), after=after, limit=limit):
                health = health_json(one, target_seen(session, one.id), nodes(session, one.id))
                count = len(target_deployments(session, one.id))
                found.append({**target_json(one), "health": health, "deployments": count})
        return found

    def _deployable(self, identity: Identity) -> list[str]:
        with self._means.database.read() as session:
            return [one.name for one in targets(session, identity.viewer()) if may_with(identity, "deploy", one)]

    def _target(self, identity: Identity, name: str) -> dict[str, Any]:
        with self._means.database.read() as session:
            target = allow(session, identity, "pull", name)
            seen, proxies = target_seen(session, target.id), nodes(session, target.id)
            deployments = target_deployments(session, target.id)
            keys = len(target_keys(session, target.id))
        standing = [(one, stand(target, one, proxies, seen)) for one in deployments[:_SHOWN]]
        return {
            **target_json(target),
            "mesh": target.kind in MESHES,
            "health": health_json(target, seen, proxies),
            "proxies": proxies_json(target, proxies[:_NODES], deployments),
            "nodes": len(proxies),
            "key_count": keys,
            "deployments": [deployment_json(*one) for one in standing],
            "count": len(deployments),
            "actions": _actions(identity, target),
        }

    def _deployment(self, identity: Identity, target_name: str, name: str) -> dict[str, Any]:
        with self._means.database.read() as session:
            target, deployment = find(session, identity, "pull", target_name, name)
            history = revisions(session, deployment.id)
            staged = deployment_rollouts(session, deployment.id)
        changed = {later.number: revision_changes(earlier, later) for later, earlier in pairwise(history)}
        shown = read_detail(self._means, identity, target_name, name)
        shown.pop("module_path", None)  # whoever knows it gets the module
        shown |= {"kind": target.kind, "changed": changed, "actions": _actions(identity, target)}
        return {**shown, "rollouts": [rollout_json(one) for one in staged]}

    def _rollouts(self, identity: Identity, wanted: dict[str, str], limit: int) -> dict[str, Any]:
        found = list_rollouts(self._means, identity, wanted.get("target"))
        for part in ("deployment", "state"):
            found = [one for one in found if not wanted.get(part) or getattr(one, part) == wanted[part]]
        found.sort(key=lambda one: one.state not in OPEN)
        return {"rollouts": [rollout_json(one) for one in found[:limit]], "more": len(found) > limit}

    def _rollout(self, identity: Identity, target: str, name: str, number: str) -> dict[str, Any]:
        rollout = self._held(identity, "pull", target, name, number)
        with self._means.database.read() as session:
            proxies = nodes(session, rollout.target_id)
        reached = taken_in(rollout, proxies)
        others = sorted({one.name for one in proxies} - {*reached})
        return read_rollout(self._means, identity, number) | {"nodes": {"reached": reached, "others": others}}

    def _held(self, identity: Identity, action: str, target: str, name: str, number: str) -> RolloutRow:
        """That deployment's rollout, if the visitor may do this there. Raises ApiError."""
        with self._means.database.read() as session:
            find(session, identity, action, target, name)
        rollout = find_seen(self._means, identity, action, number)
        if (rollout.target, rollout.deployment) != (target, name):
            raise ApiError(404, "not_found", f"{target}/{name} has no rollout {number[:64]!r}")
        return rollout

    def _form(self, identity: Identity, target_name: str, name: str, reference: str) -> dict[str, Any]:
        with self._means.database.read() as session:
            target = allow(session, identity, "deploy", target_name)
            current = find_deployment(session, target.id, name) if name else None
            found = find_filter(session, identity, reference)
            try:
                schema = find_schema(session, found)
            except ApiError:
                schema = None  # the preview says what is wrong with it
        content = self._means.blobs.read(schema[0]) if schema is not None else b"null"
        return {
            "target": target_json(target),
            "fields": placement_fields(target.kind, target.settings),
            "schema": _read_json(content),
            "current": revision_json(current.current) if current is not None and current.ended_at is None else None,
            "repository": found.repository,
            "follow": follow_json(current.follows) if current is not None and current.follows is not None else None,
            "rollout": None if no_waves(target) else usual_rollout(),
            "actions": _actions(identity, target),
        }


def _actions(identity: Identity, target: TargetRow) -> list[str]:
    return [action for action in ACTIONS if may_with(identity, action, target)]


def _read_json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
