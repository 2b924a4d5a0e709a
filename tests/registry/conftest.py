"""Clients of the shared hub, signed in and not."""

import secrets
from collections.abc import Iterator

import pytest

from tests.hub import HubProcess
from tests.oci import Client


@pytest.fixture(scope="session")
def admin(hub: HubProcess) -> Iterator[Client]:
    """The administrator, who may push anywhere."""
    client = Client(hub.url, "admin", hub.admin_password)
    yield client
    client.close()


@pytest.fixture
def name() -> str:
    """A repository that no other test uses."""
    return f"registry/{secrets.token_hex(6)}"
