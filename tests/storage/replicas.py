"""Databases for tests of this room: on each engine two, as two replicas open them."""

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from storage.database import Database
from tests.engines import engines
from tests.migrated import put_file

T = TypeVar("T")
ENGINES = ("sqlite", "postgresql")
AT_ONCE = 8
_numbers = itertools.count(1)


def new_place(engine: str, folder: Path, *, tables: bool = True) -> Path | str:
    """Where a database of its own is, with empty tables; or, without, where one can be made."""
    if engine == "sqlite":
        if tables:
            put_file(folder / "hub.db")
        return folder / "hub.db"
    server = engines("postgresql").postgresql
    assert server is not None
    return server.url(f"replicas-{next(_numbers)}", tables=tables)


@contextmanager
def opened(place: Path | str, count: int = 2) -> Iterator[list[Database]]:
    """The database there, opened as so many replicas do; the first has brought its tables up to date."""
    found = [Database(place) for _ in range(count)]
    found[0].migrate()
    yield found
    for one in found:
        one.close()


def at_once(calls: list[Callable[[], T]]) -> list[T]:
    """Makes the calls at the same moment; what each returned."""
    together = threading.Barrier(len(calls))

    def call(one: Callable[[], T]) -> T:
        together.wait(timeout=20)
        return one()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(timeout=60) for future in [pool.submit(call, one) for one in calls]]
