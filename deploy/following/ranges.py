"""Ranges of versions, such as `^1.2` or `>=1.2 <2`: which tags are in one. Pure.

A range is one interval by the precedence of semantic versioning 2.0.0, so it is told by two ranks (`storage.versions`)
and the database finds its highest version along an index. It is written as npm's are, without `||`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from storage.versions import rank

LONGEST = 100  # characters
_NUMBER = r"(?:0|[1-9]\d{0,13})"
_PART = rf"(?:{_NUMBER}|[xX*])"
_NAMES = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_PARTIAL = rf"[vV]?({_PART})(?:\.({_PART})(?:\.({_PART})(?:-({_NAMES}))?(?:\+{_NAMES})?)?)?"
_COMPARATOR = re.compile(rf"(\^|~|>=|<=|>|<|=|)[ ]*{_PARTIAL}(?=[ ]|$)[ ]*", re.ASCII)
_HYPHEN = re.compile(r"(\S+) +- +(\S+)")
_FIRST, _BEHIND = rank("0.0.0-0"), "3"  # the lowest rank of a version, and what is above all of them


class NoRange(ValueError):
    """A text that is no range; the text of this says why and what to write."""


@dataclass(frozen=True)
class Range:
    """The versions whose rank is at least `low` and below `high`; pre-releases only if the range names one."""

    text: str
    low: str
    high: str
    pre_releases: bool

    def __contains__(self, tag: str) -> bool:
        found = rank(tag)
        return self.low <= found < self.high and (self.pre_releases or found.endswith("~"))


@dataclass(frozen=True)
class _Partial:
    """A version of which the last parts may be left open: `1.2` has two numbers."""

    numbers: tuple[int, ...]
    before: str  # the pre-release's name

    def first(self) -> str:
        """The rank of the first version that it may be."""
        return _rank(*self.numbers, *(0,) * (3 - len(self.numbers)), before=self.before)

    def under(self) -> str:
        """A rank above all versions before it, and below its own pre-releases unless it is one."""
        return self.first() if self.before else _rank(*self.numbers, *(0,) * (3 - len(self.numbers)), before="0")

    def after(self, place: int) -> str:
        """A rank above all versions with the same numbers up to that place, and below those of the next."""
        *same, last = self.numbers[:place]
        return _rank(*same, last + 1, *(0,) * (3 - place), before="0")

    def behind(self) -> str:
        """A rank above all that it may be."""
        return self.first() + " " if len(self.numbers) == 3 else self.after(len(self.numbers)) if self.numbers else ""


def read_range(text: str) -> Range:
    """The range that a text says. Raises NoRange."""
    if len(text) > LONGEST:
        raise NoRange(f"a range of versions has at most {LONGEST} characters")
    hyphen = _HYPHEN.fullmatch(text.strip())
    parts = list(_comparators(f">={hyphen[1]} <={hyphen[2]}" if hyphen else text))
    low, high = _FIRST, _BEHIND
    for sign, partial in parts:
        least, most = _bounds(sign, partial)
        low, high = max(low, least), min(high, most)
    if low >= high:
        raise NoRange(f"no version is in the range {text!r}")
    return Range(" ".join(text.split()), low, high, any(partial.before for _, partial in parts))


def _comparators(text: str) -> Iterator[tuple[str, _Partial]]:
    text, place = text.strip(), 0
    if not text:
        raise NoRange("a range of versions is missing; write one like ^1.2 or >=1.2 <2")
    while place < len(text):
        found = _COMPARATOR.match(text, place)
        if found is None:
            why = " that can be followed, because of its ||" if "||" in text else ""
            raise NoRange(f"{text!r} is no range of versions{why}; write one like ^1.2, ~1.2.3, 1.x or >=1.2 <2")
        place = found.end()
        yield found[1], _partial(found)


def _partial(found: re.Match[str]) -> _Partial:
    numbers: list[int] = []
    for part in found.group(2, 3, 4):
        if part is None or part in "xX*":
            break
        numbers.append(int(part))
    return _Partial(tuple(numbers), (found[5] or "") if len(numbers) == 3 else "")


def _bounds(sign: str, partial: _Partial) -> tuple[str, str]:
    """The interval of one comparator."""
    numbers = partial.numbers
    if not numbers:  # any version; and none is above or below all
        return (_FIRST, _FIRST) if sign in (">", "<") else (_FIRST, _BEHIND)
    if sign == "^":
        leading = next((place for place, one in enumerate(numbers, 1) if one), len(numbers))
        return partial.first(), partial.after(leading)
    if sign == "~":
        return partial.first(), partial.after(min(2, len(numbers)))
    if sign == ">=":
        return partial.first(), _BEHIND
    if sign == ">":
        return partial.behind(), _BEHIND
    if sign == "<":
        return _FIRST, partial.under()
    if sign == "<=":
        return _FIRST, partial.behind()
    return partial.first(), partial.behind()


def _rank(*numbers: int, before: str) -> str:
    name = ".".join(map(str, numbers))
    return rank(f"{name}-{before}" if before else name)
