"""What was acknowledged before kill -9 is there after the restart, byte for byte, and nothing half-written is."""

import os
import random
import threading
import time
from pathlib import Path

from tests.durability.folders import check_folders
from tests.durability.pushers import Pusher, Upload
from tests.engines import chosen
from tests.hub import HubProcess
from tests.oci import Client, digest_of

KILLS = 12
SECONDS = 60
PUSHERS = 4


def test_what_was_acknowledged_outlives_kills(tmp_path: Path) -> None:
    seed = int(os.environ.get("SEED", time.time_ns() % 10**9))
    print(f"SEED={seed} repeats the choices of this run")
    chance = random.Random(seed)
    pushers = [Pusher(f"kill/p{number}", seed + number) for number in range(PUSHERS)]
    hub = HubProcess(tmp_path / "data").start()
    client = Client(hub.url, "admin", hub.admin_password)
    end = time.monotonic() + SECONDS
    kills = 0
    while kills < KILLS and time.monotonic() < end:
        threads = [threading.Thread(target=one.run, args=(client,)) for one in pushers]
        for thread in threads:
            thread.start()
        enough = acknowledged(pushers) + chance.randint(1, 60)
        while acknowledged(pushers) < enough and all(thread.is_alive() for thread in threads):
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.05))
        hub.kill()
        for thread in threads:
            thread.join(timeout=30)
            assert not thread.is_alive()
        hub.start()
        kills += 1
        if chosen() == "embedded":
            check_folders(hub.data)
        check(client, pushers)
        hub.check_log()
    client.close()
    hub.stop()
    print(f"{kills} kills, {acknowledged(pushers)} commands acknowledged")
    assert kills >= 3


def acknowledged(pushers: list[Pusher]) -> int:
    """How many commands the hub has answered."""
    return sum(one.acknowledged for one in pushers)


def check(client: Client, pushers: list[Pusher]) -> None:
    """Asks the hub for everything that it was told, and settles what the kill had left open."""
    for pusher in pushers:
        for upload in pusher.uploads:
            go_on(client, pusher, upload)
        pusher.uploads.clear()
        for (kind, reference), contents in pusher.may_be.items():
            place = "blobs" if kind == "blob" else "manifests"
            answer = client.ask("GET", f"/v2/{pusher.name}/{place}/{reference}", scope=pusher.scope)
            assert answer.status_code in (200, 404), answer.text
            found = answer.content if answer.status_code == 200 else None
            assert found in contents, f"{kind} {reference} of {pusher.name}: {answer.status_code}"
            contents.clear()
            contents.add(found)


def go_on(client: Client, pusher: Pusher, upload: Upload) -> None:
    """An unfinished upload goes on where it says that it is, or is gone if it may have been finished."""
    status = client.ask("GET", upload.location, scope=pusher.scope)
    if status.status_code == 404:
        assert upload.may_be_gone, upload
        return
    assert status.status_code == 204, status.text
    offset = int(status.headers["range"].partition("-")[2])
    offset = offset + 1 if offset else 0
    assert offset in upload.offsets, (offset, upload.offsets)
    digest = digest_of(upload.body)
    path = f"{upload.location}?digest={digest}"
    put = client.ask("PUT", path, content=upload.body[offset:], scope=pusher.scope)
    assert put.status_code == 201, put.text
    pusher.may_be["blob", digest] = {upload.body}
