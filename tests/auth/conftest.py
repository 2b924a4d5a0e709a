"""A way into the shared hub's database, from beside it."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.auth.people import PASSWORD, ClientOf, People
from tests.hub import HubProcess
from tests.oci import Client


@pytest.fixture(scope="session")
def people(hub: HubProcess) -> Iterator[People]:
    """People in the shared hub."""
    database = hub.open_database()
    yield People(database)
    database.close()


@pytest.fixture
def http(hub: HubProcess) -> Iterator[httpx.Client]:
    """Plain requests to the shared hub."""
    with httpx.Client(base_url=hub.url, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def client_of(hub: HubProcess) -> Iterator[ClientOf]:
    """Gives a client of the shared hub for each person; nobody's name is empty."""
    with ExitStack() as stack:

        def make(name: str) -> Client:
            client = Client(hub.url, name, hub.admin_password if name == "admin" else PASSWORD)
            stack.callback(client.http.close)
            return client

        yield make


@pytest.fixture
def word() -> str:
    """A name that no other test uses."""
    return f"n{secrets.token_hex(5)}"
