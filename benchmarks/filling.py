"""A repository with very many tags, written straight into each server's own storage while it is stopped."""

import hashlib
import os
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.client import MANIFEST, manifest
from storage.versions import rank

MANIFESTS = 1000  # that share the tags; as many tags each
LONE = 60  # manifests with one tag each: these are deleted
EMPTY = {
    "mediaType": "application/vnd.oci.empty.v1+json",
    "size": 2,
    "digest": f"sha256:{hashlib.sha256(b'{}').hexdigest()}",
}


@dataclass(frozen=True)
class Tagged:
    """A manifest to write, and its tags."""

    digest: str
    content: bytes
    tags: list[str]


def plan(count: int) -> list[Tagged]:
    """Manifests that together have `count` tags, all semantic versions. The last LONE of them have one tag each."""
    tags = [f"{number // 10_000}.{number // 100 % 100}.{number % 100}" for number in range(count)]
    groups = [tags[start:-LONE:MANIFESTS] for start in range(min(MANIFESTS, count - LONE))]
    groups += [[tag] for tag in tags[-LONE:]]
    return [_tagged(number, group) for number, group in enumerate(groups)]


def fill_hub(folder: Path, repository: str, planned: list[Tagged]) -> None:
    """Writes rows in one transaction. The repository is there already, with its empty config."""
    moment = time.time_ns() // 1_000_000
    with sqlite3.connect(folder / "hub.db") as database:
        database.execute("PRAGMA foreign_keys = ON")
        (repository_id,) = database.execute("SELECT id FROM repositories WHERE name = ?", (repository,)).fetchone()
        for item in planned:
            manifest_id = database.execute(
                "INSERT INTO manifests (repository_id, digest, media_type, content, created_at) VALUES (?, ?, ?, ?, ?)",
                (repository_id, item.digest, MANIFEST, item.content, moment),
            ).lastrowid
            database.execute(
                "INSERT INTO links (manifest_id, digest, repository_id, kind, size) VALUES (?, ?, ?, 'blob', 2)",
                (manifest_id, EMPTY["digest"], repository_id),
            )
            database.execute(
                "INSERT INTO inspections (manifest_id, state, reader_version) VALUES (?, 'no-module', 0)",
                (manifest_id,),
            )
            database.executemany(
                "INSERT INTO tags (repository_id, name, rank, manifest_id, updated_at) VALUES (?, ?, ?, ?, ?)",
                ((repository_id, tag, rank(tag), manifest_id, moment) for tag in item.tags),
            )
    database.close()


def fill_distribution(folder: Path, repository: str, planned: list[Tagged]) -> None:
    """Writes the files that the other registry keeps: contents, revisions, and each tag's current link."""
    root = folder / "data" / "docker" / "registry" / "v2"
    manifests = root / "repositories" / repository / "_manifests"
    for path, content in _files(root, manifests, planned):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)


def _files(root: Path, manifests: Path, planned: list[Tagged]) -> Iterator[tuple[str, bytes]]:
    for item in planned:
        digest, plain = item.digest.encode(), item.digest.partition(":")[2]
        yield f"{root}/blobs/sha256/{plain[:2]}/{plain}/data", item.content
        yield f"{manifests}/revisions/sha256/{plain}/link", digest
        for tag in item.tags:
            yield f"{manifests}/tags/{tag}/current/link", digest


def _tagged(number: int, tags: list[str]) -> Tagged:
    content = manifest(EMPTY, EMPTY, number=str(number), padding="x" * 200)
    return Tagged(f"sha256:{hashlib.sha256(content).hexdigest()}", content, tags)
