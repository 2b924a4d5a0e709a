"""What is to be done with a deployment set next, from its row and how its deployments stand. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from deploy.status import STALLED, UNOBSERVED, some_names
from storage.set_rows import ABORTED, DONE, HALTED, OPEN, PAUSED, STOPPED, MemberRow, SetRow
from storage.set_steps import SetLine


@dataclass(frozen=True)
class Part:
    """One deployment of a set as it stands."""

    member: MemberRow
    number: int | None = None  # its revision; None: it is not there, or it is not the set's
    status: str = ""
    message: str = ""
    settled: bool = False  # whether it is all that can be waited for: ready, or applied where nothing more is seen
    why_back: str = ""  # why its own rollout took back what the set gave it
    closed: str = ""  # why its target takes no change now
    follows: str = ""  # the tag or range that somebody has it follow by itself, in words

    @property
    def there(self) -> bool:
        """Whether the deployment is there, if only on its way out."""
        return self.number is not None

    @property
    def name(self) -> str:
        """As people write it."""
        return self.member.full_name


@dataclass(frozen=True)
class SetStep:
    """What to do next. `message` says how the set stands."""

    do: str  # wait | move | change | halt | complete | close | forget
    message: str
    lines: tuple[SetLine, ...] = ()
    wave: int = 0
    baking_since: int | None = None
    part: Part | None = None  # that is to be changed


def next_step(row: SetRow, parts: Sequence[Part], *, at: int) -> SetStep:
    """What is next at the time `at`."""
    if row.leaving_at is not None:
        left = [one for one in parts if one.there]
        return _waits("it is being taken away", left) if left else SetStep("forget", "nothing is left of it")
    if row.state in (HALTED, ABORTED) and row.ended_at is None:
        late = [one for one in parts if one.member.moved and one.there and not one.settled]
        if late:
            return _waits(f"{row.why}; going back", late)
        return SetStep("close", f"all that revision {row.number} changed is as it was before")
    if row.state == DONE:
        return _after(row, parts)
    if row.state not in OPEN:
        return SetStep("wait", _ended(row, parts))
    return _under_way(row, parts, at)


def _under_way(row: SetRow, parts: Sequence[Part], at: int) -> SetStep:
    trouble = _trouble(parts)
    if trouble:
        return SetStep("halt", trouble)
    mine = [one for one in parts if one.member.wanted and one.member.wave == row.wave]
    how = _title(row, mine)
    if row.state == PAUSED:
        return SetStep("wait", f"paused; {how}")
    if not row.wave:
        return _begin(row, parts, 1, ())
    todo = [one for one in mine if not one.member.moved]
    open_ = [one for one in todo if not one.closed]
    if open_:
        return SetStep("change", f"{how}; {open_[0].name} is next", part=open_[0])
    if todo:
        held = "; ".join(f"{one.name} waits: {one.closed}" for one in todo[:3])
        return SetStep("wait", f"{how}; {held}")
    late = [one for one in mine if not one.settled]
    if late:
        # What was watched until now begins anew: a wave is to stand so for the whole time.
        step = _waits(how, late)
        return step if row.baking_since is None else SetStep("move", step.message, (), row.wave)
    if row.baking_since is None:
        line = SetLine("baking", f"{how}{_unseen(mine)}; watched for {row.spec['bake'] / 1000:g} s")
        return SetStep("move", line.message, (line,), row.wave, at)
    left = row.baking_since + int(row.spec["bake"]) - at
    if left > 0:
        return SetStep("wait", f"{how}; watched for {ceil(left / 1000)} s more")
    line = SetLine("passed", f"{how}{_unseen(mine)}, and stayed so", row.wave)
    if row.wave < row.waves:
        return _begin(row, parts, row.wave + 1, (line,))
    wanted = sum(one.member.wanted for one in parts)
    return SetStep("complete", f"all {wanted} deployments have revision {row.number}", (line,))


def _begin(row: SetRow, parts: Sequence[Part], number: int, lines: tuple[SetLine, ...]) -> SetStep:
    names = [one.name for one in parts if one.member.wanted and one.member.wave == number]
    line = SetLine("wave", f"wave {number} of {row.waves}: {some_names(names)}")
    return SetStep("move", line.message, (*lines, line), number)


def _after(row: SetRow, parts: Sequence[Part]) -> SetStep:
    """The waves are through; what the set has no more is on its way out."""
    left = [one for one in parts if not one.member.wanted and one.there]
    if left:
        return _waits(f"revision {row.number} is everywhere, and what it has no more is being taken away", left)
    return SetStep("close" if row.ended_at is None else "wait", _standing(row, parts))


def _standing(row: SetRow, parts: Sequence[Part]) -> str:
    """How a set stands whose waves are through."""
    wanted = [one for one in parts if one.member.wanted]
    off = [one for one in wanted if not one.settled]
    if off:
        many = f"{len(wanted) - len(off)} of {len(wanted)} deployments are ready"
        return f"revision {row.number} was brought everywhere; {many}; {_say(off[0])}"
    return f"{len(wanted)} of {len(wanted)} deployments are ready with revision {row.number}{_unseen(wanted)}"


def _ended(row: SetRow, parts: Sequence[Part]) -> str:
    """How a set stands whose newest revision did not go through."""
    if row.state == STOPPED:
        return f"revision {row.number} stopped: {row.why}"
    there = [one for one in parts if one.there]
    now = f"{sum(one.settled for one in there)} of {len(there)} deployments are ready with what they ran before"
    return f"revision {row.number} was taken back: {row.why}; {now if there else 'nothing of it is deployed'}"


def _trouble(parts: Sequence[Part]) -> str:
    """Why the set is to be halted; empty if it is not."""
    for one in parts:
        if not one.member.moved or not one.member.wanted:
            continue
        if one.why_back:
            return f"{one.name} went back: {one.why_back}"
        if not one.there:
            return f"{one.name} was undeployed meanwhile"
        if one.number != one.member.given:
            return f"{one.name} was changed by somebody else: it has revision {one.number}, not {one.member.given}"
        if one.status == STALLED:
            return f"{one.name} is stalled: {one.message}"
    return ""


def _title(row: SetRow, mine: Sequence[Part]) -> str:
    if not row.wave:
        return f"revision {row.number} has not begun its first wave"
    ready = sum(one.member.moved and one.settled for one in mine)
    return f"revision {row.number}, wave {row.wave} of {row.waves}: {ready} of {len(mine)} deployments are ready"


def _unseen(mine: Sequence[Part]) -> str:
    """That of some it is known only that they were applied."""
    names = [one.name for one in mine if one.status == UNOBSERVED]
    return f" ({some_names(names)}: applied, not observed)" if names else ""


def _waits(how: str, late: Sequence[Part]) -> SetStep:
    more = f"; and {len(late) - 1} more" if len(late) > 1 else ""
    return SetStep("wait", f"{how}; {_say(late[0])}{more}")


def _say(one: Part) -> str:
    return f"{one.name}: {one.message}"
