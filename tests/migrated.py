"""Databases that have their tables: copies of one on which the migrations ran, once for a session of tests.

What migrations do to a database with nothing in it is told by tests of their own (storage, wasmhub), which take none.
"""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from storage.database import Database


def put_file(path: Path) -> None:
    """Puts a SQLite file with all tables there, and no rows in them."""
    shutil.copyfile(_file(), path)
    path.chmod(0o600)


def make_tables(where: Path | str) -> None:
    """Runs the migrations."""
    database = Database(where)
    database.migrate()
    database.close()


@cache
def _file() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="migrated-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    make_tables(folder / "hub.db")
    return folder / "hub.db"
