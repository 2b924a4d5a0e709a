"""All tables, one class a table; `migrations/` builds them and a test keeps the two equal.

Times are integers, milliseconds since 1970 in UTC. Rows refer to users and repositories by id, never by name, so that a
rename touches few rows. Digests are text such as `sha256:<hex>`; modules and secrets are named by the bare hex of their
sha256. `generation` columns rise whenever something that a cached decision rests on changes.
"""

from typing import Any

from sqlalchemy import JSON, BigInteger, Index, Integer, LargeBinary, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

ID = BigInteger().with_variant(Integer, "sqlite")
# Names sort and compare by bytes on every engine; SQLite does so by itself.
BYTEWISE = Text().with_variant(Text(collation="C"), "postgresql")
# Ids are never given twice, even after the newest row is deleted: events and caches keep them.
NEVER_REUSED = {"sqlite_autoincrement": True}


def _id() -> Any:
    return Field(default=None, primary_key=True, sa_type=ID)


def _ref(column: str, ondelete: Any = "RESTRICT", *, index: bool = False, key: bool = False) -> Any:
    return Field(foreign_key=column, ondelete=ondelete, sa_type=ID, index=index, primary_key=key)


def _maybe_ref(column: str, ondelete: Any = "RESTRICT", *, index: bool = False) -> Any:
    return Field(default=None, foreign_key=column, ondelete=ondelete, sa_type=ID, index=index, nullable=True)


def _time() -> Any:
    return Field(sa_type=BigInteger)


def _maybe_json() -> Any:
    return Field(default=None, sa_type=JSON(none_as_null=True), nullable=True)


def _maybe_time() -> Any:
    return Field(default=None, sa_type=BigInteger, nullable=True)


class User(SQLModel, table=True):
    """A person. The login name is the user's row in `namespaces`."""

    __tablename__ = "users"
    __table_args__ = NEVER_REUSED
    id: int = _id()
    password_hash: str | None = None  # argon2; None: no password sign-in
    role: str = "user"  # user | auditor | administrator
    active: bool = True
    generation: int = 0
    created_at: int = _time()


class Team(SQLModel, table=True):
    """A team. Its name is its row in `namespaces`."""

    __tablename__ = "teams"
    __table_args__ = NEVER_REUSED
    id: int = _id()
    created_at: int = _time()


class Membership(SQLModel, table=True):
    """A user's role in a team."""

    __tablename__ = "memberships"
    team_id: int = _ref("teams.id", "CASCADE", key=True)
    user_id: int = _ref("users.id", "CASCADE", key=True, index=True)
    role: str  # owner | maintainer | writer | reader


class Namespace(SQLModel, table=True):
    """The one table of names: of users, of teams, and of namespaces that a user or a team owns beside its own."""

    __tablename__ = "namespaces"
    __table_args__ = NEVER_REUSED
    id: int = _id()
    name: str = Field(unique=True, sa_type=BYTEWISE)
    kind: str  # user | team | plain
    user_id: int | None = _maybe_ref("users.id", index=True)  # the owner, or
    team_id: int | None = _maybe_ref("teams.id", index=True)  # the owning team
    created_at: int = _time()


class AccessToken(SQLModel, table=True):
    """A personal access token; only the sha256 of its secret is kept."""

    __tablename__ = "access_tokens"
    __table_args__ = NEVER_REUSED
    id: int = _id()
    user_id: int = _ref("users.id", "CASCADE", index=True)
    name: str
    hint: str  # the first characters, to tell tokens apart
    secret_sha256: str = Field(unique=True)
    created_at: int = _time()
    expires_at: int | None = _maybe_time()
    used_at: int | None = _maybe_time()  # written at most once a minute


class RefreshToken(SQLModel, table=True):
    """What `docker login` keeps instead of the password."""

    __tablename__ = "refresh_tokens"
    __table_args__ = NEVER_REUSED
    id: int = _id()
    user_id: int = _ref("users.id", "CASCADE", index=True)
    access_token_id: int | None = _maybe_ref(
        "access_tokens.id", "CASCADE", index=True
    )  # made with that token, ends with it
    client: str
    secret_sha256: str = Field(unique=True)
    created_at: int = _time()
    expires_at: int = _time()


class Session(SQLModel, table=True):
    """A browser's sign-in."""

    __tablename__ = "sessions"
    __table_args__ = NEVER_REUSED
    id: int = _id()
    user_id: int = _ref("users.id", "CASCADE", index=True)
    secret_sha256: str = Field(unique=True)
    created_at: int = _time()
    expires_at: int = _time()


class SigningKey(SQLModel, table=True):
    """A key that signs registry tokens; the private half is sealed with the secret key from the settings."""

    __tablename__ = "signing_keys"
    kid: str = Field(primary_key=True)
    public_jwk: Any = Field(sa_type=JSON)
    sealed_private: bytes = Field(sa_type=LargeBinary)
    created_at: int = _time()
    retired_at: int | None = _maybe_time()  # signs no more from then on, verifies until its last token expired


class Repository(SQLModel, table=True):
    """A repository. `name` is whole (`namespace/rest`) because lists sort and look up by it."""

    __tablename__ = "repositories"
    __table_args__ = (
        Index("ix_repositories_visible", "visibility", "name"),
        Index("ix_repositories_owned", "namespace_id", "name"),
        NEVER_REUSED,
    )
    id: int = _id()
    namespace_id: int = _ref("namespaces.id")
    name: str = Field(unique=True, sa_type=BYTEWISE)
    visibility: str = "private"  # private | internal | public
    description: str = ""
    generation: int = 0
    created_at: int = _time()
    pushed_at: int | None = _maybe_time()


class Blob(SQLModel, table=True):
    """Which key in the blob store holds a digest's bytes. Written only after the bytes were verified."""

    __tablename__ = "blobs"
    __table_args__ = NEVER_REUSED
    id: int = _id()
    digest: str = Field(unique=True)
    key: str = Field(unique=True)
    size: int = Field(sa_type=BigInteger)
    created_at: int = _time()
    leased_until: int = _time()  # garbage collection leaves it alone until then


class RepositoryBlob(SQLModel, table=True):
    """That a repository holds a blob."""

    __tablename__ = "repository_blobs"
    repository_id: int = _ref("repositories.id", "CASCADE", key=True)
    blob_id: int = _ref("blobs.id", key=True, index=True)
    created_at: int = _time()


class Upload(SQLModel, table=True):
    """An upload that has begun. Its bytes lie at `key` in the blob store, `offset` of them are durable."""

    __tablename__ = "uploads"
    id: str = Field(primary_key=True)
    repository_id: int = _ref("repositories.id", "CASCADE", index=True)
    key: str = Field(unique=True)
    offset: int = Field(default=0, sa_type=BigInteger)
    algorithm: str = "sha256"
    created_at: int = _time()
    touched_at: int = Field(sa_type=BigInteger, index=True)


class Manifest(SQLModel, table=True):
    """A manifest, byte for byte, and what lists and referrers ask of it."""

    __tablename__ = "manifests"
    __table_args__ = (
        UniqueConstraint("repository_id", "digest"),
        Index("ix_manifests_referrers", "repository_id", "subject", "id"),
        NEVER_REUSED,
    )
    id: int = _id()
    repository_id: int = _ref("repositories.id", "CASCADE")
    digest: str
    media_type: str
    artifact_type: str | None = None  # as referrers show it: artifactType, else an image's config media type
    subject: str | None = None
    annotations: Any = _maybe_json()
    content: bytes = Field(sa_type=LargeBinary)
    pushed_by: int | None = _maybe_ref("users.id", "SET NULL")
    created_at: int = _time()


class Link(SQLModel, table=True):
    """What a manifest refers to: a blob (config, layer) or, in an index, another manifest of the repository."""

    __tablename__ = "links"
    __table_args__ = (Index("ix_links_digest", "digest"),)
    manifest_id: int = _ref("manifests.id", "CASCADE", key=True)
    digest: str = Field(primary_key=True)
    kind: str  # blob | manifest
    size: int = Field(default=0, sa_type=BigInteger)  # as the manifest says


class Tag(SQLModel, table=True):
    """A tag and the manifest that it points to."""

    __tablename__ = "tags"
    __table_args__ = (Index("ix_tags_newest", "repository_id", "rank", "updated_at", "name"),)
    repository_id: int = _ref("repositories.id", "CASCADE", key=True)
    name: str = Field(primary_key=True, sa_type=BYTEWISE)
    manifest_id: int = _ref("manifests.id", "CASCADE", index=True)
    rank: str = Field(default="", sa_type=BYTEWISE, sa_column_kwargs={"server_default": ""})  # see storage.versions
    updated_by: int | None = _maybe_ref("users.id", "SET NULL")
    updated_at: int = _time()


class SearchWord(SQLModel, table=True):
    """A word by which a repository is found: kept by storage.search, whenever something that it says changes."""

    __tablename__ = "search_words"
    word: str = Field(primary_key=True, sa_type=BYTEWISE)
    repository_id: int = _ref("repositories.id", "CASCADE", key=True, index=True)


class Module(SQLModel, table=True):
    """What the reader found in a module's bytes, for one reader version."""

    __tablename__ = "modules"
    sha256: str = Field(primary_key=True)
    size: int = Field(sa_type=BigInteger)
    reader_version: int
    facts: Any = Field(sa_type=JSON)
    read_at: int = _time()


class Inspection(SQLModel, table=True):
    """The reading of a manifest's module: written with the manifest, so that a crash loses none."""

    __tablename__ = "inspections"
    __table_args__ = (Index("ix_inspections_pending", "state", "reader_version"),)
    manifest_id: int = Field(primary_key=True, foreign_key="manifests.id", ondelete="CASCADE", sa_type=ID)
    state: str = "pending"  # pending | module | no-module | failed
    reader_version: int = 0
    format: str | None = None  # one of proxywasm's image formats
    module_sha256: str | None = Field(default=None, index=True)
    blob_digest: str | None = None  # the layer that holds the module
    wrapping: str | None = None  # how to unwrap the module from that layer
    reason: str | None = None  # why it failed


class Event(SQLModel, table=True):
    """Who did what: one row a command, in the command's own transaction. Append-only."""

    __tablename__ = "events"
    __table_args__ = NEVER_REUSED
    id: int = _id()
    at: int = Field(sa_type=BigInteger, index=True)
    actor_kind: str  # user | robot | anonymous | system | node
    actor_id: int | None = Field(default=None, sa_type=ID, index=True)
    actor_name: str
    address: str = ""  # where from
    action: str  # noun.verb, such as manifest.push
    subject: str  # name of the thing
    repository_id: int | None = Field(default=None, sa_type=ID, index=True)
    detail: Any = _maybe_json()


class Target(SQLModel, table=True):
    """A place that filters can be deployed to."""

    __tablename__ = "targets"
    __table_args__ = NEVER_REUSED
    id: int = _id()
    name: str = Field(unique=True, sa_type=BYTEWISE)
    kind: str  # envoy-fleet
    namespace_id: int = _ref("namespaces.id", index=True)
    settings: Any = Field(sa_type=JSON)
    created_at: int = _time()


class TargetKey(SQLModel, table=True):
    """A secret by which a target's proxies know themselves to the hub."""

    __tablename__ = "target_keys"
    __table_args__ = NEVER_REUSED
    id: int = _id()
    target_id: int = _ref("targets.id", "CASCADE", index=True)
    hint: str
    secret_sha256: str = Field(unique=True)
    created_at: int = _time()
    expires_at: int | None = _maybe_time()


class Deployment(SQLModel, table=True):
    """A filter at work on a target under a name; what runs is its current revision."""

    __tablename__ = "deployments"
    __table_args__ = (UniqueConstraint("target_id", "name"), NEVER_REUSED)
    id: int = _id()
    target_id: int = _ref("targets.id")
    name: str = Field(sa_type=BYTEWISE)
    slot: int | None = None
    grant: str = Field(unique=True)  # the unguessable path part under which proxies fetch the module
    revision_id: int | None = Field(default=None, sa_type=ID)  # the current one
    created_at: int = _time()


class Revision(SQLModel, table=True):
    """One version of a deployment; never changed once written."""

    __tablename__ = "revisions"
    __table_args__ = (UniqueConstraint("deployment_id", "number"), NEVER_REUSED)
    id: int = _id()
    deployment_id: int = _ref("deployments.id", "CASCADE")
    number: int
    repository_id: int = _ref("repositories.id", index=True)
    reference: str  # as the deployer typed it
    manifest_digest: str = Field(index=True)
    module_sha256: str
    config: str | None = None  # JSON text, or any text
    root_id: str = ""  # which of the module's registered roots; most have one under the empty name
    failure_policy: str = "FAIL_CLOSED"  # FAIL_CLOSED | FAIL_OPEN | FAIL_RELOAD
    order: int  # filters run in rising order
    created_by: int | None = _maybe_ref("users.id", "SET NULL")
    created_at: int = _time()
    action: str  # deploy | rollback


class Node(SQLModel, table=True):
    """A proxy that asked for a target's filters."""

    __tablename__ = "nodes"
    __table_args__ = (UniqueConstraint("target_id", "name"), NEVER_REUSED)
    id: int = _id()
    target_id: int = _ref("targets.id", "CASCADE")
    name: str  # the node id it gave
    version: str = ""  # of the proxy
    seen_at: int = _time()  # written coarsely


class NodeSlot(SQLModel, table=True):
    """What a node was served, runs and refused in one slot; written before it is served."""

    __tablename__ = "node_slots"
    node_id: int = _ref("nodes.id", "CASCADE", key=True)
    slot: int = Field(primary_key=True)
    served: str = ""  # the version last served
    delivered: bool = False  # that answer left in full
    running: str = ""  # the version last echoed
    refused: Any = _maybe_json()  # contents refused, newest last, bounded
    updated_at: int = _time()
