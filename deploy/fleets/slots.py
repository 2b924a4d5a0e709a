"""Which slot a deployment stands in, and when a slot may change, so that no request misses a filter. Pure.

A running Envoy polls each slot by itself, so two slots never change at once. A filter that moves is therefore started
in its new slot before it leaves the old one: for a moment it runs twice, and it is never absent.
"""

from collections.abc import Mapping, Sequence


def place(others: Sequence[int], held: Mapping[int, int], new: int, position: int, slots: int) -> dict[int, int] | None:
    """Slots of all deployments once `new` stands at `position` among `others`, which are in order.

    `held` are their slots now, that of `new` too if it has one. As few as can be move, all of them towards a free slot,
    so that no two wait for each other. None where a move is needed and no slot is free.
    """
    taken = [held[one] for one in others]
    after = taken[position - 1] if position else 0
    before = taken[position] if position < len(taken) else slots + 1
    if after < held.get(new, 0) < before:
        return dict(held)
    free = [slot for slot in range(1, slots + 1) if slot not in held.values()]
    between = [slot for slot in free if after < slot < before]
    if between:
        return {**held, new: between[0]}
    ways = [
        _shift(others[position:], held, new, [slot for slot in free if slot > before]),
        _shift(others[:position][::-1], held, new, [slot for slot in reversed(free) if slot < after]),
    ]
    return min((way for way in ways if way), key=lambda way: sum(way[one] != held[one] for one in others), default=None)


def must_hold(slot: int, runs: int | None, places: Mapping[int, int], running: Mapping[int, int | None]) -> bool:
    """Whether a slot that runs deployment `runs` must keep it, because it does not run yet in its new place.

    `places` are the wanted slots by deployment, `running` what each slot of this node runs. A ring of slots that wait
    for each other, which only a node long away can come to, is let go.
    """
    if runs is None or places.get(runs, slot) == slot:
        return False
    seen, there = {slot}, places[runs]
    if running.get(there) == runs:
        return False
    while there not in seen:
        seen.add(there)
        holder = running.get(there)
        if holder is None or places.get(holder, there) == there or running.get(places[holder]) == holder:
            return True
        there = places[holder]
    return there != slot


def _shift(line: Sequence[int], held: Mapping[int, int], new: int, free: Sequence[int]) -> dict[int, int] | None:
    """Moves those of the line that stand before the first free slot one place on, and puts `new` where they began."""
    if not line or not free:
        return None
    gap, rising = free[0], held[line[0]] < free[0]
    moved = [one for one in line if (held[one] < gap) == rising]
    steps = [held[one] for one in moved[1:]] + [gap]
    return {**held, **dict(zip(moved, steps, strict=True)), new: held[line[0]]}
