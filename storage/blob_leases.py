"""How long a blob waits for the manifest that will name it: whoever is told that it is there can count on that long."""

from storage.clock import LEASED_UNTIL
from storage.database import Database
from storage.statements import Statement

_RENEW_HELD = Statement(
    f"UPDATE blobs SET leased_until = CASE WHEN leased_until < {LEASED_UNTIL} THEN {LEASED_UNTIL} ELSE leased_until END"
    " WHERE id = :id AND EXISTS (SELECT 1 FROM repository_blobs rb WHERE rb.repository_id = :repo AND rb.blob_id = :id)"
)


def renew_lease(database: Database, repository_id: int, blob_id: int) -> bool:
    """Gives a blob a whole lease from now on. False if the repository does not hold it any more."""
    with database.write(beside=True) as session:
        return _RENEW_HELD.run(session, {"repo": repository_id, "id": blob_id}) == 1
