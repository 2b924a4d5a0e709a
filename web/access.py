"""What somebody may see and do here: a repository for those who may read it, and nothing for everybody else."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from auth.identity import Identity
from auth.namespaces import resource_of
from auth.permissions import allowed
from storage.catalog import Entry, find_entry
from storage.namespaces import find_holding

LONGEST_NAME = 255


@dataclass(frozen=True)
class Readable:
    """A repository that somebody may read, and all that they may do with it."""

    entry: Entry
    actions: frozenset[str]


def find_readable(session: Session, identity: Identity, name: str) -> Readable | None:
    """The repository of that name; None, as if it did not exist, for those who may not read it."""
    holding = find_holding(session, name, identity.user_id) if len(name) <= LONGEST_NAME else None
    if holding is None or holding.repository_id is None:
        return None
    actions = allowed(identity, resource_of(holding))
    entry = find_entry(session, holding.name) if "pull" in actions else None
    return Readable(entry, actions) if entry is not None else None
