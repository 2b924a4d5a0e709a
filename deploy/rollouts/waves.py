"""Which nodes a wave of a rollout takes in, and what is to be done with the rollout next. Pure."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil

from deploy.fleets.ecds import content_of, deployment_of
from deploy.rollouts.health import UNKNOWN, WORSE, Health
from deploy.status import some_names
from storage.nodes import NodeRow
from storage.rollout_rows import HALTED, PAUSED, RolloutRow
from storage.rollouts import Line

EVERYBODY = 2**32  # the cut below which every place is
EXPECTED = 3_600_000  # milliseconds in which a node that went away may come back


@dataclass(frozen=True)
class Step:
    """What to do next. `message` says how the rollout stands."""

    do: str  # wait | move | halt | finish
    message: str
    lines: tuple[Line, ...] = ()
    wave: int = 0
    cut: int = 0
    baking_since: int | None = None
    health: Health | None = None


@dataclass
class _Wave:
    """The nodes that the rollout has come to, by what each makes of the new revision."""

    runs: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)  # ran it, and do not ask any more
    why: str = ""
    others: int = 0  # nodes that it has not come to
    others_lost: int = 0  # that do not ask any more either

    @property
    def live(self) -> int:
        return len(self.runs) + len(self.pending) + len(self.refused)

    @property
    def all_lose(self) -> bool:
        """Whether nodes without the revision go away about as often: then it is not the revision's doing."""
        ours = len(self.lost) / max(len(self.lost) + self.live, 1)
        return self.others > 0 and 2 * self.others_lost / self.others >= ours


def place_of(rollout_id: int, node: str) -> int:
    """A node's place in the order of a rollout: the same on every replica and after every restart."""
    return int.from_bytes(hashlib.sha256(f"{rollout_id}/{node}".encode()).digest()[:4], "big")


def cut_for(rollout_id: int, nodes: Sequence[str], share: int, before: int) -> int:
    """The cut below which that share of the nodes is, at least one of them, and never fewer than before."""
    if share >= 100 or not nodes:
        return EVERYBODY if share >= 100 else before
    places = sorted(place_of(rollout_id, node) for node in nodes)
    return max(before, places[max(1, ceil(len(places) * share / 100)) - 1] + 1)


def taken_in(rollout: RolloutRow, nodes: Sequence[NodeRow]) -> list[str]:
    """The names of the nodes that the rollout has come to."""
    return sorted(one.name for one in nodes if place_of(rollout.id, one.name) < rollout.cut)


def next_step(
    rollout: RolloutRow,
    nodes: Sequence[NodeRow],
    health: Health,
    *,
    at: int,
    live: int,
    watched: int,
    closed: str = "",
) -> Step:
    """What is next at the time `at`. A node not seen for `live` milliseconds is away.

    `watched` is how long the nodes could ask the hub without a break: for less than `live`, none is missed yet.
    `closed` is why no wave may begin now.
    """
    here = [one.name for one in nodes if one.seen_at >= at - live]
    wave = _wave(rollout, nodes, at - live)
    if rollout.state == HALTED:
        return _going_back(rollout, nodes, at - live)
    trouble = _trouble(rollout, wave, health, missed=watched >= live)
    if trouble:
        return Step("halt", trouble, health=health)
    how = _title(rollout) + (f": {len(wave.runs)} of {wave.live} proxies run it" if rollout.wave else "")
    if rollout.state == PAUSED:
        return Step("wait", f"paused; {how}", health=health)
    gone = [one.name for one in nodes if at - live > one.seen_at >= at - EXPECTED]
    if watched < live and gone:
        return Step("wait", f"{how}; the hub was away, and waits for {some_names(gone)} to come back", health=health)
    if wave.lost and not wave.live and gone:
        said = f"{how}; {some_names(wave.lost)} went away as others did, and it waits for them to come back"
        return Step("wait", said, health=health)
    if closed and (rollout.wave == 0 or not wave.live):
        return Step("wait", f"{how}; {closed}", health=health)
    if rollout.wave == 0 or not wave.live:
        return _begin(rollout, here, max(rollout.wave, 1))
    if rollout.baking_since is None:
        if wave.pending:
            return Step("wait", f"{how}; {some_names(wave.pending)} not yet", health=health)
        line = Line("baking", f"{how}; now it is watched for {rollout.bake / 1000:g} s")
        return _move(rollout, line, rollout.wave, rollout.cut, at)
    left = rollout.baking_since + rollout.bake - at
    if left > 0:
        return Step("wait", f"{how}; watched for {ceil(left / 1000)} s more; {health.message}", health=health)
    if wave.pending:
        return Step("wait", f"{how}; {some_names(wave.pending)} came later and not yet", health=health)
    if closed and rollout.wave < len(rollout.waves):
        return Step("wait", f"{how}; the next wave waits: {closed}", health=health)
    return _pass(rollout, wave, here, health)


def _begin(rollout: RolloutRow, here: Sequence[str], number: int) -> Step:
    """The first wave, or one whose nodes have all gone before they had the revision."""
    if not here:
        return Step("wait", f"{_title(rollout)}: no proxy of {rollout.target} asks")
    cut = cut_for(rollout.id, here, rollout.waves[number - 1], rollout.cut)
    return _move(rollout, _wave_line(rollout, here, number, cut), number, cut, None)


def _pass(rollout: RolloutRow, wave: _Wave, here: Sequence[str], health: Health) -> Step:
    """The wave was watched for long enough."""
    lost = f"; {some_names(wave.lost)} went away meanwhile" if wave.lost else ""
    said = f"{health.message}{lost}"
    if health.word == UNKNOWN:
        said += "; it goes on because nothing was refused and the time is over"
    line = Line(health.word, said, health.figures, rollout.wave)
    number = rollout.wave + 1
    if number > len(rollout.waves):
        done = f"revision {rollout.to_revision} runs on all {len(wave.runs)} proxies"
        return Step("finish", done, (line,), health=health)
    cut = cut_for(rollout.id, here, rollout.waves[number - 1], rollout.cut)
    step = _move(rollout, _wave_line(rollout, here, number, cut), number, cut, None)
    return Step(step.do, step.message, (line, *step.lines), number, cut)


def _going_back(rollout: RolloutRow, nodes: Sequence[NodeRow], since: int) -> Step:
    """Of one that was halted: whether any node still has what it is to have no more."""
    late = [one.name for one in nodes if one.seen_at >= since and _runs(rollout, one)]
    if late:
        return Step("wait", f"{rollout.why}; {some_names(late)} still to go back")
    return Step("finish", f"no proxy that asks runs revision {rollout.to_revision} any more")


def _trouble(rollout: RolloutRow, wave: _Wave, health: Health, *, missed: bool) -> str:
    """Why the rollout is to be halted; empty if it is not."""
    if not rollout.wave:
        return ""
    if wave.refused:
        said = f": {wave.why}" if wave.why else "; see the proxy's log for why"
        return f"{some_names(wave.refused)} refused revision {rollout.to_revision}{said}"
    if health.word == WORSE:
        return f"worse health with revision {rollout.to_revision}: {health.message}"
    if missed and len(wave.lost) > len(wave.runs) and not wave.all_lose:
        return f"{some_names(wave.lost)} went away after running revision {rollout.to_revision}"
    return ""


def _wave(rollout: RolloutRow, nodes: Sequence[NodeRow], since: int) -> _Wave:
    found = _Wave()
    for node in nodes:
        lost = node.seen_at < since and node.seen_at >= rollout.created_at
        if place_of(rollout.id, node.name) >= rollout.cut:
            found.others += node.seen_at >= rollout.created_at
            found.others_lost += lost
            continue
        slot = node.slots.get(rollout.slot) if rollout.slot is not None else None
        refusals = [one for one in slot.refused if _is(rollout, one)] if slot else []
        if slot is not None and refusals:
            found.refused.append(node.name)
            found.why = found.why or (slot.why if slot.refused[-1] in refusals else "")
        elif node.seen_at < since:
            if slot is not None and _is(rollout, slot.running) and lost:
                found.lost.append(node.name)
        elif slot is not None and _is(rollout, slot.running) and _is(rollout, slot.served):
            found.runs.append(node.name)
        else:
            found.pending.append(node.name)
    return found


def _runs(rollout: RolloutRow, node: NodeRow) -> bool:
    return any(_is(rollout, row.running) or _is(rollout, row.served) for row in node.slots.values())


def _is(rollout: RolloutRow, version: str) -> bool:
    """Whether a version or a content is of the revision that is rolled out."""
    if deployment_of(version) != rollout.deployment_id:
        return False
    return content_of(version).split(".")[1:2] == [f"r{rollout.to_revision}"]


def _move(rollout: RolloutRow, line: Line, wave: int, cut: int, baking_since: int | None) -> Step:
    return Step("move", line.message, (line,), wave, cut, baking_since)


def _wave_line(rollout: RolloutRow, here: Sequence[str], number: int, cut: int) -> Line:
    names = sorted(one for one in here if place_of(rollout.id, one) < cut)
    share = rollout.waves[number - 1]
    what = f"wave {number} of {len(rollout.waves)} ({share}%)"
    return Line("wave", f"{what}: {len(names)} of {len(here)} proxies: {some_names(names)}")


def _title(rollout: RolloutRow) -> str:
    if not rollout.wave:
        return f"revision {rollout.to_revision} has not begun its first wave"
    share = rollout.waves[rollout.wave - 1]
    return f"revision {rollout.to_revision}, wave {rollout.wave} of {len(rollout.waves)} ({share}%)"
