"""What all tests share: one running hub, for those that do not break it."""

from collections.abc import Iterator

import pytest

from tests.hub import HubProcess


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub that many tests share: each uses namespaces or repositories of its own."""
    with HubProcess(tmp_path_factory.mktemp("hub") / "data") as running:
        yield running
