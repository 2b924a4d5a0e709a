"""Which of a repository's tags are versions, and which version is newer: decided from the tag's name alone."""

import re

# semver.org's grammar without build metadata, which a tag cannot hold; `v1.2.3` is the same version as `1.2.3`.
_VERSION = re.compile(r"v?(0|[1-9]\d{0,14})\.(0|[1-9]\d{0,14})\.(0|[1-9]\d{0,14})(?:-([0-9A-Za-z.-]+))?")
# Signatures, attestations and fallback lists of referrers are kept by clients under such tags.
_COMPANION = re.compile(r"sha(256|512)-[0-9a-f]{64,128}(\..*)?")


def is_companion(tag: str) -> bool:
    """Whether a tag holds something about another manifest (a signature, say) and is no version."""
    return _COMPANION.fullmatch(tag) is not None


def rank(tag: str) -> str:
    """A text that sorts bytewise as versions do by semantic versioning, section 11.

    Versions such as 1.2.3 come after (are newer than) all other tags, which share one rank and are told apart by their
    time. Tags that are no versions have the empty rank.
    """
    if is_companion(tag):
        return ""
    found = _VERSION.fullmatch(tag)
    if found is None:
        return "1"
    major, minor, patch, before = found.groups()
    numbers = "".join(_number(part) for part in (major, minor, patch))
    if before is None:
        return f"2{numbers}~"
    return f"2{numbers}-" + "".join(_identifier(part) for part in before.split("."))


def _number(digits: str) -> str:
    """Digits in a form where longer numbers sort later: their count comes first."""
    return f"{len(digits):02d}{digits}"


def _identifier(part: str) -> str:
    """A part of a pre-release: numbers before words; the blank at its end makes fewer parts sort before more."""
    if part.isascii() and part.isdigit():
        return f"0{_number(part.lstrip('0') or '0')} "
    return f"1{part} "
