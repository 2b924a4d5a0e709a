"""What trust rules want of a token's claims: pure."""

import time
from typing import Any

import pytest

from auth.trust import meets, problem_of

CLAIMS: dict[str, Any] = {
    "sub": "repo:acme/filters:ref:refs/heads/main",
    "groups": ["dev", "release"],
    "run": 42,
    "protected": True,
    "half": 0.5,
    "nothing": None,
    "nested": {"a": "b"},
    "lists": [["dev"]],
}


@pytest.mark.parametrize(
    ("wanted", "met"),
    [
        ({"sub": "repo:acme/filters:ref:refs/heads/main"}, True),
        ({"sub": "repo:acme/filters:ref:refs/heads/mai"}, False),
        ({"sub": "repo:acme/*"}, True),
        ({"sub": "repo:acme/*:ref:refs/heads/*"}, True),
        ({"sub": "*:ref:refs/tags/*"}, False),
        ({"sub": "*main"}, True),
        ({"sub": "*"}, True),
        ({"sub": "REPO:acme/*"}, False),
        ({"sub": "repo:acme/filters:ref:refs/heads/main*main"}, False),  # what two parts share counts once
        ({"sub": "repo.acme/*"}, False),
        ({"sub": "[r]epo*"}, False),
        ({"sub": "repo:acme/filters:ref:refs/heads/mai?"}, False),
        ({"groups": "release"}, True),
        ({"groups": "rel*"}, True),
        ({"groups": "admin"}, False),
        ({"lists": "dev"}, False),
        ({"run": "42"}, True),
        ({"run": "4*"}, True),
        ({"protected": "true"}, True),
        ({"protected": "1"}, False),
        ({"half": "0.5"}, False),
        ({"nothing": "*"}, False),
        ({"nothing": "None"}, False),
        ({"nested": "*"}, False),
        ({"absent": "*"}, False),
        ({"sub": "repo:acme/*", "run": "42"}, True),
        ({"sub": "repo:acme/*", "run": "43"}, False),
    ],
)
def test_claims_are_compared(wanted: dict[str, str], met: bool) -> None:
    assert meets(wanted, CLAIMS) is met


def test_no_pattern_takes_long() -> None:
    began = time.perf_counter()
    assert not meets({"sub": "*a" * 500 + "b"}, {"sub": "a" * 16000})
    assert time.perf_counter() - began < 0.1


@pytest.mark.parametrize(
    "wanted",
    [
        None,
        [],
        {},
        {"sub": ""},
        {"": "x"},
        {"sub": 1},
        {"sub": None},
        {"sub": "*"},
        {"sub": "**", "x": "*"},
        {"sub": "x" * 1025},
        {f"c{number}": "x" for number in range(21)},
        {"sub": "repo:acme/*\u202egniht"},  # which turns the direction of reading
        {"sub\x07": "repo:acme/*"},
    ],
)
def test_rules_that_mean_nothing_are_refused(wanted: Any) -> None:
    assert problem_of(wanted)


def test_a_rule_that_wants_something_is_kept() -> None:
    assert problem_of({"sub": "repo:acme/*", "environment": "*"}) is None
