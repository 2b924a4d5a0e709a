"""Targets of the shared hub, each of its own name."""

import secrets
from collections.abc import Iterator

import pytest

from tests.auth.people import People
from tests.deploy.fleet import Fleet, Upstream
from tests.hub import HubProcess


@pytest.fixture
def fleet(hub: HubProcess) -> Iterator[Fleet]:
    """A new target of the administrator's."""
    with Fleet(hub, f"edge-{secrets.token_hex(4)}") as made:
        yield made


@pytest.fixture(scope="session")
def people(hub: HubProcess) -> Iterator[People]:
    """People in the shared hub."""
    database = hub.open_database()
    yield People(database)
    database.close()


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """What lies behind Envoys."""
    running = Upstream()
    yield running
    running.close()
