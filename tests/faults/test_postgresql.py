"""PostgreSQL restarted, killed, frozen and cut off under load on two replicas: refused or right, then as before."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.engines import PostgreSQL
from tests.faults.asking import readyz, seconds_until
from tests.faults.figures import LONG, Figures
from tests.faults.load import Load
from tests.faults.proxy import Faults
from tests.faults.replicas import Replicas, replicas
from tests.hub import HubProcess
from tests.peers import peer, postgresql_program

SECONDS = 15 if LONG else 6  # under the fault
BACK = 40.0  # seconds within which every client goes on after the fault


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    """Two replicas for all faults: each is over before the next."""
    for name in ("minio", "redis-server"):
        peer(name)
    postgresql_program("initdb")
    with replicas(tmp_path_factory.mktemp("postgresql")) as running:
        yield running


def postgresql_of(stage: Replicas) -> PostgreSQL:
    assert stage.engines.postgresql is not None
    return stage.engines.postgresql


@contextmanager
def restarted(stage: Replicas) -> Iterator[None]:
    postgresql_of(stage).stop()
    yield
    postgresql_of(stage).start()


@contextmanager
def crashed(stage: Replicas) -> Iterator[None]:
    postgresql_of(stage).end(signal.SIGQUIT)  # at once, without order: it recovers from its log at the next start
    yield
    postgresql_of(stage).start()


@contextmanager
def refusing(stage: Replicas) -> Iterator[None]:
    stage.database_proxy.refuse()
    yield
    stage.database_proxy.heal()


@contextmanager
def silent(stage: Replicas) -> Iterator[None]:
    stage.database_proxy.faults = Faults(silent=True)
    yield
    stage.database_proxy.heal()


@contextmanager
def cut_again_and_again(stage: Replicas) -> Iterator[None]:
    for _ in range(8):
        stage.database_proxy.cut()
        time.sleep(0.4)
    yield


@contextmanager
def cut_at_random(stage: Replicas) -> Iterator[None]:
    stage.database_proxy.faults = Faults(cut_share=0.02)
    yield
    stage.database_proxy.heal()


@contextmanager
def slow(stage: Replicas) -> Iterator[None]:
    stage.database_proxy.faults = Faults(delay=0.05)
    yield
    stage.database_proxy.heal()


@contextmanager
def ended_by_its_operator(stage: Replicas) -> Iterator[None]:
    for _ in range(5):
        ends = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'wasmhub'"
        postgresql_of(stage).ask(ends)
        time.sleep(0.5)
    yield


# fault -> how it is made, and whether commands are done meanwhile
FAULTS: dict[str, tuple[Callable[[Replicas], object], bool]] = {
    "PostgreSQL restarted": (restarted, False),
    "PostgreSQL crashed": (crashed, False),
    "PostgreSQL refusing connections": (refusing, False),
    "PostgreSQL saying nothing": (silent, False),
    "PostgreSQL's connections cut, again and again": (cut_again_and_again, True),
    "PostgreSQL's connections cut at random, 2% of pieces": (cut_at_random, True),
    "PostgreSQL's connections ended by its operator": (ended_by_its_operator, True),
    "PostgreSQL 0.1 s away": (slow, True),
}
LONGEST = 45.0  # seconds that an answer may take whatever the database does


@pytest.mark.parametrize("fault", FAULTS)
def test_what_was_acknowledged_is_there(stage: Replicas, fault: str) -> None:
    broken, works = FAULTS[fault]
    figures = Figures(fault)
    with Load(stage.hubs, figures) as load:
        load.until(20, 60)
        with broken(stage):  # type: ignore[attr-defined]
            began = time.monotonic()
            if not works:
                for hub in stage.hubs:
                    seconds_until(lambda hub=hub: is_missing(hub), 15)  # type: ignore[misc]
            seconds = 4 * SECONDS if "nothing" in fault else SECONDS
            time.sleep(max(0.0, seconds - (time.monotonic() - began)))
        load.recovered(time.monotonic(), BACK)
        for hub in stage.hubs:
            seconds_until(lambda hub=hub: readyz(hub)[0] == 200, 10)  # type: ignore[misc]
    load.check()
    assert figures.longest < LONGEST


def is_missing(hub: HubProcess) -> bool:
    """Whether the hub says that it is not ready, and that it is the database that is missing."""
    status, parts = readyz(hub)
    return status == 503 and parts["database"] != "ok" and parts["blobs"] == "ok"
