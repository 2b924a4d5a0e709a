"""Sessions: the sign-ins of browsers. Only the sha256 of a session's secret comes here."""

from sqlalchemy import delete
from sqlalchemy.orm import Session as OrmSession
from sqlmodel import col, select

from storage.database import Database, now
from storage.events import Actor, record
from storage.people_tables import Session


def find_session(session: OrmSession, secret_sha256: str) -> int | None:
    """The id of the user whose session has that secret, unless it has ended."""
    row = session.execute(
        select(Session.user_id, Session.expires_at).where(col(Session.secret_sha256) == secret_sha256)
    ).one_or_none()
    return None if row is None or row[1] <= now() else row[0]


def open_session(
    database: Database,
    actor: Actor,
    user_id: int,
    *,
    secret_sha256: str,
    lifetime: int,
    replaces: str | None = None,
) -> None:
    """Opens a session for `lifetime` milliseconds. The browser's earlier one (`replaces`) and all ended ones go."""
    with database.write() as session:
        opened = now()
        session.execute(
            delete(Session).where((col(Session.expires_at) <= opened) | (col(Session.secret_sha256) == replaces))
        )
        session.add(
            Session(user_id=user_id, secret_sha256=secret_sha256, created_at=opened, expires_at=opened + lifetime)
        )
        record(session, actor, "session.open", actor.name)


def close_session(database: Database, actor: Actor, secret_sha256: str) -> None:
    """Ends a session; one that has ended already is none of anybody's trouble."""
    with database.write() as session:
        session.execute(delete(Session).where(col(Session.secret_sha256) == secret_sha256))
        record(session, actor, "session.close", actor.name)
