"""Tables by which the hub keeps itself in order, described as those in storage.tables are."""

from typing import Any

from sqlalchemy import JSON
from sqlmodel import Field, SQLModel

from storage.columns import ID, NEVER_REUSED, maybe_json, maybe_time, number, row_id, time


class HubClock(SQLModel, table=True):
    """The one row of the hub's own time, which no process's clock can make jump: see storage.clock."""

    __tablename__ = "hub_clock"
    id: int = Field(default=1, primary_key=True, sa_type=ID)
    reading: int = number()  # milliseconds; goes on while a hub runs, and never faster than real time
    lease: int = number()  # how long a blob waits for its manifest, with the step on top
    step: int = number()  # the most by which the reading moves at once


class GarbageCollection(SQLModel, table=True):
    """A run of the garbage collector, so that any process can go on with it and everybody sees how it stands."""

    __tablename__ = "garbage_collections"
    __table_args__ = NEVER_REUSED
    id: int = row_id()
    state: str  # waiting | running | finished | failed
    dry_run: bool = False
    asked_by: str = ""  # empty: the schedule
    phase: str = ""
    cursor: Any = maybe_json()  # how far the phase has come
    figures: Any = Field(sa_type=JSON)  # what was looked at and removed so far
    reason: str | None = None  # why it failed
    began_at: int = number()  # by the hub's clock
    created_at: int = time()
    ended_at: int | None = maybe_time()
