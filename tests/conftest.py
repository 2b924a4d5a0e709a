"""What all tests share: the engines that hubs run on, and one running hub, for those that do not break it."""

import signal
from collections.abc import Iterator
from functools import cache

import httpx
import pytest

from tests.balancer import shared_hub
from tests.engines import chosen, engines
from tests.hub import HubProcess
from tests.launcher import POSSIBLE

ELSEWHERE = "of another set"  # what `tests.run` takes for a test that is left out here and runs on the embedded engines
EMBEDDED_ONLY = f"{ELSEWHERE}: it looks into the data folder, which is the embedded engines' alone"


def pytest_configure(config: pytest.Config) -> None:
    """Lets SIGINT end what tests start: a shell has what it runs in the background ignore it, and all below that.

    Lets all clients that say nothing of TLS share what they trust, and hubs start out of a launcher.
    """
    HubProcess.at_once = POSSIBLE
    config.addinivalue_line("markers", "once(why): on the embedded engines alone, since it is the same on each set")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Each of the thousands of clients would read the world's certificates anew, which takes longer than what it asks.
    httpx._transports.default.create_ssl_context = cache(httpx.create_ssl_context)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leaves out, on other engines than the embedded ones, what says why it is to run once."""
    mark = item.get_closest_marker("once")
    if mark is not None and chosen() != "embedded":
        pytest.skip(f"{ELSEWHERE}: {mark.args[0]}")


@pytest.fixture(scope="session", autouse=True)
def _engines() -> None:
    """Starts the engines in the thread that ends last, since they end with the thread that started them."""
    engines(chosen())


@pytest.fixture(scope="session")
def embedded() -> None:
    """For tests of what lies in a data folder: there is nothing for them to see on the other sets of engines."""
    if chosen() != "embedded":
        pytest.skip(EMBEDDED_ONLY)


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub that many tests share: each uses namespaces or repositories of its own."""
    with shared_hub(tmp_path_factory.mktemp("hub") / "data") as running:
        yield running
