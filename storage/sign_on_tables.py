"""The tables of single sign-on: providers, whom they stand for here, what their groups give. See storage.tables."""

from sqlalchemy import BigInteger, LargeBinary, UniqueConstraint
from sqlmodel import Field, SQLModel

from storage.columns import BYTEWISE, NEVER_REUSED, maybe_ref, maybe_time, ref, row_id, time


class Provider(SQLModel, table=True):
    """An OpenID Connect provider that people sign in with."""

    __tablename__ = "providers"
    __table_args__ = NEVER_REUSED
    id: int = row_id()
    name: str = Field(unique=True, sa_type=BYTEWISE)  # in addresses
    title: str  # on the button
    issuer: str
    client_id: str
    sealed_secret: bytes | None = Field(default=None, sa_type=LargeBinary, nullable=True)  # None: a public client
    scopes: str  # asked for, with spaces between
    name_claim: str  # that new users are called by
    groups_claim: str
    makes_users: bool = True  # whether people without an account get one
    active: bool = True
    created_at: int = time()


class GroupRole(SQLModel, table=True):
    """What a group of a provider gives: a role in a team or, without one, in the whole hub."""

    __tablename__ = "group_roles"
    __table_args__ = (UniqueConstraint("provider_id", "group_name", "team_id"), NEVER_REUSED)
    id: int = row_id()
    provider_id: int = ref("providers.id", "CASCADE", index=True)
    group_name: str
    team_id: int | None = maybe_ref("teams.id", "CASCADE", index=True)
    role: str


class LinkedIdentity(SQLModel, table=True):
    """Whom a provider's subject stands for here. Nothing else of theirs does: no name and no e-mail address."""

    __tablename__ = "identities"
    __table_args__ = (
        UniqueConstraint("provider_id", "subject"),
        UniqueConstraint("provider_id", "user_id"),
        NEVER_REUSED,
    )
    id: int = row_id()
    provider_id: int = ref("providers.id", "CASCADE")
    subject: str = Field(sa_type=BYTEWISE)
    user_id: int = ref("users.id", "CASCADE", index=True)
    label: str  # what the provider calls them, for people to read
    created_at: int = time()
    used_at: int | None = maybe_time()


class SpentMark(SQLModel, table=True):
    """Something that is good once and was used: a sign-in, a logout token. Kept while it could come again."""

    __tablename__ = "spent_marks"
    mark: str = Field(primary_key=True)  # the sha256 of it
    until: int = Field(sa_type=BigInteger, index=True)
