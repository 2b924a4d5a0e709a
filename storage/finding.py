"""Finding repositories by words, at a cost that does not grow with the hub but for words that are many and rarely meet.

Rare words: what the rarest of them finds is looked at. Common words: repositories are looked at in order of name until
the page is full, which it soon is. Only where many repositories have each of the words and few have all, everything
that the rarest one finds is looked at, however much that is.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.orm import Session

from storage.repositories import Viewer, VisiblePages, visible
from storage.statements import Statement

FEW = 500  # repositories that a rare word finds at most
WALKED = 2000  # repositories that are looked at in order of name before the other way is taken
STRIDE = 100  # of them at once
_PREFIX = "word >= :word{0} AND word < :end{0}"
_COUNT = Statement(
    f"SELECT count(*) FROM (SELECT 1 FROM search_words WHERE {_PREFIX.format(0)} LIMIT {FEW + 1}) AS found"
)


class Finder:
    """Pages of the repositories that a viewer may pull and that have all the words, bytewise by name.

    `columns` are those of r, the name first and the id second.
    """

    def __init__(self, columns: str) -> None:
        self._columns = columns
        self._pages = VisiblePages(columns)

    def read(self, session: Session, viewer: Viewer, words: Sequence[str], *, last: str, limit: int) -> list[Any]:
        """Rows after the name `last`, at most `limit`. A word is found by its beginning."""
        counted = sorted((_COUNT.value(session, _bounds([word])), word) for word in words)
        if counted[0][0] > FEW:
            found = self._walk(session, viewer, words, last, limit)
            if found is not None:
                return found
        return self._look_up(session, viewer, [word for _, word in counted], last, limit)

    def _look_up(self, session: Session, viewer: Viewer, words: Sequence[str], last: str, limit: int) -> list[Any]:
        """From what the first word finds; the others are asked of each."""
        others = "".join(f" AND {_having(number)}" for number in range(1, len(words)))
        query = text(
            f"SELECT {self._columns} FROM"
            f" (SELECT DISTINCT repository_id FROM search_words WHERE {_PREFIX.format(0)}) AS f"
            " CROSS JOIN repositories r CROSS JOIN namespaces n"
            f" WHERE r.id = f.repository_id AND n.id = r.namespace_id AND r.name > :last AND {visible(viewer)}{others}"
            " ORDER BY r.name LIMIT :limit"
        )
        asked = {**_bounds(words), "last": last, "limit": limit, **viewer.parameters()}
        return list(session.execute(query, asked))

    def _walk(self, session: Session, viewer: Viewer, words: Sequence[str], last: str, limit: int) -> list[Any] | None:
        """In order of name; None if the page is not full when enough were looked at."""
        query = text(
            "SELECT r.id FROM repositories r WHERE r.id IN :ids"
            + "".join(f" AND {_having(number)}" for number in range(len(words)))
        ).bindparams(bindparam("ids", expanding=True))
        found: list[Any] = []
        for _ in range(WALKED // STRIDE):
            rows = self._pages.read(session, viewer, last=last, limit=STRIDE)
            asked = {**_bounds(words), "ids": [row[1] for row in rows]}
            having = set(session.execute(query, asked).scalars()) if rows else set()
            found += [row for row in rows if row[1] in having]
            if len(found) >= limit or len(rows) < STRIDE:
                return found[:limit]
            last = rows[-1][0]
        return None


def _having(number: int) -> str:
    """The condition that repository r has the word of that number."""
    return f"EXISTS (SELECT 1 FROM search_words WHERE repository_id = r.id AND {_PREFIX.format(number)})"


def _bounds(words: Sequence[str]) -> dict[str, Any]:
    """Between which texts the words lie that begin with each of these."""
    first = {f"word{number}": word for number, word in enumerate(words)}
    return first | {f"end{number}": word + "\U0010ffff" for number, word in enumerate(words)}
