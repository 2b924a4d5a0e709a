"""A real Docker daemon, homes for client programs, and clients of our own that speak as they do."""

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.clients.home import Home
from tests.clients.programs import Program
from tests.hub import HubProcess
from tests.oci import Client
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
    places = [f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid"]
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
def signed_in(open_home: Callable[[str], Home], program: Program, hub: HubProcess) -> Home:
    """The home of the test's program, signed in from as the administrator."""
    home = open_home(program.name)
    program.login(home, "admin", hub.admin_password)
    return home


@pytest.fixture
def repository() -> str:
    """The name of a repository that no other test uses."""
    return f"clients/{secrets.token_hex(6)}"


@pytest.fixture
def publish(hub: HubProcess) -> Callable[[str], None]:
    """Makes a repository public."""

    def publish_one(name: str) -> None:
        url, auth = f"{hub.url}/api/v1/repositories/{name}", ("admin", hub.admin_password)
        answer = httpx.patch(url, json={"visibility": "public"}, auth=auth, trust_env=False)
        assert answer.status_code == 200, answer.text

    return publish_one


@pytest.fixture(scope="session")
def admin(hub: HubProcess) -> Iterator[Client]:
    """The administrator, speaking for themselves."""
    client = Client(hub.url, "admin", hub.admin_password)
    yield client
    client.http.close()


@pytest.fixture
def http(hub: HubProcess) -> Iterator[httpx.Client]:
    """Requests without any sign-in of their own."""
    with httpx.Client(base_url=hub.url, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
def pushed(admin: Client, repository: str) -> tuple[str, bytes]:
    """A repository with an image tagged v1, and the bytes of its layer."""
    layer = secrets.token_bytes(100_000)
    admin.push_image(repository, "v1", layer)
    return repository, layer
