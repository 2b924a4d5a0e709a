"""What Envoys push of their own statistics, over the port for gRPC: kept only while a filter is being rolled out.

A proxy may tell any replica; what it has counted goes into the database every few seconds, for the one that decides.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc

from auth.secrets import fingerprint
from deploy.fleets.ecds import EMPTY, content_of, deployment_of
from deploy.fleets.polls import LONGEST, NODE_LIMIT
from deploy.rollouts.figures import Sample, difference
from deploy.rollouts.stats_messages import MOST_PLUGINS, node_of, read_message, sample_of
from storage.database import Database, StorageError
from storage.nodes import NodeRow, slot_nodes
from storage.rollout_rows import NOTHING, OPEN, RolloutRow, watched_rollouts
from storage.rollouts import MOST_MANAGERS, Counted, add_figures
from storage.targets import TargetRow, live_keys

log = logging.getLogger("wasmhub")
SERVICE, METHOD = "envoy.service.metrics.v3.MetricsService", "StreamMetrics"
WRITE = 2.0  # seconds between two looks at what is rolled out, and at what was counted


@dataclass(eq=False)
class Teller:
    """A stream of one proxy, and what it has said."""

    target: TargetRow
    key: str
    node: str = ""
    ended: bool = False
    fresh: bool = False  # something was said since it was last written down
    latest: Sample = field(default_factory=Sample)
    # By rollout: whether the node ran the new revision then, and its counters then.
    before: dict[int, tuple[bool, Sample]] = field(default_factory=dict)

    def hear(self, said: Sample) -> None:
        """Takes a message in. Counters say how much there is by now, times what has come since."""
        _keep(self.latest.managers, said.managers, MOST_MANAGERS)
        _keep(self.latest.reloads, said.reloads, MOST_PLUGINS)
        for bound, count in said.times.items():
            self.latest.times[bound] = self.latest.times.get(bound, 0) + count
        self.fresh = True

    def count(self, rollout: RolloutRow, changed: bool | None) -> dict[str, Any] | None:
        """What is to be written down of a rollout; None where the node was between two revisions."""
        known = self.before.pop(rollout.id, None)
        if changed is None:
            return None
        self.before[rollout.id] = (changed, Sample(dict(self.latest.managers), {}, dict(self.latest.reloads)))
        if known is None or known[0] != changed:
            return None
        return difference(known[1], self.latest, rollout.deployment)

    def forget_but(self, rollouts: set[int]) -> None:
        """Forgets what was under way before."""
        self.before = {number: known for number, known in self.before.items() if number in rollouts}

    def settle(self) -> None:
        """Everything was written down."""
        self.latest.times = {}
        self.fresh = False


class StatsDoor:
    """The metrics service. `run` calls a function in a thread; `find_target` knows a target by its key."""

    def __init__(
        self,
        database: Database,
        run: Callable[..., Awaitable[Any]],
        find_target: Callable[[str], TargetRow | None],
    ) -> None:
        self.tellers: set[Teller] = set()
        self._database = database
        self._run = run
        self._find_target = find_target
        self._listening: set[int] = set()  # targets where something is rolled out

    def handler(self) -> Any:
        """What serves the service's one method; its messages come as bytes, since most need not be read."""
        return grpc.method_handlers_generic_handler(
            SERVICE, {METHOD: grpc.stream_unary_rpc_method_handler(self._serve)}
        )

    async def write_on(self) -> None:
        """Writes down what was counted, until it is cancelled."""
        while True:
            await asyncio.sleep(WRITE)
            try:
                await self._write()
            except StorageError as error:
                log.warning("what proxies count is not kept: %s", error)
            except Exception:  # whatever it is, what comes next is to be kept
                log.exception("what proxies count is not kept")

    async def _serve(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        key = key_of(context.invocation_metadata() or ())
        try:
            target = await self._run(self._find_target, key)
        except StorageError as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        if target is None:
            await context.abort(
                grpc.StatusCode.UNAUTHENTICATED, "a fleet's key is needed here: make one for the target"
            )
        limit = target.settings.get("node_limit", NODE_LIMIT)
        if sum(one.target.id == target.id for one in self.tellers) >= limit:
            text = f"target {target.name} has as many proxies that tell as its node_limit"
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        teller = Teller(target, fingerprint(key))
        self.tellers.add(teller)
        try:
            async for raw in requests:
                if teller.ended:
                    text = "the fleet's key was removed; give this Envoy another"
                    await context.abort(grpc.StatusCode.UNAUTHENTICATED, text)
                if not self._hear(teller, raw):
                    text = f"the node must have an id of at most {LONGEST} characters"
                    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)
        finally:
            self.tellers.discard(teller)
        return b""

    def _hear(self, teller: Teller, raw: bytes) -> bool:
        """Reads a message, if anybody wants to know. Returns whether it is known whose it is."""
        if teller.node and teller.target.id not in self._listening:
            return True
        message = read_message(raw)
        if message is None:
            return bool(teller.node)
        if not teller.node:
            name = node_of(message)
            if not 0 < len(name) <= LONGEST or not name.isprintable():
                return False
            teller.node = name
        teller.hear(sample_of(message))
        return True

    async def _write(self) -> None:
        if not self.tellers:
            self._listening = set()
            return
        targets = {one.target.id for one in self.tellers}
        keys = {one.key for one in self.tellers}
        rollouts, proxies, good = await self._run(self._look, targets, keys)
        self._listening = {one.target_id for one in rollouts}
        counted = []
        for teller in self.tellers:
            teller.ended = teller.key in keys - good
            if teller.target.id not in self._listening:
                teller.settle()  # what it said last is not where the next rollout begins
                continue
            if not teller.fresh:
                continue
            for rollout in rollouts:
                if rollout.target_id == teller.target.id:
                    counted += _counted(teller, proxies[rollout.id].get(teller.node), rollout)
            teller.forget_but({one.id for one in rollouts})
            teller.settle()
        if counted:
            await self._run(add_figures, self._database, counted)

    def _look(
        self, targets: set[int], keys: set[str]
    ) -> tuple[list[RolloutRow], dict[int, dict[str, NodeRow]], set[str]]:
        """What is rolled out on these targets, the nodes of each by name, and which of the keys are good."""
        with self._database.read() as session:
            rollouts = [one for one in watched_rollouts(session) if one.state in OPEN and one.target_id in targets]
            proxies = {
                one.id: {node.name: node for node in slot_nodes(session, one.target_id, one.slot or 0)}
                for one in rollouts
            }
            return rollouts, proxies, live_keys(session, keys)


def _keep(known: dict[str, Any], said: dict[str, Any], most: int) -> None:
    """Takes in what is said of the names that were said first, and of no more of them than one proxy may have."""
    for name, counts in said.items():
        if name in known or len(known) < most:
            known[name] = counts


def key_of(metadata: Sequence[tuple[str, str | bytes]]) -> str:
    """The key in the metadata of a call; empty where there is none."""
    for name, value in metadata:
        if name == "authorization" and isinstance(value, str):
            scheme, _, key = value.partition(" ")
            return key.strip() if scheme.lower() == "bearer" else ""
    return ""


def _counted(teller: Teller, node: NodeRow | None, rollout: RolloutRow) -> list[Counted]:
    """What is to be written down of one proxy and one rollout, if anything."""
    if node is None:
        return []
    changed = _changed(rollout, node)
    figures = teller.count(rollout, changed)
    if figures is None or changed is None:
        return []
    return [Counted(rollout.id, node.id, rollout.wave, changed, figures)]


def _changed(rollout: RolloutRow, node: NodeRow) -> bool | None:
    """Whether a node runs the new revision; None where it is on its way from one to the other, or runs neither."""
    slot = node.slots.get(rollout.slot) if rollout.slot is not None else None
    if slot is None or content_of(slot.running) != content_of(slot.served):
        return None
    if slot.running.startswith(f"d{rollout.deployment_id}.r{rollout.to_revision}."):
        return True
    before = slot.running == EMPTY if rollout.from_revision == NOTHING else _is_of(rollout, slot.running)
    return False if before else None


def _is_of(rollout: RolloutRow, version: str) -> bool:
    return deployment_of(version) == rollout.deployment_id
