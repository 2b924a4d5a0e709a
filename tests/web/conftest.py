"""Two hubs for all tests of pages and of the JSON API: one with a catalog, one with nothing."""

import shutil
import time
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.hub import HubProcess
from tests.web.browsing import FLAGS, Tab
from tests.web.catalogue import PASSWORD, fill


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub with the catalog of `catalogue.fill`, all read."""
    with HubProcess(tmp_path_factory.mktemp("full") / "data") as running:
        fill(running)
        wait_until_read(running)
        yield running


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub in which nobody has pushed anything."""
    with HubProcess(tmp_path_factory.mktemp("empty") / "data") as running:
        yield running


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser of the machine: without the windows that nobody sees it does the same for half of the work."""
    path = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not here: `apt-get install chromium-headless-shell` brings it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS.split())
        yield browser
        browser.close()


@pytest.fixture
def tabs(chromium: Browser) -> Iterator[list[Tab]]:
    """Tabs that a test opens; closed behind it."""
    opened: list[Tab] = []
    yield opened
    for tab in opened:
        tab.context.close()


@pytest.fixture
def admin(empty: HubProcess) -> Iterator[httpx.Client]:
    """The API, asked by the administrator."""
    auth = ("admin", empty.admin_password)
    with httpx.Client(base_url=f"{empty.url}/api/v1", auth=auth, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def stranger(full: HubProcess) -> Iterator[httpx.Client]:
    """Somebody who is not signed in."""
    with httpx.Client(base_url=full.url, trust_env=False) as client:
        yield client


@pytest.fixture
def ann(full: HubProcess) -> Iterator[httpx.Client]:
    """ann, signed in at the page."""
    with httpx.Client(base_url=full.url, trust_env=False) as client:
        answer = client.post("/sign-in", data={"name": "ann", "password": PASSWORD})
        assert answer.status_code == 303, answer.text
        yield client


def wait_until_read(hub: HubProcess) -> None:
    """Waits until the reader has read every module."""
    end = time.monotonic() + 60
    with httpx.Client(base_url=hub.url, auth=("ann", PASSWORD), trust_env=False) as client:
        while time.monotonic() < end:
            found = client.get("/api/v1/repositories?limit=100").json()["repositories"]
            if all(one["newest"] is None or one["newest"]["module"]["state"] != "pending" for one in found):
                return
            time.sleep(0.1)
    raise TimeoutError("the reader did not finish")
