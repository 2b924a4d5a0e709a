"""All tables, one class a table; `migrations/` builds them and a test keeps the two equal.

Times are integers, milliseconds since 1970 in UTC. Rows refer to users and repositories by id, never by name, so that a
rename touches few rows. Digests are text such as `sha256:<hex>`; modules and secrets are named by the bare hex of their
sha256. `generation` columns rise whenever something that a cached decision rests on changes.
"""

from typing import Any

from sqlalchemy import JSON, BigInteger, Index, LargeBinary, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from storage.columns import (
    BYTEWISE,
    ID,
    NEVER_REUSED,
    maybe_json,
    maybe_number,
    maybe_ref,
    maybe_time,
    number,
    ref,
    row_id,
    time,
    words,
)


def _where(condition: str) -> dict[str, Any]:
    """Which rows an index is for."""
    return dict.fromkeys(("sqlite_where", "postgresql_where"), text(condition))


class Hub(SQLModel, table=True):
    """The one row that says whose database this is, so that no other hub mistakes it for its own."""

    __tablename__ = "hub"
    id: int = Field(default=1, primary_key=True, sa_type=ID)
    hub_id: str  # the same stands in the blob store
    secret_check: str  # tells whether a secret key is the one that this hub's secrets are sealed with
    created_at: int = time()


class Lease(SQLModel, table=True):
    """The right to do what only one process in the world may do at a time, such as collecting garbage."""

    __tablename__ = "leases"
    name: str = Field(primary_key=True)
    holder: str
    until: int = time()


class Repository(SQLModel, table=True):
    """A repository. `name` is whole (`namespace/rest`) because lists sort and look up by it."""

    __tablename__ = "repositories"
    __table_args__ = (
        Index("ix_repositories_visible", "visibility", "name"),
        Index("ix_repositories_owned", "namespace_id", "name"),
        NEVER_REUSED,
    )
    id: int = row_id()
    namespace_id: int = ref("namespaces.id")
    name: str = Field(unique=True, sa_type=BYTEWISE)
    visibility: str = "private"  # private | internal | public | deleted (with its team)
    visibility_before: str | None = None  # it was deleted
    description: str = ""
    generation: int = 0
    created_at: int = time()
    pushed_at: int | None = maybe_time()


class Blob(SQLModel, table=True):
    """Which key in the blob store holds a digest's bytes. Written only after the bytes were verified."""

    __tablename__ = "blobs"
    __table_args__ = NEVER_REUSED
    id: int = row_id()
    digest: str = Field(unique=True)
    key: str = Field(unique=True)
    size: int = Field(sa_type=BigInteger)
    created_at: int = time()
    leased_until: int = time()  # by the hub's clock; garbage collection leaves it alone until then
    checked_at: int = number(index=True)  # when its bytes were last compared with its digest, by the push at first
    damaged_at: int | None = maybe_time()  # since when its bytes are known to be wrong or gone; a push heals it


class RepositoryBlob(SQLModel, table=True):
    """That a repository holds a blob."""

    __tablename__ = "repository_blobs"
    repository_id: int = ref("repositories.id", "CASCADE", key=True)
    blob_id: int = ref("blobs.id", key=True, index=True)
    created_at: int = time()


class Upload(SQLModel, table=True):
    """An upload that has begun. Its bytes lie at `key` in the blob store, `offset` of them are durable."""

    __tablename__ = "uploads"
    id: str = Field(primary_key=True)
    repository_id: int = ref("repositories.id", "CASCADE", index=True)
    key: str = Field(unique=True)
    offset: int = Field(default=0, sa_type=BigInteger)
    algorithm: str = "sha256"
    state: Any = maybe_json()  # what the blob store needs to go on, such as the parts of a multipart upload
    created_at: int = time()
    touched_at: int = Field(sa_type=BigInteger, index=True)  # by the hub's clock


class DoomedCopy(SQLModel, table=True):
    """Bytes in the blob store that no row names any more, to be removed once nobody can still be reading them."""

    __tablename__ = "doomed_copies"
    __table_args__ = NEVER_REUSED
    id: int = row_id()
    key: str = Field(unique=True)
    state: Any = maybe_json()  # of an upload that was never finished
    doomed_at: int = Field(sa_type=BigInteger, index=True)  # by the hub's clock


class Manifest(SQLModel, table=True):
    """A manifest, byte for byte, and what lists and referrers ask of it."""

    __tablename__ = "manifests"
    __table_args__ = (
        UniqueConstraint("repository_id", "digest"),
        Index("ix_manifests_referrers", "repository_id", "subject", "id"),
        Index("ix_manifests_kinds", "repository_id", "subject", "artifact_type", "id", **_where("subject IS NOT NULL")),
        NEVER_REUSED,
    )
    id: int = row_id()
    repository_id: int = ref("repositories.id", "CASCADE")
    digest: str
    media_type: str
    artifact_type: str | None = None  # as referrers show it: artifactType, else an image's config media type
    subject: str | None = None
    annotations: Any = maybe_json()
    content: bytes = Field(sa_type=LargeBinary)
    pushed_by: int | None = maybe_ref("users.id", "SET NULL")
    created_at: int = time()


class Link(SQLModel, table=True):
    """What a manifest refers to: a blob (config, layer) or, in an index, another manifest of the repository."""

    __tablename__ = "links"
    __table_args__ = (Index("ix_links_holding", "repository_id", "digest"),)
    manifest_id: int = ref("manifests.id", "CASCADE", key=True)
    digest: str = Field(primary_key=True)
    repository_id: int = number(ID)  # the manifest's
    kind: str  # blob | manifest
    size: int = Field(default=0, sa_type=BigInteger)  # as the manifest says


class Tag(SQLModel, table=True):
    """A tag and the manifest that it points to."""

    __tablename__ = "tags"
    __table_args__ = (Index("ix_tags_newest", "repository_id", "rank", "updated_at", "name"),)
    repository_id: int = ref("repositories.id", "CASCADE", key=True)
    name: str = Field(primary_key=True, sa_type=BYTEWISE)
    manifest_id: int = ref("manifests.id", "CASCADE", index=True)
    rank: str = Field(default="", sa_type=BYTEWISE, sa_column_kwargs={"server_default": ""})  # see storage.versions
    updated_by: int | None = maybe_ref("users.id", "SET NULL")
    updated_at: int = time()


class SearchWord(SQLModel, table=True):
    """A word by which a repository is found: kept by storage.search, whenever something that it says changes."""

    __tablename__ = "search_words"
    __table_args__ = (Index("ix_search_words_of", "repository_id", "word"),)
    word: str = Field(primary_key=True, sa_type=BYTEWISE)
    repository_id: int = ref("repositories.id", "CASCADE", key=True)


class Module(SQLModel, table=True):
    """What the reader found in a module's bytes, for one reader version."""

    __tablename__ = "modules"
    sha256: str = Field(primary_key=True)
    size: int = Field(sa_type=BigInteger)
    reader_version: int
    facts: Any = Field(sa_type=JSON)
    read_at: int = time()


class Inspection(SQLModel, table=True):
    """The reading of a manifest's module: written with the manifest, so that a crash loses none."""

    __tablename__ = "inspections"
    __table_args__ = (Index("ix_inspections_pending", "state", "reader_version"),)
    manifest_id: int = Field(primary_key=True, foreign_key="manifests.id", ondelete="CASCADE", sa_type=ID)
    state: str = "pending"  # pending | module | no-module | failed
    reader_version: int = 0
    format: str | None = None  # one of proxywasm's image formats
    module_sha256: str | None = Field(default=None, index=True)
    blob_digest: str | None = Field(default=None, index=True)  # the layer that holds the module
    wrapping: str | None = None  # how to unwrap the module from that layer
    reason: str | None = None  # why it failed
    claimed_until: int = number()  # a process reads it; the others leave it alone until then


class Event(SQLModel, table=True):
    """Who did what: one row a command, in the command's own transaction. Append-only; see storage.audit."""

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_at", "at", "id"),
        Index("ix_events_actor", "actor_name", "at", "id"),
        Index("ix_events_action", "action", "at", "id"),
        Index("ix_events_subject", "subject", "at", "id"),
        Index("ix_events_address", "address", "at", "id"),
        Index("ix_events_team", "team_id", "at", "id", **_where("team_id IS NOT NULL")),
        Index("ix_events_repository", "repository_id", "at", "id", **_where("repository_id IS NOT NULL")),
        NEVER_REUSED,
    )
    id: int = row_id()
    at: int = time()
    actor_kind: str  # user | robot | anonymous | system | node
    actor_id: int | None = Field(default=None, sa_type=ID)
    actor_name: str
    address: str = ""  # where from
    action: str  # noun.verb, such as manifest.push
    subject: str  # name of the thing
    repository_id: int | None = Field(default=None, sa_type=ID)
    detail: Any = maybe_json()
    team_id: int | None = Field(default=None, sa_type=ID)  # whose business it was then
    result: str = words("done")  # done | refused


class Target(SQLModel, table=True):
    """A place that filters can be deployed to."""

    __tablename__ = "targets"
    __table_args__ = NEVER_REUSED
    id: int = row_id()
    name: str = Field(unique=True, sa_type=BYTEWISE)
    kind: str  # envoy-fleet | istio | consul | envoy-gateway
    namespace_id: int = ref("namespaces.id", index=True)
    settings: Any = Field(sa_type=JSON)
    created_at: int = time()
    sealed_access: bytes | None = Field(default=None, sa_type=LargeBinary, nullable=True)  # how the hub gets in there
    puller_id: int | None = maybe_number()  # the user whom its proxies pull as, once something is deployed


class TargetKey(SQLModel, table=True):
    """A secret by which a target's proxies know themselves to the hub."""

    __tablename__ = "target_keys"
    __table_args__ = NEVER_REUSED
    id: int = row_id()
    target_id: int = ref("targets.id", "CASCADE", index=True)
    hint: str
    secret_sha256: str = Field(unique=True)
    created_at: int = time()
    expires_at: int | None = maybe_time()


class Deployment(SQLModel, table=True):
    """A filter at work on a target under a name; what runs is its current revision."""

    __tablename__ = "deployments"
    __table_args__ = (UniqueConstraint("target_id", "name"), NEVER_REUSED)
    id: int = row_id()
    target_id: int = ref("targets.id")
    name: str = Field(sa_type=BYTEWISE)
    slot: int | None = None
    grant: str = Field(unique=True)  # the unguessable path part under which proxies fetch the module
    revision_id: int | None = Field(default=None, sa_type=ID)  # the current one
    created_at: int = time()
    ended_at: int | None = maybe_time()  # when it was undeployed, or taken back to nothing; the row goes later


class Revision(SQLModel, table=True):
    """One version of a deployment; never changed once written."""

    __tablename__ = "revisions"
    __table_args__ = (UniqueConstraint("deployment_id", "number"), NEVER_REUSED)
    id: int = row_id()
    deployment_id: int = ref("deployments.id", "CASCADE")
    number: int
    repository_id: int = ref("repositories.id", index=True)
    reference: str  # as the deployer typed it
    manifest_digest: str = Field(index=True)
    module_sha256: str = Field(index=True)
    config: str | None = None  # JSON text, or any text
    root_id: str = ""  # which of the module's registered roots; most have one under the empty name
    failure_policy: str = "FAIL_CLOSED"  # FAIL_CLOSED | FAIL_OPEN | FAIL_RELOAD
    order: int  # filters run in rising order
    created_by: int | None = maybe_ref("users.id", "SET NULL")
    created_at: int = time()
    action: str  # deploy | rollback | follow
    placement: Any = maybe_json()  # for which workloads, as its kind of target says it
    image_digest: str | None = None  # of the same module in a form that the target's fetcher reads; None: as pushed


class Node(SQLModel, table=True):
    """A proxy that asked for a target's filters."""

    __tablename__ = "nodes"
    __table_args__ = (UniqueConstraint("target_id", "name"), NEVER_REUSED)
    id: int = row_id()
    target_id: int = ref("targets.id", "CASCADE")
    name: str  # the node id it gave
    version: str = ""  # of the proxy
    seen_at: int = time()  # written coarsely


class NodeSlot(SQLModel, table=True):
    """What a node was served, runs and refused in one slot; written before it is served."""

    __tablename__ = "node_slots"
    node_id: int = ref("nodes.id", "CASCADE", key=True)
    slot: int = Field(primary_key=True)
    served: str = ""  # the version last served
    delivered: bool = False  # that answer left in full
    running: str = ""  # the version last echoed
    refused: Any = maybe_json()  # contents refused, newest last, bounded
    why: str = Field(default="", sa_column_kwargs={"server_default": ""})  # the node's words on the newest of them
    updated_at: int = time()
