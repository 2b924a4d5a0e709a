"""Runs of the garbage collector as rows: asked for, under way, how they ended."""

import json
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import JSON, text
from sqlalchemy.orm import Session

from storage.clock import READING
from storage.database import Database, now
from storage.events import Actor, record
from storage.statements import Statement

KEPT = 100  # runs that are remembered

Figures = dict[str, int]


@dataclass(frozen=True)
class Run:
    """A run. What it has done so far is in `figures`; `phase` and `cursor` say where it goes on."""

    id: int
    state: str  # waiting | running | finished | failed
    dry_run: bool
    asked_by: str  # empty: the schedule
    phase: str
    cursor: list[Any] | None
    figures: Figures = field(default_factory=dict)
    reason: str | None = None
    created_at: int = 0
    ended_at: int | None = None


_COLUMNS = "id, state, dry_run, asked_by, phase, cursor, figures, reason, created_at, ended_at"
_LIST = text(f"SELECT {_COLUMNS} FROM garbage_collections ORDER BY id DESC LIMIT :limit").columns(
    cursor=JSON, figures=JSON
)
_FIND = text(f"SELECT {_COLUMNS} FROM garbage_collections WHERE id = :id").columns(cursor=JSON, figures=JSON)
_OPEN = text(
    f"SELECT {_COLUMNS} FROM garbage_collections WHERE state IN ('running', 'waiting') ORDER BY id LIMIT 1"
).columns(cursor=JSON, figures=JSON)
_WAITING = Statement("SELECT id FROM garbage_collections WHERE state = 'waiting' AND dry_run = :dry_run")
_ADD = Statement(
    "INSERT INTO garbage_collections (state, dry_run, asked_by, phase, figures, began_at, created_at)"
    f" VALUES ('waiting', :dry_run, :by, '', '{{}}', {READING}, :now) RETURNING id"
)
_BEGIN = Statement(
    f"UPDATE garbage_collections SET state = 'running', began_at = {READING} WHERE id = :id AND state = 'waiting'"
)
_LAST_BEGAN = Statement("SELECT MAX(began_at) FROM garbage_collections WHERE NOT dry_run AND phase <> ''")
_DUE = Statement(f"SELECT {READING} - :last >= :interval")
_PROGRESS = Statement(
    "UPDATE garbage_collections SET phase = :phase, cursor = :cursor, figures = :figures"
    " WHERE id = :id AND state = 'running'"
)
_END = Statement(
    "UPDATE garbage_collections SET state = :state, reason = :reason, figures = :figures, ended_at = :now"
    " WHERE id = :id AND state = 'running'"
)
_FORGET = Statement("DELETE FROM garbage_collections WHERE id <= :id - :kept")


def ask_for_run(database: Database, actor: Actor, *, dry_run: bool) -> Run:
    """A run that begins as soon as a hub sees it; the one that waits already, if there is one."""
    with database.write() as session:
        run_id = _WAITING.value(session, {"dry_run": dry_run})
        if run_id is None:
            run_id = _add(session, actor.name, dry_run)
            record(session, actor, "garbage.collect", f"run {run_id}", detail={"dry_run": dry_run})
        found = find_run(session, run_id)
    assert found is not None
    return found


def find_open(session: Session) -> Run | None:
    """The run that is under way or waits."""
    row = session.execute(_OPEN).first()
    return None if row is None else _run(row)


def is_due(session: Session, interval: int) -> bool:
    """Whether the schedule wants a run: `interval` milliseconds have passed since the last one began."""
    last = _LAST_BEGAN.value(session, {}) or 0
    return bool(_DUE.value(session, {"last": last, "interval": interval}))


def schedule_run(database: Database) -> None:
    """Adds the schedule's run, unless some run is under way or waits."""
    with database.write() as session:
        if session.execute(_OPEN).first() is None:
            _add(session, "", False)


def begin_run(database: Database, run_id: int) -> None:
    """Says that a waiting run is under way."""
    with database.write() as session:
        _BEGIN.run(session, {"id": run_id})


def save_progress(database: Database, run_id: int, phase: str, cursor: list[Any] | None, figures: Figures) -> None:
    """Writes down how far a run has come, so that any hub can go on with it."""
    with database.write() as session:
        said = {"phase": phase, "cursor": None if cursor is None else json.dumps(cursor)}
        _PROGRESS.run(session, {"id": run_id, **said, "figures": json.dumps(figures)})


def end_run(database: Database, run_id: int, figures: Figures, reason: str | None) -> None:
    """Ends a run: it has failed if there is a reason, a sentence."""
    with database.write() as session:
        state = "finished" if reason is None else "failed"
        said = {"id": run_id, "state": state, "reason": reason, "figures": json.dumps(figures), "now": now()}
        _END.run(session, said)
        _FORGET.run(session, {"id": run_id, "kept": KEPT})


def find_run(session: Session, run_id: int) -> Run | None:
    """The run of that number."""
    row = session.execute(_FIND, {"id": run_id}).first()
    return None if row is None else _run(row)


def list_runs(session: Session, limit: int) -> list[Run]:
    """The last runs, newest first."""
    return [_run(row) for row in session.execute(_LIST, {"limit": limit})]


def _add(session: Session, by: str, dry_run: bool) -> int:
    run_id: int = _ADD.value(session, {"dry_run": dry_run, "by": by, "now": now()})
    return run_id


def _run(row: Any) -> Run:
    id_, state, dry_run, *rest = row
    return Run(id_, state, bool(dry_run), *rest)
