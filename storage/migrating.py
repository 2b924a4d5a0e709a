"""Brings a database's tables to the newest migration.

Only who has to do so loads Alembic, which takes a fifth of a hub's start: most starts find all migrations done.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection

from storage.errors import StorageError

SCRIPTS = Path(__file__).parent / "migrations"


def upgrade(connection: Connection, name: str) -> None:
    """Runs the migrations that the database of that name lacks, as part of the connection's transaction.

    Raises StorageError if it has one that is not known here.
    """
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError:
        raise StorageError(
            f"{name} was written by a newer version of the hub; start that one, or put a backup back"
        ) from None
