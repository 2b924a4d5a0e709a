"""Scopes of the token protocol: what clients ask for, read leniently, and what of it a token is given."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy.orm import Session as OrmSession

from auth.identity import Identity
from auth.namespaces import rights
from auth.permissions import REGISTRY_ACTIONS
from storage.namespaces import find_holding
from storage.scopes import length

MOST = 100  # scopes that are looked at
BUDGET = 3000  # characters of names and actions that go into one token, those of its owner's scopes among them
LONGEST_NAME = 255
LEAST = 1000  # of them that are left for what is asked, however long the scopes have become by new names
EVERYWHERE = "*"  # a client that mounts a blob without naming its source asks to pull from anywhere


@dataclass(frozen=True)
class Scopes:
    """Actions by repository name, and whether the catalog is asked for."""

    repositories: dict[str, frozenset[str]]
    catalog: bool = False

    def text(self) -> str:
        """The scopes as the protocol writes them, joined by spaces."""
        words = [f"repository:{name}:{','.join(sorted(actions))}" for name, actions in self.repositories.items()]
        return " ".join([*words, "registry:catalog:*"] if self.catalog else words)


def read_scopes(values: Iterable[str]) -> Scopes:
    """The scopes in all these parameters, each holding one or several joined by spaces.

    A resource's name may hold a colon (`host:5000/a/b`), so that a scope is split from both ends. What is not
    understood is left out: a scope is never an error.
    """
    repositories: dict[str, frozenset[str]] = {}
    catalog = False
    words = [word for value in values for word in value.split()]
    for word in words[:MOST]:
        kind, _, rest = word.partition(":")
        name, _, actions = rest.rpartition(":")
        asked = _meant(actions)
        if kind == "registry" and name == "catalog" and "*" in actions.split(","):
            catalog = True
        elif kind.partition("(")[0] == "repository" and 0 < len(name) <= LONGEST_NAME and asked:
            repositories[name] = repositories.get(name, frozenset()) | asked
    return Scopes(repositories, catalog)


def grant(session: OrmSession, identity: Identity, asked: Scopes, rule: str) -> Scopes:
    """What of the asked the identity may do now. The catalog is for all: it shows everybody what they may pull."""
    granted: dict[str, frozenset[str]] = {}
    room = max(BUDGET - length(identity.scopes or ()), LEAST)
    for name, actions in asked.repositories.items():
        if name == EVERYWHERE:
            # Wherever the identity may pull: that is asked at each use. A token with scopes is not for everywhere.
            given = actions & {"pull"} if identity.scopes is None else frozenset()
        else:
            given = actions & rights(identity, name, find_holding(session, name, identity.user_id), rule)
        room -= len(name) + sum(map(len, given)) + 50
        if given and room >= 0:
            granted[name] = given
    return Scopes(granted, asked.catalog)


def _meant(actions: str) -> frozenset[str]:
    """The actions that a client means: who pushes reads as well, and `*` is everything."""
    asked = frozenset(actions.split(","))
    if "*" in asked:
        return REGISTRY_ACTIONS
    if "push" in asked:
        asked |= {"pull"}
    return asked & REGISTRY_ACTIONS
