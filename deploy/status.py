"""How a deployment stands, in one word and one sentence, from what its nodes run and refused. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from deploy.ecds import content_of, deployment_of
from storage.deployments import DeploymentRow
from storage.nodes import NodeRow

READY, PROGRESSING, WAITING, STALLED = "ready", "progressing", "waiting", "stalled"
UNOBSERVED = "applied-not-observed"
RUNS, REFUSED, PENDING, AWAY = "runs", "refused", "pending", "away"
OBSERVED_WITHIN = 60_000  # milliseconds in which a node that was served says whether it took it
_NAMED = 3  # nodes that a sentence names


@dataclass(frozen=True)
class NodeStanding:
    """One node's part in a deployment: `state` is runs, refused, pending or away; `revision` what it runs of it."""

    name: str
    proxy: str
    seen_at: int
    state: str
    revision: int | None


@dataclass(frozen=True)
class Standing:
    """A word, a sentence, and the nodes that they follow from."""

    status: str
    message: str
    nodes: tuple[NodeStanding, ...]


def judge(deployment: DeploymentRow, content: str, nodes: Sequence[NodeRow], *, at: int, live: int) -> Standing:
    """How a deployment stands at the time `at`. `content` is what its current revision puts into its slot.

    A node not seen for `live` milliseconds is away: it keeps what it runs, and the deployment does not wait for it.
    """
    seen = tuple(_node(deployment, content, node, away=node.seen_at < at - live) for node in nodes)
    here = [one for one in seen if one.state != AWAY]
    target, number = deployment.target, deployment.current.number
    if not here:
        return Standing(WAITING, f"no proxy of {target} has asked for it {'lately' if seen else 'yet'}", seen)
    refused = [one.name for one in here if one.state == REFUSED]
    if refused:
        return Standing(STALLED, f"{_names(refused)} refused revision {number}; see the proxy's log for why", seen)
    late = [one.name for one in here if one.state == PENDING]
    if not late:
        return Standing(READY, f"{len(here)} of {len(here)} proxies run revision {number}", seen)
    if deployment.current.created_at < at - OBSERVED_WITHIN:
        return Standing(
            UNOBSERVED, f"{_names(late)} was given revision {number} and does not say that it runs it", seen
        )
    return Standing(PROGRESSING, f"{len(here) - len(late)} of {len(here)} proxies run revision {number}", seen)


def _node(deployment: DeploymentRow, content: str, node: NodeRow, *, away: bool) -> NodeStanding:
    slot = node.slots.get(deployment.slot)
    state = PENDING
    if away:
        state = AWAY
    elif slot is not None and content in slot.refused:
        state = REFUSED
    elif slot is not None and content_of(slot.running) == content == content_of(slot.served):
        state = RUNS
    running = [row.running for row in node.slots.values() if deployment_of(row.running) == deployment.id]
    return NodeStanding(node.name, node.version, node.seen_at, state, max(map(_revision, running), default=None))


def _revision(version: str) -> int:
    """The revision that a version of a deployment belongs to."""
    part = version.split(".")[1:2]
    return int(part[0][1:]) if part and part[0][1:].isdecimal() else 0


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{'node' if len(names) == 1 else 'nodes'} {', '.join(names[:_NAMED])}{more}"
