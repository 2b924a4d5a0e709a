"""The tables of staged rollouts: how far each has come, what happened, and what proxies told of their traffic."""

from typing import Any

from sqlalchemy import JSON, Index, text
from sqlmodel import Field, SQLModel

from storage.columns import NEVER_REUSED, maybe_ref, maybe_time, number, ref, row_id, time, words

_OPEN = "state IN ('running', 'paused')"
_WATCHED = "ended_at IS NULL"


class Rollout(SQLModel, table=True):
    """A revision on its way to the nodes of a fleet, wave by wave: a node is in if its place is below `cut`."""

    __tablename__ = "rollouts"
    __table_args__ = (
        Index("ix_rollouts_deployment", "deployment_id", "id"),
        Index("ix_rollouts_open", "deployment_id", unique=True, sqlite_where=text(_OPEN), postgresql_where=text(_OPEN)),
        Index("ix_rollouts_watched", "id", sqlite_where=text(_WATCHED), postgresql_where=text(_WATCHED)),
        NEVER_REUSED,
    )
    id: int = row_id()
    deployment_id: int = ref("deployments.id", "CASCADE")
    from_revision: int  # 0: nothing ran there before
    to_revision: int
    waves: Any = Field(sa_type=JSON)  # shares of the nodes in percent, rising to 100
    bake: int = time()  # milliseconds that a wave is watched once all of it runs the revision
    limits: Any = Field(sa_type=JSON)  # of health
    state: str  # running | paused | halted | rolled-back | done | aborted
    wave: int = 0  # counts from 1; 0: none has begun
    cut: int = number()  # only ever rises
    baking_since: int | None = maybe_time()
    back_revision: int | None = None  # the revision by which it was taken back; none where it went back to nothing
    why: str = words()  # of what was halted or aborted
    created_by: int | None = maybe_ref("users.id", "SET NULL")
    created_at: int = time()
    ended_at: int | None = maybe_time()  # when nothing was left to be watched


class RolloutEvent(SQLModel, table=True):
    """One line of a rollout's timeline."""

    __tablename__ = "rollout_events"
    __table_args__ = (Index("ix_rollout_events_rollout", "rollout_id", "id"), NEVER_REUSED)
    id: int = row_id()
    rollout_id: int = ref("rollouts.id", "CASCADE")
    at: int = time()
    kind: str  # started | wave | baking | healthy | unknown | paused | resumed | halted | rolled-back | aborted | done
    wave: int = 0
    message: str
    figures: Any = Field(default=None, sa_type=JSON(none_as_null=True), nullable=True)


class RolloutFigures(SQLModel, table=True):
    """What one node counted during one wave, with the new revision (`changed`) or with the one before."""

    __tablename__ = "rollout_figures"
    rollout_id: int = ref("rollouts.id", "CASCADE", key=True)
    node_id: int = ref("nodes.id", "CASCADE", key=True, index=True)
    wave: int = Field(primary_key=True)
    changed: bool = Field(primary_key=True)
    figures: Any = Field(sa_type=JSON)
    at: int = time()
