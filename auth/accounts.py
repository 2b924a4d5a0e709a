"""The first start: a hub without users gets its administrator."""

import secrets

from auth.passwords import hash_password, password_problem
from storage.database import Database
from storage.events import SYSTEM
from storage.users import any_user, create_user

FIRST = "admin"


def ensure_administrator(database: Database, password: str | None) -> str | None:
    """Makes the user `admin` if there is no user at all; answers the password if it was made up here, to be shown once.

    `password` is that of the settings. Raises ValueError with a sentence if it cannot be used.
    """
    with database.read() as session:
        if any_user(session):
            return None
    chosen = password or secrets.token_urlsafe(15)
    problem = password_problem(chosen)
    if problem is not None:
        raise ValueError(f"WASMHUB_ADMIN_PASSWORD: {problem}")
    made = create_user(
        database, SYSTEM, FIRST, password_hash=hash_password(chosen), role="administrator", only_first=True
    )
    return chosen if made is not None and password is None else None
