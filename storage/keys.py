"""Signing keys of registry tokens: the newest signs, retired ones verify until their last token has expired."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, update
from sqlalchemy.orm import Session as OrmSession
from sqlmodel import col, select

from storage.database import Database, now
from storage.events import Actor, record
from storage.people_tables import SigningKey
from storage.sealing import refuse_old_seal


@dataclass(frozen=True)
class SigningKeyRow:
    """A signing key; the private half is sealed."""

    kid: str
    public_jwk: dict[str, Any]
    sealed_private: bytes
    created_at: int
    retired_at: int | None


def signing_keys(session: OrmSession, *, grace: int) -> list[SigningKeyRow]:
    """The keys that verify now, newest first; a retired one does for `grace` milliseconds more."""
    query = (
        select(SigningKey)
        .where(col(SigningKey.retired_at).is_(None) | (col(SigningKey.retired_at) > now() - grace))
        .order_by(col(SigningKey.created_at).desc(), col(SigningKey.kid))
    )
    return [
        SigningKeyRow(row.kid, row.public_jwk, row.sealed_private, row.created_at, row.retired_at)
        for row in session.execute(query).scalars()
    ]


def rotate_signing_key(
    database: Database,
    actor: Actor,
    *,
    kid: str,
    public_jwk: dict[str, Any],
    sealed_private: bytes,
    replaces: str | None,
) -> None:
    """Makes a key the one that signs and retires the others.

    Does nothing if `replaces` is not the key that signs now: another process has rotated in the meantime. Raises
    OldSeal.
    """
    with database.write() as session:
        refuse_old_seal(session, sealed_private)
        current = session.execute(select(SigningKey.kid).where(col(SigningKey.retired_at).is_(None))).scalars().all()
        if set(current) != ({replaces} if replaces else set()):
            return
        at = now()
        session.execute(update(SigningKey).where(col(SigningKey.retired_at).is_(None)).values(retired_at=at))
        session.add(SigningKey(kid=kid, public_jwk=public_jwk, sealed_private=sealed_private, created_at=at))
        record(session, actor, "signing-key.rotate", kid)


def forget_retired_keys(database: Database, *, grace: int) -> None:
    """Removes keys that verify nothing any more. Housekeeping, not a command: no event."""
    with database.write() as session:
        session.execute(delete(SigningKey).where(col(SigningKey.retired_at) <= now() - grace))
