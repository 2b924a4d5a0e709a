"""The scaled-out engines for benchmarks: one PostgreSQL, MinIO and Redis, the same real ones that the tests run on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.growth import Engine
from tests.engines import SETS, Engines

DATABASE = "WASMHUB_DATABASE_URL"


@contextmanager
def scaled_out() -> Iterator[Engines]:
    """All three, up within the block."""
    engines = Engines(SETS["scaled"])
    try:
        yield engines.start()
    finally:
        engines.remove()


def postgresql(engines: Engines) -> Engine:
    """Hubs on PostgreSQL alone, for what grows: their blobs' bytes are nowhere, and pushes go to files."""
    assert engines.postgresql is not None and engines.postgresql.process is not None
    server = engines.postgresql.process.pid

    def settings(folder: Path) -> dict[str, str]:
        kept = ("WASMHUB_DATABASE_URL", "WASMHUB_SECRET_KEY")
        return {name: value for name, value in engines.settings(folder).items() if name in kept}

    return Engine("PostgreSQL", settings, lambda folder: settings(folder)[DATABASE], lambda: (server,))
