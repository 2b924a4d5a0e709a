"""Waves and figures in the words of pages."""

from typing import Any

import pytest

from deploy.rollouts.health import HEALTHY, UNKNOWN
from storage.rollout_rows import ABORTED, BACK, DONE, HALTED, OPEN, RUNNING
from web.staged import EVENTS, STATES, figures_in_words, waves_in_words


def rollout(state: str, wave: int, *kinds: tuple[str, int]) -> dict[str, Any]:
    """One of three waves with those events."""
    events = [{"kind": kind, "wave": number} for kind, number in kinds]
    return {"state": state, "wave": wave, "waves": [20, 50, 100], "events": events}


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (rollout("running", 0), ["to come", "to come", "to come"]),
        (rollout("running", 2, ("unknown", 1), ("wave", 2)), ["health not known", "going out", "to come"]),
        (rollout("running", 2, ("healthy", 1), ("baking", 2)), ["healthy", "being watched", "to come"]),
        (rollout("paused", 1, ("baking", 1)), ["paused", "to come", "to come"]),
        (rollout("halted", 2, ("healthy", 1), ("halted", 2)), ["taken back", "halted", "never begun"]),
        (rollout("rolled-back", 1, ("rolled-back", 1)), ["halted", "never begun", "never begun"]),
        (rollout("aborted", 0), ["never begun", "never begun", "never begun"]),
        (
            rollout("done", 3, ("healthy", 1), ("unknown", 2), ("healthy", 3)),
            ["healthy", "health not known", "healthy"],
        ),
    ],
)
def test_each_wave_says_how_far_it_is(shown: dict[str, Any], words: list[str]) -> None:
    found = waves_in_words(shown)
    assert [one["is"].headline for one in found] == words
    now = [one["share"] for one in found if one["now"]]
    goes_on = shown["state"] in OPEN and shown["wave"]
    assert now == ([shown["waves"][shown["wave"] - 1]] if goes_on else [])


def test_figures_are_two_lines_and_none_of_nobody() -> None:
    new = {"proxies": 1, "requests": 1200, "errors": 3, "reloads": 1, "p95_ms": 63.0}
    old = {"proxies": 4, "requests": 1, "errors": 0, "reloads": 0, "p95_ms": None}
    assert figures_in_words({"new": new, "old": old, "compared_with": "nodes not changed yet"}) == [
        "With it: 1 proxy, 1,200 requests, 3 answered with 5xx, VM made anew 1 time",
        "Nodes not changed yet: 4 proxies, 1 request, 0 answered with 5xx",
    ]
    assert figures_in_words({"new": {**new, "proxies": 0}, "old": {**old, "proxies": 0}, "compared_with": ""}) == []
    assert figures_in_words(None) == []


def test_every_state_and_event_has_words() -> None:
    assert STATES.keys() == {*OPEN, HALTED, BACK, DONE, ABORTED}
    told = {"started", "wave", "baking", "resumed", HEALTHY, UNKNOWN}
    assert EVENTS.keys() == (STATES.keys() - {RUNNING}) | told
