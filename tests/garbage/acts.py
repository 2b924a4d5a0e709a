"""What clients and the collector do, by the hub's own functions, and what each was told when it is done."""

import asyncio
import hashlib
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from starlette.datastructures import QueryParams

from registry import manifests, uploads
from registry.access import Caller
from registry.errors import OCIError
from registry.garbage import PHASES, Sweep
from registry.intake import Intake
from registry.means import Means
from registry.reading import Reading
from storage.database import StorageError
from storage.deployments import NewRevision, save_deployment, undeploy
from storage.events import SYSTEM
from storage.manifests import InUse, delete_manifest, unlink_blob
from storage.modules import Reading as Found
from storage.modules import save_reading
from storage.uploads import UploadRow
from tests.garbage.turns import Turn
from tests.garbage.world import PERIODS, REPOSITORIES, Place, Violation, World
from tests.oci import OCI_MANIFEST, digest_of, image

Some = tuple[str, str, bytes]  # a repository, a digest and what has it
LEASE = PERIODS.lease / 1000
REFUSED = (OCIError, StorageError, InUse)


class Acts:
    """One client; each act is a request, or several, and may end anywhere by a crash."""

    def __init__(self, world: World, dice: random.Random, turn: Turn) -> None:
        self._world = world
        self._known = world.known
        self._dice = dice
        self._turn = turn
        self._means = world.means(turn)
        self._reading = world.reading(self._means)  # remembers what it answered
        self._loop = asyncio.Runner()

    def push_whole(self, some: Some | None = None) -> None:
        """A blob in one request."""
        name, digest, content = some or self._some()
        upload = UploadRow("", 0, self._means.blobs.new_key(), 0, "sha256")
        began, asked = self._known.clock, self._known.asks((name, digest))
        with self._means.blobs.resume(upload.key, 0, None) as writer:
            intake = Intake(writer, 0, hashlib.sha256(), 2**20)
            self._turn.point()
            if self._known.clock - began > self._means.whole_limit:
                return
            # What is left to do is bounded by the time that the stores are given for it.
            self._turn.commits_by = self._known.clock + self._means.whole_limit
            uploads._finish(self._means, self._world.caller, name, upload, intake, [content], digest)
            self._turn.commits_by = None
        self._known.told((name, digest), asked, LEASE)

    def push_chunks(self, some: Some | None = None) -> None:
        """A blob in chunks, each a request; whatever hash ran along is lost on the way."""
        name, digest, content = some or self._some()
        entry = uploads._enter(self._means, self._world.caller, name, QueryParams())
        upload = uploads._begin(self._means, entry, name, "sha256")
        half = len(content) // 2
        with self._means.blobs.resume(upload.key, 0, None) as writer:
            uploads._advance(self._means, upload, Intake(writer, 0, None, 2**20), [content[:half]])
        asked = self._known.asks((name, digest))
        _, upload = uploads._find(self._means, self._world.caller, name, upload.id)
        with self._means.blobs.resume(upload.key, upload.offset, upload.state) as writer:
            intake = Intake(writer, upload.offset, None, 2**20)
            uploads._finish(self._means, self._world.caller, name, upload, intake, [content[half:]], digest)
        self._known.told((name, digest), asked, LEASE)

    def leave_upload(self) -> None:
        """A chunk of an upload that nobody goes on with."""
        name, _, content = self._some()
        entry = uploads._enter(self._means, self._world.caller, name, QueryParams())
        upload = uploads._begin(self._means, entry, name, "sha256")
        with self._means.blobs.resume(upload.key, 0, None) as writer:
            uploads._advance(self._means, upload, Intake(writer, 0, None, 2**20), [content])

    def mount(self, some: Some | None = None) -> None:
        """A blob of the other repository."""
        name, digest, _ = some or self._some()
        other = REPOSITORIES[1 - REPOSITORIES.index(name)]
        query = QueryParams({"mount": digest, "from": other})
        asked = self._known.asks((name, digest))
        entry = uploads._enter(self._means, self._world.caller, name, query)
        if uploads._mount(self._means, entry, name, query):
            self._known.told((name, digest), asked, LEASE)

    def look(self, some: Some | None = None) -> bool:
        """HEAD by somebody who may push, and so counts on what is there; whether it is."""
        name, digest, _ = some or self._some()
        self._turn.point("a look")
        asked = self._known.asks((name, digest))
        there, _ = self._ask("HEAD", (name, digest), asked, self._reading, self._world.caller)
        if there:
            self._known.told((name, digest), asked, LEASE / 2)
        return there

    def pull(self, some: Some | None = None) -> None:
        """GET by somebody who may only pull: it keeps nothing, and yet is not broken off."""
        name, digest, content = some or self._some()
        self._turn.point()
        asked = self._known.asks((name, digest))
        reading = self._world.reading(self._means)  # one that remembers no bytes
        try:
            there, body = self._ask("GET", (name, digest), asked, reading, self._world.puller)
        finally:
            reading.close()
        if there and body != content:
            raise Violation(f"a reader of {digest} got other bytes")

    def _ask(
        self, method: str, place: Place, asked: tuple[float, int], reading: Reading, caller: Caller
    ) -> tuple[bool, bytes]:
        """Asks for a blob; whether it is there, and its bytes."""
        sure, sent = self._is_sure(place), []
        path = f"/v2/{place[0]}/blobs/{place[1]}"

        async def send(message: Any) -> None:
            sent.append(message)

        async def ask() -> int | None:
            return await reading.read({"path": path, "method": method, "headers": [], "caller": caller}, send)

        status = self._loop.run(ask())
        if status == 404 and sure and self._known.holds(place, asked) and self._is_sure(place):
            raise Violation(f"{place} is there, and somebody was told that it is not")
        gone = status == 404 and any(b"are damaged" in message.get("body", b"") for message in sent)
        if (gone or status not in (200, 404)) and self._known.clock - asked[0] <= PERIODS.grace / 1000:
            raise Violation(f"a reader of {place} lost its bytes")
        return status == 200, b"".join(message.get("body", b"") for message in sent)

    def close(self) -> None:
        """Closes its connections."""
        self._reading.close()
        self._loop.close()

    def publish(self) -> None:
        """A manifest over two blobs, after pushing those of them that are not there, as most clients do."""
        one = self._some()
        other = one[0], *self._some()[1:]
        for some in (one, other):
            if not self.look(some):
                self.push_whole(some)
        self.push_manifest((one, other))

    def run_unlinked(self) -> None:
        """A deployment whose layer is then taken out of all repositories."""
        layer = self.deploy()
        for name in REPOSITORIES if layer else ():
            self.delete_blob((name, layer, self._known.contents[layer]))

    def push_manifest(self, over: tuple[Some, Some] | None = None) -> None:
        """A manifest over two blobs."""
        (name, digest, content), (_, other, _) = over or (self._some(), self._some())
        named = [digest, other]
        manifest = image(content, config=self._known.contents[other])
        place = name, digest_of(manifest)
        asked = self._known.asks(place)
        before = {blob for blob in named if self._known.counts_on((name, blob))}
        try:
            manifests._save(self._means, self._world.caller, name, (manifest, OCI_MANIFEST, None), ["v1"])
        except OCIError as error:
            relied = [blob for blob in named if self._known.counts_on((name, blob))]
            refused = {one["digest"] for one in error.detail or () if isinstance(one, dict)}
            if refused & before & set(relied):
                raise Violation(f"a push relied on {refused & before}, and was refused") from None
            raise
        if self._known.holds(place, asked):
            self._known.manifests[place] = named

    def delete_manifest(self) -> None:
        """A manifest that is there."""
        there = sorted(self._known.manifests)
        if not there:
            return
        place = self._dice.choice(there)
        del self._known.manifests[place]
        with self._known.deleted(place):
            where = self._world.repositories[place[0]]
            delete_manifest(self._means.database, where, place[1], actor=SYSTEM, name=place[0])

    def delete_blob(self, some: Some | None = None) -> None:
        """A blob, whether or not a manifest names it."""
        name, digest, _ = some or self._some()
        place = name, digest
        self._known.unlinks(place)
        with self._known.deleted(place):
            where = self._world.repositories[name]
            unlink_blob(self._means.database, where, digest, actor=SYSTEM, name=name)

    def deploy(self) -> str:
        """The first layer of a manifest, as a module that was read; its digest, if there is such a one."""
        there = sorted(self._known.manifests)
        if not there:
            return ""
        name, digest = self._dice.choice(there)
        layer = self._known.manifests[name, digest][0]
        where = self._world.repositories[name]
        found = self._world.rows(f"SELECT id FROM manifests WHERE repository_id = {where} AND digest = '{digest}'")
        if not found:
            return ""
        module = layer.partition(":")[2]
        save_reading(self._means.database, found[0][0], Found("module", "raw", module, layer, "raw"), 1, None)
        revision = NewRevision(where, "v1", digest, module, None, "", "FAIL_CLOSED", 0, "deploy")
        deployment = self._dice.choice(["x", "y"])
        self._known.deployed.pop(deployment, None)
        began, deletes = self._known.asks(deployment)
        with self._known.deleted(deployment):  # what it ran before
            save_deployment(
                self._means.database, SYSTEM, self._world.target, deployment, revision, arrange=lambda *_: {}
            )
        if self._known.holds(deployment, (began, deletes + 1)):
            self._known.deployed[deployment] = module
        return layer

    def undeploy(self) -> None:
        """A deployment."""
        deployment = self._dice.choice(["x", "y"])
        self._known.deployed.pop(deployment, None)
        with self._known.deleted(deployment):
            undeploy(self._means.database, SYSTEM, self._world.target, deployment)

    def _is_sure(self, place: Place) -> bool:
        """Whether a blob is in a repository for certain: a manifest names it, or somebody may count on it."""
        named = [digest for (name, _), blobs in self._known.manifests.items() if name == place[0] for digest in blobs]
        return self._known.counts_on(place) or (place[1] in named and place not in self._known.unlinked)

    def _some(self) -> Some:
        digest = self._dice.choice(sorted(self._known.contents))
        return self._dice.choice(REPOSITORIES), digest, self._known.contents[digest]


def client(world: World, dice: random.Random) -> Callable[[Turn], None]:
    """Some requests of one client, one after the other; the hub may refuse each."""

    def act(turn: Turn) -> None:
        acts = Acts(world, dice, turn)
        # What invariants are about comes more often: what keeps a blob, what lets go of it, and who relies on it.
        ways: dict[Callable[[], object], int] = {acts.push_whole: 3, acts.push_chunks: 2, acts.mount: 2, acts.look: 4}
        ways |= {acts.pull: 3, acts.push_manifest: 2, acts.publish: 3, acts.delete_manifest: 4, acts.delete_blob: 2}
        ways |= {acts.leave_upload: 1, acts.deploy: 2, acts.run_unlinked: 2, acts.undeploy: 1}
        try:
            for _ in range(dice.randint(2, 8)):
                with suppress(*REFUSED):
                    dice.choices(list(ways), list(ways.values()))[0]()
        finally:
            acts.close()

    return act


def collector(means: Callable[[Turn], Means]) -> Callable[[Turn], None]:
    """Garbage collections, one after the other, until it is crashed."""

    def act(turn: Turn) -> None:
        given = means(turn)
        sweep = Sweep(given.database, given.blobs, PERIODS)
        while True:
            turn.point("a rest")
            for phase in PHASES:
                cursor: list[object] | None = []
                while cursor is not None:
                    cursor = sweep.step(phase, cursor, False).cursor

    return act
