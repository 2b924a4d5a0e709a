"""The memory of the read path, used by many threads at once."""

import random
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from registry.caching import Answer, Answers, Bytes
from storage.pulls import Facts


@pytest.fixture
def eager() -> Iterator[None]:
    """Threads that take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_bytes_by_many_threads(eager: None) -> None:
    held = Bytes(limit=20_000)

    def use(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(30_000):
            digest = f"d{dice.randrange(30)}"
            held.put(digest, b"x" * 1000)
            assert held.get(digest) in (None, b"x" * 1000)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(use, range(4)))
    assert sum(held.get(f"d{number}") is not None for number in range(30)) == 20


def test_an_answer_holds_as_long_as_its_facts() -> None:
    held, key = Answers(), (b"Bearer t", "/v2/a/manifests/v1")
    answer, facts = Answer("sha256:1", b"e", 1, [], 1, expires_at=100.0), Facts(repository_id=1, manifest_id=1)
    assert not held.hopes(key)
    held.get("1", key, 0)
    held.put("1", key, facts, answer)
    assert held.hopes(key)
    assert held.get("1", key, 99) is answer
    assert held.get("1", key, 100) is None  # its token has expired
    assert held.get("2", key, 0) is None
    assert not held.hopes(key)  # It would be in vain to look whether that version is still the present one.
    for name in Facts._fields:
        assert held.renew("2", key, facts._replace(**{name: "changed"})) is None
    assert held.renew("3", key, facts) is answer
    assert held.get("3", key, 0) is answer
    assert held.get("2", key, 0) is None


def test_answers_are_bounded_and_the_least_used_goes() -> None:
    held, facts = Answers(limit=2), Facts()
    answers = {name: Answer(name, b"", 1, [], 1, expires_at=100.0) for name in "abc"}
    for name in "ab":
        held.put("1", (b"", name), facts, answers[name])
    assert held.get("1", (b"", "a"), 0) is answers["a"]
    held.put("1", (b"", "c"), facts, answers["c"])
    assert [held.get("1", (b"", name), 0) for name in "abc"] == [answers["a"], None, answers["c"]]
