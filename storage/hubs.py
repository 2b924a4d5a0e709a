"""Whose database this is: the one row that no other hub, and no replica with another secret key, agrees with."""

import secrets

from sqlalchemy.orm import Session

from storage.database import Database, StorageError, now
from storage.tables import Hub


def identify_hub(
    database: Database, secret_check: str, *, other_check: str | None = None, new_secret_key: bool = False
) -> str:
    """The id of the hub whose database this is: made at the first start, the same for all its replicas ever after.

    `secret_check` follows from the secret key. Raises StorageError if it is another than that of the first start,
    unless that is meant to be replaced: what was sealed with the old key cannot be opened any more. `other_check` is
    good too: that of a key which is known beside the one.
    """
    with database.write() as session:
        row = session.get(Hub, 1)
        if row is None:
            row = Hub(hub_id=secrets.token_hex(16), secret_check=secret_check, created_at=now())
            session.add(row)
        elif new_secret_key:
            row.secret_check = secret_check
        elif row.secret_check not in (secret_check, other_check):
            raise StorageError(
                "the secret key is not the one that this database's secrets are sealed with: give every replica the"
                " WASMHUB_SECRET_KEY that it had (or its secret.key), put that one into WASMHUB_OLD_SECRET_KEY to go on"
                " with another, or start once with --new-secret-key if it is lost"
            )
        return row.hub_id


def hub_id_in(session: Session) -> str:
    """The id of the hub whose database this is, once it has started."""
    return session.get_one(Hub, 1).hub_id
