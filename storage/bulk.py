"""Bulk: writes with few statements what very many pushes would have left behind, row for row the same.

For hubs that are measured at sizes that nobody waits for. A test compares the rows with those of the commands.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.orm import Session

from storage.bulk_rows import Rows, find_ids
from storage.clock import lease_end
from storage.database import Database
from storage.events import Actor
from storage.manifests import NewManifest
from storage.modules import Facts, Reading
from storage.search import index_words, words_to_keep
from storage.versions import rank

AT_ONCE = 50_000  # things in one transaction: repositories, blobs and manifests


@dataclass(frozen=True)
class Pushed:
    """A manifest with its tags, and what the reader found in its module, if it was read."""

    manifest: NewManifest
    tags: Sequence[str] = ()
    reading: Reading | None = None
    facts: Facts | None = None
    reader_version: int = 0


@dataclass(frozen=True)
class Part:
    """What comes into one repository: blobs (digest -> key and size of a copy), then manifests.

    The repository is made if it is not there. What the part brings is new in the repository.
    """

    repository: str
    namespace_id: int
    visibility: str = "private"  # of a new repository
    blobs: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    pushed: Sequence[Pushed] = ()


def fill(database: Database, parts: Iterable[Part], *, actor: Actor, at: int, leased_until: int | None = None) -> None:
    """Writes what the actor's pushes at that moment would have left, in transactions that each hold whole parts.

    `leased_until` is when the blobs' leases end by the hub's own clock; None begins them now.
    The caller vouches for what the commands check: that names are valid and that no manifest names a missing blob.
    """
    for some in _portions(parts):
        with database.write() as session:
            filling = _Filling(session, actor, at, leased_until, some)
            for part in some:
                filling.add(part)
            filling.write()


def _portions(parts: Iterable[Part]) -> Iterator[list[Part]]:
    some: list[Part] = []
    things = 0
    for part in parts:
        some.append(part)
        things += 1 + len(part.blobs) + len(part.pushed)
        if things >= AT_ONCE:
            yield some
            some, things = [], 0
    if some:
        yield some


class _Filling:
    """One transaction."""

    def __init__(
        self, session: Session, actor: Actor, at: int, leased_until: int | None, parts: Sequence[Part]
    ) -> None:
        self._session = session
        self._actor = actor
        self._at = at
        self._leased_until = lease_end(session) if leased_until is None else leased_until
        self._rows = Rows(session)
        self._repositories = find_ids(session, "repositories", "name", {part.repository for part in parts})
        self._blobs = find_ids(session, "blobs", "digest", {digest for part in parts for digest in part.blobs})
        facts = {one.facts.sha256 for part in parts for one in part.pushed if one.facts}
        self._modules = set(find_ids(session, "modules", "sha256", facts, wanted="size"))
        self._changed: set[int] = set()  # repositories whose words and time are not in their new rows
        self._asked: set[int] = set()  # blobs that were pushed again
        self._linked: set[tuple[int, int]] = set()
        self._teams = _teams(session, {part.namespace_id for part in parts})
        self._team: int | None = None  # whose part is being added
        self._namespace = 0  # and where

    def add(self, part: Part) -> None:
        """The rows of one part."""
        self._team, self._namespace = self._teams.get(part.namespace_id), part.namespace_id
        repository = self._repositories.get(part.repository)
        if repository is None:
            repository = self._add_repository(part)
        else:
            self._changed.add(repository)
        for digest, (key, size) in part.blobs.items():
            self._add_blob(repository, digest, key, size)
        for one in part.pushed:
            self._add_manifest(repository, part.repository, one)

    def write(self) -> None:
        """Writes them, and changes the rows that were there before as the commands would have."""
        self._rows.write()
        until = {"until": self._leased_until}
        for blob in self._asked:
            self._session.execute(
                text("UPDATE blobs SET leased_until = :until WHERE id = :id AND leased_until < :until"),
                {**until, "id": blob},
            )
        for repository in self._changed:
            moved = {"at": self._at, "id": repository}
            self._session.execute(text("UPDATE repositories SET pushed_at = :at WHERE id = :id"), moved)
            index_words(self._session, repository)

    def _add_repository(self, part: Part) -> int:
        repository = self._rows.new_id("repositories")
        self._repositories[part.repository] = repository
        pushed = self._at if part.pushed else None
        generation = 0 if part.visibility == "private" else 1
        self._rows.add(
            "repositories",
            *(repository, part.namespace_id, part.repository, part.visibility, "", generation, self._at, pushed),
        )
        self._record("repository.create", part.repository, repository)
        if generation:
            detail = {"visibility": ["private", part.visibility]}
            self._record("repository.configure", part.repository, repository, detail)
        for word in sorted(_words(part)):
            self._rows.add("search_words", word, repository)
        if any(one.manifest.manifests for one in part.pushed):
            self._changed.add(repository)  # an index says what its children say
        return repository

    def _add_blob(self, repository: int, digest: str, key: str, size: int) -> None:
        blob, detail = self._blobs.get(digest), None
        if blob is None:
            blob = self._blobs[digest] = self._rows.new_id("blobs")
            self._rows.add("blobs", blob, digest, key, size, self._at, self._at, self._leased_until)
            detail = {"size": size}
        else:
            self._asked.add(blob)
        if (repository, blob) not in self._linked:
            self._linked.add((repository, blob))
            self._rows.add("repository_blobs", repository, blob, self._at)
            self._rows.add("usage_changes", self._namespace, size)
        self._record("blob.push", digest, repository, detail)

    def _add_manifest(self, repository: int, name: str, one: Pushed) -> None:
        new, manifest = one.manifest, self._rows.new_id("manifests")
        annotations = None if new.annotations is None else json.dumps(new.annotations)
        kind = (new.digest, new.media_type, new.artifact_type, new.subject, annotations, new.content)
        self._rows.add("manifests", manifest, repository, *kind, self._actor.id, self._at)
        links = {digest: ("manifest", size) for digest, size in new.manifests.items()}
        links |= {digest: ("blob", size) for digest, size in new.blobs.items()}
        for digest, (what, size) in links.items():
            self._rows.add("links", manifest, digest, repository, what, size)
        for tag in one.tags:
            self._rows.add("tags", repository, tag, rank(tag), manifest, self._actor.id, self._at)
        self._add_reading(manifest, one)
        detail = {"digest": new.digest, "tags": list(one.tags), "media_type": new.media_type}
        self._record("manifest.push", name, repository, detail)

    def _add_reading(self, manifest: int, one: Pushed) -> None:
        read = one.reading or Reading("pending" if one.manifest.holds_module else "no-module")
        found = (read.format, read.module_sha256, read.blob_digest, read.wrapping, read.reason)
        self._rows.add("inspections", manifest, read.state, one.reader_version, *found)
        if one.facts is not None and one.facts.sha256 not in self._modules:
            self._modules.add(one.facts.sha256)
            facts = json.dumps(one.facts.facts)
            self._rows.add("modules", one.facts.sha256, one.facts.size, one.reader_version, facts, self._at)

    def _record(self, action: str, subject: str, repository: int, detail: dict[str, Any] | None = None) -> None:
        who = (self._actor.kind, self._actor.id, self._actor.name, self._actor.address)
        written = None if detail is None else json.dumps(detail)
        self._rows.add("events", self._at, *who, action, subject, repository, written, self._team)


def _teams(session: Session, namespaces: set[int]) -> dict[int, int | None]:
    """The teams that own these namespaces, by the namespace's id."""
    asked = text("SELECT id, team_id FROM namespaces WHERE id IN :ids").bindparams(bindparam("ids", expanding=True))
    return {row[0]: row[1] for row in session.execute(asked, {"ids": sorted(namespaces)})}


def _words(part: Part) -> set[str]:
    """What a new repository is found by."""
    tags = [(rank(tag), tag, one) for one in part.pushed for tag in one.tags]
    newest = max((found for found in tags if found[0]), key=lambda found: found[:2], default=None)
    one = newest[2] if newest else None
    annotations = one.manifest.annotations if one else None
    return words_to_keep(part.repository, "", annotations, one.facts.facts if one and one.facts else None)
