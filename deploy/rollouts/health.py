"""Whether the nodes of a wave do worse with the new revision than others do with the one before. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from deploy.rollouts.figures import Figures, percent, summed
from storage.rollout_rows import FiguresRow

# limit -> its default, the lowest and the highest, and what it means
LIMITS: dict[str, tuple[float, float, float, str]] = {
    "errors": (1.0, 0.0, 100.0, "points by which the share of 5xx answers may be higher than before"),
    "reloads": (0, 0, 1e6, "times that a filter's VM may break and be made anew"),
    "latency": (100, 0, 1e6, "percent by which the 95th percentile of the time of an answer may be longer"),
    "requests": (50, 1, 1e9, "requests from which on a wave's health counts as known"),
}
FEW_ERRORS = 3  # so many may be chance, whatever share they are
SLACK = 10.0  # milliseconds that no latency is judged by: Envoy counts in coarse buckets
HEALTHY, WORSE, UNKNOWN = "healthy", "worse", "unknown"


@dataclass(frozen=True)
class Health:
    """A word, a sentence, and the figures that they follow from."""

    word: str
    message: str
    figures: dict[str, Any]


def judge_health(rows: Sequence[FiguresRow], wave: int, limits: Mapping[str, float]) -> Health:
    """How the nodes that run the new revision did during that wave."""
    new = _sum([one for one in rows if one.changed and one.wave == wave])
    old, beside = _compared(rows, wave, limits["requests"])
    figures = {"new": new.shown(), "old": old.shown(), "compared_with": beside}
    enough = limits["requests"]
    if new.reloads > limits["reloads"] and _rate(new) > 2 * _rate(old):
        said = f"its VM broke and was made anew {_times(new.reloads)} in {new.requests} requests; {_said(old, beside)}"
        return Health(WORSE, said, figures)
    for name in sorted(new.managers):
        ours, theirs = new.managers[name], old.managers.get(name, (0, 0))
        if ours[0] >= enough and _worse(ours, theirs, limits["errors"]):
            share = f"{percent(ours[1], ours[0]):.2f}% of {ours[0]} requests to {name} were answered with 5xx"
            return Health(WORSE, f"{share}; {_said(old, beside)}", figures)
    if new.requests < enough:
        known = f"only {new.requests} requests" if new.proxies else "no statistics"
        where = "" if new.proxies else " (a bootstrap with --xds has Envoy push them)"
        return Health(UNKNOWN, f"health is not known: {known} came from proxies with the new revision{where}", figures)
    slow, usual = new.p95(), old.p95()
    if slow is not None and usual is not None and sum(old.times.values()) >= enough <= sum(new.times.values()):
        most = max(usual * (1 + limits["latency"] / 100), usual + SLACK)
        if slow > most:
            said = f"95 of 100 answers took up to {slow:.0f} ms, and {usual:.0f} ms before it"
            return Health(WORSE, said, figures)
    return Health(HEALTHY, f"{_one(new)}; {_said(old, beside)}", figures)


def _compared(rows: Sequence[FiguresRow], wave: int, enough: float) -> tuple[Figures, str]:
    """What the new revision is held against: the nodes not changed yet, else all that was seen without it."""
    now = _sum([one for one in rows if not one.changed and one.wave == wave])
    if now.requests >= enough:
        return now, "nodes not changed yet"
    ever = _sum([one for one in rows if not one.changed])
    return (ever, "the same nodes before") if ever.requests >= enough else (Figures(), "nothing")


def _sum(rows: Sequence[FiguresRow]) -> Figures:
    return summed((one.figures for one in rows), len({one.node for one in rows}))


def _worse(ours: tuple[int, int], theirs: tuple[int, int], limit: float) -> bool:
    """Whether the share of errors is higher by more than the limit and chance."""
    (n, bad), (m, as_bad) = ours, theirs
    if bad <= FEW_ERRORS - 1:
        return False
    together = (bad + as_bad) / (n + m)
    chance = 200 * sqrt(together * (1 - together) * (1 / n + 1 / m)) if m else 0.0
    return percent(bad, n) - percent(as_bad, m) > limit + chance


def _rate(figures: Figures) -> float:
    return figures.reloads / max(figures.requests, 1)


def _said(old: Figures, beside: str) -> str:
    return "there is nothing to compare it with" if beside == "nothing" else f"{beside}: {_one(old)}"


def _one(figures: Figures) -> str:
    p95 = figures.p95()
    took = f", 95 of 100 within {p95:.0f} ms" if p95 is not None else ""
    return f"{figures.share():.2f}% of {figures.requests} requests failed{took}"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
