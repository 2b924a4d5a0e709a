"""A real Docker daemon, homes for client programs, and what makes a repository public."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage.database import Database
from storage.events import SYSTEM
from storage.namespaces import find_holding
from storage.repositories import configure_repository
from tests.clients.home import Home
from tests.hub import HubProcess
from tests.peers import peer

SECONDS_TO_START = 60


@pytest.fixture(scope="session")
def docker_host() -> Iterator[str]:
    """The address of a daemon of our own: no bridge, no firewall rules, everything in a folder that goes with it."""
    peer("docker")
    daemon = peer("dockerd")
    if os.geteuid() != 0:
        pytest.skip("dockerd is not ours to start: run the tests as root, as CI does")
    folder = Path(tempfile.mkdtemp(prefix="dockerd-"))  # not pytest's: the path of a socket must be short
    address = f"unix://{folder}/socket"
    network = ["--bridge=none", "--iptables=false", "--ip6tables=false"]
    places = ["--data-root", folder / "data", "--exec-root", folder / "exec", "--pidfile", folder / "pid"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [daemon, *network, *places, "--storage-driver=vfs", "--host", address], stdout=log, stderr=log
        )
    try:
        wait_for_daemon(process, address, folder / "log")
        yield address
    finally:
        process.terminate()
        process.wait(timeout=60)
        shutil.rmtree(folder)


def wait_for_daemon(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline and process.poll() is None:
        if subprocess.run(["docker", "--host", address, "info"], capture_output=True).returncode == 0:
            return
        time.sleep(0.2)
    pytest.fail(f"dockerd did not start:\n{log.read_text()[-4000:]}")


@pytest.fixture
def open_home(request: pytest.FixtureRequest, hub: HubProcess, tmp_path: Path) -> Callable[[str], Home]:
    """Opens a home for a program, from which nobody has signed in yet; docker's comes with the daemon."""

    def open_one(program: str) -> Home:
        daemon = request.getfixturevalue("docker_host") if program == "docker" else ""
        return Home(Path(tempfile.mkdtemp(prefix="home-", dir=tmp_path)), hub.host, daemon)

    return open_one


@pytest.fixture
def publish(hub: HubProcess) -> Callable[[str], None]:
    """Makes a repository public."""

    def publish_one(name: str) -> None:
        database = Database(hub.data / "hub.db")
        with database.read() as session:
            holding = find_holding(session, name)
        assert holding is not None and holding.repository_id is not None
        configure_repository(database, holding.repository_id, SYSTEM, visibility="public")
        database.close()

    return publish_one
