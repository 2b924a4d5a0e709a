"""The tables of people: users, teams, names, and the secrets by which they come in. See storage.tables."""

from typing import Any

from sqlalchemy import JSON, Index, LargeBinary, UniqueConstraint
from sqlmodel import Field, SQLModel

from storage.columns import (
    BYTEWISE,
    NEVER_REUSED,
    maybe_json,
    maybe_number,
    maybe_ref,
    maybe_time,
    no,
    number,
    ref,
    row_id,
    time,
    words,
)


class User(SQLModel, table=True):
    """A person or a robot. The login name is the user's row in `namespaces`."""

    __tablename__ = "users"
    __table_args__ = NEVER_REUSED
    id: int = row_id()
    full_name: str = words()
    email: str = words()
    password_hash: str | None = None  # argon2; None: no password sign-in
    role: str = "user"  # user | auditor | administrator
    active: bool = True
    generation: int = 0
    created_at: int = time()
    kind: str = words("person")  # person | robot | puller (the proxies of a target)
    second_factor: bool = no()  # whether they have one, as storage.second_factors keeps it
    role_provider_id: int | None = maybe_number()  # of the provider whose group gave the role, if one did


class Robot(SQLModel, table=True):
    """What a user that is a robot has beside. One without such a row signs in nowhere."""

    __tablename__ = "robots"
    user_id: int = ref("users.id", "CASCADE", key=True)
    team_id: int = ref("teams.id", "CASCADE", index=True)  # that it belongs to
    description: str
    expires_at: int | None = maybe_time()
    scopes: Any = maybe_json()  # of its tokens, as texts; NULL: all that its role allows


class TrustRule(SQLModel, table=True):
    """Whose tokens stand for a robot: those of an issuer, for an audience, with such claims."""

    __tablename__ = "trust_rules"
    __table_args__ = (Index("ix_trust_rules_wanted", "issuer", "audience"), NEVER_REUSED)
    id: int = row_id()
    robot_id: int = ref("users.id", "CASCADE", index=True)
    issuer: str
    audience: str
    claims: Any = Field(sa_type=JSON)  # name -> pattern
    minutes: int  # that a token is good that was got by it
    created_at: int = time()
    used_at: int | None = maybe_time()


class Team(SQLModel, table=True):
    """A team. Its name is its row in `namespaces`."""

    __tablename__ = "teams"
    __table_args__ = NEVER_REUSED
    id: int = row_id()
    description: str = words()
    default_visibility: str = words("private")  # of a repository that a push makes in one of its namespaces
    created_at: int = time()
    deleted_at: int | None = maybe_time()  # from then on nobody finds what it owns
    remove_at: int | None = maybe_time()  # by the hub's clock; until then an owner may restore it
    second_factor_required: bool = no()  # whether members without one wait for their role


class Membership(SQLModel, table=True):
    """A user's role in a team."""

    __tablename__ = "memberships"
    team_id: int = ref("teams.id", "CASCADE", key=True)
    user_id: int = ref("users.id", "CASCADE", key=True, index=True)
    role: str  # owner | maintainer | writer | reader
    provider_id: int | None = maybe_number(index=True)  # of the provider whose group gave it; None: people did


class Namespace(SQLModel, table=True):
    """The one table of names: of users, of teams, and of namespaces that a user or a team owns beside its own."""

    __tablename__ = "namespaces"
    __table_args__ = (Index("ix_namespaces_kind", "kind", "name"), NEVER_REUSED)  # lists of teams among many users
    id: int = row_id()
    name: str = Field(unique=True, sa_type=BYTEWISE)
    kind: str  # user | team | plain | robot (the login name of one; nothing can lie in it)
    user_id: int | None = maybe_ref("users.id", index=True)  # the owner, or
    team_id: int | None = maybe_ref("teams.id", index=True)  # the owning team
    created_at: int = time()


class Alias(SQLModel, table=True):
    """An old name of a namespace, which goes on answering and cannot be taken."""

    __tablename__ = "aliases"
    name: str = Field(primary_key=True, sa_type=BYTEWISE)
    namespace_id: int = ref("namespaces.id", "CASCADE", index=True)
    created_at: int = time()


class Invitation(SQLModel, table=True):
    """A link by which one person joins a team or, without one, the hub; used up by whoever follows it first."""

    __tablename__ = "invitations"
    __table_args__ = NEVER_REUSED
    id: int = row_id()
    team_id: int | None = maybe_ref("teams.id", "CASCADE", index=True)
    role: str  # in the team; of the whole hub without one
    note: str  # whom it is meant for
    secret_sha256: str = Field(unique=True)
    created_by: str  # name of who invites
    creator_id: int | None = maybe_ref("users.id", "CASCADE", index=True)  # the same; it ends with their right to
    created_at: int = time()
    expires_at: int = time()


class PasswordReset(SQLModel, table=True):
    """A link by which a user sets a new password without the old one; the newest of each user alone is good."""

    __tablename__ = "password_resets"
    user_id: int = ref("users.id", "CASCADE", key=True)
    secret_sha256: str = Field(unique=True)
    created_at: int = time()
    expires_at: int = time()


class AccessToken(SQLModel, table=True):
    """A personal access token; only the sha256 of its secret is kept."""

    __tablename__ = "access_tokens"
    __table_args__ = NEVER_REUSED
    id: int = row_id()
    user_id: int = ref("users.id", "CASCADE", index=True)
    name: str
    hint: str  # the first characters, to tell tokens apart
    secret_sha256: str = Field(unique=True)
    scopes: Any = maybe_json()  # a list of texts as storage.scopes has them; none: all that the owner may
    created_at: int = time()
    expires_at: int | None = maybe_time()
    used_at: int | None = maybe_time()  # written at most once a minute
    rule_id: int | None = maybe_number(index=True)  # of the trust rule that it was got by, if one


class RefreshToken(SQLModel, table=True):
    """What `docker login` keeps instead of the password."""

    __tablename__ = "refresh_tokens"
    __table_args__ = NEVER_REUSED
    id: int = row_id()
    user_id: int = ref("users.id", "CASCADE", index=True)
    access_token_id: int | None = maybe_ref(
        "access_tokens.id", "CASCADE", index=True
    )  # made with that token, ends with it
    client: str
    secret_sha256: str = Field(unique=True)
    created_at: int = time()
    expires_at: int = time()


class Session(SQLModel, table=True):
    """A browser's sign-in."""

    __tablename__ = "sessions"
    __table_args__ = (Index("ix_sessions_of_provider", "provider_id", "provider_sid"), NEVER_REUSED)
    id: int = row_id()
    user_id: int = ref("users.id", "CASCADE", index=True)
    secret_sha256: str = Field(unique=True)
    created_at: int = time()
    expires_at: int = time()
    provider_id: int | None = maybe_number()  # of the provider that they came by, if they did
    provider_sid: str | None = None  # what that provider calls its own session
    address: str = words()  # that it was opened from
    agent: str = words()  # what the browser called itself then
    seen_at: int = number()  # when it was last used; written some times an hour


class SigningKey(SQLModel, table=True):
    """A key that signs registry tokens; the private half is sealed with the secret key from the settings."""

    __tablename__ = "signing_keys"
    kid: str = Field(primary_key=True)
    public_jwk: Any = Field(sa_type=JSON)
    sealed_private: bytes = Field(sa_type=LargeBinary)
    created_at: int = time()
    retired_at: int | None = maybe_time()  # signs no more from then on, verifies until its last token expired


class Grant(SQLModel, table=True):
    """A role on one repository, given to a single person or to all members of a team."""

    __tablename__ = "grants"
    __table_args__ = (
        UniqueConstraint("repository_id", "user_id"),
        UniqueConstraint("repository_id", "team_id"),
        NEVER_REUSED,
    )
    id: int = row_id()
    repository_id: int = ref("repositories.id", "CASCADE")
    user_id: int | None = maybe_ref("users.id", "CASCADE", index=True)
    team_id: int | None = maybe_ref("teams.id", "CASCADE", index=True)
    role: str  # maintainer | writer | reader
    created_at: int = time()
