"""The hub that tests of single sign-on share: one that may call this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.database import Database
from tests.hub import HubProcess


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub that may call this machine, and nothing else that is not public."""
    with HubProcess(tmp_path_factory.mktemp("sign-on") / "data", WASMHUB_OUTGOING_NETWORKS="127.0.0.1/32") as running:
        yield running
        running.check_log()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A database of its own, with nobody in it."""
    made = Database(tmp_path / "hub.db")
    made.migrate()
    yield made
    made.close()
