"""Where deployments stand, and that no filter is ever absent while they move, however the polls fall."""

import random

import pytest

from deploy.fleets.slots import must_hold, place

A, B, C, D, E = 1, 2, 3, 4, 5


@pytest.mark.parametrize(
    ("others", "held", "new", "position", "expected"),
    [
        ([], {}, A, 0, {A: 1}),
        ([A], {A: 1}, B, 1, {A: 1, B: 2}),
        ([A], {A: 1}, B, 0, {B: 1, A: 2}),
        ([A, B], {A: 1, B: 2}, C, 1, {A: 1, C: 2, B: 3}),
        ([B], {A: 1, B: 2}, A, 1, {B: 2, A: 3}),
        ([A], {A: 1, B: 2}, B, 0, {B: 1, A: 3}),
        ([A, B], {A: 1, B: 3}, C, 1, {A: 1, C: 2, B: 3}),
        ([A, B], {A: 3, B: 4}, C, 2, {B: 3, A: 2, C: 4}),
        ([A, B, C], {A: 1, B: 2, C: 3, D: 4}, D, 3, {A: 1, B: 2, C: 3, D: 4}),
        ([A, B, C], {A: 1, B: 2, C: 3}, D, 0, {D: 1, A: 2, B: 3, C: 4}),
        ([A, B, C, D], {A: 1, B: 2, C: 3, D: 4}, E, 0, None),
        ([B, C, D], {A: 1, B: 2, C: 3, D: 4}, A, 1, None),
    ],
)
def test_place(
    others: list[int], held: dict[int, int], new: int, position: int, expected: dict[int, int] | None
) -> None:
    assert place(others, held, new, position, 4) == expected


@pytest.mark.parametrize(
    ("slot", "runs", "places", "running", "expected"),
    [
        (1, None, {A: 2}, {}, False),
        (1, A, {A: 1}, {1: A}, False),
        (1, A, {}, {1: A}, False),  # undeployed
        (1, A, {A: 2}, {1: A}, True),
        (1, A, {A: 2}, {1: A, 2: A}, False),
        (1, A, {A: 2, B: 3}, {1: A, 2: B}, True),
        (1, A, {A: 2, B: 1}, {1: A, 2: B}, False),  # they would wait for each other
        (1, A, {A: 2, B: 3, C: 2}, {1: A, 2: B, 3: C}, True),  # not one of the ring
    ],
)
def test_must_hold(
    slot: int, runs: int | None, places: dict[int, int], running: dict[int, int | None], expected: bool
) -> None:
    assert must_hold(slot, runs, places, running) is expected


@pytest.mark.parametrize("seed", range(60))
def test_no_filter_is_ever_absent(seed: int) -> None:
    """Adds, moves and removes at random; polls at random, some slots rarely; looks after each poll."""
    dice = random.Random(seed)
    line: list[int] = []
    held: dict[int, int] = {}
    running: dict[int, int | None] = dict.fromkeys(range(1, 9))
    for step in range(40):
        line, held = _changed(dice, line, held, step + 1)
        present = {one for one in running.values() if one}
        for _ in range(200):
            slot = dice.choice(list(running))
            wanted = next((one for one, place_ in held.items() if place_ == slot), None)
            if not must_hold(slot, running[slot], held, running):
                running[slot] = wanted
            now = {one for one in running.values() if one}
            assert present & set(line) <= now
            present = now
        assert [running[slot] for slot in sorted(running) if running[slot]] == line


def _changed(
    dice: random.Random, line: list[int], held: dict[int, int], fresh: int
) -> tuple[list[int], dict[int, int]]:
    if line and dice.random() < 0.3:
        gone = dice.choice(line)
        return [one for one in line if one != gone], {one: at for one, at in held.items() if one != gone}
    new = dice.choice(line) if line and dice.random() < 0.6 else fresh
    others = [one for one in line if one != new]
    position = dice.randint(0, len(others))
    placed = place(others, held, new, position, 8)
    if placed is None:
        return line, held
    return [*others[:position], new, *others[position:]], placed
