"""The memory of the read path, used by many threads at once."""

import random
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from registry.caching import Bytes


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
