"""What one slot of one Envoy is answered: each row one poll, in the order in which they come."""

import pytest

from deploy.fleets.ecds import EMPTY, attempt_of, content_key, content_of, decide, deployment_of, salted
from storage.nodes import SlotRow

A = content_key(1, 1, "aaaa")
B = content_key(1, 2, "bbbb")
C = content_key(1, 3, "cccc")

# (wanted, echoed, what is served or None, content accepted, content refused); "!" after what is served: the answer left
# in full. Attempt 1 of A is "A1". One story a list; the record starts empty.
Poll = tuple[list[str], str, str, str, str]
STORIES: dict[str, list[Poll]] = {
    "a first filter is taken": [([A], "", "A1!", "", ""), ([A], "A1", "", "A", ""), ([A], "A1", "", "", "")],
    "an empty slot, a filter, and empty again": [
        ([EMPTY], "", "empty!", "", ""),
        ([EMPTY], "empty", "", "empty", ""),
        ([A], "empty", "A1!", "", ""),
        ([A], "A1", "", "A", ""),
        ([EMPTY], "A1", "empty!", "", ""),
        ([EMPTY], "empty", "", "empty", ""),
    ],
    "an old version after an answer that left is a refusal, and that content is never served again": [
        ([A], "", "A1!", "", ""),
        ([A], "A1", "", "A", ""),
        ([B, A], "A1", "B1!", "", ""),
        ([B, A], "A1", "", "", "B"),
        ([B, A], "A1", "", "", ""),
        ([B, A], "", "A2!", "", ""),
        ([B, A], "A2", "", "", ""),
        ([C, B, A], "A2", "C1!", "", ""),
        ([C, B, A], "C1", "", "C", ""),
    ],
    "an answer that was cut off is given once more in changed bytes, then an old version decides": [
        ([A], "", "A1!", "", ""),
        ([A], "A1", "", "A", ""),
        ([B, A], "A1", "B1", "", ""),
        ([B, A], "A1", "B2", "", ""),
        ([B, A], "A1", "", "", "B"),
    ],
    "an answer that was cut off is taken the second time": [
        ([A], "", "A1", "", ""),
        ([A], "", "A2!", "", ""),
        ([A], "A2", "", "A", ""),
    ],
    "a node that names nothing may have been restarted: only the second answer decides": [
        ([B, A], "", "B1!", "", ""),
        ([B, A], "", "B2!", "", ""),
        ([B, A], "", "A1!", "", "B"),
        ([B, A], "A1", "", "A", ""),
    ],
    "nothing that can be run is left: nothing is served, again and again": [
        ([A], "", "A1!", "", ""),
        ([A], "", "A2!", "", ""),
        ([A], "", "", "", "A"),
        ([A], "", "", "", ""),
    ],
    "what ran before is given to a restarted node however often it restarts": [
        ([A], "", "A1!", "", ""),
        ([A], "A1", "", "A", ""),
        ([A], "", "A2!", "", ""),
        ([A], "", "A3!", "", ""),
        ([A], "", "A4!", "", ""),
        ([A], "A4", "", "", ""),
    ],
    "the wish changes while an answer is out": [
        ([A], "", "A1!", "", ""),
        ([A], "A1", "", "A", ""),
        ([B, A], "A1", "B1", "", ""),
        ([C, B, A], "A1", "C1!", "", ""),
        ([C, B, A], "C1", "", "C", ""),
    ],
    "a refusal is seen though the wish has changed": [
        ([A], "", "A1!", "", ""),
        ([A], "A1", "", "A", ""),
        ([B, A], "A1", "B1!", "", ""),
        ([C, B, A], "A1", "C1!", "", "B"),
        ([C, B, A], "C1", "", "C", ""),
    ],
    "a filter refused in a slot that ran another's gives way to nothing": [
        ([EMPTY], "", "empty!", "", ""),
        ([A, EMPTY], "empty", "A1!", "", "empty-is-running"),
        ([A, EMPTY], "empty", "", "", "A"),
    ],
    "two Envoys under one name: what one of them takes was no refusal": [
        ([A], "", "A1!", "", ""),
        ([A], "A1", "", "A", ""),
        ([B, A], "A1", "B1!", "", ""),
        ([B, A], "A1", "", "", "B"),
        ([B, A], "B1", "", "B", ""),
        ([B, A], "A1", "B2!", "A", ""),
        ([B, A], "B2", "", "B", ""),
    ],
}


def spelled(short: str) -> str:
    """`A1` as the version that it stands for."""
    contents = {"A": A, "B": B, "C": C}
    if short[:1] not in contents:
        return short
    return contents[short[0]] + (f".a{short[1:]}" if short[1:] else "")


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_polls(story: list[Poll]) -> None:
    record = SlotRow()
    for number, (wanted, echoed, answer, accepted, refused) in enumerate(story):
        decision = decide(record, wanted, spelled(echoed))
        assert (decision.serve or "") == spelled(answer.rstrip("!")), f"poll {number}"
        if refused == "empty-is-running":
            accepted, refused = EMPTY, ""
        assert (decision.accepted or "") == spelled(accepted), f"poll {number}"
        assert (decision.refused or "") == spelled(refused), f"poll {number}"
        record = decision.record
        if decision.serve:
            assert record.served == decision.serve and not record.delivered
            record = SlotRow(record.served, answer.endswith("!"), record.running, record.refused)


def test_a_restarted_hub_decides_from_the_record_alone() -> None:
    served = SlotRow(served=f"{B}.a1", delivered=True, running=f"{A}.a1")

    decision = decide(served, [B, A], f"{A}.a1")

    assert decision.refused == B
    assert decision.record.refused == (B,)
    assert decision.serve is None


def test_a_held_slot_keeps_what_it_runs_but_is_not_left_with_nothing() -> None:
    record = SlotRow(served=f"{A}.a1", delivered=True, running=f"{A}.a1")

    assert decide(record, [EMPTY], f"{A}.a1", hold=True).serve is None
    assert decide(record, [EMPTY], "", hold=True).serve == EMPTY


@pytest.mark.parametrize(
    ("refused", "version", "changed"),
    [
        ((), f"{A}.a1", False),
        ((), f"{A}.a2", True),
        ((B,), f"{A}.a1", False),
        ((A,), f"{content_key(1, 9, 'aaaa')}.a1", True),
    ],
)
def test_bytes_change_where_envoy_would_skip_equal_ones(refused: tuple[str, ...], version: str, changed: bool) -> None:
    assert salted(SlotRow(refused=refused), version) is changed


def test_only_the_newest_refusals_are_kept() -> None:
    record = SlotRow(running="x")
    for number in range(100):
        record = decide(record, [content_key(1, number, f"{number:04}")], "x").record
        record = SlotRow(record.served, True, record.running, record.refused)

    assert len(record.refused) == 32
    assert record.refused[-1] == content_key(1, 98, "0098")


@pytest.mark.parametrize("version", ["", "empty", "a", ".a1", "d.r1", "d²", "d" + "9" * 99, "d1x.r1", "\n", "1.0.0-a1"])
def test_foreign_versions_belong_to_nothing(version: str) -> None:
    assert deployment_of(version) is None
    assert attempt_of(version) >= 1
    assert decide(SlotRow(), [A], version).serve == f"{A}.a1"


def test_versions_tell_their_parts() -> None:
    version = f"{content_key(12, 3, 'beef')}.a2"

    assert (deployment_of(version), content_of(version), attempt_of(version)) == (12, "d12.r3.beef", 2)
