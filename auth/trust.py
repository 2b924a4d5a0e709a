"""Trust rules: which tokens of an issuer of identities stand for a robot, by what they claim."""

from collections.abc import Mapping
from typing import Any

MOST_CLAIMS = 20  # that a rule compares
LONGEST = 1024  # characters of a claim's name, and of a pattern


def meets(wanted: Mapping[str, str], claims: Mapping[str, Any]) -> bool:
    """Whether a token's claims are as a rule wants them: every one that it names is there and fits its pattern.

    In a pattern `*` stands for any text, and for nothing; all else means itself. Of a list one entry has to fit. Only
    texts, whole numbers and true or false are compared.
    """
    return all(name in claims and _fits(pattern, claims[name]) for name, pattern in wanted.items())


def problem_of(wanted: Any) -> str | None:
    """What is wrong with the claims of a rule, as a sentence; None if they can be kept.

    A rule that wants nothing in particular would let everybody in who has an account at the issuer.
    """
    if not isinstance(wanted, dict) or not 0 < len(wanted) <= MOST_CLAIMS:
        return f"'claims' must be an object of 1 to {MOST_CLAIMS} claims and their patterns"
    for name, pattern in wanted.items():
        if not isinstance(pattern, str) or not all(0 < len(one) <= LONGEST for one in (name, pattern)):
            return f"the claim {name[:50]!r} must have a text of 1 to {LONGEST} characters as its pattern"
        if not (name.isprintable() and pattern.isprintable()):  # else a rule could look like another one
            return f"the claim {name[:50]!r} and its pattern must be of printable characters"
    if all(not pattern.strip("*") for pattern in wanted.values()):
        return "a rule must want something in particular of one claim at least; patterns of * alone fit everybody"
    return None


def _fits(pattern: str, value: Any) -> bool:
    if isinstance(value, list):
        return any(_fits(pattern, one) for one in value if not isinstance(one, list))
    if isinstance(value, bool):
        return _matches(pattern, "true" if value else "false")
    return isinstance(value, str | int) and _matches(pattern, str(value))


def _matches(pattern: str, text: str) -> bool:
    """Compares without ever going back, so that no pattern and no text takes long."""
    first, *others = pattern.split("*")
    if not others:
        return text == pattern
    *middle, last = others
    if not text.startswith(first) or not text.endswith(last) or len(text) < len(first) + len(last):
        return False
    place, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, place, end)
        if found < 0:
            return False
        place = found + len(part)
    return True
