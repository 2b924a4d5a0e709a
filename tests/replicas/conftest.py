"""One hub of two replicas behind a load balancer, for all tests here."""

from collections.abc import Iterator

import pytest

from tests.balancer import Replicas


@pytest.fixture(scope="session")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    """Two replicas that share what a scaled-out hub shares, and drain as a hub does that is told nothing of it."""
    with Replicas(tmp_path_factory.mktemp("replicas") / "hub", WASMHUB_DRAIN_SECONDS="3") as running:
        yield running
