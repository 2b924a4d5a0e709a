"""The scaled-out set: the hub on PostgreSQL, MinIO and Redis with 1, 2 and 4 workers, beside the other registry."""

import hashlib
import itertools
import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import servers
from benchmarks.client import Client, make_module, manifest
from benchmarks.filling import EMPTY
from benchmarks.load import Round, drive
from benchmarks.measures import SETTLING, Extent, Figures, Measured, measure_pushes
from benchmarks.processes import processor_seconds, wait_until_quiet
from benchmarks.servers import Kind, Server
from benchmarks.stage import BLOBS, ONE, PUSHED
from tests.engines import PASSWORD, USER, Engines

WORKERS = (1, 2, 4)
AIM_READS, AIM_WORKERS = 5000, 1.7
TAG, TAGS, COUNT = "GET manifest", "list of 100 tags", 100  # what is read of everybody, with any number of workers


@dataclass
class Reads:
    """Rounds of load on one path of one server, and how much processor time its database's server had meanwhile."""

    rounds: list[Round] = field(default_factory=list)
    engine: list[float] = field(default_factory=list)  # of one core

    def rate(self) -> float:
        """The median round's answers a second."""
        return statistics.median(one.rate for one in self.rounds)

    def by_processor(self) -> float:
        """Answers by second of processor time of the server alone."""
        return statistics.median(one.rate / max(one.share, 0.01) for one in self.rounds)

    def by_all_processor(self) -> float:
        """The same with the database's server counted in."""
        both = zip(self.rounds, self.engine, strict=True)
        return statistics.median(one.rate / max(one.share + engine, 0.01) for one, engine in both)


def replicas(folder: Path, engines: Engines) -> list[Kind]:
    """The same hub with 1, 2 and 4 workers: replicas on one database."""
    settings = engines.settings(folder / "scaled")
    made = []
    for count in WORKERS:
        name = "hub" if count == 1 else f"hub, {count} workers"
        made.append(servers.hub(folder / f"scaled-{count}", name, WASMHUB_WORKERS=str(count), **settings))
    return made


def other_on(folder: Path, program: Path, engines: Engines) -> Kind:
    """The other registry with a bucket of its own on the same MinIO; it serves blobs itself, as the hub does."""
    assert engines.minio is not None
    engines.minio.settings("distribution")  # makes the bucket
    bucket = {
        "accesskey": USER,
        "secretkey": PASSWORD,
        "region": "us-east-1",
        "regionendpoint": engines.minio.endpoint,
        "forcepathstyle": True,
        "secure": False,
        "bucket": "distribution",
    }
    return servers.distribution(folder / "distribution-on-s3", program, {"s3": bucket, "redirect": {"disable": True}})


def measure_scaled(folder: Path, program: Path | None, engines: Engines, extent: Extent) -> "Scaled":
    """Reads by each number of workers, and pushes beside the other registry."""
    kinds = replicas(folder, engines)
    others = [other_on(folder, program, engines)] if program else []
    contents = {label: os.urandom(size) for label, size in BLOBS.items()}
    paths = _small() | {f"GET blob of {label}": _blob_path(content) for label, content in contents.items()}
    assert engines.postgresql is not None and engines.postgresql.process is not None
    with _running(folder, kinds[0], *others) as pair:
        for server in pair:
            _stock(server, contents)
        pushed = measure_pushes(pair, extent, None)
    with _running(folder, *kinds, *others) as running:
        reads = _measure_reads(running, paths, extent, engines.postgresql.process.pid)
    return Scaled(reads, pushed)


@contextmanager
def _running(folder: Path, *kinds: Kind) -> Iterator[list[Server]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Server(kind, None, folder / f"{kind.name}.log")) for kind in kinds]


@dataclass(frozen=True)
class Scaled:
    """Reads by what is read and by server, and single pushes by server."""

    reads: Mapping[str, Mapping[str, Reads]]
    pushed: Measured


def measure_embedded_workers(folder: Path, extent: Extent) -> Mapping[str, Mapping[str, Reads]]:
    """Tags read and listed by 1, 2 and 4 workers on SQLite and files; each number of workers has a hub of its own."""
    with ExitStack() as stack:
        running = []
        for count in WORKERS:
            name = "hub" if count == 1 else f"hub, {count} workers"
            kind = servers.hub(folder / f"embedded-{count}", name, WASMHUB_WORKERS=str(count))
            running.append(stack.enter_context(Server(kind, None, folder / f"embedded-{count}.log")))
            _stock(running[-1], {})
        return _measure_reads(running, _small(), extent, None)


def _small() -> dict[str, str]:
    return {TAG: f"/v2/{ONE}/manifests/v1", TAGS: f"/v2/{ONE}/tags/list?n={COUNT}"}


def _measure_reads(
    running: Sequence[Server], paths: Mapping[str, str], extent: Extent, engine: int | None
) -> dict[str, dict[str, Reads]]:
    found = {what: {server.name: Reads() for server in running} for what in paths}
    for server in running:
        wait_until_quiet(server.pid, SETTLING)  # a commit makes every hub ask its database for each key once
    for _, (what, path), server in itertools.product(range(extent.rounds), paths.items(), running):
        used = processor_seconds(engine) if engine else 0.0
        headers = server.headers(ONE)
        one = drive(server, "GET", path, headers, seconds=extent.seconds, core=None)
        found[what][server.name].rounds.append(one)
        spent = processor_seconds(engine) - used if engine else 0.0
        found[what][server.name].engine.append(spent / max(1, round(extent.seconds)))
    return found


def _stock(server: Server, contents: Mapping[str, bytes]) -> None:
    client = Client(server, ONE)
    for content in (b"{}", *contents.values()):
        client.push_blob(content)
    for tag in ("v1", *(f"1.{number}" for number in range(COUNT))):
        client.push_manifest(manifest(EMPTY, EMPTY, number="one", padding="x" * 200), tag)
    client.close()
    client = Client(server, PUSHED)
    client.push_module(make_module(50_000), "first")
    client.close()


def _blob_path(content: bytes) -> str:
    return f"/v2/{ONE}/blobs/sha256:{hashlib.sha256(content).hexdigest()}"


def report(scaled: Scaled, embedded: Mapping[str, Mapping[str, Reads]]) -> str:
    """Tables of both, and the aims."""
    lines = ["", "PostgreSQL, MinIO and Redis; answers a second, nothing pinned"]
    lines += _table(scaled.reads)
    one = scaled.reads[TAG]["hub"]
    lines += ["", f"tag read: {one.by_processor():,.0f} by second of the hub's processor time (aim >= {AIM_READS:,}:"]
    lines[-1] += f" {'met' if one.by_processor() >= AIM_READS else 'NOT MET'}), {one.by_all_processor():,.0f} with"
    lines[-1] += " PostgreSQL's counted in"
    lines += ["", f"{'push of 500 KB':<34}{'p50':>12}{'p99':>12}{'processor':>12}"]
    for name, figures in scaled.pushed.items():
        times = f"{figures.percentile(0.5):>9.1f} ms{figures.percentile(0.99):>9.1f} ms"
        lines.append(f"{name:<34}{times}{figures.processor_each():>9.1f} ms")
    lines += _push_aim(scaled.pushed)
    lines += ["", "SQLite and files; answers a second, nothing pinned", *_table(embedded)]
    lines += ["", *_workers_aim("scaled out", scaled.reads), *_workers_aim("embedded", embedded)]
    return "\n".join(lines)


def _table(reads: Mapping[str, Mapping[str, Reads]]) -> list[str]:
    names = list(next(iter(reads.values())))
    lines = [f"{'':<24}" + "".join(f"{name:>26}" for name in names)]
    for what, by_name in reads.items():
        cells = (f"{one.rate():,.0f}/s ({one.by_processor():,.0f} by CPU)" for one in by_name.values())
        lines.append(f"{what:<24}" + "".join(f"{cell:>26}" for cell in cells))
    return lines


def _push_aim(pushed: Mapping[str, Figures]) -> list[str]:
    if "distribution" not in pushed:
        return []
    ratio = pushed["hub"].percentile(0.5) / pushed["distribution"].percentile(0.5)
    return [f"{'x distribution, p50':<34}{ratio:>11.2f}x (aim <= 1: {'met' if ratio <= 1 else 'NOT MET'})"]


def _workers_aim(where: str, reads: Mapping[str, Mapping[str, Reads]]) -> list[str]:
    """Two workers against one: by the clock, and what the processor time says if both had a core each.

    By the clock, what costs the load's side little can be judged where there are few cores, and a read tag cannot.
    """
    lines = []
    for what in (TAG, TAGS):
        one, two = (reads[what][name] for name in ("hub", "hub, 2 workers"))
        by_clock = two.rate() / one.rate()
        by_processor = 2 * two.by_processor() / one.by_processor()
        met = "met" if by_clock >= AIM_WORKERS else "NOT MET by the clock"
        lines.append(
            f"two workers, {where}, {what}: {by_clock:.2f}x one by the clock, load and engines on the same cores;"
            f" {by_processor:.2f}x by processor time, as if each had a core (aim >= {AIM_WORKERS}: {met})"
        )
    return lines
