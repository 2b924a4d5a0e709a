"""When a target takes changes: windows in the week, and a freeze that closes all of them. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from typing import Any
from zoneinfo import ZoneInfo

from deploy.fields import bad, only, text_field

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MOST_WINDOWS = 20
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,40}(?:/[A-Za-z0-9_+-]{1,40}){0,2}")
_OF_THIS_MACHINE = ("right/", "posix/")
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Closed:
    """Why a target takes no change now, as a sentence without its end, and when it does again; None: nobody knows."""

    code: str  # freeze | window
    message: str
    opens_at: datetime | None


def read_freeze(given: Any) -> dict[str, str]:
    """A freeze: `why`, and `until` if its end is known. Raises ApiError."""
    if not isinstance(given, dict):
        raise bad('freeze must be an object, such as {"why": "the shop is open", "until": "2026-12-27T06:00:00Z"}')
    only(given, "why", "until")
    found = {"why": text_field(given, "why", longest=200)}
    if not found["why"].strip() or not found["why"].isprintable():
        raise bad("freeze.why must be a sentence on one line")
    if "until" in given:
        found["until"] = text_field(given, "until")
        _moment(found["until"])
    return found


def read_windows(given: Any) -> list[dict[str, Any]]:
    """Windows: `from` and `to` (over midnight if that is not later), `days` (all), `zone` (UTC). Raises ApiError."""
    if not isinstance(given, list) or not 0 < len(given) <= MOST_WINDOWS:
        raise bad(f"windows must be a list of 1 to {MOST_WINDOWS} windows; leave it out to be always open")
    return [_window(one) for one in given]


def closed(settings: Mapping[str, Any], at: int) -> Closed | None:
    """Why a target with these settings takes no change at that time; None if it does."""
    now = datetime.fromtimestamp(at / 1000, UTC)
    windows = settings.get("windows", ())
    freeze = settings.get("freeze")
    until = _moment(freeze["until"]) if freeze and "until" in freeze else None
    if freeze and (until is None or now < until):
        opens = None if until is None else until if _open(windows, until) else _next(windows, until)
        end = f" until {_shown(until)}" if until else ""
        return Closed("freeze", f"is frozen{end}: {freeze['why']}", opens)
    if _open(windows, now):
        return None
    opens = _next(windows, now)
    said = "; ".join(_said(one) for one in windows)
    when = f", next at {_shown(opens)}" if opens else ""
    return Closed("window", f"takes changes in its windows alone ({said}){when}", opens)


def _window(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise bad('a window must be an object, such as {"days": ["mon", "tue"], "from": "22:00", "to": "04:00"}')
    only(given, "days", "from", "to", "zone")
    days = given.get("days", list(DAYS))
    if not isinstance(days, list) or not days or any(one not in DAYS for one in days) or len({*days}) < len(days):
        raise bad(f"a window's days must be a list of some of {', '.join(DAYS)}")
    found: dict[str, Any] = {"days": days, "from": text_field(given, "from"), "to": text_field(given, "to")}
    for name in ("from", "to"):
        if not _TIME.fullmatch(found[name]):
            raise bad(f"a window's {name} must be a time of the day, such as 22:00")
    if found["from"] == found["to"] != "00:00":
        raise bad("a window must end at another time than it begins; a whole day is from 00:00 to 00:00")
    return found | {"zone": _zone_name(text_field(given, "zone", "UTC"))}


def _zone_name(name: str) -> str:
    try:
        if not _ZONE.fullmatch(name) or name.startswith(_OF_THIS_MACHINE) or ("/" not in name and name != "UTC"):
            raise ValueError  # "localtime" and the like, which another replica may mean otherwise
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise bad(f"{name[:64]!r} is no time zone that the hub knows; write one like Europe/Berlin, or UTC") from None
    return name


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = datetime.min
    if found.tzinfo is None or not 1970 < found.year < 9000:
        raise bad("freeze.until must be a time with its zone, such as 2026-12-27T06:00:00Z")
    return found.astimezone(UTC)


def _open(windows: Sequence[Mapping[str, Any]], now: datetime) -> bool:
    return not windows or any(start <= now < end for start, end in _spans(windows, now, -1, 1))


def _next(windows: Sequence[Mapping[str, Any]], now: datetime) -> datetime | None:
    return min((start for start, _ in _spans(windows, now, 0, 8) if start > now), default=None)


def _spans(
    windows: Sequence[Mapping[str, Any]], now: datetime, first: int, last: int
) -> list[tuple[datetime, datetime]]:
    """When windows open and close that open on these days, counted from the one of `now` in their zones."""
    return [*chain.from_iterable(_of_days(one, now, first, last) for one in windows)]


def _of_days(window: Mapping[str, Any], now: datetime, first: int, last: int) -> list[tuple[datetime, datetime]]:
    zone = ZoneInfo(window["zone"])
    today = now.astimezone(zone).date()
    days = [today + number * _DAY for number in range(first, last + 1)]
    over = window["to"] <= window["from"]
    return [
        (_at(day, window["from"], zone), _at(day + _DAY if over else day, window["to"], zone))
        for day in days
        if DAYS[day.weekday()] in window["days"]
    ]


def _at(day: date, clock: str, zone: ZoneInfo) -> datetime:
    hour, minute = map(int, clock.split(":"))
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone).astimezone(UTC)


def _said(window: Mapping[str, Any]) -> str:
    days = "" if len(window["days"]) == len(DAYS) else f"{' '.join(window['days'])} "
    return f"{days}{window['from']} to {window['to']} {window['zone']}"


def _shown(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
