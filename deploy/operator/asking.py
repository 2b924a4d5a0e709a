"""What the hub says of specs: asked once of each, and of what could not be made true again, later and later."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy.operator.hub import Examined, Hub
from deploy.operator.queue import wait_after
from deploy.operator.resource import Filter, Key


@dataclass
class Asking:
    """All that the hub has said. `settings` are those of a target, for each kind of mesh that is looked after."""

    hub: Hub
    settings: Mapping[str, Mapping[str, Any]]
    _said: dict[Key, tuple[str, int, Examined]] = field(default_factory=dict)  # by the spec that it was said of

    async def examined(self, one: Filter) -> Examined:
        """What the hub says of a spec. Raises HubAway and HubRefused."""
        known = self.known(one)
        if known is not None:
            return known
        config, kind = one.spec.get("config"), one.mesh.kind
        settings = one.settings(self.settings[kind])
        found = await self.hub.examine(kind, settings, one.reference, config, one.placement())
        self._said[one.key] = (one.uid, one.generation, found)
        return found

    def known(self, one: Filter) -> Examined | None:
        """What it has said of this very spec."""
        said = self._said.get(one.key)
        return said[2] if said is not None and said[:2] == (one.uid, one.generation) else None

    def forget(self, key: Key) -> None:
        """Has it be asked anew."""
        self._said.pop(key, None)


@dataclass(frozen=True)
class Failure:
    """Why one spec could not be made true, and when that is tried again. With `asks` the hub may say otherwise then."""

    uid: str
    generation: int
    times: int
    due: float
    error: Exception | None
    asks: bool

    @property
    def wait(self) -> float:
        """Seconds from now."""
        return max(0.0, self.due - time.monotonic())


class Failures:
    """Those of filters that are worked on together, where one that fails must not slow the others."""

    def __init__(self) -> None:
        self._known: dict[Key, Failure] = {}

    def of(self, one: Filter) -> Failure | None:
        """The last of this very spec; None where it has not failed."""
        found = self._known.get(one.key)
        return found if found is not None and (found.uid, found.generation) == (one.uid, one.generation) else None

    def add(self, one: Filter, error: Exception | None = None, *, asks: bool = False) -> float:
        """It has failed; seconds until it is due again, which go on as they were while they are not over."""
        before = self.of(one)
        if before is None or not before.wait:
            times = before.times + 1 if before is not None else 1
            before = Failure(one.uid, one.generation, times, time.monotonic() + wait_after(times), error, asks)
            self._known[one.key] = before
        return before.wait

    def forget(self, key: Key) -> None:
        """It has not failed, or is gone."""
        self._known.pop(key, None)
