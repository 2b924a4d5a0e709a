"""What proxies count while a filter is rolled out: sums of requests, errors, reloads and times. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Sample:
    """One message of one proxy. Counters run from the proxy's start; times are those since the message before."""

    managers: dict[str, list[int]] = field(default_factory=dict)  # by HTTP connection manager: completed, 5xx
    times: dict[str, int] = field(default_factory=dict)  # requests by the upper bound of their bucket, milliseconds
    reloads: dict[str, dict[str, int]] = field(default_factory=dict)  # by plugin: how often its VM was made anew


@dataclass(frozen=True)
class Figures:
    """The sums over some proxies for some time."""

    proxies: int = 0
    requests: int = 0
    errors: int = 0  # answered with 5xx
    reloads: int = 0
    times: Mapping[float, int] = field(default_factory=dict)
    managers: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def share(self) -> float:
        """The share of errors, in percent."""
        return percent(self.errors, self.requests)

    def p95(self) -> float | None:
        """The time under which 95 of 100 requests were answered, in milliseconds, as far as Envoy's buckets tell."""
        return quantile(self.times, 0.95)

    def shown(self) -> dict[str, Any]:
        """As people and programs read it."""
        shown: dict[str, Any] = {"proxies": self.proxies, "requests": self.requests, "errors": self.errors}
        p95 = self.p95()
        return shown | {"reloads": self.reloads, "p95_ms": None if p95 is None else round(p95, 1)}


def percent(part: int, whole: int) -> float:
    """A share in percent; 0 of nothing."""
    return 100 * part / whole if whole else 0.0


def difference(before: Sample, after: Sample, plugin: str) -> dict[str, Any]:
    """What was counted between two messages of one proxy, as it is stored.

    A counter that fell belongs to a proxy that was started anew: all that it says is new.
    """
    managers = {}
    for name, counts in after.managers.items():
        managers[name] = _since(before.managers.get(name, [0, 0]), counts)
    then, now = before.reloads.get(plugin, {}), after.reloads.get(plugin, {})
    reloads = sum(_since([then.get(what, 0)], [count])[0] for what, count in now.items())
    return {"managers": managers, "times": dict(after.times), "reloads": reloads}


def summed(stored: Iterable[Mapping[str, Any]], proxies: int) -> Figures:
    """The sum of what was stored."""
    managers: dict[str, tuple[int, int]] = {}
    times: dict[float, int] = {}
    reloads = 0
    for one in stored:
        for name, (completed, errors) in one["managers"].items():
            before = managers.get(name, (0, 0))
            managers[name] = (before[0] + completed, before[1] + errors)
        for bound, count in one["times"].items():
            times[float(bound)] = times.get(float(bound), 0) + count
        reloads += one["reloads"]
    # A request counts as failed before it counts as completed; and a proxy may say anything.
    managers = {name: (completed, min(errors, completed)) for name, (completed, errors) in managers.items()}
    requests, errors = (sum(counts[at] for counts in managers.values()) for at in (0, 1))
    return Figures(proxies, requests, errors, reloads, times, managers)


def quantile(times: Mapping[float, int], share: float) -> float | None:
    """A quantile of counts by upper bound, taken evenly within a bucket; None of nothing.

    What is beyond the last bound counts as that bound.
    """
    whole = sum(times.values())
    if not whole:
        return None
    wanted, passed, low = whole * share, 0, 0.0
    for bound, count in sorted(times.items()):
        if passed + count >= wanted:
            return low if bound == float("inf") else low + (bound - low) * (wanted - passed) / count
        passed, low = passed + count, bound
    return low


def _since(before: list[int], after: list[int]) -> list[int]:
    if any(new < old for old, new in zip(before, after, strict=True)):
        return list(after)
    return [new - old for old, new in zip(before, after, strict=True)]
