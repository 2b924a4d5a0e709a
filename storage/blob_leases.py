"""How long a blob waits for the manifest that will name it: whoever is told that it is there can count on that long."""

from sqlalchemy.orm import Session

from storage.clock import LEASED_UNTIL, READING
from storage.database import Database
from storage.statements import Statement

# For a pusher to whom a blob is shown there must be left at least half a lease; some more, because the clock has steps.
_FADES = Statement(
    f"SELECT leased_until < {READING} + (SELECT lease * 3 / 4 FROM hub_clock WHERE id = 1) FROM blobs WHERE id = :id"
)
_RENEW_HELD = Statement(
    f"UPDATE blobs SET leased_until = CASE WHEN leased_until < {LEASED_UNTIL} THEN {LEASED_UNTIL} ELSE leased_until END"
    " WHERE id = :id AND EXISTS (SELECT 1 FROM repository_blobs rb WHERE rb.repository_id = :repo AND rb.blob_id = :id)"
)


def fades(session: Session, blob_id: int) -> bool:
    """Whether too little of a blob's lease is left for a pusher to count on."""
    return bool(_FADES.value(session, {"id": blob_id}))


def renew_lease(database: Database, repository_id: int, blob_id: int) -> bool:
    """Gives a blob a whole lease from now on. False if the repository does not hold it any more."""
    with database.write(beside=True) as session:
        return _RENEW_HELD.run(session, {"repo": repository_id, "id": blob_id}) == 1
