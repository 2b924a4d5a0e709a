"""What stops the hub from starting: each with one sentence on stderr, exit code 1 and no traceback."""

import os
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import launcher
from tests.hub import HubProcess
from tests.mounts import mounted, remount
from tests.oci import Client

pytestmark = pytest.mark.usefixtures("by_the_command")
ALONE = pytest.mark.once("`start` tells the hub of no engines but those that the test names")


def start(data: Path, **settings: str) -> str:
    """Tries to start a hub on engines that it is told, or embedded ones; what it says when it gives up."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WASMHUB_")}
    environment |= {"WASMHUB_DATA": str(data), "WASMHUB_LISTEN": "127.0.0.1:0", **settings}
    done = launcher.run(["serve"], environment, timeout=60)
    said = done.stderr.decode()
    assert done.returncode == 1, said
    assert said.startswith("wasmhub: ") and said.count("\n") == 1, said
    assert "Traceback" not in said
    return said.rstrip("\n")


def test_a_stop_is_heeded_at_any_moment(tmp_path: Path) -> None:
    hub = HubProcess(tmp_path / "data")
    for _ in range(3):
        hub.start()
        assert hub.stop() == 0
        hub.check_log()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub that is there already."""
    with HubProcess(tmp_path_factory.mktemp("running") / "data") as hub:
        yield hub


def test_nobody_else_reads_what_the_hub_keeps(embedded: None, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    with HubProcess(data) as hub:
        client = Client(hub.url, "admin", hub.admin_password)
        client.push_image("admin/a", "v1", b"layer")
        client.close()
        open_to_others = [path for path in data.rglob("*") if path.stat().st_mode & 0o077]
    assert (data / "hub.db").exists() and not open_to_others


def test_a_second_hub_on_the_same_data(running: HubProcess) -> None:
    assert f"another hub uses the data folder {running.data}" in start(running.data)
    with socket.create_connection(tuple(running.host.split(":")), timeout=5):  # type: ignore[arg-type]
        pass


def test_the_lock_ends_with_a_killed_hub(tmp_path: Path) -> None:
    with HubProcess(tmp_path / "data") as hub:
        hub.kill()
        hub.start()


@ALONE
def test_a_port_that_is_taken(running: HubProcess, tmp_path: Path) -> None:
    sentence = start(tmp_path / "data", WASMHUB_LISTEN=running.host)
    assert f"cannot listen on {running.host}: Address already in use; set WASMHUB_LISTEN" in sentence


@ALONE
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"WASMHUB_LISTEN": "192.0.2.1:80"}, "cannot listen on 192.0.2.1:80"),
        ({"WASMHUB_LISTNE": "127.0.0.1:0"}, "WASMHUB_LISTNE"),
        ({"WASMHUB_DATABASE_URL": "postgresql://db/hub"}, "WASMHUB_DATABASE_URL"),
        ({"WASMHUB_DATABASE_URL": "sqlite:////nowhere/hub.db"}, "the database cannot be opened"),
        ({"WASMHUB_BLOBS": "/dev/null/blobs"}, "the blob store failed: Not a directory"),
        ({"WASMHUB_DATA": "/dev/null/data"}, "the data folder /dev/null/data cannot be written: Not a directory"),
        ({"WASMHUB_TLS_CERT": "/nowhere.pem", "WASMHUB_TLS_KEY": "/nowhere.key"}, "WASMHUB_TLS_CERT"),
    ],
)
def test_settings_that_cannot_be_followed(tmp_path: Path, settings: dict[str, str], says: str) -> None:
    assert says in start(tmp_path / "data", **settings)


@ALONE
def test_a_certificate_that_is_none(tmp_path: Path) -> None:
    for name in ("cert", "key"):
        (tmp_path / name).write_text("not PEM")
    sentence = start(tmp_path / "data", WASMHUB_TLS_CERT=str(tmp_path / "cert"), WASMHUB_TLS_KEY=str(tmp_path / "key"))
    assert "WASMHUB_TLS_CERT" in sentence


@ALONE
def test_a_database_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "hub.db").write_bytes(b"something else entirely" * 1000)
    assert "is no database" in start(tmp_path)


def test_a_database_of_a_newer_version(embedded: None, tmp_path: Path) -> None:
    with HubProcess(tmp_path / "data"):
        pass
    with sqlite3.connect(tmp_path / "data" / "hub.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    assert "newer version of the hub" in start(tmp_path / "data")


@ALONE
def test_a_data_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with mounted(tmp_path / "data", "ro,size=1m"):
        sentence = start(tmp_path / "data")
    assert f"the data folder {tmp_path / 'data'} cannot be written: Read-only file system" in sentence


@ALONE
def test_a_blob_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with mounted(tmp_path / "blobs", "ro,size=1m"):
        assert "the blobs cannot be written" in start(tmp_path / "data", WASMHUB_BLOBS=str(tmp_path / "blobs"))


@ALONE
def test_a_database_that_cannot_be_written(tmp_path: Path) -> None:
    with mounted(tmp_path / "db", "ro,size=1m"):
        url = f"sqlite:///{tmp_path / 'db' / 'hub.db'}"
        assert "the database cannot be opened" in start(tmp_path / "data", WASMHUB_DATABASE_URL=url)


@pytest.mark.parametrize("size", ["64k", "256k"])
def test_a_full_disk_leaves_nothing_half_made(embedded: None, tmp_path: Path, size: str) -> None:
    with mounted(tmp_path / "data", f"size={size}"):
        assert "full" in start(tmp_path / "data")
        remount(tmp_path / "data", "size=64m")
        with HubProcess(tmp_path / "data"):
            pass
