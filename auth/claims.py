"""What a provider's claims say of a person, as the hub keeps it: bounded, and of the form that its own things have."""

import re
import unicodedata
from collections.abc import Collection, Mapping
from typing import Any

from storage.namespaces import LONGEST
from storage.sign_on import Person
from storage.users import Profile

MOST_GROUPS = 2000  # that are looked at
LONGEST_GROUP = 255  # characters
_LONGEST_LABEL, _LONGEST_FULL_NAME, _LONGEST_EMAIL = 100, 100, 254
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_STRANGE, _JOINTS = re.compile(r"[^a-z0-9._-]+"), re.compile(r"[._-]{2,}")


def read_person(claims: Mapping[str, Any], name_claim: str, groups_claim: str) -> Person:
    """The person whose claims these are, with a `sub` that was checked."""
    subject = str(claims["sub"])
    email = _text(claims.get("email"), _LONGEST_EMAIL)
    if claims.get("email_verified") is False or not _EMAIL.fullmatch(email):
        email = ""
    called = _text(_find(claims, name_claim), _LONGEST_LABEL)
    label = called or email or subject[:_LONGEST_LABEL]
    profile = Profile(_text(claims.get("name"), _LONGEST_FULL_NAME), email)
    return Person(subject, label, as_name(called) or as_name(email) or "user", profile, _groups(claims, groups_claim))


def as_name(text: str) -> str:
    """A valid name that is like this text, of an e-mail address like its first part; empty if nothing is left of it."""
    plain = unicodedata.normalize("NFKD", text.partition("@")[0]).encode("ascii", "ignore").decode().lower()
    joined = _JOINTS.sub("-", _STRANGE.sub("-", plain.strip()))
    return joined[:LONGEST].strip("._-")


def _groups(claims: Mapping[str, Any], claim: str) -> Collection[str]:
    found = _find(claims, claim)
    listed = found if isinstance(found, list) else [found]
    return frozenset(one for one in listed[:MOST_GROUPS] if isinstance(one, str) and 0 < len(one) <= LONGEST_GROUP)


def _find(claims: Mapping[str, Any], claim: str) -> Any:
    """A claim by its name, or by the way to it within others: `realm_access.roles`."""
    if claim in claims:
        return claims[claim]
    found: Any = claims
    for part in claim.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _text(value: Any, longest: int) -> str:
    """A printable text, as much of it as fits; empty for anything else."""
    return value.strip()[:longest] if isinstance(value, str) and value.isprintable() else ""
