"""/readyz: which part is missing, asked often and at once, and never for longer than it says."""

import asyncio
import time
from pathlib import Path

import httpx
import pytest

from storage.database import StorageError
from tests.hub import HubProcess
from wasmhub.readiness import FRESH, PATIENCE, Part, Readiness, blocking


def test_it_names_what_is_missing(tmp_path: Path) -> None:
    blobs = tmp_path / "blobs"
    with HubProcess(tmp_path / "data", WASMHUB_BLOBS=str(blobs)) as hub:
        with httpx.Client(base_url=hub.url, timeout=10, trust_env=False) as client:
            answer = client.get("/readyz")
            assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
            assert answer.json()["ready"] and answer.json()["parts"]["blobs"] == "ok"
            (blobs / "copies").rename(tmp_path / "away")
            time.sleep(FRESH + 0.1)
            answer = client.get("/readyz")
            assert answer.status_code == 503
            found = answer.json()
            assert (found["ready"], found["draining"], found["parts"]["database"]) == (False, False, "ok")
            assert found["parts"]["blobs"] == "the folder of the blob store is not there; put it back"
            assert client.get("/healthz").text == "ok\n"
            (tmp_path / "away").rename(blobs / "copies")
            time.sleep(FRESH + 0.1)
            assert client.get("/readyz").status_code == 200
        hub.check_log()


class Slow:
    """A part that takes its time, and counts how often it is asked."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.asked = 0

    async def __call__(self) -> None:
        self.asked += 1
        await asyncio.sleep(self.seconds)


def test_many_who_ask_are_one_question() -> None:
    async def ask(slow: Slow) -> list[str | None]:
        part = Part("slow", slow)
        return await asyncio.gather(*(part.look() for _ in range(100)))

    slow = Slow(0.05)
    assert asyncio.run(ask(slow)) == [None] * 100
    assert slow.asked == 1


def test_nobody_waits_longer_than_that() -> None:
    async def ask(slow: Slow) -> tuple[list[str | None], float, float]:
        part = Part("slow", slow)
        began = time.monotonic()
        first = await part.look()
        between = time.monotonic()
        second = await part.look()
        return [first, second], between - began, time.monotonic() - between

    slow = Slow(60)
    said, first, second = asyncio.run(ask(slow))
    assert said == [f"did not answer within {PATIENCE} s"] * 2
    assert PATIENCE <= first < PATIENCE + 1
    assert second < 0.5
    assert slow.asked == 1


def broken() -> None:
    raise StorageError("it is gone")


def wholly_broken() -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("parts", "draining", "ready", "words"),
    [
        ([], False, True, {}),
        ([], True, False, {}),
        ([Part("a", Slow(0))], False, True, {"a": "ok"}),
        ([Part("a", Slow(0))], True, False, {"a": "ok"}),
        ([Part("a", Slow(0)), Part("b", blocking(broken))], False, False, {"a": "ok", "b": "it is gone"}),
        ([Part("b", blocking(broken), needed=False)], False, True, {"b": "it is gone; the hub works without it"}),
        ([Part("b", blocking(wholly_broken))], False, False, {"b": "failed; see the hub's log"}),
    ],
)
def test_what_counts(parts: list[Part], draining: bool, ready: bool, words: dict[str, str]) -> None:
    readiness = Readiness(parts)
    readiness.draining = draining
    assert asyncio.run(readiness.look()) == (ready, {"ready": ready, "draining": draining, "parts": words})
