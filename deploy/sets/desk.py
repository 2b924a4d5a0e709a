"""What the pages of deployment sets ask of this room: the functions of the JSON API, in its shapes."""

from typing import Any

from anyio.to_thread import run_sync

from auth.door import ApiError
from auth.identity import Identity
from deploy.means import Means
from deploy.sets.commands import find_seen_set, roll_back_set
from deploy.views.sets import abort_set, list_sets, read_set_detail, remove_set, turn_set
from deploy.wishes import refuse_crowd
from storage.set_rows import SetRow


class SetDesk:
    """Deployment sets for pages. Each method asks first whether the visitor may, and raises ApiError."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def list(self, identity: Identity, after: tuple[str, str], limit: int) -> list[dict[str, Any]]:
        """The sets that the visitor may see, by name, after one; each as the API shows it."""
        return await self._means.database.look(list_sets, self._means, identity, after, limit)

    async def show(self, identity: Identity, namespace: str, name: str) -> dict[str, Any]:
        """A set with its `revisions` and `events`, and whether the visitor `may_hold` it."""
        return await self._means.database.look(self._shown, identity, namespace, name)

    async def turn(self, identity: Identity, namespace: str, name: str, verb: str) -> None:
        """Pauses or resumes it: `verb` is the word for it."""
        row = await run_sync(self._held, identity, namespace, name)
        await run_sync(turn_set, self._means, identity, row, verb)

    async def abort(self, identity: Identity, namespace: str, name: str, why: str) -> None:
        """Has all that it changed be as it was."""
        row = await run_sync(self._held, identity, namespace, name)
        await run_sync(abort_set, self._means, identity, row, why)

    async def roll_back(self, identity: Identity, namespace: str, name: str, number: int) -> None:
        """Brings an earlier revision out again."""
        means = self._means
        row = await run_sync(self._held, identity, namespace, name)
        refuse_crowd(means.checks)
        await run_sync(roll_back_set, means, identity, row, number, limiter=means.checks)

    async def remove(self, identity: Identity, namespace: str, name: str) -> None:
        """Undeploys all of it."""
        row = await run_sync(self._held, identity, namespace, name)
        await run_sync(remove_set, self._means, identity, row)

    def _shown(self, identity: Identity, namespace: str, name: str) -> dict[str, Any]:
        found = read_set_detail(self._means, identity, namespace, name)
        try:
            self._held(identity, namespace, name)
        except ApiError:
            return {**found, "may_hold": False}
        return {**found, "may_hold": found["status"] != "leaving"}

    def _held(self, identity: Identity, namespace: str, name: str) -> SetRow:
        with self._means.database.read() as session:
            return find_seen_set(session, identity, "deploy", namespace, name)
