"""Whether there is room on fleets for what a deployment set brings there: its place among the filters, and slots."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from sqlalchemy.orm import Session

from deploy.commands import arrangement
from deploy.meshes.kinds import MESHES
from deploy.sets.wanted import WantedMember, WantedSet
from storage.database import Conflict
from storage.deployments import Placed, target_deployments
from storage.targets import TargetRow


def crowded(
    session: Session, targets: Mapping[str, TargetRow], wanted: WantedSet
) -> Iterator[tuple[WantedMember, str]]:
    """The members that would find no room on their fleet beside what runs there and the members before, and why."""
    for target in targets.values():
        if target.kind in MESHES:
            continue
        placed = {
            one.name: Placed(one.id, one.name, one.slot, one.current.order)
            for one in target_deployments(session, target.id)
            if one.slot is not None
        }
        for number, member in enumerate(sorted(wanted.members, key=lambda one: one.wave), 1):
            if member.target != target.name:
                continue
            there = placed.get(member.name)
            last = max((one.order for one in placed.values()), default=0) + 1
            order = wanted.order or (there.order if there is not None else last)
            moved = there.id if there is not None else -number  # no deployment has such an id
            try:
                slots = arrangement(target, still=member.rollout is not None)([*placed.values()], moved, order)
            except Conflict as conflict:
                yield member, str(conflict)
                continue
            placed[member.name] = Placed(moved, member.name, slots[moved], order)
            placed = {name: replace(one, slot=slots.get(one.id, one.slot)) for name, one in placed.items()}
