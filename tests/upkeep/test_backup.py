"""A backup is consistent though the hub goes on, can be served as it is, and can be restored on other engines."""

import hashlib
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import engines
from tests.hub import HubProcess
from tests.oci import Client
from tests.upkeep.stocked import HOLDER, Stock, copy_of, run, stock, succeed


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    with HubProcess(tmp_path_factory.mktemp("kept") / "data") as hub:
        yield hub


@pytest.fixture(scope="module")
def kept(hub: HubProcess) -> Stock:
    return stock(hub)


def secret_of(hub: HubProcess) -> dict[str, str]:
    """The secret key of a hub that was told one; the other's lies in its data folder."""
    told = hub.told().get("WASMHUB_SECRET_KEY")
    return {"WASMHUB_SECRET_KEY": told} if told else {}


class Embedded(HubProcess):
    """A hub on SQLite and files, whatever this session's engines are."""

    def told(self) -> dict[str, str]:
        """Only what belongs to those."""
        return {name: value for name, value in super().told().items() if name not in ENGINES} | self.settings


EMBEDDED = pytest.mark.once("its hub is on SQLite and files, whatever this session's engines are")
ENGINES = ("WASMHUB_DATABASE_URL", "WASMHUB_BLOBS", "WASMHUB_S3_ENDPOINT", "WASMHUB_REDIS_URL", "WASMHUB_SECRET_KEY")


def test_a_backup_is_a_data_folder_that_can_be_served(hub: HubProcess, kept: Stock, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    said = succeed(hub, "backup", str(folder))
    assert said["blobs"] >= 6 and said["damaged"] == []
    assert (folder.stat().st_mode & 0o077, (folder / "hub.db").stat().st_mode & 0o077) == (0, 0)
    with Embedded(folder, **secret_of(hub)) as served:
        kept.check(served)
        client = Client(served.url, "admin", served.admin_password)
        kept.push(client, "admin/later", "v1", b"ids go on")
        client.close()
        kept.check(served)
    del kept.manifests["admin/later", "v1"]
    kept.blobs = {place: content for place, content in kept.blobs.items() if place[0] != "admin/later"}


def test_a_backup_taken_again_sends_only_what_is_new_and_forgets_what_is_gone(
    hub: HubProcess, kept: Stock, tmp_path: Path
) -> None:
    folder = tmp_path / "backup"
    succeed(hub, "backup", str(folder))
    stray = folder / "blobs" / "copies" / "00" / ("00" + "ab" * 15)
    stray.write_bytes(b"of a blob that was collected")
    client = Client(hub.url, "admin", hub.admin_password)
    kept.push(client, HOLDER, "newer", b"came after the first backup")
    client.close()
    assert succeed(hub, "backup", str(folder))["blobs"] == 1
    assert not stray.exists()
    with Embedded(folder, **secret_of(hub)) as served:
        kept.check(served)


def test_a_backup_is_consistent_while_pushes_go_on(hub: HubProcess, kept: Stock, tmp_path: Path) -> None:
    """Every manifest in the backup has its blobs, and what was there before it began is in it."""
    stop = threading.Event()
    pushed = Stock()

    def push() -> None:
        client = Client(hub.url, "admin", hub.admin_password)
        number = 0
        while not stop.is_set():
            pushed.push(client, "admin/busy", f"v{number}", os.urandom(3000))
            number += 1
        client.close()

    pushing = threading.Thread(target=push)
    pushing.start()
    try:
        for _ in range(3):
            before = len(pushed.manifests)
            succeed(hub, "backup", str(tmp_path / "backup"))
    finally:
        stop.set()
        pushing.join()
    with Embedded(tmp_path / "backup", **secret_of(hub)) as served:
        kept.check(served)
        client = Client(served.url, "admin", served.admin_password)
        tags = client.ask("GET", "/v2/admin/busy/tags/list").json()["tags"]
        assert len(tags) >= before
        for tag in tags:
            manifest = client.ask("GET", f"/v2/admin/busy/manifests/{tag}").json()
            digest = manifest["layers"][0]["digest"]
            content = client.ask("GET", f"/v2/admin/busy/blobs/{digest}").content
            assert f"sha256:{hashlib.sha256(content).hexdigest()}" == digest
        client.close()


@pytest.mark.parametrize("to", ["embedded", "scaled"])
def test_a_backup_is_restored_on_either_set_of_engines(hub: HubProcess, kept: Stock, tmp_path: Path, to: str) -> None:
    succeed(hub, "backup", str(tmp_path / "backup"))
    new = Embedded(tmp_path / "new")
    new.settings = engines(to).settings(new.data) | secret_of(hub)
    if to == "scaled" and not secret_of(hub):
        new.settings["WASMHUB_SECRET_KEY"] = (hub.data / "secret.key").read_text().strip()
    succeed(new, "restore", str(tmp_path / "backup"))
    with new:
        kept.check(new)
        said = run(new, "restore", str(tmp_path / "backup"))
        assert said.returncode == 1 and "stop it first" in said.stderr
    said = run(new, "restore", str(tmp_path / "backup"))
    assert said.returncode == 1 and "holds a hub already" in said.stderr


@EMBEDDED
@pytest.mark.parametrize("rotten", [b"rotten!!" * 100, b"cut off"], ids=["changed", "short"])
def test_damaged_bytes_are_left_behind_and_named(tmp_path: Path, rotten: bytes) -> None:
    with Embedded(tmp_path / "data") as hub:
        made = Stock()
        client = Client(hub.url, "admin", hub.admin_password)
        made.push(client, HOLDER, "v1", b"will rot" * 100)
        ((_, digest),) = made.blobs
        copy_of(hub, digest).write_bytes(rotten)
        said = run(hub, "backup", str(tmp_path / "backup"))
        assert said.returncode == 1 and digest in said.stdout
        client.close()
    rows = sqlite3.connect(tmp_path / "backup" / "hub.db")
    assert rows.execute("SELECT count(*) FROM blobs WHERE damaged_at IS NOT NULL").fetchone() == (1,)
    rows.close()


@EMBEDDED
@pytest.mark.parametrize(
    ("verb", "folder", "sentence"),
    [
        ("backup", "data", "is the hub's own data folder"),
        ("restore", "nothing", "holds no backup"),
        ("check --second", "nothing", "holds no backup to mend from"),
    ],
)
def test_folders_that_cannot_be_meant(tmp_path: Path, verb: str, folder: str, sentence: str) -> None:
    hub = Embedded(tmp_path / "data")
    with hub:
        client = Client(hub.url, "admin", hub.admin_password)
        client.push_image(HOLDER, "v1", b"content")
        client.close()
    if verb.startswith("check"):
        shutil.rmtree(hub.data / "blobs" / "copies")
    if verb == "restore":
        shutil.rmtree(hub.data)
    extra = ["--repair"] if verb.startswith("check") else []
    done = run(hub, *verb.split(), str(tmp_path / folder), *extra)
    assert done.returncode == 1 and sentence in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1
