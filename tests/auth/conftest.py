"""A way into the shared hub's database, from beside it."""

import secrets
from collections.abc import Iterator

import httpx
import pytest

from storage.database import Database
from tests.auth.people import People
from tests.hub import HubProcess
from tests.oci import Client


@pytest.fixture(scope="session")
def people(hub: HubProcess) -> Iterator[People]:
    """People in the shared hub."""
    database = Database(hub.data / "hub.db")
    yield People(database)
    database.close()


@pytest.fixture
def http(hub: HubProcess) -> Iterator[httpx.Client]:
    """Plain requests to the shared hub."""
    with httpx.Client(base_url=hub.url, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def admin(hub: HubProcess) -> Client:
    """The administrator, who may push anywhere."""
    return Client(hub.url, "admin", hub.admin_password)


@pytest.fixture
def word() -> str:
    """A name that no other test uses."""
    return f"n{secrets.token_hex(5)}"
