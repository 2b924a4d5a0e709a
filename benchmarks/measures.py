"""The measures: each runs its rounds on all servers in turn, so that what disturbs one round disturbs all alike."""

import hashlib
import itertools
import os
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.client import Client, make_module, manifest
from benchmarks.filling import EMPTY
from benchmarks.load import Round, drive
from benchmarks.processes import confined, memory, peak_memory, wait_until_quiet
from benchmarks.servers import Server
from benchmarks.stage import MANY, ONE, PUSHED, Read, Stage

PAGE = 100
IDLE = 20.0  # seconds after which the hub's module reader has gone
SETTLING = 4.0  # seconds that a server has at most to end what it does in the background


@dataclass(frozen=True)
class Extent:
    """How much is measured."""

    rounds: int
    seconds: float  # of each round of reads
    pushes: int  # in each round
    pages: int  # in each round
    deletes: int  # in all
    large: int  # bytes of the large blob


@dataclass
class Figures:
    """What one server showed in one measure. `times` are all single times, `processor` all its work, in ms."""

    rounds: list[Round] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    processor: float = 0.0
    sizes: dict[str, float] = field(default_factory=dict)

    def rate(self) -> float:
        """The median round's answers a second."""
        return statistics.median(one.rate for one in self.rounds)

    def rate_by_processor(self) -> float:
        """The median of answers by second of processor time that the server had."""
        return statistics.median(one.rate / max(one.share, 0.01) for one in self.rounds)

    def processor_each(self) -> float:
        """Milliseconds of processor time for each of the single times."""
        return self.processor / len(self.times)

    def percentile(self, part: float) -> float:
        """Of the single times, in milliseconds."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


Measured = dict[str, Figures]  # server -> what it showed


def measure_reads(
    stage: Stage, running: Sequence[Server], extent: Extent, load_core: int | None
) -> dict[str, Measured]:
    """Rounds of load on each read."""
    found: dict[str, Measured] = {read.key: {server.name: Figures() for server in running} for read in stage.reads}
    for _, read, server in itertools.product(range(extent.rounds), stage.reads, running):
        headers = server.headers(read.repository)
        _check(server, read, headers)
        one = drive(server, read.method, read.path, headers, seconds=extent.seconds, core=load_core)
        found[read.key][server.name].rounds.append(one)
    return found


def measure_busy_reads(read: Read, running: Sequence[Server], extent: Extent, load_core: int | None) -> Measured:
    """Reads while ten manifests a second are pushed to another repository: what commits cost the readers."""
    found: Measured = {server.name: Figures() for server in running}
    for _, server in itertools.product(range(extent.rounds), running):
        done = threading.Event()
        writer = threading.Thread(target=_keep_pushing, args=(server, done, load_core))
        writer.start()
        try:
            headers = server.headers(read.repository)
            one = drive(server, read.method, read.path, headers, seconds=extent.seconds, core=load_core)
        finally:
            done.set()
            writer.join()
        found[server.name].rounds.append(one)
    return found


def measure_pushes(running: Sequence[Server], extent: Extent, load_core: int | None) -> Measured:
    """Pushes of modules of 500 KB, one after the other, each of fresh bytes."""

    def push(client: Client, number: int) -> float:
        return client.push_module(make_module(500_000), f"{number}-{os.urandom(4).hex()}")

    found: Measured = {server.name: Figures() for server in running}
    for _, server in itertools.product(range(extent.rounds), running):
        _time_each(server, PUSHED, push, 2, load_core, Figures())  # wakes what sleeps, such as the hub's module reader
        wait_until_quiet(server.pid, SETTLING)
        _time_each(server, PUSHED, push, extent.pushes, load_core, found[server.name])
    return found


def measure_pages(stage: Stage, running: Sequence[Server], extent: Extent, load_core: int | None) -> Measured:
    """Pages of 100 tags from random places of the large repository."""
    tags = [tag for item in stage.planned for tag in item.tags]

    def page(client: Client, number: int) -> float:
        return _seconds(client, "GET", f"/v2/{MANY}/tags/list?n={PAGE}&last={random.choice(tags)}")

    found: Measured = {server.name: Figures() for server in running}
    for _, server in itertools.product(range(extent.rounds), running):
        _time_each(server, MANY, page, extent.pages, load_core, found[server.name])
    return found


def measure_deletes(
    stage: Stage, running: Sequence[Server], extent: Extent, load_core: int | None, *, skip: int
) -> Measured:
    """Deletes by digest of manifests with one tag each, in the large repository; the first `skip` are gone already."""
    lone = [item.digest for item in stage.planned if len(item.tags) == 1][skip:]

    def delete(client: Client, number: int) -> float:
        return _seconds(client, "DELETE", f"/v2/{MANY}/manifests/{lone[number]}")

    found: Measured = {server.name: Figures() for server in running}
    for server in running:
        # The other registry walks over all tags: a few of its deletes tell enough.
        count = extent.deletes if server.name == "hub" else max(1, extent.deletes // 5)
        _time_each(server, MANY, delete, count, load_core, found[server.name])
    return found


def measure_memory(stage: Stage, extent: Extent, core: int | None, load_core: int | None) -> Measured:
    """Resident memory of servers that have just started, and the most while a large blob goes in and out."""
    found: Measured = {}
    seed = os.urandom(2**20)
    count = extent.large // len(seed)
    digest = hashlib.sha256()
    for piece in _pieces(seed, count):
        digest.update(piece)
    name = f"sha256:{digest.hexdigest()}"
    for kind in stage.kinds:
        if kind.name == "ceiling":
            continue
        with stage.running(core, kind.name) as (server,), confined(load_core):
            client = Client(server, ONE)
            client.ask("GET", f"/v2/{ONE}/manifests/v1")
            wait_until_quiet(server.pid, IDLE)
            sizes = {"rest": float(memory(server.pid))}
            with peak_memory(server.pid) as peak:
                began = time.perf_counter()
                client.push_large(_pieces(seed, count), name, extent.large)
                sizes["in"] = extent.large / (time.perf_counter() - began)
                began = time.perf_counter()
                came = client.pull_large(name)
                sizes["out"] = came / (time.perf_counter() - began)
            client.close()
            if came != extent.large:
                raise RuntimeError(f"{server.name} gave {came} of {extent.large} bytes back")
            found[server.name] = Figures(sizes={**sizes, "more": peak.size - sizes["rest"]})
    return found


def _time_each(
    server: Server,
    repository: str,
    act: Callable[[Client, int], float],
    count: int,
    load_core: int | None,
    figures: Figures,
) -> None:
    """Does one thing `count` times; it says its seconds itself, so that what it prepares does not count."""
    client = Client(server, repository)
    used = server.processor()
    with confined(load_core):
        for number in range(count):
            figures.times.append(act(client, number) * 1000)
    figures.processor += (server.processor() - used) * 1000
    client.close()


def _seconds(client: Client, method: str, path: str) -> float:
    began = time.perf_counter()
    client.ask(method, path)
    return time.perf_counter() - began


def _check(server: Server, read: Read, headers: dict[str, str]) -> None:
    """One request before the load: what is read must be what was stored, or the rates mean nothing."""
    connection = server.connect()
    connection.request(read.method, read.path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{server.name}: {read.method} {read.path} answered {answer.status}")


def _keep_pushing(server: Server, done: threading.Event, load_core: int | None) -> None:
    client = Client(server, PUSHED)
    client.push_blob(b"{}")
    with confined(load_core):
        while not done.wait(0.1):
            client.push_manifest(manifest(EMPTY, EMPTY, number=os.urandom(8).hex()), "busy")
    client.close()


def _pieces(seed: bytes, count: int) -> Iterator[bytes]:
    """The large blob, MiB by MiB, no two alike."""
    return (number.to_bytes(8, "big") + seed[8:] for number in range(count))
