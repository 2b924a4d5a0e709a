"""Requests with a stopwatch, for tests that break something under a hub."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar

import httpx

from tests.hub import HubProcess

P = ParamSpec("P")
Answer = TypeVar("Answer")


def timed(ask: Callable[P, Answer], *values: P.args, **more: P.kwargs) -> tuple[Answer, float]:
    """What a call gives, and the seconds that it took."""
    began = time.monotonic()
    answer = ask(*values, **more)
    return answer, time.monotonic() - began


def sign_in(hub: HubProcess, name: str, password: str, address: str = "10.9.9.9") -> httpx.Response:
    """Asks for a registry token by password, as somebody who comes from that address."""
    return httpx.get(
        f"{hub.url}/token",
        auth=(name, password),
        headers={"X-Forwarded-For": address},
        trust_env=False,
        timeout=30,
    )


def readyz(hub: HubProcess) -> tuple[int, dict[str, Any]]:
    """Status and parts that /readyz names."""
    answer = httpx.get(f"{hub.url}/readyz", trust_env=False, timeout=10)
    found: dict[str, Any] = answer.json()
    return answer.status_code, found["parts"]


def seconds_until(true: Callable[[], bool], limit: float) -> float:
    """How long it takes until something is true; an error in asking counts as false. Fails after the limit."""
    began = time.monotonic()
    while time.monotonic() - began < limit:
        with suppress(httpx.TransportError):
            if true():
                return time.monotonic() - began
        time.sleep(0.05)
    raise AssertionError(f"not true within {limit} s")
