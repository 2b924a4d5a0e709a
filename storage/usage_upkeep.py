"""What keeps the sums of storage.usage: folds changes in, tells of quotas that are nearly used, mends drift."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from storage.database import Database
from storage.events import SYSTEM, record
from storage.garbage import Cursor, Step
from storage.statements import Statement
from storage.usage import Limits, Meter, look_at

FOLDED = 1000  # rows that one transaction folds
LEVELS = (100, 80)  # percent of a quota that are told
CALM = 10  # percent below a level after which it is told anew

_ANY = Statement("SELECT 1 FROM usage_changes LIMIT 1")
_FOLD = Statement(
    "DELETE FROM usage_changes WHERE id IN (SELECT id FROM usage_changes ORDER BY id LIMIT :limit)"
    " RETURNING namespace_id, bytes"
)
_SUM = Statement(
    "INSERT INTO usage (namespace_id, bytes) SELECT n.id, :bytes FROM namespaces n WHERE n.id = :namespace"
    " ON CONFLICT (namespace_id) DO UPDATE SET bytes = usage.bytes + excluded.bytes RETURNING bytes, level"
)
_TELL = Statement("UPDATE usage SET level = :level WHERE namespace_id = :namespace")
_OWN = Statement(
    "SELECT n.name, q.bytes FROM namespaces n LEFT JOIN quotas q ON q.namespace_id = n.id WHERE n.id = :id"
)
_NEXT = Statement("SELECT MIN(namespace_id) FROM repositories WHERE namespace_id > :after")
_COUNTED = Statement(
    "SELECT CAST(COALESCE(SUM(b.size), 0) AS BIGINT) FROM repositories r"
    " JOIN repository_blobs rb ON rb.repository_id = r.id JOIN blobs b ON b.id = rb.blob_id"
    " WHERE r.namespace_id = :namespace"
)
_CORRECT = Statement("INSERT INTO usage_changes (namespace_id, bytes) VALUES (:namespace, :bytes)")


def waits(session: Session) -> bool:
    """Whether there are changes to fold."""
    return _ANY.first(session, {}) is not None


def fold(database: Database, meter: Meter) -> bool:
    """Folds some changes into the sums, and tells of quotas that are nearly or wholly used; whether more may wait."""
    with database.write(beside=True) as session:
        rows = _FOLD.all(session, {"limit": FOLDED})
        sums: dict[int, int] = {}
        for namespace_id, size in rows:
            sums[namespace_id] = sums.get(namespace_id, 0) + size
        for namespace_id in sorted(sums):
            found = _SUM.first(session, {"namespace": namespace_id, "bytes": sums[namespace_id]})
            if found is not None:
                _tell(session, meter, namespace_id, found)
        return len(rows) == FOLDED


def recount(database: Database, cursor: Cursor, dry_run: bool) -> Step:
    """Compares a namespace's sum with what its repositories hold, at one moment, and corrects it if it differs."""
    (after,) = cursor or (0,)
    with database.read() as session:
        namespace_id = _NEXT.value(session, {"after": after})
        if namespace_id is None:
            return Step(None)
        use = look_at(session, namespace_id)
        differs = _COUNTED.value(session, {"namespace": namespace_id}) - (use.bytes if use is not None else 0)
    if differs and use is not None and not dry_run:
        with database.write(beside=True) as session:
            _CORRECT.run(session, {"namespace": namespace_id, "bytes": differs})
    return Step([namespace_id])


def _tell(session: Session, meter: Meter, namespace_id: int, sums: Sequence[Any]) -> None:
    """Records that a namespace has come to a level of its quota, once until it has left it again."""
    held, told = sums
    name, own = _OWN.first(session, {"id": namespace_id})
    limit = meter.limits(Limits(own, None)).bytes
    share = held * 100 // limit if limit else 0
    level = next((level for level in LEVELS if share >= level), 0)
    if level > told:
        action = "quota.reach" if level == LEVELS[0] else "quota.warn"
        record(session, SYSTEM, action, name, namespace_id=namespace_id, detail={"bytes": held, "quota": limit})
    if level > told or (level < told and share < told - CALM):
        _TELL.run(session, {"namespace": namespace_id, "level": level})
