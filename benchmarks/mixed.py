"""Mixed load: several clients at once, three pulls for each push, for minutes; how long each takes, and what memory."""

import json
import os
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.client import Client, make_module
from benchmarks.processes import memory
from benchmarks.servers import Server

REPOSITORY = "admin/mixed"
CLIENTS = 4
PUSHES = 0.25  # of all that is done
SIZE = 500_000  # bytes of a module
AGAIN = 200.0  # seconds after which a client gets a new token
KEPT = 200  # tags that are pulled: the newest
LOOK = 1.0  # seconds between two looks at the memory


@dataclass
class Mixed:
    """What came of it: single times in ms, and memory in bytes at each look."""

    seconds: float
    pulls: list[float] = field(default_factory=list)
    pushes: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    processor: float = 0.0  # seconds, of the server alone
    failed: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        """The figures of a table: ms, operations a second, MB."""
        tenth = max(1, len(self.memory) // 10)
        return {
            "a second": (len(self.pulls) + len(self.pushes)) / self.seconds,
            "pull p50": percentile(self.pulls, 0.5),
            "pull p99": percentile(self.pulls, 0.99),
            "push p50": percentile(self.pushes, 0.5),
            "push p99": percentile(self.pushes, 0.99),
            "memory, first tenth": sum(self.memory[:tenth]) / tenth / 1e6,
            "memory, last tenth": sum(self.memory[-tenth:]) / tenth / 1e6,
            "memory, most": max(self.memory) / 1e6,
            "failed": float(len(self.failed)),
        }


def measure_mixed(server: Server, seconds: float) -> Mixed:
    """Loads the server for that long. A pull is a tag's manifest and its module, a push the five requests of one."""
    client = Client(server, REPOSITORY)
    client.push_module(make_module(SIZE), "first")
    client.close()
    found, tags, end = Mixed(seconds), ["first"], time.monotonic() + seconds
    used = server.processor()
    threads = [threading.Thread(target=_go_on, args=(server, found, tags, end)) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    while time.monotonic() < end:
        found.memory.append(memory(server.pid))
        time.sleep(LOOK)
    for thread in threads:
        thread.join()
    found.processor = server.processor() - used
    return found


def _go_on(server: Server, found: Mixed, tags: list[str], end: float) -> None:
    """One client, until the end. What fails is counted, and it goes on with a new connection."""
    while time.monotonic() < end:
        client = Client(server, REPOSITORY)
        until = min(end, time.monotonic() + AGAIN)
        try:
            while time.monotonic() < until:
                if random.random() < PUSHES:
                    _push(client, found, tags)
                else:
                    _pull(client, found, tags)
        except (RuntimeError, OSError) as error:
            found.failed.append(str(error))
        client.close()


def _push(client: Client, found: Mixed, tags: list[str]) -> None:
    tag = os.urandom(6).hex()
    found.pushes.append(client.push_module(make_module(SIZE), tag) * 1000)
    tags.append(tag)


def _pull(client: Client, found: Mixed, tags: list[str]) -> None:
    began = time.perf_counter()
    _, content = client.ask("GET", f"/v2/{REPOSITORY}/manifests/{random.choice(tags[-KEPT:])}")
    size = client.pull_large(json.loads(content)["layers"][0]["digest"])
    if size < SIZE // 2:
        raise RuntimeError(f"a module of {size} bytes came")
    found.pulls.append((time.perf_counter() - began) * 1000)


def percentile(times: Sequence[float], part: float) -> float:
    """Of the times; 0 if there are none."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def report(found: dict[str, Mixed]) -> str:
    """The figures side by side: ms, operations a second, MB."""
    names = list(found)
    lines = [
        "",
        f"mixed load, {CLIENTS} clients, 75% pulls and 25% pushes of 500 KB, for {found[names[0]].seconds:g} s",
    ]
    lines.append(f"{'':<24}" + "".join(f"{name:>22}" for name in names))
    figures = {name: one.figures() for name, one in found.items()}
    for key in figures[names[0]]:
        lines.append(f"{key:<24}" + "".join(f"{figures[name][key]:>22,.1f}" for name in names))
    return "\n".join(lines)
