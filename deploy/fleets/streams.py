"""What one xDS stream of an Envoy has said so far: the slots it asks for and what runs in each. Pure.

Two dialects: in the state of the world each request names all slots and one version for all of them; in delta, slots
come and go and each has a version of its own. The one version of the first is made of those of all its slots, so that
an Envoy that comes back after a lost connection says exactly what it runs. One answer is under way at a time, with one
slot in it: a refusal means that slot alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deploy.fleets.polls import LONGEST
from deploy.targets.envoy_fleet import parse_slot

LONGEST_WHY = 500  # characters that are kept of a node's words
MAX_VERSIONS = 32 * (LONGEST + 4)  # characters of the versions of all slots


@dataclass(frozen=True)
class Said:
    """One request in either dialect. `names` are all that is asked for; of delta, what is asked for from now on."""

    nonce: str = ""
    error: str | None = None  # the node's words, if it refuses the answer with that nonce
    names: Sequence[str] = ()
    left: Sequence[str] = ()  # what is not asked for any more, in delta
    versions: Mapping[str, str] = field(default_factory=dict)  # by name, what the node runs when a stream begins
    version: str = ""  # the same in the state of the world, as `joined` wrote it


@dataclass(frozen=True)
class Sent:
    """An answer under way."""

    nonce: str
    slot: int
    version: str


@dataclass(frozen=True)
class Refusal:
    """A version that the node said it did not take, and why."""

    version: str
    why: str


class Stream:
    """The slots that a stream of the fleet asks for. `due` are those to look at anew."""

    def __init__(self, fleet: str, slots: int, *, delta: bool) -> None:
        self.running: dict[int, str] = {}  # by slot, the version that it runs; empty: nothing yet
        self.due: set[int] = set()
        self.sent: Sent | None = None
        self.refusals: dict[int, Refusal] = {}  # said, and not yet written down
        self._fleet = fleet
        self._slots = slots
        self._delta = delta
        self._count = 0

    def hear(self, said: Said) -> None:
        """Takes a request in. Names of no slot of the fleet are passed over."""
        first = said.nonce == "" and not self._count
        if self.sent is not None and said.nonce == self.sent.nonce:
            self._answered(self.sent, said.error)
        asked = {slot for name in said.names if (slot := self._slot(name))}
        if self._delta:
            for slot in asked:  # also one that was asked for before: it is then wanted once more
                self.running[slot] = _plain(said.versions.get(f"{self._fleet}/slot-{slot}", ""))
            self.due |= asked
            gone = {slot for name in said.left if (slot := self._slot(name))}
        else:
            before = _split(said.version) if first else {}
            for slot in asked - self.running.keys():
                self.running[slot] = before.get(slot, "")
                self.due.add(slot)
            gone = self.running.keys() - asked
        for slot in gone:
            self.running.pop(slot, None)
            self.due.discard(slot)

    def send(self, slot: int, version: str) -> Sent:
        """Notes that an answer is under way from now on."""
        self._count += 1
        self.sent = Sent(str(self._count), slot, version)
        return self.sent

    def joined(self, sent: Sent) -> str:
        """The one version of all slots, once the node has taken this answer."""
        versions = {**self.running, sent.slot: sent.version}
        return ",".join(f"{slot}:{version}" for slot, version in sorted(versions.items()) if version)

    def _answered(self, sent: Sent, error: str | None) -> None:
        self.sent = None
        if sent.slot not in self.running:
            return
        if error is None:
            self.running[sent.slot] = sent.version
        else:
            self.refusals[sent.slot] = Refusal(sent.version, _plain(error, LONGEST_WHY) or "it gave no reason")
        self.due.add(sent.slot)

    def _slot(self, name: str) -> int | None:
        found = parse_slot(name)
        return found[1] if found and found[0] == self._fleet and 0 < found[1] <= self._slots else None


def _split(versions: str) -> dict[int, str]:
    """What `joined` put together; what is nothing of that kind is passed over."""
    found = {}
    for part in versions[:MAX_VERSIONS].split(","):
        slot, colon, version = part.partition(":")
        if colon and slot.isascii() and slot.isdigit() and len(slot) <= 3:
            found[int(slot)] = _plain(version)
    return found


def _plain(text: str, longest: int = LONGEST) -> str:
    """A text of others as it can be stored and shown on one line."""
    shown = "".join(one if one.isprintable() else " " for one in text[: 4 * longest])
    return " ".join(shown.split())[:longest]
