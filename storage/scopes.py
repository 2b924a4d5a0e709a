"""Scopes of access tokens: which names a token is for, and what it may do there. They narrow and never add.

They are written as the Docker token protocol writes them: `repository:edge/*:pull,push`, `target:edge:deploy`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

# kind -> the actions that a scope of it can name. To see a thing is part of whatever else may be done with it.
KINDS: dict[str, frozenset[str]] = {
    "repository": frozenset({"pull", "push", "delete"}),
    "target": frozenset({"pull", "deploy", "configure"}),
}
MOST = 20  # scopes of a token
LONGEST_NAME = 255
LONGEST = 1500  # characters of all of them: registry tokens carry them along
_PATTERN = re.compile(rf"(?P<name>[a-z0-9._/-]{{0,{LONGEST_NAME}}})(?P<star>\*?)")
_LAST = "\x7f"  # comes after every character of a name


class BadScope(ValueError):
    """What is no scope; the text says why."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Actions on what has this name or, if it is `open`, on all whose names begin with it."""

    kind: str  # repository | target
    name: str
    open: bool
    actions: frozenset[str]

    def text(self) -> str:
        """The scope as it is written."""
        return f"{self.kind}:{self.name}{'*' if self.open else ''}:{','.join(sorted(self.actions))}"

    def renamed(self, old: str, new: str) -> "Scope":
        """The same once the namespace `old` is called `new`; one that reaches beyond it, or is too long, stays."""
        if self.kind != "repository" or not self.name.startswith(f"{old}/"):
            return self
        name = new + self.name[len(old) :]
        return replace(self, name=name) if len(name) <= LONGEST_NAME else self

    def span(self) -> tuple[str, str]:
        """Between which texts the names lie, bytewise: after the first, up to the second and with it."""
        before = self.name[:-1] + chr(ord(self.name[-1]) - 1) + _LAST if self.name else ""
        return before, self.name + _LAST if self.open else self.name


Scopes = tuple[Scope, ...]


@lru_cache(maxsize=4096)
def read_scope(text: str) -> Scope:
    """A scope as it is written; `*` stands for all actions of its kind. Raises BadScope."""
    kind, _, rest = text.partition(":")
    pattern, _, actions = rest.rpartition(":")
    known, found = KINDS.get(kind), _PATTERN.fullmatch(pattern)
    if known is None or found is None or not pattern:
        raise BadScope(
            f"{text[:100]!r} is no scope; write repository:NAME:ACTIONS or target:NAME:ACTIONS, where NAME may end in *"
        )
    named = known if actions == "*" else frozenset(actions.split(","))
    if not named <= known:
        raise BadScope(f"{text[:100]!r} names what nobody can do; with a {kind} it is {', '.join(sorted(known))}, or *")
    return Scope(kind, found["name"], bool(found["star"]), named | {"pull"})


def read_scopes(texts: Iterable[str]) -> Scopes:
    """Scopes as they are written. Raises BadScope, also where they are too many or together too long."""
    scopes = tuple(dict.fromkeys(read_scope(text) for text in texts))
    if len(scopes) > MOST or length(scopes) > LONGEST:
        raise BadScope(f"a token has at most {MOST} scopes of {LONGEST} characters in all; make several tokens instead")
    return scopes


def stored_scopes(texts: Iterable[str] | None) -> Scopes | None:
    """Scopes as the database and registry tokens hold them: once read, and by now perhaps of a longer name."""
    return None if texts is None else tuple(read_scope(text) for text in texts)


def write_scopes(scopes: Scopes | None) -> list[str] | None:
    """The same as texts."""
    return None if scopes is None else [scope.text() for scope in scopes]


def length(scopes: Scopes) -> int:
    """Characters of all of them as they are written."""
    return sum(len(scope.text()) for scope in scopes)


def within(scopes: Scopes, kind: str, name: str) -> frozenset[str]:
    """What the scopes let through of what is done with this thing."""
    actions: frozenset[str] = frozenset()
    for scope in scopes:
        # In the order that costs least: of a token's scopes few have the name.
        if name.startswith(scope.name) and scope.kind == kind and (scope.open or name == scope.name):
            actions |= scope.actions
    return actions


def spans(scopes: Scopes, kind: str) -> list[tuple[str, str]]:
    """Where the names lie that the scopes cover, in order, as `Scope.span` says; none lies in two of them."""
    merged: list[tuple[str, str]] = []
    for before, upto in sorted(scope.span() for scope in scopes if scope.kind == kind):
        if merged and before <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(upto, merged[-1][1])
        else:
            merged.append((before, upto))
    return merged
