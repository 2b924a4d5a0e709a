"""The hubs of these tests start as the command that people type: how it starts and ends is what they are about."""

from collections.abc import Iterator

import pytest

from tests.hub import HubProcess


@pytest.fixture(scope="module", autouse=True)
def _by_the_command() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HubProcess, "at_once", False)
        yield
