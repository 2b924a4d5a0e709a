"""The administrator at the shared hub, with a filter to deploy and a target of their own."""

import secrets

import pytest

from tests.cli.commands import FILTER, Commands, push_filters
from tests.hub import HubProcess


@pytest.fixture(scope="session")
def admin(hub: HubProcess) -> Commands:
    """The administrator, with a token made by the command itself."""
    nobody = Commands(hub.url)
    made = nobody.json("token", "create", "cli tests", "--user", "admin", stdin=hub.admin_password + "\n")
    return Commands(hub.url, made["token"])


@pytest.fixture(scope="session")
def reference(hub: HubProcess) -> str:
    """A filter that was pushed, without its tag; the tags are 1 and 2."""
    push_filters(hub)
    return FILTER


@pytest.fixture
def target(admin: Commands) -> str:
    """A new target."""
    name = f"cli-{secrets.token_hex(4)}"
    admin.text("targets", "create", name, "--refresh-seconds", "0.2")
    return name
