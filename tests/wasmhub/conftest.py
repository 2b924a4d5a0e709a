"""For hubs that start as the command that people type, where how a hub starts and ends is what a test is about."""

from collections.abc import Iterator

import pytest

from tests.engines import chosen
from tests.hub import HubProcess


@pytest.fixture(scope="module")
def by_the_command() -> Iterator[None]:
    """Not out of the launcher; once, since engines know nothing of it."""
    with pytest.MonkeyPatch.context() as patch:
        if chosen() == "embedded":
            patch.setattr(HubProcess, "at_once", False)
        yield
