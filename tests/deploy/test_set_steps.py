"""What is next with a deployment set, from its row and how its deployments stand."""

from dataclasses import replace
from typing import Any

import pytest

from deploy.sets.deciding import Part, next_step
from storage.set_rows import MemberRow, SetRow

AT = 10_000_000
SPEC = {"bake": 30_000, "members": [{"wave": 1}, {"wave": 2}]}
ROW = SetRow(
    id=1,
    namespace_id=1,
    namespace="edge",
    name="limits",
    created_at=0,
    leaving_at=None,
    number=2,
    action="apply",
    spec=SPEC,
    state="running",
    wave=1,
    step=3,
    baking_since=None,
    why="",
    asked_by_id=1,
    asked_by="ann",
    scopes=None,
    revised_at=0,
    ended_at=None,
)
BAKING = replace(ROW, baking_since=AT - 10_000)
OVER = replace(ROW, baking_since=AT - 30_000)


def member(wave: int, **other: Any) -> MemberRow:
    """A deployment of a wave that was not changed yet."""
    fields: dict[str, Any] = {"wanted": True, "carries": 1, "given": 4, "moved": False, "before": None, "carried": 0}
    return MemberRow(wave, wave, f"mesh-{wave}", "limits", wave, wave, 0, **fields | other)


def old(wave: int, **other: Any) -> Part:
    """As it was before."""
    return replace(Part(member(wave), 4, "ready", "fine", settled=True), **other)


def new(wave: int, **other: Any) -> Part:
    """With what the set gave it, which it runs."""
    moved = member(wave, moved=True, given=5, before=4)
    return replace(Part(moved, 5, "ready", "fine", settled=True), **other)


LATE: dict[str, Any] = {"status": "progressing", "message": "1 of 2 proxies", "settled": False}
UNSEEN: dict[str, Any] = {"status": "applied-not-observed", "message": "applied"}


@pytest.mark.parametrize(
    ("row", "parts", "do", "says"),
    [
        (replace(ROW, wave=0), [old(1), old(2)], "move", "wave 1 of 2: mesh-1/limits"),
        (ROW, [old(1), old(2)], "change", "mesh-1/limits is next"),
        (ROW, [new(1, **LATE), old(2)], "wait", "0 of 1 deployments are ready; mesh-1/limits: 1 of 2 proxies"),
        (ROW, [new(1), old(2)], "move", "1 of 1 deployments are ready; watched for 30 s"),
        (ROW, [new(1, **UNSEEN), old(2)], "move", "(mesh-1/limits: applied, not observed); watched"),
        (BAKING, [new(1), old(2)], "wait", "watched for 20 s more"),
        (BAKING, [new(1, **LATE), old(2)], "move", "1 of 2 proxies"),
        (OVER, [new(1), old(2)], "move", "wave 2 of 2: mesh-2/limits"),
        (replace(OVER, wave=2), [new(1), new(2)], "complete", "all 2 deployments have revision 2"),
        (ROW, [old(1, closed="mesh-1 is frozen: holidays"), old(2)], "wait", "mesh-1/limits waits: mesh-1 is frozen"),
        (replace(ROW, state="paused"), [old(1), old(2)], "wait", "paused; revision 2, wave 1 of 2"),
        (ROW, [new(1, status="stalled", message="no rights"), old(2)], "halt", "mesh-1/limits is stalled: no rights"),
        (replace(ROW, wave=2), [new(1, status="stalled", message="x"), old(2)], "halt", "mesh-1/limits is stalled: x"),
        (replace(ROW, state="paused"), [new(1, status="stalled", message="x"), old(2)], "halt", "is stalled: x"),
        (ROW, [old(1, status="stalled", message="before"), old(2)], "change", "is next"),
        (ROW, [new(1, number=None), old(2)], "halt", "was undeployed meanwhile"),
        (ROW, [new(1, number=6), old(2)], "halt", "was changed by somebody else: it has revision 6, not 5"),
        (ROW, [new(1, number=6, why_back="its rollout 7 was halted: 5xx"), old(2)], "halt", "its rollout 7 was halted"),
        (
            replace(ROW, state="halted", why="bad"),
            [new(1, **LATE), old(2)],
            "wait",
            "bad; going back; mesh-1/limits: 1",
        ),
        (replace(ROW, state="halted", why="bad"), [new(1), old(2, **LATE)], "close", "is as it was before"),
        (replace(ROW, state="aborted", why="bad"), [new(1, number=None), old(2)], "close", "is as it was before"),
        (replace(ROW, state="stopped", why="bad", ended_at=1), [new(1)], "wait", "bad"),
        (replace(ROW, state="done"), [new(1), new(2)], "close", "2 of 2 deployments are ready with revision 2"),
        (
            replace(ROW, state="done"),
            [new(1), replace(old(2), member=member(2, wanted=False))],
            "wait",
            "is being taken away; mesh-2/limits: fine",
        ),
        (
            replace(ROW, state="done", ended_at=1),
            [new(1), new(2, **LATE)],
            "wait",
            "1 of 2 deployments are ready; mesh-2",
        ),
        (replace(ROW, leaving_at=1), [new(1), new(2, number=None)], "wait", "it is being taken away; mesh-1/limits"),
        (replace(ROW, leaving_at=1), [new(1, number=None)], "forget", "nothing is left"),
    ],
)
def test_what_is_next(row: SetRow, parts: list[Part], do: str, says: str) -> None:
    step = next_step(row, parts, at=AT)
    assert step.do == do and says in step.message, step


def test_a_wave_that_did_not_stand_is_watched_anew() -> None:
    step = next_step(BAKING, [new(1, **LATE), old(2)], at=AT)
    assert (step.do, step.baking_since, step.wave) == ("move", None, 1)
    again = next_step(replace(BAKING, baking_since=None), [new(1), old(2)], at=AT)
    assert (again.baking_since, again.wave) == (AT, 1)


def test_of_a_wave_one_is_changed_after_the_other_and_none_waits_for_one_that_is_closed() -> None:
    first, second = old(1, closed="frozen"), old(1)
    second = replace(second, member=replace(second.member, name="other"))
    step = next_step(ROW, [first, second], at=AT)
    assert step.do == "change" and step.part is second
