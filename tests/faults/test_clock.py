"""The machine's clock jumps by months under load and beside garbage collection: nothing is lost, nobody is held up."""

import struct
import subprocess
import time
from pathlib import Path

from sqlalchemy import text

from tests.faults.asking import readyz
from tests.faults.figures import LONG, Figures
from tests.faults.load import Load
from tests.hub import HubProcess
from tests.oci import Client, digest_of
from tests.peers import peer

DAY = 86_400
JUMPS = (30 * DAY, -30 * DAY, DAY, -3600, 400 * DAY, 0)  # seconds from the true time
SECONDS = 8 if LONG else 0.5  # between two jumps
# Nothing that the test pushes may be collected in an hour, though it is looked for each second.
COLLECTING = {"WASMHUB_GC_INTERVAL": "1", "WASMHUB_GC_LEASE": "3600", "WASMHUB_GC_GRACE": "2"}
NAME = "admin/clock"


def build_clock(folder: Path) -> Path:
    """The library that sets a process's clock. (libfaketime also fakes what Python's locks wait by: they stall.)"""
    library = folder / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([peer("cc"), "-O1", "-shared", "-fPIC", "-o", library, source], check=True)
    return library


def set_clock(file: Path, ahead: int) -> None:
    """Sets what the hub takes for the time, at once; in place, since the hub looks into the file's memory."""
    with file.open("r+b", buffering=0) as place:
        place.write(struct.pack("=q", ahead))


def test_jumping_clock(tmp_path: Path) -> None:
    file = tmp_path / "clock"
    file.write_bytes(bytes(8))
    lies = {"LD_PRELOAD": str(build_clock(tmp_path)), "CLOCK_AHEAD": str(file)}
    figures = Figures("clock jumping by an hour to 400 days, garbage looked for each second")
    with HubProcess(tmp_path / "data", **COLLECTING, **lies) as hub:
        client = Client(hub.url, "admin", hub.admin_password)
        location = client.ask("POST", f"/v2/{NAME}/blobs/uploads/").headers["location"]
        assert client.ask("PATCH", location, content=b"begun before, ").status_code == 202
        with Load([hub], figures) as load:
            load.until(20, 60)
            for ahead in JUMPS:
                set_clock(file, ahead)
                jumped = time.monotonic()
                assert abs(told(hub, client) - ahead) < 60
                load.until(10, 30)
                load.recovered(jumped, 30)
                assert readyz(hub)[0] == 200
                time.sleep(SECONDS)
        load.check()
        whole = b"begun before, ended after"
        put = client.ask("PUT", f"{location}?digest={digest_of(whole)}", content=whole[14:])
        assert put.status_code == 201, put.text
        client.close()
        hub.check_log()


def told(hub: HubProcess, client: Client) -> float:
    """How far the hub's clock is ahead, in seconds, by the event of a push."""
    client.push_image(NAME, f"v{time.monotonic_ns()}", b"layer")
    database = hub.open_database()
    with database.read() as session:
        newest = session.execute(text("SELECT at FROM events ORDER BY id DESC LIMIT 1")).scalar_one()
    database.close()
    return float(newest) / 1000 - time.time()
