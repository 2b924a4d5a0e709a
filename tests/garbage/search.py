"""Looks for an order of pushes, mounts, deletes, deployments, crashes and collections in which something is lost.

`python -m tests.garbage.search --rounds 2000 --seed 1`: each round is one order that the dice choose. It ends with the
first violation and says which round it was in; the same seed and round find it again.
"""

import argparse
import hashlib
import json
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.garbage.acts import client, collector
from tests.garbage.turns import Turn
from tests.garbage.world import Violation, World, build

MOST_TURNS = 600  # of one round
COLLECTOR = "the collector"
PAUSES = (0.1, 0.6, 1.5, 3.0, 6.0)  # seconds that may pass between two turns


class Round:
    """One order of things."""

    def __init__(self, world: World, seed: str) -> None:
        self._world = world
        self._dice = random.Random(seed)
        self.turns = 0
        self._hurry = self._dice.choice([0.03, 0.1, 0.25])  # how often time passes
        self._restless = self._dice.choice([0.08, 0.2, 0.5])  # how often another one has its turn
        self._held: dict[Turn, int] = {}  # until which turn
        self._last: Turn | None = None
        world.begin()
        for number in range(self._dice.randint(1, 2)):
            content = hashlib.sha256(f"{seed} {number}".encode()).digest() * self._dice.randint(1, 3)
            world.known.contents[f"sha256:{hashlib.sha256(content).hexdigest()}"] = content

    def run(self) -> None:
        """Lets everybody take turns, and checks after each. Raises Violation."""
        dice = self._dice
        clients = [self._client(number) for number in range(dice.randint(2, 4))]
        collectors = [self._collector() for _ in range(dice.randint(1, 2))]
        try:
            while any(not one.done for one in clients) and self.turns < MOST_TURNS:
                self.turns += 1
                one = self._choose(clients + collectors)
                if dice.random() < 0.005:
                    one.crash()
                elif dice.random() < self._hurry:
                    self._pass_time(clients)
                else:
                    one.go_on()
                    self._hold(one)
                self._look_at(one)
                collectors = [turn if not turn.done else self._collector() for turn in collectors]
                self._world.check()
        finally:
            for one in clients + collectors:
                one.crash()
        self._world.check()
        self._world.end()

    def _choose(self, turns: list[Turn]) -> Turn:
        """Who goes on: often the same as before, and nobody who is held up, unless all are."""
        if self._last is None or self._last.done or self._last in self._held or self._dice.random() < self._restless:
            self._held = {turn: until for turn, until in self._held.items() if until > self.turns}
            there = [turn for turn in turns if not turn.done]
            self._last = self._dice.choice([turn for turn in there if turn not in self._held] or there)
        return self._last

    def _hold(self, one: Turn) -> None:
        """Holds up, at times for long, who has looked and is about to act, and the collector between two runs."""
        often = {"a rest": 1.0, "a removal": 0.5, "bytes": 0.3, "a transaction": 0.8 if one.name == COLLECTOR else 0.1}
        if self._dice.random() < often.get(one.before, 0):
            self._held[one] = self.turns + self._dice.choice([5, 20, 80])

    def _client(self, number: int) -> Turn:
        return Turn(f"client {number}", client(self._world, random.Random(self._dice.random())))

    def _collector(self) -> Turn:
        return Turn(COLLECTOR, collector(self._world.means))

    def _look_at(self, one: Turn) -> None:
        if one.error is not None:
            raise one.error if isinstance(one.error, Violation) else Violation(f"{one.name}: {one.error!r}")

    def _pass_time(self, clients: list[Turn]) -> None:
        ticks = [replica for replica in (0, 1) if self._dice.random() < 0.7]
        self._dice.shuffle(ticks)
        self._world.pass_time(self._dice.choice(PAUSES), ticks)
        for one in clients:
            if one.commits_by is not None and one.commits_by < self._world.known.clock and not one.done:
                one.crash()


def search(folder: Path, seed: int, first: int, rounds: int, seconds: float) -> dict[str, object]:
    """Searches that many rounds, or for so long; what was found."""
    build(folder / "hub.db")
    world = World(folder / "hub.db", folder)
    began, turns = time.monotonic(), 0
    for number in range(first, first + rounds):
        one = Round(world, f"{seed}/{number}")
        try:
            one.run()
        except Violation as found:
            return {"seed": seed, "round": number, "interleavings": number - first + 1, "violation": str(found)}
        turns += one.turns
        if time.monotonic() - began > seconds:
            rounds = number - first + 1
            break
    return {"seed": seed, "interleavings": rounds, "turns": turns, "seconds": round(time.monotonic() - began, 1)}


def main() -> int:
    """Searches as told; the exit code is 1 if something was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10**9)
    parser.add_argument("--first", type=int, default=0, help="the number of the first round")
    parser.add_argument("--seconds", type=float, default=10**9)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    options = parser.parse_args()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        found = search(Path(folder), options.seed, options.first, options.rounds, options.seconds)
    print(json.dumps(found), flush=True)
    return 1 if "violation" in found else 0


if __name__ == "__main__":
    sys.exit(main())
