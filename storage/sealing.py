"""What lies sealed at rest: where it is, and its going over from one secret key to another."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Column, Table, select, update
from sqlalchemy.orm import Session as OrmSession

from storage.all_tables import METADATA
from storage.database import Conflict, Database
from storage.events import SYSTEM, record
from storage.tables import Hub

MARK = "sealed_"  # with which the name of every column begins that holds something sealed
ROWS = 500  # that are read at a time
_NAMED = b"\x02"  # the first byte of what says which key it is sealed with, by the first of the check's bytes
_NAME = 4  # bytes


class OldSeal(Conflict):
    """What was sealed just now with a key that is the database's no more: nobody could open it later."""

    def __init__(self) -> None:
        super().__init__("the hub's secret key was replaced, and this replica has the old one; try again in a moment")


@dataclass(frozen=True)
class Resealed:
    """How many secrets went over, and how many could not be opened: they had been lost before."""

    done: int
    lost: int


def sealed_columns() -> list[tuple[Table, str]]:
    """All columns with sealed secrets, by the tables that hold them."""
    return [
        (table, column.name)
        for table in METADATA.sorted_tables
        for column in table.columns
        if column.name.startswith(MARK)
    ]


def reseal(database: Database, old_check: str, check: str, change: Callable[[bytes], bytes]) -> Resealed | None:
    """Has all that is sealed with the old secret key go over to another, and the database be that one's, all at once.

    `change` seals anew; it raises ValueError for what it cannot open, which stays as it is. None, and nothing is done,
    if the database is not the old key's (any more): another replica was first.
    """
    with database.write() as session:
        hub = session.get(Hub, 1)
        if hub is None or old_check == check or hub.secret_check != old_check:
            return None
        hub.secret_check = check
        done = lost = 0
        for table, column in sealed_columns():
            found = _reseal_column(session, table, column, change)
            done, lost = done + found.done, lost + found.lost
        record(session, SYSTEM, "secret-key.replace", "the hub", detail={"sealed_anew": done, "lost": lost})
        return Resealed(done, lost)


def refuse_old_seal(session: OrmSession, sealed: bytes) -> None:
    """Raises OldSeal for what a replica seals with another key than the database's, as part of a larger command."""
    hub = session.get(Hub, 1)
    if hub is None or sealed[:1] != _NAMED:
        return
    if sealed[1 : 1 + _NAME] != bytes.fromhex(hub.secret_check)[:_NAME]:
        raise OldSeal


def _reseal_column(session: OrmSession, table: Table, name: str, change: Callable[[bytes], bytes]) -> Resealed:
    key: Column[object] = next(iter(table.primary_key.columns))
    assert len(table.primary_key.columns) == 1, f"{table.name} is read by its key, which must be one column"
    last: object = None
    done = lost = 0
    while True:
        asked = select(key, table.c[name]).order_by(key).limit(ROWS)
        rows = session.execute(asked if last is None else asked.where(key > last)).all()
        for row_key, sealed in rows:
            try:
                anew = None if sealed is None else change(sealed)
            except ValueError:
                lost += 1
                continue
            if anew is not None:
                session.execute(update(table).where(key == row_key).values({name: anew}))
                done += 1
        if len(rows) < ROWS:
            return Resealed(done, lost)
        last = rows[-1][0]
