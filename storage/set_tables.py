"""The tables of deployment sets: what each is to be, how far it has come there, and which deployments are its own."""

from typing import Any

from sqlalchemy import JSON, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from storage.columns import BYTEWISE, NEVER_REUSED, maybe_json, maybe_ref, maybe_time, no, ref, row_id, time
from storage.columns import number as count
from storage.columns import words as some_words

_WATCHED = "ended_at IS NULL"


class DeploymentSet(SQLModel, table=True):
    """Deployments on several targets that change together."""

    __tablename__ = "deployment_sets"
    __table_args__ = (UniqueConstraint("namespace_id", "name"), NEVER_REUSED)
    id: int = row_id()
    namespace_id: int = ref("namespaces.id", "CASCADE")
    name: str = Field(sa_type=BYTEWISE)
    created_at: int = time()
    leaving_at: int | None = maybe_time()  # since when its deployments are being taken away, and it after them


class SetRevision(SQLModel, table=True):
    """What a set is to be, and how far it came: only the newest of a set can be under way."""

    __tablename__ = "set_revisions"
    __table_args__ = (
        UniqueConstraint("set_id", "number"),
        Index("ix_set_revisions_watched", "set_id", sqlite_where=text(_WATCHED), postgresql_where=text(_WATCHED)),
        NEVER_REUSED,
    )
    id: int = row_id()
    set_id: int = ref("deployment_sets.id", "CASCADE")
    number: int
    action: str  # apply | rollback
    spec: Any = Field(sa_type=JSON)
    state: str  # running | paused | halted | rolled-back | aborted | stopped | done
    wave: int = 0  # counts from 1; 0: none has begun
    step: int = count()  # rises with each change of this row
    baking_since: int | None = maybe_time()
    why: str = some_words()  # of what was halted, stopped or aborted
    asked_by: int | None = maybe_ref("users.id", "SET NULL")
    scopes: Any = maybe_json()  # of the token by which it was asked for
    created_at: int = time()
    ended_at: int | None = maybe_time()  # when nothing was left to be watched


class SetMember(SQLModel, table=True):
    """A deployment that a set makes, or made and has not taken away yet: no two sets have the same one."""

    __tablename__ = "set_members"
    __table_args__ = (UniqueConstraint("target_id", "name"), Index("ix_set_members_set", "set_id"), NEVER_REUSED)
    id: int = row_id()
    set_id: int = ref("deployment_sets.id", "CASCADE")
    target_id: int = ref("targets.id", "CASCADE")
    name: str = Field(sa_type=BYTEWISE)
    deployment_id: int | None = maybe_ref("deployments.id", "SET NULL", index=True)
    wave: int
    position: int
    wanted: bool = Field(default=True)  # False: the set has it no more, and takes it away when all waves are through
    carries: int = 0  # the set's revision that it has; 0: none
    given: int = 0  # the deployment's revision by which it has that
    moved: bool = no()  # whether the present revision of the set has changed it
    before: int | None = None  # the deployment's revision to go back to; 0: it was not there; None: nowhere to go back
    carried: int = 0  # the set's revision that it had before


class SetEvent(SQLModel, table=True):
    """One line of a set's timeline."""

    __tablename__ = "set_events"
    __table_args__ = (Index("ix_set_events_set", "set_id", "id"), NEVER_REUSED)
    id: int = row_id()
    set_id: int = ref("deployment_sets.id", "CASCADE")
    revision: int
    at: int = time()
    kind: str  # started | wave | changed | baking | paused | resumed | halted | ...
    wave: int = 0
    message: str
