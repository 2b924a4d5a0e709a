"""The disk of the embedded engines fills up under load, and is given room again: refused or right, never lost."""

import errno
import time
from pathlib import Path

from tests.faults.figures import LONG, Figures
from tests.faults.load import Load
from tests.hub import HubProcess
from tests.mounts import mounted

SECONDS = 20 if LONG else 5  # while it is full
FILLS = 3 if LONG else 1


def fill(folder: Path) -> Path:
    """Takes all the room that there is, also what is given back for a moment."""
    path = folder / "ballast"
    with path.open("ab", buffering=0) as file:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            try:
                file.write(b"x" * 4096)
            except OSError as error:
                assert error.errno == errno.ENOSPC
                time.sleep(0.02)
    return path


def test_full_disk(embedded: None, tmp_path: Path) -> None:
    figures = Figures(f"disk full, {FILLS} times")
    with mounted(tmp_path / "data", "size=256m"), HubProcess(tmp_path / "data") as hub:
        with Load([hub], figures, sizes=(30, 5_000, 200_000)) as load:
            for _ in range(FILLS):
                load.until(20, 60)
                ballast = fill(tmp_path / "data")
                assert load.refused() > 0
                ballast.unlink()
                load.recovered(time.monotonic(), 20)
        load.check()
        hub.check_log()
