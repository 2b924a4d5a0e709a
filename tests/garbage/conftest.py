"""The hub with short leases that these tests share, and a name for each test."""

import secrets
from collections.abc import Iterator

import pytest

from tests.garbage.yard import SHORT, Yard
from tests.hub import HubProcess


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    """A hub that collects when it is told to, within seconds after a push."""
    with HubProcess(tmp_path_factory.mktemp("yard") / "data", **SHORT) as hub:
        found = Yard(hub)
        yield found
        found.close()


@pytest.fixture
def name() -> str:
    """A repository that no other test uses."""
    return f"garbage/{secrets.token_hex(6)}"
