"""A hub with everybody in it, for requests that mean harm."""

from collections.abc import Iterator

import pytest

from tests.auth.people import People
from tests.auth.world import World
from tests.hub import HubProcess


@pytest.fixture(scope="session")
def world(hub: HubProcess) -> Iterator[World]:
    """The world of the matrix: what its table asks is good in itself, and new routes are met by themselves."""
    database = hub.open_database()
    made = World(hub, People(database))
    yield made
    made.close()
    database.close()
    hub.check_log()
