"""What a stream of xDS has said, request by request, in both dialects."""

import pytest

from deploy.fleets.ecds import EMPTY, content_key, decide
from deploy.fleets.streams import Said, Stream
from storage.nodes import SlotRow

A, B = content_key(1, 1, "aaaa"), content_key(1, 2, "bbbb")
NAMES = ["edge/slot-1", "edge/slot-2"]


@pytest.mark.parametrize("delta", [False, True])
def test_an_answer_is_taken_or_refused_for_its_slot_alone(delta: bool) -> None:
    stream = Stream("edge", 8, delta=delta)
    asked = [] if delta else NAMES
    stream.hear(Said(names=[*NAMES, "edge/slot-9", "other/slot-1", "x"]))
    assert stream.running == {1: "", 2: ""} and stream.due == {1, 2}
    stream.due.clear()

    stream.hear(Said(stream.send(1, f"{A}.a1").nonce, names=asked))
    assert stream.running == {1: f"{A}.a1", 2: ""} and stream.due == {1} and stream.sent is None
    sent = stream.send(1, f"{B}.a1")
    stream.hear(Said("of-another", "late words", names=asked))
    assert stream.sent == sent and not stream.refusals
    stream.hear(Said(sent.nonce, "no\nsuch\0root " + "x" * 9_000, names=asked))

    assert stream.running == {1: f"{A}.a1", 2: ""}
    assert stream.refusals[1].version == f"{B}.a1"
    assert stream.refusals[1].why.startswith("no such root xxx") and len(stream.refusals[1].why) == 500


def test_an_envoy_that_comes_back_says_what_each_slot_runs() -> None:
    stream = Stream("edge", 8, delta=False)
    stream.hear(Said(names=NAMES))
    stream.hear(Said(stream.send(2, EMPTY).nonce, names=NAMES))
    said = stream.joined(stream.send(1, f"{A}.a1"))

    back = Stream("edge", 8, delta=False)
    back.hear(Said(names=[*NAMES, "edge/slot-3"], version=said))
    assert back.running == {1: f"{A}.a1", 2: EMPTY, 3: ""}
    delta = Stream("edge", 8, delta=True)
    delta.hear(Said(names=NAMES, versions={NAMES[0]: f"{A}.a1"}))
    assert delta.running == {1: f"{A}.a1", 2: ""}


def test_what_is_not_asked_for_any_more_is_forgotten() -> None:
    stream = Stream("edge", 8, delta=False)
    stream.hear(Said(names=NAMES))
    stream.hear(Said(names=NAMES[:1]))
    delta = Stream("edge", 8, delta=True)
    delta.hear(Said(names=NAMES))
    delta.hear(Said(left=NAMES[1:]))
    assert stream.running == delta.running == {1: ""} and stream.due == delta.due == {1}


@pytest.mark.parametrize("echoed", ["", f"{A}.a1"])
def test_a_refusal_that_is_said_counts_at_once_and_keeps_its_words(echoed: str) -> None:
    record = SlotRow(served=f"{B}.a1", running=echoed)
    decision = decide(record, [B, A], echoed, why="no such root")
    assert decision.refused == B and decision.record.refused == (B,) and decision.record.why == "no such root"
    assert decision.serve == (None if echoed else f"{A}.a1")
    assert decide(decision.record, [B], f"{B}.a1").record.why == "", "what it took after all has no words left"
