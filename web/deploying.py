"""What pages of targets and deployments ask of the room that deploys, which this one does not import.

Answers are in the shapes of the JSON API. Every method asks first whether the visitor may, and raises ApiError.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from auth.identity import Identity


class Sets(Protocol):
    """Deployment sets; `deploy/sets/desk.py` is one, and says what each answer holds."""

    async def list(self, identity: Identity, after: tuple[str, str], limit: int) -> list[dict[str, Any]]:
        """The sets that the visitor may see, by name, after one."""

    async def show(self, identity: Identity, namespace: str, name: str) -> dict[str, Any]:
        """A set with everything that its page shows."""

    async def turn(self, identity: Identity, namespace: str, name: str, verb: str) -> None:
        """Pauses or resumes it."""

    async def abort(self, identity: Identity, namespace: str, name: str, why: str) -> None:
        """Has all that it changed be as it was."""

    async def roll_back(self, identity: Identity, namespace: str, name: str, number: int) -> None:
        """Brings an earlier revision out again."""

    async def remove(self, identity: Identity, namespace: str, name: str) -> None:
        """Undeploys all of it."""


class Deploying(Protocol):
    """Targets and deployments; `deploy/desk.py` is one, and says what each answer holds."""

    @property
    def sets(self) -> Sets:
        """Deployment sets."""

    @property
    def statuses(self) -> Sequence[str]:
        """The words for how a deployment stands."""

    @property
    def policies(self) -> Sequence[str]:
        """What becomes of requests when a filter fails."""

    async def list_targets(self, identity: Identity, after: str, limit: int) -> list[dict[str, Any]]:
        """The targets after a name, each with its `health` and the number of `deployments`."""

    async def deployable(self, identity: Identity) -> list[str]:
        """The names of the targets that the visitor may deploy to."""

    async def show_target(self, identity: Identity, name: str) -> dict[str, Any]:
        """A target with everything that its page shows."""

    async def try_target(self, identity: Identity, name: str) -> dict[str, Any]:
        """What the hub meets there now: `version` and `rights`."""

    async def list_deployments(
        self, identity: Identity, wanted: dict[str, str], after: str, limit: int
    ) -> dict[str, Any]:
        """A page of `deployments`, and where the `next` begins; `wanted` may hold target, repository and status."""

    async def show_deployment(self, identity: Identity, target: str, name: str) -> dict[str, Any]:
        """A deployment with everything that its page shows."""

    async def open_form(self, identity: Identity, target: str, name: str, reference: str) -> dict[str, Any]:
        """What the form of a deployment needs."""

    async def foresee(self, identity: Identity, target: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """What a deployment would be: `reasons`, `objects`, `diff`, `changes`, `notes`."""

    async def deploy(self, identity: Identity, target: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Deploys, or changes what runs."""

    async def roll_back(self, identity: Identity, target: str, name: str, number: int, force: bool) -> dict[str, Any]:
        """Runs an earlier revision again."""

    async def undeploy(self, identity: Identity, target: str, name: str) -> None:
        """Ends a deployment."""

    async def list_rollouts(self, identity: Identity, wanted: dict[str, str], limit: int) -> dict[str, Any]:
        """The `rollouts` that the visitor may see, open ones first, and whether there are `more`."""

    async def show_rollout(self, identity: Identity, target: str, name: str, number: str) -> dict[str, Any]:
        """A rollout of that deployment with its timeline, and the nodes that it reached."""

    async def turn_rollout(self, identity: Identity, target: str, name: str, number: str, verb: str) -> None:
        """Pauses or resumes a rollout."""

    async def abort_rollout(self, identity: Identity, target: str, name: str, number: str, why: str) -> None:
        """Has every proxy run the revision before again."""
