"""Pages from templates: the environment, and how sizes, digests and times read."""

import calendar
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from storage.database import now
from web.agents import read_agent
from web.assets import Asset
from web.means import means_of
from web.visitor import Visitor

SHORT = 60  # characters of JSON that are read at a glance
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def create_environment(assets: Mapping[str, Asset]) -> Environment:
    """The templates. Everything that they print is escaped; a name that they do not know stops them."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        size=show_size, ago=show_ago, day=show_day, moment=show_moment, clock=show_clock, short=shorten_digest
    )
    environment.filters.update(sentence=as_sentence, agent=read_agent, instant=read_instant, pretty=show_json)
    environment.filters.update(clock=show_clock)
    environment.globals["asset"] = lambda name: f"/static/{assets[name].mark}/{name}"
    return environment


def render(request: Request, visitor: Visitor, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page for that visitor."""
    text = means_of(request).templates.get_template(template).render(visitor=visitor, **values)
    return HTMLResponse(text, status)


def show_size(count: int | None) -> str:
    """Bytes as people read them: 812 bytes, 14.2 KB, 2.3 MB."""
    if count is None:
        return "unknown"
    if count < 1000:
        return f"{count} byte{'' if count == 1 else 's'}"
    amount = float(count)
    for unit in ("KB", "MB", "GB"):
        amount /= 1000
        if amount < 999.5 or unit == "GB":
            break
    return f"{amount:.1f} {unit}" if amount < 99.95 else f"{amount:.0f} {unit}"


def show_ago(moment: int | None) -> str:
    """How long ago something was; the day, where that says more."""
    if moment is None:
        return "never"
    passed = max(0, now() - moment)
    for unit, length, most in (("minute", MINUTE, HOUR), ("hour", HOUR, DAY), ("day", DAY, 30 * DAY)):
        if passed < most:
            count = passed // length
            if unit == "minute" and count == 0:
                return "just now"
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return show_day(moment)


def show_day(moment: int) -> str:
    """The day in UTC, such as 21 Nov 2026."""
    parts = time.gmtime(moment / 1000)
    return f"{parts.tm_mday} {time.strftime('%b %Y', parts)}"


def show_moment(moment: int) -> str:
    """The moment in UTC, as RFC 3339 has it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment / 1000))


def show_clock(moment: int) -> str:
    """The time of the day in UTC, such as 04:09:25."""
    return time.strftime("%H:%M:%S", time.gmtime(moment / 1000))


def read_instant(said: str) -> int:
    """A moment as the API says it, in milliseconds."""
    return calendar.timegm(time.strptime(said, "%Y-%m-%dT%H:%M:%SZ")) * 1000


def show_json(value: Any) -> str:
    """A JSON value as people read it: on one line where that is short."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHORT else json.dumps(value, ensure_ascii=False, indent=2)


def shorten_digest(digest: str) -> str:
    """A digest as far as people compare it."""
    algorithm, _, rest = digest.partition(":")
    return f"{algorithm}:{rest[:12]}" if rest else algorithm[:12]


def as_sentence(words: str) -> str:
    """What programs are told, as people read it: with a capital and a full stop."""
    return f"{words}." if words.startswith("http") else f"{words[:1].upper()}{words[1:]}."
