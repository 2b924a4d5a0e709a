"""Passkeys: rows of what WebAuthn registered, and challenges that were answered."""

from dataclasses import dataclass

from sqlalchemy import delete
from sqlalchemy.orm import Session as OrmSession
from sqlmodel import col, select

from storage.database import now
from storage.factor_tables import Passkey, SpentChallenge
from storage.people_tables import User

MOST = 20  # of a user


@dataclass(frozen=True)
class PasskeyRow:
    """A passkey as its owner sees it, and what checks its signatures."""

    id: int
    user_id: int
    name: str
    credential_id: str
    public_key: bytes
    sign_count: int
    transports: tuple[str, ...]
    created_at: int
    used_at: int | None


@dataclass(frozen=True)
class NewPasskey:
    """What an authenticator has made, under the name that its owner gave it."""

    name: str
    credential_id: str
    public_key: bytes
    sign_count: int
    transports: tuple[str, ...]


@dataclass(frozen=True)
class Answered:
    """A challenge that was answered rightly: its sha256, and the end of the time in which it could be answered."""

    sha256: str
    expires_at: int


@dataclass(frozen=True)
class Signed:
    """What a passkey has signed: a challenge, as the so many-th signature of its authenticator (0: it counts none)."""

    credential_id: str
    sign_count: int
    challenge: Answered


def passkeys(session: OrmSession, user_id: int) -> list[PasskeyRow]:
    """A user's passkeys, oldest first."""
    asked = select(Passkey).where(col(Passkey.user_id) == user_id).order_by(col(Passkey.id)).limit(MOST)
    return [_row(row) for row in session.execute(asked).scalars()]


def find_passkey(session: OrmSession, credential_id: str) -> PasskeyRow | None:
    """The passkey of that id, whose owner is active; None if there is none."""
    asked = select(Passkey).join(User, col(User.id) == col(Passkey.user_id))
    found = session.execute(asked.where(col(Passkey.credential_id) == credential_id, col(User.active)))
    row = found.scalar_one_or_none()
    return None if row is None else _row(row)


def spend(session: OrmSession, challenge: Answered) -> bool:
    """Uses a challenge up, as part of a larger command; False if it was answered before, or too late."""
    at = now()
    session.execute(delete(SpentChallenge).where(col(SpentChallenge.expires_at) <= at))
    if challenge.expires_at <= at or session.get(SpentChallenge, challenge.sha256) is not None:
        return False
    session.add(SpentChallenge(sha256=challenge.sha256, expires_at=challenge.expires_at))
    return True


def use(session: OrmSession, user_id: int, signed: Signed) -> bool:
    """Takes what a passkey of the user has signed, once, as part of a larger command.

    An authenticator that counts and has not counted on is a copy of another one: it is refused (WebAuthn, 7.2 step 22).
    """
    found = session.execute(select(Passkey).where(col(Passkey.credential_id) == signed.credential_id))
    row = found.scalar_one_or_none()
    if row is None or row.user_id != user_id or not spend(session, signed.challenge):
        return False
    if (signed.sign_count or row.sign_count) and signed.sign_count <= row.sign_count:
        return False
    row.sign_count, row.used_at = signed.sign_count, now()
    return True


def _row(row: Passkey) -> PasskeyRow:
    return PasskeyRow(
        row.id,
        row.user_id,
        row.name,
        row.credential_id,
        row.public_key,
        row.sign_count,
        tuple(row.transports or ()),
        row.created_at,
        row.used_at,
    )
