"""What namespaces hold, and that it does not become more than they may.

A repository holds the bytes of its blobs, and a namespace what its repositories hold; a blob in two of them counts
twice. Each transaction that changes this adds a row with the difference, which no other waits for, and what is held is
the last sum with the rows since. They are folded into it every few seconds. So there is no row that all pushes to a
namespace have to change, and what each transaction finds is all that was committed before it looked.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from storage.database import Conflict, Database
from storage.errors import OverQuota
from storage.events import Actor, record
from storage.statements import Statement

FRESH = 5.0  # seconds that what one process saw is good enough to let a push begin
NEARLY = 80  # percent of a quota from which pushes are warned
OWNED = 100  # namespaces of one user or team that are shown
KEPT = 10_000  # namespaces that it remembers


@dataclass(frozen=True)
class Limits:
    """What a namespace may hold: 0 is without limit, and None, of a namespace's own, is as the settings say."""

    bytes: int | None = 0
    repositories: int | None = 0


@dataclass(frozen=True)
class Use:
    """What a namespace holds, and its own limits."""

    namespace_id: int
    namespace: str
    bytes: int
    own: Limits
    repositories: int = 0


NO_LIMITS = Limits()
_PENDING = "COALESCE((SELECT SUM(c.bytes) FROM usage_changes c WHERE c.namespace_id = {0}{1}), 0)"
_HELD = "CAST(COALESCE((SELECT u.bytes FROM usage u WHERE u.namespace_id = {0}), 0) + " + _PENDING + " AS BIGINT)"
_OWN_BYTES = "(SELECT q.bytes FROM quotas q WHERE q.namespace_id = usage_changes.namespace_id)"
# Nobody adds up what is held where it may be any number. RETURNING finds the row itself among the pending ones on one
# engine and not on the other: so it is left out.
_ADD = Statement(
    "INSERT INTO usage_changes (namespace_id, bytes) SELECT r.namespace_id, b.size FROM repositories r, blobs b"
    " WHERE r.id = :repo AND b.id = :blob RETURNING namespace_id,"
    " (SELECT n.name FROM namespaces n WHERE n.id = usage_changes.namespace_id),"
    f" CASE WHEN COALESCE({_OWN_BYTES}, CAST(:usual AS BIGINT)) = 0 THEN 0"
    f" ELSE bytes + {_HELD.format('usage_changes.namespace_id', ' AND c.id <> usage_changes.id')} END,"
    f" {_OWN_BYTES}, bytes"
)
_TAKE = Statement(
    "INSERT INTO usage_changes (namespace_id, bytes) SELECT r.namespace_id, -b.size FROM repositories r, blobs b"
    " WHERE r.id = :repo AND b.id = :blob"
)
_FIND = Statement(
    f"SELECT n.id, n.name, {_HELD.format('n.id', '')}, q.bytes, q.repositories,"
    " (SELECT count(*) FROM repositories r WHERE r.namespace_id = n.id)"
    " FROM namespaces n LEFT JOIN quotas q ON q.namespace_id = n.id WHERE n.id = :namespace"
)
_LOOK = Statement(
    f"SELECT n.id, n.name, {_HELD.format('n.id', '')}, q.bytes, q.repositories, 0"
    " FROM namespaces n LEFT JOIN quotas q ON q.namespace_id = n.id WHERE n.id = :namespace"
)
_OWNED = Statement(
    f"SELECT n.id, n.name, {_HELD.format('n.id', '')}, q.bytes, q.repositories,"
    " (SELECT count(*) FROM repositories r WHERE r.namespace_id = n.id)"
    " FROM (SELECT id FROM namespaces WHERE user_id = :user UNION SELECT id FROM namespaces WHERE team_id = :team) o"
    " JOIN namespaces n ON n.id = o.id LEFT JOIN quotas q ON q.namespace_id = n.id"
    " WHERE n.kind <> 'robot' ORDER BY n.id LIMIT :limit"
)
# In order of the last sums: what came since is shown, and counts for the order a few seconds later.
_MOST = Statement(
    f"SELECT n.id, n.name, {_HELD.format('n.id', '')}, q.bytes, q.repositories,"
    " (SELECT count(*) FROM repositories r WHERE r.namespace_id = n.id), u.bytes"
    " FROM usage u JOIN namespaces n ON n.id = u.namespace_id LEFT JOIN quotas q ON q.namespace_id = n.id"
    " WHERE u.bytes <= :bytes AND (u.bytes < :bytes OR u.namespace_id < :id)"
    " ORDER BY u.bytes DESC, u.namespace_id DESC LIMIT :limit"
)
_REPOSITORIES = Statement(
    "SELECT n.name, q.repositories, (SELECT count(*) FROM repositories r WHERE r.namespace_id = n.id)"
    " FROM namespaces n LEFT JOIN quotas q ON q.namespace_id = n.id WHERE n.id = :namespace"
)
_OWN = Statement(
    "SELECT n.name, q.bytes FROM namespaces n LEFT JOIN quotas q ON q.namespace_id = n.id WHERE n.id = :id"
)
_SET = Statement(
    "INSERT INTO quotas (namespace_id, bytes, repositories) VALUES (:namespace, :bytes, :repositories)"
    " ON CONFLICT (namespace_id) DO UPDATE SET bytes = excluded.bytes, repositories = excluded.repositories"
)


class Meter:
    """The limits that the settings give to all, and what this process last saw of each namespace."""

    def __init__(self, usual: Limits = NO_LIMITS) -> None:
        self.usual = usual
        self._seen: dict[int, tuple[float, Use]] = {}

    def limits(self, own: Limits) -> Limits:
        """What holds for a namespace that has these of its own."""
        return Limits(
            self.usual.bytes if own.bytes is None else own.bytes,
            self.usual.repositories if own.repositories is None else own.repositories,
        )

    def saw(self, use: Use) -> None:
        """Remembers what a namespace holds."""
        if len(self._seen) >= KEPT:
            self._seen.clear()
        self._seen[use.namespace_id] = (time.monotonic(), use)

    def seen(self, namespace_id: int, seconds: float = FRESH) -> Use | None:
        """What was seen of a namespace within so many seconds."""
        at, use = self._seen.get(namespace_id, (0.0, None))
        return use if use is not None and time.monotonic() - at <= seconds else None

    def refuse_full(self, database: Database, namespace_id: int, more: int) -> None:
        """Raises OverQuota where so many bytes have no room; `more` is 0 where nobody knows yet how many come.

        A push goes on by what was seen a moment ago, and is refused by what is so. Its commit decides.
        """
        use = self.seen(namespace_id)
        if use is None or self._is_full(use, more):
            with database.read() as session:
                use = look_at(session, namespace_id)
            if use is not None:
                self.saw(use)
        if use is not None and self._is_full(use, more):
            raise self._over(use, use.bytes, more)

    def take(self, session: Session, repository_id: int, blob_id: int) -> None:
        """Counts a blob that a repository has come to hold in this transaction. Raises OverQuota without room for it.

        Transactions that commit in the same moment do not see each other: only by what they bring can it become more.
        """
        asked = {"repo": repository_id, "blob": blob_id, "usual": self.usual.bytes or 0}
        namespace_id, name, held, own, size = _ADD.first(session, asked)
        use = Use(namespace_id, name, held, Limits(own, None))
        if size and self._is_full(replace(use, bytes=held - size), size):
            raise self._over(use, held - size, size)
        self.saw(use)

    def refuse_another(self, session: Session, namespace_id: int) -> None:
        """Raises OverQuota where a namespace may have no further repository. For a command that is alone."""
        name, own, count = _REPOSITORIES.first(session, {"namespace": namespace_id})
        most = self.limits(Limits(None, own)).repositories
        if most and count >= most:
            raise OverQuota(
                f"{name} has {count} repositories and may have {most}: ask an administrator of the hub for more"
            )

    def warning(self, namespace_id: int) -> str | None:
        """A sentence about a quota that is nearly used, by what was seen in the last minute; None if it is not."""
        use = self.seen(namespace_id, 60.0)
        share = self.share(use) if use is not None else None
        if use is None or share is None or share < NEARLY:
            return None
        return f"{use.namespace} holds {share}% of the {_said(self.limits(use.own).bytes or 0)} that it may"

    def share(self, use: Use) -> int | None:
        """How much of its quota a namespace holds, in percent; None where it has none."""
        limit = self.limits(use.own).bytes
        return use.bytes * 100 // limit if limit else None

    def _is_full(self, use: Use, more: int) -> bool:
        limit = self.limits(use.own).bytes
        return bool(limit) and use.bytes + max(1, more) > (limit or 0)

    def _over(self, use: Use, held: int, more: int) -> OverQuota:
        limit = self.limits(use.own).bytes or 0
        adds = f", and this adds {_said(more)}" if more else ""
        return OverQuota(
            f"{use.namespace} holds {_said(held)} of the {_said(limit)} that it may{adds}: delete what is not needed,"
            " or ask an administrator of the hub for more"
        )


UNLIMITED = Meter()  # but for what a namespace has of its own


def give_back(session: Session, repository_id: int, blob_id: int) -> None:
    """Counts a blob that a repository has ceased to hold in this transaction."""
    _TAKE.run(session, {"repo": repository_id, "blob": blob_id})


def find_use(session: Session, namespace_id: int) -> Use | None:
    """What a namespace holds, its repositories too; None if it is gone."""
    row = _FIND.first(session, {"namespace": namespace_id})
    return None if row is None else _use(row)


def look_at(session: Session, namespace_id: int) -> Use | None:
    """The same without its repositories, which takes as long with many."""
    row = _LOOK.first(session, {"namespace": namespace_id})
    return None if row is None else _use(row)


def uses_of(session: Session, *, user_id: int | None, team_id: int | None) -> list[Use]:
    """What the namespaces of a user or of a team hold, the oldest first; at most OWNED."""
    asked = {"user": user_id, "team": team_id, "limit": OWNED}
    return [_use(row) for row in _OWNED.all(session, asked)]


def most_used(session: Session, *, after: tuple[int, int] | None, limit: int) -> list[tuple[Use, tuple[int, int]]]:
    """The namespaces that hold most, each with its place in this order, after that place."""
    most, last = after or (2**62, 2**62)
    rows = _MOST.all(session, {"bytes": most, "id": last, "limit": limit})
    return [(_use(row[:6]), (row[6], row[0])) for row in rows]


def set_quota(database: Database, actor: Actor, namespace_id: int, limits: Limits) -> None:
    """Gives a namespace limits of its own. Raises Conflict if it is gone."""
    with database.write() as session:
        found = _OWN.first(session, {"id": namespace_id})
        if found is None:
            raise Conflict("the namespace was removed meanwhile")
        _SET.run(session, {"namespace": namespace_id, "bytes": limits.bytes, "repositories": limits.repositories})
        detail = {"bytes": limits.bytes, "repositories": limits.repositories}
        record(session, actor, "quota.set", found[0], namespace_id=namespace_id, detail=detail)


def _use(row: Sequence[Any]) -> Use:
    namespace_id, name, held, most, repositories, count = row
    return Use(namespace_id, name, held, Limits(most, repositories), count)


def _said(count: int) -> str:
    """Bytes as people read them, rounded so that what is too much reads as more."""
    amount = float(count)
    for unit in ("bytes", "KB", "MB"):
        if amount < 1000:
            return f"{amount:.4g} {unit}"
        amount /= 1000
    return f"{amount:.4g} GB"
