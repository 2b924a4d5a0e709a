"""How a deployment stands, in one word and one sentence, from what its nodes run and refused. Pure."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.fleets.ecds import content_of, deployment_of, revision_of
from storage.deployments import DeploymentRow, Staged
from storage.meshes import AWAY as AWAY_TARGET
from storage.meshes import AWAY_SINCE, TargetSeen
from storage.nodes import NodeRow

READY, PROGRESSING, WAITING, STALLED = "ready", "progressing", "waiting", "stalled"
UNOBSERVED = "applied-not-observed"
RUNS, REFUSED, PENDING, AWAY, FETCHED = "runs", "refused", "pending", "away", "fetched"
FETCHER = "wasmhub targets files"  # what stands for a node's kind where somebody fetches files for proxies
OBSERVED_WITHIN = 60_000  # milliseconds in which a node that was served says whether it took it
_NAMED = 3  # proxies that a sentence names


@dataclass(frozen=True)
class NodeStanding:
    """One node's part in a deployment: `state` is one of the words above; `revision` what it runs of it."""

    name: str
    proxy: str
    seen_at: int
    state: str
    revision: int | None
    why: str = ""  # its own words on why it refused


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
    if deployment.taken_back and deployment.seen is not None:
        return Standing(STALLED, deployment.seen.message, ())
    seen = tuple(_node(deployment, content, node, away=node.seen_at < at - live) for node in nodes)
    here = [one for one in seen if one.state != AWAY]
    target, number = deployment.target, deployment.current.number
    if not here:
        return Standing(WAITING, f"no proxy of {target} has asked for it {'lately' if seen else 'yet'}", seen)
    refused = [one.name for one in here if one.state == REFUSED]
    if deployment.staged is not None:
        return Standing(PROGRESSING, _staged(deployment.staged, here), seen)
    if refused:
        why = next((one.why for one in here if one.state == REFUSED and one.why), None)
        said = f": {why}" if why else "; see the proxy's log for why"
        return Standing(STALLED, f"{_names(refused)} refused revision {number}{said}", seen)
    late = [one.name for one in here if one.state == PENDING]
    if not late:
        return Standing(READY, f"{len(here)} of {len(here)} proxies run revision {number}", seen)
    if deployment.current.created_at < at - OBSERVED_WITHIN:
        return Standing(
            UNOBSERVED, f"{_names(late)} was given revision {number} and does not say that it runs it", seen
        )
    return Standing(PROGRESSING, f"{len(here) - len(late)} of {len(here)} proxies run revision {number}", seen)


def judge_files(deployment: DeploymentRow, content: str, fetchers: Sequence[NodeRow]) -> Standing:
    """How a deployment stands whose proxies read files that somebody fetches: never better than not observed."""
    target, number = deployment.target, deployment.current.number
    if not fetchers:
        return Standing(WAITING, f"nobody has fetched the files of {target} yet", ())
    given = [one for one in fetchers if _served(deployment, one) == content]
    seen = tuple(
        NodeStanding(one.name, one.version, one.seen_at, FETCHED if one in given else PENDING, None) for one in fetchers
    )
    late = [one.name for one in fetchers if one not in given]
    if late:
        return Standing(WAITING, f"{some_names(late)} did not fetch revision {number} yet", seen)
    who = some_names([one.name for one in given])
    return Standing(UNOBSERVED, f"{who} fetched revision {number}; what proxies make of it is not seen", seen)


def standing_of(deployment: DeploymentRow, target: TargetSeen | None) -> Standing:
    """How a deployment on a mesh stands, as the last pass has written it down; of one that is away, as it was."""
    seen, number, ended_at = deployment.seen, deployment.current.number, deployment.ended_at
    known = seen is not None and seen.changed_at >= (ended_at or deployment.current.created_at)
    away = _away(deployment.target, target)
    if ended_at is not None:
        said = seen.message if seen is not None and known else "its objects are being taken away"
        way = f"where that is gone for ever, `wasmhub targets delete {deployment.target} --abandon` leaves them"
        return Standing(WAITING, f"its objects cannot be taken away: {away}; {way}", ()) if away else _under_way(said)
    if seen is None or not known:
        waits = f"revision {number} waits to be applied: {away}"
        return Standing(WAITING, waits, ()) if away else _under_way(f"revision {number} is being applied")
    if away and seen.status in (READY, PROGRESSING):
        said = f"revision {number} was applied; what became of it cannot be seen: {away}"
        return Standing(UNOBSERVED, said, ())
    return Standing(seen.status, f"{seen.message}; {away}" if away else seen.message, ())


def _staged(staged: Staged, here: Sequence[NodeStanding]) -> str:
    runs = sum(one.state == RUNS for one in here)
    wave = f"in wave {staged.wave}" if staged.wave else "before its first wave"
    told = f"rollout {staged.id} is {staged.state} {wave}"
    return f"{told}: {runs} of {len(here)} proxies run revision {staged.revision}"


def _under_way(message: str) -> Standing:
    return Standing(PROGRESSING, message, ())


def _away(name: str, target: TargetSeen | None) -> str:
    """Since when a target is away and why; empty if it is not."""
    if target is None or target.status != AWAY_TARGET:
        return ""
    since = (target.facts or {}).get(AWAY_SINCE)
    when = f" since {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(since / 1000))} UTC" if since else ""
    return f"{name} is away{when}: {target.message}"


def _served(deployment: DeploymentRow, node: NodeRow) -> str:
    slot = node.slots.get(deployment.slot) if deployment.slot is not None else None
    return slot.served if slot is not None else ""


def _node(deployment: DeploymentRow, content: str, node: NodeRow, *, away: bool) -> NodeStanding:
    slot = node.slots.get(deployment.slot) if deployment.slot is not None else None
    state = PENDING
    if away:
        state = AWAY
    elif slot is not None and content in slot.refused:
        state = REFUSED
    elif slot is not None and content_of(slot.running) == content == content_of(slot.served):
        state = RUNS
    running = [row.running for row in node.slots.values() if deployment_of(row.running) == deployment.id]
    revision = max(map(revision_of, running), default=None)
    why = slot.why if slot is not None and state == REFUSED and slot.refused[-1] == content else ""
    return NodeStanding(node.name, node.version, node.seen_at, state, revision, why)


def some_names(names: Sequence[str]) -> str:
    """The first few names in a sentence, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def _names(names: Sequence[str]) -> str:
    return f"{'node' if len(names) == 1 else 'nodes'} {some_names(names)}"
