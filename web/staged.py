"""Rollouts in the words of pages: a state, a row of waves, a timeline, and what a rollout is asked for with."""

from collections.abc import Mapping
from typing import Any

from web.standing import Words
from web.typed import ABSENT, Field, read

STATES = {
    "running": Words("", "Under way"),
    "paused": Words(
        "warn",
        "Paused",
        "No further wave begins until it is resumed. What a proxy refuses, or does worse with, halts it all the same.",
    ),
    "halted": Words("bad", "Halted, and on its way back"),
    "rolled-back": Words("bad", "Halted and taken back"),
    "done": Words("good", "Done"),
    "aborted": Words("warn", "Aborted"),
}
EVENTS = {
    "started": Words("", "Begun"),
    "wave": Words("", "Wave"),
    "baking": Words("", "Watched"),
    "healthy": Words("good", "Healthy"),
    "unknown": Words("warn", "Not known"),
    "paused": Words("warn", "Paused"),
    "resumed": Words("", "Resumed"),
    "halted": Words("bad", "Halted"),
    "rolled-back": Words("", "Taken back"),
    "aborted": Words("warn", "Aborted"),
    "done": Words("good", "Done"),
}
OPEN = ("running", "paused")
ASKED = "rollout"  # the tick of a form by which a deploy goes out in waves
LIMIT = "limit-"  # what the fields of limits begin with


def waves_in_words(rollout: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each wave: its `share`, and how far it is, as Words under `is`; whether it is the one that goes on as `now`."""
    said = {(one["kind"], one["wave"]) for one in rollout.get("events", ())}
    return [
        {"share": share, "is": _wave(rollout, number, said), "now": number == rollout["wave"] and _open(rollout)}
        for number, share in enumerate(rollout["waves"], 1)
    ]


def figures_in_words(figures: Mapping[str, Any] | None) -> list[str]:
    """What proxies counted, a line for those with the new version and one for those that it is held against."""
    lines = []
    for name, who in (("new", "With it"), ("old", (figures or {}).get("compared_with") or "Before it")):
        one = (figures or {}).get(name)
        if not one or not one["proxies"]:
            continue
        parts = [_count(one["proxies"], "proxy", "proxies"), _count(one["requests"], "request", "requests")]
        parts += [f"{one['errors']:,} answered with 5xx"]
        parts += [f"VM made anew {_count(one['reloads'], 'time', 'times')}"] if one["reloads"] else []
        lines.append(f"{who[:1].upper()}{who[1:]}: {', '.join(parts)}")
    return lines


def read_rollout(form: Mapping[str, str]) -> dict[str, Any] | None:
    """The rollout that a form asks for, as a body of the API has it; None: all at once. Raises ApiError."""
    if ASKED not in form:
        return None
    asked: dict[str, Any] = {}
    if form.get("waves", "").strip():
        asked["waves"] = [_whole(one.strip().removesuffix("%").strip()) for one in form["waves"].split(",")]
    if form.get("bake", "").strip():
        asked["bake"] = form["bake"].strip()
    typed = {name.removeprefix(LIMIT): value for name, value in form.items() if name.startswith(LIMIT)}
    limits = {name: read(Field(name, name, "number"), value) for name, value in typed.items()}
    asked["limits"] = {name: value for name, value in limits.items() if value is not ABSENT}
    return asked


def _open(rollout: Mapping[str, Any]) -> bool:
    return rollout["state"] in OPEN


def _wave(rollout: Mapping[str, Any], number: int, said: set[tuple[str, int]]) -> Words:
    state, present = rollout["state"], rollout["wave"]
    if number > present:
        return Words("", "to come" if _open(rollout) else "never begun")
    if number == present and state == "running":
        return Words("", "being watched" if ("baking", number) in said else "going out")
    if number == present and state == "paused":
        return Words("warn", "paused")
    if not _open(rollout) and state != "done":
        ends = {"aborted": Words("warn", "aborted")}.get(state, Words("bad", "halted"))
        return ends if number == present else Words("", "taken back")
    return Words("warn", "health not known") if ("unknown", number) in said else Words("good", "healthy")


def _whole(typed: str) -> int | str:
    """A number as far as it is one: whoever wants numbers says what is wrong."""
    return int(typed) if typed.isascii() and typed.isdigit() and len(typed) < 10 else typed


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
