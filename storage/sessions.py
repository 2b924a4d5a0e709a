"""Sessions: the sign-ins of browsers. Only the sha256 of a session's secret comes here."""

from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True)
class NewSession:
    """A session that is to be opened for `lifetime` milliseconds. The browser's earlier one (`replaces`) goes."""

    secret_sha256: str
    lifetime: int
    replaces: str | None = None
    provider_id: int | None = None  # that the person came by
    provider_sid: str | None = None  # what it calls its own session


def open_session(database: Database, actor: Actor, user_id: int, new: NewSession) -> None:
    """Opens a session; all that have ended go."""
    with database.write() as session:
        add_session(session, actor, user_id, new)


def add_session(
    session: OrmSession, actor: Actor, user_id: int, new: NewSession, detail: dict[str, Any] | None = None
) -> None:
    """The same as part of a larger command; `detail` is what its event says more."""
    opened = now()
    ended = (col(Session.expires_at) <= opened) | (col(Session.secret_sha256) == new.replaces)
    session.execute(delete(Session).where(ended))
    session.add(
        Session(
            user_id=user_id,
            secret_sha256=new.secret_sha256,
            created_at=opened,
            expires_at=opened + new.lifetime,
            provider_id=new.provider_id,
            provider_sid=new.provider_sid,
        )
    )
    record(session, actor, "session.open", actor.name, detail=detail)


def close_session(database: Database, actor: Actor, secret_sha256: str) -> None:
    """Ends a session; one that has ended already is none of anybody's trouble."""
    with database.write() as session:
        session.execute(delete(Session).where(col(Session.secret_sha256) == secret_sha256))
        record(session, actor, "session.close", actor.name)
