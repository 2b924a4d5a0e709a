"""Leases: the right to do what only one process in the world may do at a time, until a time that runs out by itself."""

from storage.database import Database, clock
from storage.statements import Statement

_TAKE = Statement(
    "INSERT INTO leases (name, holder, until) VALUES (:name, :holder, :until)"
    " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until"
    " WHERE leases.holder = excluded.holder OR leases.until <= :now"
)
_GIVE_BACK = Statement("DELETE FROM leases WHERE name = :name AND holder = :holder")


def take_lease(database: Database, name: str, holder: str, seconds: int) -> bool:
    """Takes a lease, or holds it for longer if it is the holder's already. False: another holder has it.

    Whoever holds it stops, or renews it, well before the seconds are over: from then on another may take it.
    """
    with database.write(beside=True) as session:
        moment = clock(session)
        asked = {"name": name, "holder": holder, "now": moment, "until": moment + seconds * 1000}
        return _TAKE.run(session, asked) == 1


def give_back_lease(database: Database, name: str, holder: str) -> None:
    """Ends a lease before its time, so that another can take it at once; nothing if it is another's by now."""
    with database.write(beside=True) as session:
        _GIVE_BACK.run(session, {"name": name, "holder": holder})
