"""The tables of second factors: what people sign in with beside their password. See storage.tables."""

from typing import Any

from sqlalchemy import BigInteger, LargeBinary
from sqlmodel import Field, SQLModel

from storage.columns import NEVER_REUSED, maybe_json, maybe_number, maybe_time, number, ref, row_id, time


class Totp(SQLModel, table=True):
    """An authenticator app of a user. It counts from its first right code on."""

    __tablename__ = "totps"
    user_id: int = ref("users.id", "CASCADE", key=True)
    sealed_secret: bytes = Field(sa_type=LargeBinary)
    created_at: int = time()
    confirmed_at: int | None = maybe_time()
    last_step: int = number(BigInteger)  # of 30 s since 1970, the last one whose code was used


class RecoveryCode(SQLModel, table=True):
    """A code that stands for a lost second factor, once: then its row goes."""

    __tablename__ = "recovery_codes"
    user_id: int = ref("users.id", "CASCADE", key=True)
    code_sha256: str = Field(primary_key=True)


class PendingSignIn(SQLModel, table=True):
    """A browser whose user has shown the password and not yet the second factor; it is good for nothing else."""

    __tablename__ = "pending_sign_ins"
    secret_sha256: str = Field(primary_key=True)
    user_id: int = ref("users.id", "CASCADE", index=True)
    generation: int = Field(sa_type=BigInteger)  # of the user, when the password was shown
    expires_at: int = time()


class Passkey(SQLModel, table=True):
    """A passkey of a user, as WebAuthn registered it."""

    __tablename__ = "passkeys"
    __table_args__ = NEVER_REUSED
    id: int = row_id()
    user_id: int = ref("users.id", "CASCADE", index=True)
    name: str
    credential_id: str = Field(unique=True)  # base64url, as the authenticator chose it
    public_key: bytes = Field(sa_type=LargeBinary)  # COSE
    sign_count: int = Field(sa_type=BigInteger)
    transports: Any = maybe_json()  # a list of words, a hint for browsers
    created_at: int = time()
    used_at: int | None = maybe_time()


class SpentChallenge(SQLModel, table=True):
    """A challenge of WebAuthn that was answered rightly; until it expires it is refused."""

    __tablename__ = "spent_challenges"
    sha256: str = Field(primary_key=True)
    expires_at: int = time()


class WaitingMembership(SQLModel, table=True):
    """The role of a member who gets it with a second factor, since the team asks for one; until then it is nothing."""

    __tablename__ = "waiting_memberships"
    team_id: int = ref("teams.id", "CASCADE", key=True)
    user_id: int = ref("users.id", "CASCADE", key=True, index=True)
    role: str  # owner | maintainer | writer | reader
    provider_id: int | None = maybe_number(index=True)  # as in memberships
