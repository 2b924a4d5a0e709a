"""The stage: what is stored in each server before anything is measured, and the servers that run side by side."""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import servers
from benchmarks.client import Client, make_module, manifest
from benchmarks.filling import EMPTY, Tagged, fill_distribution, fill_hub, plan
from benchmarks.servers import Kind, Server

ONE = "admin/one"  # a repository with one tag
MANY = "admin/many"  # one with very many
PUSHED = "admin/pushed"  # where pushes go
BLOBS = {"50 KB": 50_000, "500 KB": 500_000, "5 MB": 5_000_000}


@dataclass(frozen=True)
class Read:
    """A read that is measured."""

    key: str
    label: str
    method: str
    repository: str
    path: str


@dataclass(frozen=True)
class Stage:
    """What was prepared: kinds of servers with their data, the reads, and the plan of the many tags."""

    folder: Path
    kinds: Sequence[Kind]
    reads: Sequence[Read]
    planned: Sequence[Tagged]

    @contextlib.contextmanager
    def running(self, core: int | None, *names: str) -> Iterator[list[Server]]:
        """The servers, up side by side on one core; all of them, or those of these names."""
        with contextlib.ExitStack() as stack:
            yield [
                stack.enter_context(Server(kind, core, self.folder / f"{kind.name}.log"))
                for kind in self.kinds
                if not names or kind.name in names
            ]

    def tags(self) -> int:
        """How many tags the large repository has."""
        return sum(len(item.tags) for item in self.planned)


def prepare(folder: Path, program: Path | None, tags: int) -> Stage:
    """Fills the hub, and the other registry if there is one, with the same things."""
    hub = servers.hub(folder / "hub")
    other = servers.distribution(folder / "distribution", program) if program else None
    blobs = {label: os.urandom(size) for label, size in BLOBS.items()}
    content = manifest(EMPTY, EMPTY, number="one", padding="x" * 200)
    planned = plan(tags)
    for kind in filter(None, (hub, other)):
        with Server(kind, None, folder / f"{kind.name}.log") as server:
            _push(server, blobs, content)
    fill_hub(folder / "hub", MANY, planned)
    if other is not None:
        fill_distribution(folder / "distribution", MANY, planned)

    middle = planned[len(planned) // 2].tags[0]
    reads = [
        Read("get-one", "GET manifest, 1 tag", "GET", ONE, f"/v2/{ONE}/manifests/v1"),
        Read("get-many", f"GET manifest, {tags:,} tags", "GET", MANY, f"/v2/{MANY}/manifests/{middle}"),
        Read("head-one", "HEAD manifest, 1 tag", "HEAD", ONE, f"/v2/{ONE}/manifests/v1"),
        Read("head-many", f"HEAD manifest, {tags:,} tags", "HEAD", MANY, f"/v2/{MANY}/manifests/{middle}"),
    ]
    for label, blob in blobs.items():
        path = f"/v2/{ONE}/blobs/sha256:{hashlib.sha256(blob).hexdigest()}"
        reads.append(Read(f"blob-{label.replace(' ', '').lower()}", f"GET blob of {label}", "GET", ONE, path))
    lengths = {read.path: len(content) for read in reads if "manifests" in read.path}
    lengths |= {read.path: size for read, size in zip(reads[4:], BLOBS.values(), strict=True)}
    kinds = [kind for kind in (hub, other, servers.ceiling(folder / "ceiling", lengths)) if kind is not None]
    return Stage(folder, kinds, reads, planned)


def _push(server: Server, blobs: dict[str, bytes], content: bytes) -> None:
    for repository in (ONE, MANY):
        client = Client(server, repository)
        client.push_blob(b"{}")
        if repository == ONE:
            for blob in blobs.values():
                client.push_blob(blob)
            client.push_manifest(content, "v1")
        client.close()
    client = Client(server, PUSHED)
    client.push_module(make_module(50_000), "first")
    client.close()
