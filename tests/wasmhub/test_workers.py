"""Several workers are one hub: a dead one is replaced, a stop ends what was begun, nobody outlives the parent."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.hub import HubProcess
from tests.oci import Client, digest_of

ESTABLISHED = "01"  # in /proc/net/tcp
COUNTED = re.compile(r'^wasmhub_requests_total\{door="(\w+)",status="(\d+)"\} (\d+)$', re.MULTILINE)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[HubProcess]:
    """A hub of two workers."""
    with HubProcess(tmp_path / "data", WASMHUB_WORKERS="2") as hub:
        until(lambda: len(workers_of(hub)) == 2)
        yield hub


def workers_of(hub: HubProcess) -> set[int]:
    """The processes that the hub's first one has started."""
    assert hub.process is not None
    done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(hub.process.pid)], capture_output=True, text=True)
    return {int(word) for word in done.stdout.split()}


def until(met: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end
        time.sleep(0.05)


def counted(hub: HubProcess, door: str) -> int:
    """How many requests of a door the hub has answered."""
    text = httpx.get(f"{hub.url}/metrics", trust_env=False).text
    return sum(int(count) for name, _, count in COUNTED.findall(text) if name == door)


def test_both_serve_and_count_together(two: HubProcess) -> None:
    for _ in range(40):  # each on a connection of its own
        assert httpx.get(f"{two.url}/token", auth=("admin", two.admin_password), trust_env=False).status_code == 200
    assert [counted(two, "token") for _ in range(10)] == [40] * 10


def test_both_tell_what_either_collected(two: HubProcess) -> None:
    with httpx.Client(base_url=two.url, auth=("admin", two.admin_password), trust_env=False, timeout=30) as admin:
        run = admin.post("/api/v1/garbage-collections", json={}).json()["id"]
        until(lambda: admin.get(f"/api/v1/garbage-collections/{run}").json()["state"] == "finished")
    signs = {'wasmhub_gc_runs_total{result="finished"} 1', "wasmhub_gc_running 0"}

    def told() -> bool:
        return signs <= set(httpx.get(f"{two.url}/metrics", trust_env=False).text.splitlines())

    until(told)
    assert all(told() for _ in range(20))  # each on a connection of its own


def test_a_dead_worker_is_replaced(two: HubProcess) -> None:
    client = Client(two.url, "admin", two.admin_password)
    client.push_image("admin/before", "v1", b"layer")
    before = counted(two, "registry")
    first = workers_of(two)
    for pid in first:
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(workers_of(two) - first) == 2)
    client.close()
    client = Client(two.url, "admin", two.admin_password)
    assert client.ask("GET", "/v2/admin/before/manifests/v1").status_code == 200
    assert counted(two, "registry") > before
    client.close()
    assert len(re.findall(r"worker [12] was killed by SIGKILL; it is started again", two.log())) == 2
    assert two.stop() == 0


def test_nobody_outlives_the_parent(two: HubProcess) -> None:
    pids = workers_of(two)
    two.kill()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    two.start()
    assert httpx.get(f"{two.url}/readyz", trust_env=False).status_code == 200


def test_the_password_is_shown_once(tmp_path: Path) -> None:
    hub = HubProcess(tmp_path / "data", WASMHUB_WORKERS="3")
    hub.admin_password = ""
    with hub:
        until(lambda: len(workers_of(hub)) == 3)
        shown = re.findall(r"sign in as admin with the password (\S+)", hub.log())
        assert len(shown) == 1
        assert httpx.get(f"{hub.url}/token", auth=("admin", shown[0]), trust_env=False).status_code == 200


def test_a_hub_that_cannot_start_says_so_once(tmp_path: Path) -> None:
    (tmp_path / "hub.db").write_bytes(b"something else entirely" * 1000)
    with pytest.raises(RuntimeError) as failure:
        HubProcess(tmp_path, WASMHUB_WORKERS="2", WASMHUB_DATABASE_URL=f"sqlite:///{tmp_path / 'hub.db'}").start()
    assert str(failure.value).count("is no database") == 1
    assert "Traceback" not in str(failure.value)


def test_a_stop_is_heeded_at_any_moment(tmp_path: Path) -> None:
    hub = HubProcess(tmp_path / "data", WASMHUB_WORKERS="2")
    for pause in (0.0, 0.1, 0.3):
        hub.start()
        time.sleep(pause)
        assert hub.stop() == 0
        hub.check_log()


def test_one_worker_never_overwrites_what_another_took(two: HubProcess, embedded: None) -> None:
    """A request that has read an upload's row and waits for its body holds the upload, whichever worker has it."""
    client = Client(two.url, "admin", two.admin_password)
    location = client.ask("POST", "/v2/admin/slow/blobs/uploads/").headers["location"]
    token = client.token("repository:admin/slow:pull,push")
    host, _, port = two.host.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as slow:
        head = f"PATCH {location} HTTP/1.1\r\nHost: {two.host}\r\nAuthorization: Bearer {token}\r\n"
        slow.sendall(f"{head}Content-Length: 4\r\n\r\n".encode())
        until(lambda: len(list((two.data / "blobs" / "uploads").iterdir())) == 1)
        for _ in range(8):  # each on a connection of its own: some are the other worker's
            answer = httpx.patch(
                f"{two.url}{location}",
                content=b"other",
                headers={"Authorization": f"Bearer {token}"},
                trust_env=False,
            )
            assert answer.status_code == 409, answer.text
        slow.sendall(b"mine")
        assert slow.recv(100).startswith(b"HTTP/1.1 202")
    assert client.ask("PUT", f"{location}?digest={digest_of(b'mine')}").status_code == 201
    assert client.ask("GET", f"/v2/admin/slow/blobs/{digest_of(b'mine')}").content == b"mine"
    client.close()


def clients_of(hub: HubProcess) -> dict[int, int]:
    """Each worker, and how many connections of clients it has open."""
    port = f":{int(hub.host.rpartition(':')[2]):04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    come = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(port) and row[3] == ESTABLISHED}
    found = {}
    for pid in workers_of(hub):
        found[pid] = 0
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found[pid] += os.readlink(handle) in come
    return found


def fewest(hub: HubProcess, count: int) -> int:
    """Of so many new connections, how many the worker got that got the fewest."""
    host, _, port = hub.host.rpartition(":")
    until(lambda: not any(clients_of(hub).values()))
    with contextlib.ExitStack() as held:
        for _ in range(count):
            held.enter_context(socket.create_connection((host, int(port))))
        until(lambda: sum(clients_of(hub).values()) == count)
        return min(clients_of(hub).values())


def test_connections_are_shared_evenly(two: HubProcess) -> None:
    until(lambda: fewest(two, 2) == 1)  # the second one has begun to serve too
    assert fewest(two, 16) >= 6
