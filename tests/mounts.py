"""Small file systems for tests: full, or not to be written."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A file system in memory of its own, as long as the block lasts. `options` are those of mount."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root: run the tests as root, as .ci/run does")
    folder.mkdir(parents=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        pytest.skip(f"no file system can be mounted here ({made.stderr.strip()}): give the container CAP_SYS_ADMIN")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    """Changes a mounted file system's options, such as `ro`."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)
