"""Processes under measurement: which core they run on, how much of it they get, and how much memory they hold."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
SAMPLES = 0.01  # seconds between two looks at the memory


@dataclass
class Peak:
    """The most memory, in bytes, that a process tree held while it was watched."""

    size: int = 0


def tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in task.read_text().split()]
            except OSError:
                continue
    return found


def memory(pid: int) -> int:
    """Resident bytes of the process tree. Pages that two processes share count twice, so this is no understatement."""
    size = 0
    for one in tree(pid):
        try:
            size += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * PAGE
        except (OSError, IndexError):
            continue
    return size


def processor_seconds(pid: int) -> float:
    """Seconds of processor time that the process tree has used, with those of children that are gone."""
    ticks = 0
    for one in tree(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:13] if one != pid else fields[11:15]))
    return ticks / TICK


def exact_seconds(pid: int) -> float:
    """Seconds of processor time of all threads that the process tree has now, to the nanosecond."""
    spent = 0
    for one in tree(pid):
        for task in Path(f"/proc/{one}/task").glob("*/schedstat"):
            try:
                spent += int(task.read_text().split()[0])
            except (OSError, IndexError):
                continue
    return spent / 1e9


@contextmanager
def peak_memory(pid: int) -> Iterator[Peak]:
    """Watches the memory of a process tree, from a thread, for as long as the block runs."""
    peak, done = Peak(memory(pid)), threading.Event()

    def watch() -> None:
        while not done.wait(SAMPLES):
            peak.size = max(peak.size, memory(pid))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def cores() -> tuple[int, int] | None:
    """Two cores that this process may use: one for servers, one for load. None: there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[0], allowed[1]) if len(allowed) > 1 else None


@contextmanager
def confined(core: int | None) -> Iterator[None]:
    """Keeps this process, and what it starts, on one core for the block; None leaves it where it is."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def wait_until_quiet(pid: int, seconds: float) -> None:
    """Returns when the process tree has used next to nothing for a second, or when the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        before = processor_seconds(pid)
        time.sleep(1)
        if processor_seconds(pid) - before < 0.05:
            return
