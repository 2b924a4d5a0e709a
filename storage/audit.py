"""The audit log: events found by who, what, about what, whose, when and where from; and their end after a time.

Each way to search is a walk along one index, newest first. What else was asked is compared row by row, and a page looks
at EXAMINED rows at most: it may be short, or empty, and still say where to go on. So a page costs the same with a
thousand rows and with a hundred million.
"""

import heapq
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.orm import Session

from storage.database import Database, clock
from storage.events import SYSTEM, record
from storage.garbage import LOOKED_AT, Cursor, Step
from storage.statements import Statement

EXAMINED = 10_000  # rows for one page
_BATCH = 1000
RESULTS = ("done", "refused")

Place = tuple[int, int]  # time and id of a row: the next page begins after it


@dataclass(frozen=True)
class Wanted:
    """What rows are looked for; an empty text and None say nothing."""

    actor: str = ""
    action: str = ""  # whole, or its noun: `robot` and `robot.` are all that begin with `robot.`
    subject: str = ""  # whole; a repository's name stands for all that was done in it
    address: str = ""
    result: str = ""
    since: int | None = None
    until: int | None = None  # milliseconds; rows of that one are not meant any more
    team_id: int | None = None


@dataclass(frozen=True)
class EventRow:
    """A row of the log."""

    id: int
    at: int
    actor_kind: str
    actor: str
    address: str
    action: str
    subject: str
    result: str
    detail: dict[str, Any]
    team_id: int | None
    team: str | None = None  # its name today


@dataclass(frozen=True)
class EventPage:
    """Rows, newest first, and where the next page begins; None: there are no more."""

    rows: Sequence[EventRow]
    next: Place | None


_COLUMNS = "id, at, actor_kind, actor_name, address, action, subject, result, detail, team_id"
_BACKWARDS = (
    f"SELECT {_COLUMNS} FROM events WHERE {{}} AND at >= :since AND at <= :at AND (at < :at OR id < :id)"
    " ORDER BY at DESC, id DESC LIMIT :limit"
)
_WALKS = {
    column: Statement(_BACKWARDS.format(f"{column} = :value"))
    for column in ("actor_name", "action", "subject", "address", "team_id", "repository_id")
}
_ALL = Statement(_BACKWARDS.format("TRUE"))
# Jumps from one action to the next: there are some dozens, however many rows there are.
_ACTIONS = Statement(
    "WITH RECURSIVE a(action) AS (SELECT (SELECT MIN(action) FROM events) UNION ALL"
    " SELECT (SELECT MIN(e.action) FROM events e WHERE e.action > a.action) FROM a WHERE a.action IS NOT NULL)"
    " SELECT action FROM a WHERE action IS NOT NULL"
)
_REPOSITORY = Statement("SELECT id FROM repositories WHERE name = :name")
_TEAMS = text("SELECT team_id, name FROM namespaces WHERE kind = 'team' AND team_id IN :ids").bindparams(
    bindparam("ids", expanding=True)
)
_OLD = "SELECT id FROM events WHERE at < :before ORDER BY at, id LIMIT :limit"
_ANY_OLD = Statement(_OLD)
_FORGET = Statement(f"DELETE FROM events WHERE id IN ({_OLD})")
_LATEST: Place = (2**62, 2**62)


def find_events(session: Session, wanted: Wanted, *, before: Place | None = None, limit: int) -> EventPage:
    """Rows that match, newest first, after that place; at most `limit`, and no more than EXAMINED are looked at."""
    start = before or _LATEST
    if wanted.until is not None:
        start = min(start, (wanted.until, 0))  # ids begin at 1
    found: list[EventRow] = []
    examined, last = 0, 0
    for row in heapq.merge(*_walks(session, wanted, start, limit), key=lambda row: (-row.at, -row.id)):
        if row.id == last:
            continue  # two walks came by it
        examined, last = examined + 1, row.id
        if _matches(wanted, row):
            found.append(row)
        if len(found) == limit or examined == EXAMINED:
            return EventPage(_named(session, found), (row.at, row.id))
    return EventPage(_named(session, found), None)


def actions(session: Session) -> list[str]:
    """All actions that rows have, in order."""
    return sorted(row[0] for row in _ACTIONS.all(session, {}))


def forget_events(database: Database, cursor: Cursor, dry_run: bool, kept: int) -> Step:
    """Removes rows that are older than `kept` milliseconds, for ever kept if 0; at last it says how many that were."""
    (count,) = cursor or (0,)
    if not kept:
        return Step(None)
    with database.read() as session:
        asked = {"before": clock(session) - kept, "limit": LOOKED_AT}
        there = len(_ANY_OLD.all(session, asked))
    gone = 0
    if not dry_run and (there or count):
        with database.write(beside=True) as session:
            gone = _FORGET.run(session, asked) if there else 0
            if gone < LOOKED_AT:
                detail = {"rows": count + gone, "before": asked["before"]}
                record(session, SYSTEM, "audit.trim", "events", detail=detail)
    return Step([count + gone] if gone == LOOKED_AT else None, {"events": gone})


def _walks(session: Session, wanted: Wanted, start: Place, limit: int) -> list[Iterator[EventRow]]:
    """The walks that together come by all rows that match: along what says most."""

    def along(column: str, value: Any) -> Iterator[EventRow]:
        return _walk(session, _WALKS[column], {"value": value, "since": wanted.since or 0}, start, limit)

    if wanted.subject:
        repository = _REPOSITORY.value(session, {"name": wanted.subject})
        inside = [along("repository_id", repository)] if repository is not None else []
        return [along("subject", wanted.subject), *inside]
    if wanted.address:
        return [along("address", wanted.address)]
    if wanted.actor:
        return [along("actor_name", wanted.actor)]
    if wanted.action:
        return [along("action", action) for action in actions(session) if _means(wanted.action, action)]
    if wanted.team_id is not None:
        return [along("team_id", wanted.team_id)]
    return [_walk(session, _ALL, {"since": wanted.since or 0}, start, limit)]


def _walk(
    session: Session, statement: Statement, asked: dict[str, Any], start: Place, limit: int
) -> Iterator[EventRow]:
    at, last = start
    while True:
        rows = statement.all(session, {**asked, "at": at, "id": last, "limit": limit})
        for id_, moment, kind, name, address, action, subject, result, detail, team in rows:
            said = json.loads(detail) if isinstance(detail, str) else detail
            yield EventRow(id_, moment, kind, name, address, action, subject, result, said or {}, team)
        if len(rows) < limit:
            return
        at, last, limit = rows[-1][1], rows[-1][0], _BATCH


def _matches(wanted: Wanted, row: EventRow) -> bool:
    """What the walk did not say already; the time it did, and the subject."""
    return (
        (not wanted.actor or row.actor == wanted.actor)
        and (not wanted.action or _means(wanted.action, row.action))
        and (not wanted.address or row.address == wanted.address)
        and (not wanted.result or row.result == wanted.result)
        and (wanted.team_id is None or row.team_id == wanted.team_id)
    )


def _means(asked: str, action: str) -> bool:
    return action == asked or action.startswith(f"{asked.rstrip('.')}.")


def _named(session: Session, rows: Sequence[EventRow]) -> list[EventRow]:
    """The rows with the names of their teams."""
    teams = {row.team_id for row in rows if row.team_id is not None}
    names = {row[0]: row[1] for row in session.execute(_TEAMS, {"ids": sorted(teams)})} if teams else {}
    return [EventRow(**{**vars(row), "team": names.get(row.team_id)}) for row in rows]
