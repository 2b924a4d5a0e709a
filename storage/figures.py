"""What is stored, in a few figures, for people who look after a hub."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from storage.database import now
from storage.statements import Statement

# One walk over the blobs: some tenths of a second with a million of them, so whoever shows it remembers it.
_BLOBS = Statement("SELECT count(*), coalesce(sum(size), 0), count(damaged_at), min(checked_at) FROM blobs")
_REST = Statement(
    "SELECT (SELECT count(*) FROM repositories), (SELECT count(*) FROM manifests),"
    " (SELECT count(*) FROM inspections WHERE state = 'pending'),"
    " (SELECT count(*) FROM inspections WHERE state = 'failed'), (SELECT count(*) FROM uploads)"
)


@dataclass(frozen=True)
class Figures:
    """What a hub holds, and what waits to be done."""

    taken_at: int  # when they were true, in milliseconds
    blobs: int
    size: int  # bytes of them
    damaged: int  # of them, until somebody pushes them again
    oldest_check: int | None  # when the blob that was not read for longest last was, in milliseconds
    repositories: int
    manifests: int
    waiting: int  # manifests whose modules are still to be read
    failed: int  # manifests whose modules could not be read
    uploads: int  # under way, or left behind


def read_figures(session: Session) -> Figures:
    """The figures of this moment."""
    blobs, size, damaged, oldest = _BLOBS.first(session, {})
    return Figures(now(), blobs, int(size), damaged, oldest, *_REST.first(session, {}))
