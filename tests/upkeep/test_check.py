"""Wrong bytes are found by `wasmhub check` and by scrubbing: said, mended, and healed by the next push."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub import HubProcess
from tests.oci import Client, digest_of
from tests.upkeep.stocked import HOLDER, copy_of, run, succeed
from tests.upkeep.test_backup import Embedded

CONTENT = b"bytes that will be lost" * 50


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubProcess]:
    with Embedded(tmp_path / "data") as hub:
        yield hub


@pytest.fixture
def client(hub: HubProcess) -> Iterator[Client]:
    client = Client(hub.url, "admin", hub.admin_password)
    client.push_image(HOLDER, "v1", CONTENT)
    client.push_image(HOLDER, "v2", b"sound")
    yield client
    client.close()


def status(client: Client, method: str = "GET") -> int:
    return client.ask(method, f"/v2/{HOLDER}/blobs/{digest_of(CONTENT)}").status_code


def lose(hub: HubProcess, how: str) -> None:
    path = copy_of(hub, digest_of(CONTENT))
    if how == "missing":
        path.unlink()
    elif how == "short":
        path.write_bytes(CONTENT[:-1])
    else:
        path.write_bytes(CONTENT[:-1] + b"?")


def test_a_sound_hub_is_said_to_be_sound(hub: HubProcess, client: Client) -> None:
    found = succeed(hub, "check", "--deep")
    assert (found["sound"], found["missing"], found["damaged"], found["orphans"]) == (True, [], [], [])
    assert found["blobs"] == 3 and found["bytes"] == len(CONTENT) + len(b"sound") + 2
    assert "byte for byte" in run(hub, "check", "--deep").stdout


@pytest.mark.parametrize(
    ("how", "what", "deep"),
    [("missing", "missing", False), ("short", "damaged", False), ("changed", "damaged", True)],
)
def test_what_is_wrong_is_named_and_healed_by_the_next_push(
    hub: HubProcess, client: Client, how: str, what: str, deep: bool
) -> None:
    lose(hub, how)
    arguments = ["check", *(["--deep"] if deep else []), "--output", "json"]
    done = run(hub, *arguments)
    assert done.returncode == 1
    assert json.loads(done.stdout)[what] == [digest_of(CONTENT)]
    assert run(hub, *arguments, "--repair").returncode == 1  # marked, not mended
    assert run(hub, *arguments).returncode == 0  # what is marked is not news

    assert [status(client, method) for method in ("GET", "HEAD")] == [404, 404]
    client.push_image(HOLDER, "v1", CONTENT)
    answer = client.ask("GET", f"/v2/{HOLDER}/blobs/{digest_of(CONTENT)}")
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert succeed(hub, "check", "--deep")["sound"]


@pytest.mark.parametrize("size", [2_000, 20_000_000])  # kept in memory, and not
def test_a_pull_that_finds_bytes_gone_has_them_pushed_again(hub: HubProcess, client: Client, size: int) -> None:
    content = os.urandom(size)
    digest = client.push_blob(HOLDER, content)
    path = f"/v2/{HOLDER}/blobs/{digest}"
    copy_of(hub, digest).unlink()
    assert [client.ask(method, path).status_code for method in ("GET", "HEAD")] == [404, 404]
    client.push_blob(HOLDER, content)
    assert client.ask("GET", path).content == content


def test_a_store_that_is_away_condemns_no_blob(hub: HubProcess, client: Client) -> None:
    copies = hub.data / "blobs" / "copies"
    away = copies.rename(copies.with_name("away"))
    assert status(client) == 503
    away.rename(copies)
    assert client.ask("GET", f"/v2/{HOLDER}/blobs/{digest_of(CONTENT)}").content == CONTENT


def test_a_second_copy_mends(hub: HubProcess, client: Client, tmp_path: Path) -> None:
    succeed(hub, "backup", str(tmp_path / "backup"))
    lose(hub, "changed")
    found = succeed(hub, "check", "--deep", "--repair", "--second", str(tmp_path / "backup"))
    assert found["mended"] == found["damaged"] == [digest_of(CONTENT)]
    hub.restart()
    assert client.ask("GET", f"/v2/{HOLDER}/blobs/{digest_of(CONTENT)}").content == CONTENT


def test_bytes_that_nothing_names_are_counted_once_they_are_old(hub: HubProcess, client: Client) -> None:
    stray = hub.data / "blobs" / "copies" / "00" / ("00" + "ab" * 15)
    stray.write_bytes(b"left by a crash")
    assert succeed(hub, "check")["orphans"] == []
    os.utime(stray, (time.time() - 90_000, time.time() - 90_000))
    assert succeed(hub, "check")["orphans"] == [stray.name]
    assert "garbage collection" in run(hub, "check", "--repair").stdout
    assert succeed(hub, "check")["orphans"] == []
    assert stray.exists()  # until the collector's grace is over


def test_scrubbing_finds_bytes_that_rot(tmp_path: Path) -> None:
    with Embedded(tmp_path / "data") as hub:
        client = Client(hub.url, "admin", hub.admin_password)
        client.push_image(HOLDER, "v1", CONTENT)
        lose(hub, "changed")
        hub.stop()
        hub.settings["WASMHUB_SCRUB_DAYS"] = "0.00001"  # a second
        time.sleep(1.5)
        hub.start()
        deadline = time.monotonic() + 20
        while status(client) != 404 and time.monotonic() < deadline:
            time.sleep(0.2)
        assert status(client) == 404
        assert digest_of(CONTENT) in hub.log()
        assert "wasmhub_damaged_blobs_total 1\n" in client.http.get("/metrics").text
        client.push_blob(HOLDER, CONTENT)
        assert client.ask("GET", f"/v2/{HOLDER}/blobs/{digest_of(CONTENT)}").content == CONTENT
        client.close()


def test_scrubbing_mends_from_a_second_copy(tmp_path: Path) -> None:
    with Embedded(tmp_path / "data") as hub:
        client = Client(hub.url, "admin", hub.admin_password)
        client.push_image(HOLDER, "v1", CONTENT)
        succeed(hub, "backup", str(tmp_path / "backup"))
        lose(hub, "changed")
        hub.stop()
        hub.settings |= {"WASMHUB_SCRUB_DAYS": "0.00001", "WASMHUB_SECOND_COPY": str(tmp_path / "backup")}
        time.sleep(1.5)
        hub.start()
        deadline = time.monotonic() + 20
        while "mended" not in hub.log() and time.monotonic() < deadline:
            time.sleep(0.2)
        assert client.ask("GET", f"/v2/{HOLDER}/blobs/{digest_of(CONTENT)}").content == CONTENT
        client.close()
