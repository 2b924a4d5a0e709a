"""Sign-ins that have run out: removed a while after they stopped being good for anything."""

from storage.database import Database, now
from storage.garbage import LOOKED_AT, Cursor, Step
from storage.statements import Statement

KEPT = 86_400_000  # milliseconds after their end, so that a clock that is wrong for a moment ends no sign-in

_TABLES = ("sessions", "refresh_tokens", "device_logins")
_EXPIRED = {
    table: Statement(f"SELECT id, expires_at <= :moment FROM {table} WHERE id > :id ORDER BY id LIMIT :limit")
    for table in _TABLES
}
_DELETE = {table: Statement(f"DELETE FROM {table} WHERE id = :id AND expires_at <= :moment") for table in _TABLES}


def forget_expired(database: Database, cursor: Cursor, dry_run: bool) -> Step:
    """Removes sessions, refresh tokens and device logins that have expired."""
    table, after = cursor or (_TABLES[0], 0)
    asked = {"moment": now() - KEPT, "id": after, "limit": LOOKED_AT}
    with database.read() as session:
        found = _EXPIRED[table].all(session, asked)
    expired = [row[0] for row in found if row[1]]
    if expired and not dry_run:
        with database.write() as session:
            for row_id in expired:
                _DELETE[table].run(session, {"id": row_id, "moment": asked["moment"]})
    further: Cursor | None = [table, found[-1][0]] if len(found) == LOOKED_AT else None
    if further is None and table != _TABLES[-1]:
        further = [_TABLES[_TABLES.index(table) + 1], 0]
    return Step(further, {"expired": len(expired)})
