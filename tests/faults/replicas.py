"""Two replicas on engines of a test's own, which it may break: PostgreSQL and S3 behind proxies, and Redis."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.engines import Engines
from tests.faults.proxy import Proxy
from tests.hub import HubProcess

NAMES = ("postgresql", "minio", "redis")


@dataclass(frozen=True)
class Replicas:
    """Hubs that share everything, and what lies between them and their database."""

    hubs: tuple[HubProcess, ...]
    engines: Engines
    database_proxy: Proxy


@contextmanager
def replicas(folder: Path, count: int = 2) -> Iterator[Replicas]:
    """So many replicas for as long as the block runs."""
    engines = Engines(NAMES)
    with ExitStack() as stack:
        stack.callback(engines.remove)
        engines.start()
        assert engines.postgresql is not None
        proxy = stack.enter_context(Proxy("127.0.0.1", engines.postgresql.port))
        settings = engines.settings(folder / "shared", tables=True)
        direct = settings["WASMHUB_DATABASE_URL"]
        settings["WASMHUB_DATABASE_URL"] = direct.replace(f":{engines.postgresql.port}/", f":{proxy.port}/")
        hubs = tuple(HubProcess(folder / f"replica-{number}" / "data", **settings) for number in range(count))
        for hub in hubs:
            stack.enter_context(hub)
        yield Replicas(hubs, engines, proxy)
        for hub in hubs:
            hub.check_log()
