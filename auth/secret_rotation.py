"""The secret key and the database that it seals: whether they belong together, and how one key follows another."""

import logging
from collections.abc import Callable
from typing import TypeVar

from auth.secrets import SecretKey
from storage.database import Database
from storage.hubs import identify_hub
from storage.sealing import OldSeal, reseal

Kept = TypeVar("Kept")
log = logging.getLogger("wasmhub")


def claim_database(database: Database, key: SecretKey) -> str:
    """The id of the hub whose database this is. What the old secret key has sealed is sealed with this one first.

    Raises StorageError if the database is another key's: neither this one's nor that of the one that is to come.
    """
    if key.old is not None:
        found = reseal(database, key.old.check, key.check, lambda sealed: key.seal(key.unseal(sealed)))
        if found is not None:
            log.info("the secret key was replaced: %d secrets are sealed with the new one now", found.done)
            if found.lost:
                log.warning("%d secrets could not be opened with the old secret key; they are lost", found.lost)
    coming = key.coming.check if key.coming is not None else None
    return identify_hub(database, key.check, other_check=coming)


def keep_sealed(key: SecretKey, data: bytes, keep: Callable[[bytes], Kept]) -> Kept:
    """What `keep` makes of the data, sealed with the key that is the database's now.

    `keep` is a command that looks at the seal, by `refuse_old_seal`. Raises OldSeal where that key is not known here.
    """
    try:
        return keep(key.seal(data))
    except OldSeal:
        if key.coming is None:
            raise
        return keep(key.coming.seal(data))
