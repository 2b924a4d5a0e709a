"""Sessions: the sign-ins of browsers. Only the sha256 of a session's secret comes here."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, update
from sqlalchemy.orm import Session as OrmSession
from sqlmodel import col, select

from storage.database import Conflict, Database, now
from storage.events import Actor, record
from storage.people_tables import Session
from storage.users import refuse_changed

IDLE = 4 * 86_400_000  # milliseconds without a request, after which a session has ended: more than a weekend
MOST = 100  # of one user


@dataclass(frozen=True)
class FoundSession:
    """Whose a session is that goes on."""

    id: int
    user_id: int
    seen_at: int


@dataclass(frozen=True)
class SessionRow:
    """A session as its user sees it."""

    id: int
    address: str  # that it was opened from
    agent: str  # what the browser called itself then
    created_at: int
    seen_at: int
    expires_at: int


@dataclass(frozen=True)
class NewSession:
    """A session that is to be opened for `lifetime` milliseconds. The browser's earlier one (`replaces`) goes."""

    secret_sha256: str
    lifetime: int
    replaces: str | None = None
    provider_id: int | None = None  # that the person came by
    provider_sid: str | None = None  # what it calls its own session
    agent: str = ""  # what the browser calls itself
    generation: int | None = None  # of the user when they showed who they are; None: that is this very command


def find_session(session: OrmSession, secret_sha256: str) -> FoundSession | None:
    """The session of that secret, unless it has ended."""
    row = session.execute(
        select(Session.id, Session.user_id, Session.seen_at).where(
            col(Session.secret_sha256) == secret_sha256, *_goes_on(now())
        )
    ).one_or_none()
    return None if row is None else FoundSession(*row)


def sessions(session: OrmSession, user_id: int) -> list[SessionRow]:
    """A user's sessions that go on, the one seen last first."""
    query = select(Session).where(col(Session.user_id) == user_id, *_goes_on(now()))
    rows = session.execute(query.order_by(col(Session.seen_at).desc(), col(Session.id).desc())).scalars()
    return [SessionRow(row.id, row.address, row.agent, row.created_at, row.seen_at, row.expires_at) for row in rows]


def open_session(database: Database, actor: Actor, user_id: int, new: NewSession) -> None:
    """Opens a session; all that have ended go, and the user's oldest beyond MOST.

    Raises Conflict if something about the user changed since they showed who they are.
    """
    with database.write() as session:
        add_session(session, actor, user_id, new)


def add_session(
    session: OrmSession, actor: Actor, user_id: int, new: NewSession, detail: dict[str, Any] | None = None
) -> None:
    """The same as part of a larger command; `detail` is what its event says more."""
    if new.generation is not None:
        refuse_changed(session, user_id, new.generation)
    opened = now()
    ended = (col(Session.expires_at) <= opened) | (col(Session.secret_sha256) == new.replaces)
    session.execute(delete(Session).where(ended))
    session.add(
        Session(
            user_id=user_id,
            secret_sha256=new.secret_sha256,
            address=actor.address,
            agent=new.agent,
            created_at=opened,
            seen_at=opened,
            expires_at=opened + new.lifetime,
            provider_id=new.provider_id,
            provider_sid=new.provider_sid,
        )
    )
    session.flush()
    theirs = select(Session.id).where(col(Session.user_id) == user_id)
    kept = theirs.order_by(col(Session.id).desc()).limit(MOST)
    session.execute(delete(Session).where(col(Session.user_id) == user_id, col(Session.id).not_in(kept)))
    record(session, actor, "session.open", actor.name, detail=detail)


def touch_session(database: Database, session_id: int) -> None:
    """Notes that a session was used just now. Bookkeeping, not a command: no event."""
    with database.write(beside=True) as session:
        session.execute(update(Session).where(col(Session.id) == session_id).values(seen_at=now()))


def close_session(database: Database, actor: Actor, secret_sha256: str) -> None:
    """Ends a session; one that has ended already is none of anybody's trouble."""
    with database.write() as session:
        session.execute(delete(Session).where(col(Session.secret_sha256) == secret_sha256))
        record(session, actor, "session.close", actor.name)


def end_session(database: Database, actor: Actor, user_id: int, name: str, session_id: int) -> None:
    """Ends one session of the user of that name, from elsewhere. Raises Conflict if there is none."""
    with database.write() as session:
        row = session.get(Session, session_id)
        if row is None or row.user_id != user_id:
            raise Conflict(f"{name} has no session {session_id}")
        detail = {"address": row.address, "agent": row.agent}
        session.delete(row)
        record(session, actor, "session.end", name, detail=detail)


def end_sessions(database: Database, actor: Actor, user_id: int, name: str, *, kept: int | None) -> int:
    """Ends all sessions of the user of that name but the one to be kept; answers how many that were."""
    with database.write() as session:
        others = (col(Session.user_id) == user_id, col(Session.id) != (kept or 0))
        ended = len(session.execute(delete(Session).where(*others).returning(col(Session.id))).all())
        record(session, actor, "session.end-all", name, detail={"ended": ended})
        return ended


def _goes_on(moment: int) -> tuple[Any, ...]:
    return col(Session.expires_at) > moment, col(Session.seen_at) > moment - IDLE
