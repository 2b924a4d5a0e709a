"""S3 that fails, is slow, refuses, cuts bodies or dies under load: refused or right, never lost, and then as before."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.engines import MinIO
from tests.faults.asking import readyz, seconds_until
from tests.faults.figures import LONG, Figures
from tests.faults.load import Load
from tests.faults.proxy import Faults
from tests.faults.s3_proxy import S3Faults, S3Proxy
from tests.hub import HubProcess

SECONDS = 20 if LONG else 8  # under the fault
LONGEST = 75.0  # seconds that an answer may take whatever the bucket does: three tries of twenty, and pauses
BACK = 30.0  # seconds within which every client goes on after the fault


@dataclass(frozen=True)
class Stage:
    """A hub whose bucket lies behind a proxy."""

    hub: HubProcess
    minio: MinIO
    proxy: S3Proxy


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One for all faults: each is over before the next."""
    minio = MinIO()
    minio.start()
    settings = minio.settings("faults")
    with S3Proxy("127.0.0.1", minio.port, seed=int(time.time())) as proxy:
        settings["WASMHUB_S3_ENDPOINT"] = f"http://127.0.0.1:{proxy.port}"
        with HubProcess(tmp_path_factory.mktemp("s3") / "data", **settings) as hub:
            yield Stage(hub, minio, proxy)
            hub.check_log()
    minio.remove()


@contextmanager
def killed(stage: Stage) -> Iterator[None]:
    stage.minio.end(signal.SIGKILL)
    yield
    stage.minio.start()


@contextmanager
def refusing(stage: Stage) -> Iterator[None]:
    stage.proxy.refuse()
    yield
    stage.proxy.heal()


def behind(faults: Faults) -> Callable[[Stage], object]:
    @contextmanager
    def broken(stage: Stage) -> Iterator[None]:
        stage.proxy.faults = faults
        yield
        stage.proxy.heal()

    return broken


HALVES = ("half a request", "half an answer", "short answer")
# fault -> how it is made, whether commands are done meanwhile, and seconds that an answer may take
FAULTS = {
    "S3 failing 10% of calls in seven ways": (behind(S3Faults(share=0.1)), True, LONGEST),
    "S3 cutting 30% of bodies half way": (behind(S3Faults(share=0.3, kinds=HALVES)), True, LONGEST),
    "S3 answering 30% with SlowDown": (behind(S3Faults(share=0.3, kinds=("SlowDown",))), True, LONGEST),
    "S3 slow, half a second more a call": (behind(Faults(delay=0.5)), True, LONGEST),
    "S3 refusing connections": (refusing, False, 15.0),
    "S3 killed": (killed, False, 15.0),
    "S3 saying nothing": (behind(Faults(silent=True)), False, LONGEST),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_was_acknowledged_is_there(stage: Stage, fault: str) -> None:
    broken, works, longest = FAULTS[fault]
    figures = Figures(fault)
    stage.proxy.calls.clear()
    with Load([stage.hub], figures) as load:
        load.until(20, 60)
        with broken(stage):  # type: ignore[attr-defined]
            began = time.monotonic()
            if works:
                load.until(10, 60)
            else:
                seconds_until(lambda: is_missing(stage.hub), 15)
            seconds = 90 if LONG and "nothing" in fault else SECONDS
            time.sleep(max(0.0, seconds - (time.monotonic() - began)))
        load.recovered(time.monotonic(), BACK)
        seconds_until(lambda: readyz(stage.hub)[0] == 200, 10)
    load.check()
    assert figures.longest < longest
    print(dict(stage.proxy.calls))
    assert ("%" in fault) == (len(stage.proxy.calls) > 1)  # calls did go wrong


def is_missing(hub: HubProcess) -> bool:
    """Whether the hub says that it is not ready, and that it is the blobs that are missing."""
    status, parts = readyz(hub)
    return status == 503 and parts["blobs"] != "ok" and parts["database"] == "ok"
