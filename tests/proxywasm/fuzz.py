"""Reads mutated modules: `python -m tests.proxywasm.fuzz SEED COUNT` prints what came of them as JSON.

The same seed gives the same modules. Only ModuleError may come out of the reader; anything else ends the run with the
number of the module and its bytes.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from collections import Counter

from proxywasm import ModuleError, describe_module, read_module
from proxywasm.cursor import Cursor
from tests.proxywasm.cases import all_cases

INTERESTING = bytes(
    (0, 1, 2, 3, 4, 7, 11, 0x40, 0x41, 0x4E, 0x50, 0x60, 0x63, 0x64, 0x6F, 0x70, 0x7B, 0x7F, 0x80, 0xFF)
)
HUGE = (b"\xff\xff\xff\xff\x0f", b"\x80\x80\x80\x80\x00", b"\xff\xff\xff\x7f", b"\xff\x7f", b"\xc0\x84\x3d")


class Mutator:
    """Turns good modules into bad ones, always the same for one seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._seeds = [case.data for case in all_cases()]
        self._parts = [split(data) for data in self._seeds if describe_module(data).kind == "module" and len(data) > 8]

    def make(self) -> bytes:
        """The next module: one of the seeds after one to four mutations."""
        if self._random.random() < 0.3:
            return self._mutate_all(bytearray(self._random.choice(self._seeds)))
        parts = [(number, bytearray(content)) for number, content in self._random.choice(self._parts)]
        for _ in range(self._random.choice((1, 1, 2, 3))):
            _, content = self._random.choice(parts)
            self._mutate(content, self._random.randrange(len(content)) if content else 0)
        # The sections keep a good frame, so that the fault is met deep inside one of them.
        framed = b"".join(bytes([number]) + leb(len(content)) + content for number, content in parts)
        return b"\0asm\1\0\0\0" + framed

    def _mutate_all(self, data: bytearray) -> bytes:
        for _ in range(self._random.choice((1, 1, 2, 3, 4))):
            # Most mutations spare the header, behind which everything interesting lies.
            first = 8 if len(data) > 9 and self._random.random() < 0.98 else 0
            at = self._random.randrange(first, len(data)) if len(data) > first else 0
            self._mutate(data, at)
        return bytes(data)

    def _mutate(self, data: bytearray, at: int) -> None:
        kind = self._random.randrange(10)
        if kind < 4 and data:
            data[at] = self._random.choice(INTERESTING) if kind < 3 else self._random.randrange(256)
        elif kind == 4:
            del data[at : at + self._random.choice((1, 1, 2, 8))]
        elif kind == 5:
            data[at:at] = bytes(self._random.choices(INTERESTING, k=self._random.choice((1, 2, 8))))
        elif kind == 6:
            data[at : at + 1] = self._random.choice(HUGE)
        elif kind == 7:
            del data[at:]
        elif kind == 8:
            other = self._random.choice(self._seeds)
            start = self._random.randrange(len(other)) if other else 0
            data[at:at] = other[start : start + self._random.choice((4, 16, 64))]
        else:
            data[at:at] = data[at : at + 32] * self._random.choice((1, 2, 100))


def split(module: bytes) -> list[tuple[int, bytes]]:
    """The sections of a good module as number and content; custom sections with their name."""
    parts = []
    cursor = Cursor(module, 8, len(module))
    while cursor.at < cursor.end:
        number = cursor.byte("a number")
        parts.append((number, cursor.raw("a section")))
    return parts


def leb(value: int) -> bytes:
    """An unsigned number as WebAssembly writes it."""
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def read(data: bytes) -> str:
    """What the reader says of one module, in a word; checks what must hold for all."""
    try:
        facts = read_module(data)
    except ModuleError as error:
        assert 0 <= error.offset <= len(data)
        assert error.sentence
        return "unreadable"
    assert facts.size == len(data)
    assert all(problem.sentence.endswith(".") for problem in facts.problems)
    if len(data) % 16 == 0:
        json.dumps(facts.to_json())
    return "loads" if facts.loads_in_envoy else "refused"


def run(seed: int, count: int) -> dict[str, float]:
    """Reads `count` modules; gives how many came out how, the slowest one's time and the growth of memory."""
    mutator = Mutator(seed)
    words: Counter[str] = Counter()
    slowest = 0.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(count):
        data = mutator.make()
        begun = time.process_time()
        try:
            words[read(data)] += 1
        except BaseException:
            print(f"seed {seed}, module {number}: {data.hex()}", file=sys.stderr)
            raise
        slowest = max(slowest, time.process_time() - begun)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {**words, "slowest_seconds": slowest, "grown_kib": grown}


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]), int(sys.argv[2]))))
