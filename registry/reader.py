"""Has the modules of pushed manifests read: beside the pushes, outside any transaction, in a bounded worker."""

import logging

import anyio
import anyio.to_thread

from proxywasm import READER_VERSION
from proxywasm.images import ModuleLayer, choose_child, find_layer, is_index
from proxywasm.inspector import Inspector, InspectorClosed
from registry.documents import IMAGES
from storage.blobs.store import BlobStore, Missing
from storage.database import Database, StorageError
from storage.manifests import find_manifest
from storage.modules import (
    Facts,
    Reading,
    Waiting,
    claim_inspections,
    find_layer_key,
    find_reading,
    give_back_inspection,
    save_reading,
)

log = logging.getLogger("wasmhub.inspector")
BATCH = 4
CLAIM_SECONDS = 60  # longer than a batch takes; what a replica that died had claimed waits as long
LOOK_AGAIN = 5.0  # seconds; pushes by other processes wake nobody here
NOT_A_FILTER = Reading("no-module")


class Reader:
    """Works off what waits to be read. What waits is a row written with its manifest, so a crash loses none."""

    def __init__(self, database: Database, blobs: BlobStore, inspector: Inspector) -> None:
        self._database = database
        self._blobs = blobs
        self._inspector = inspector
        self._woken = anyio.Event()

    def wake(self) -> None:
        """Says that something was pushed. For the event loop's thread."""
        self._woken.set()

    async def run(self) -> None:
        """Reads until it is cancelled."""
        while True:
            self._woken = anyio.Event()
            try:
                done = await anyio.to_thread.run_sync(self._batch, abandon_on_cancel=False)
            except StorageError as error:
                log.warning("reading modules waits: %s", error)
                done = 0
            except Exception:
                log.exception("reading modules failed; it goes on in %s seconds", LOOK_AGAIN)
                done = 0
            if done == 0:
                with anyio.move_on_after(LOOK_AGAIN):
                    await self._woken.wait()

    def _batch(self) -> int:
        """Reads what can be claimed, one after the other; says how many were read."""
        claimed = claim_inspections(self._database, READER_VERSION, BATCH, CLAIM_SECONDS)
        done = 0
        closed = False
        for one in claimed:
            try:
                found = None if closed else self._inspect(one)
            except InspectorClosed:
                closed, found = True, None  # the hub stops; the row waits for whoever reads next
            except (Missing, OSError) as error:
                log.error("the module of manifest %d cannot be read: %s", one.manifest_id, error)
                found = Reading("failed", reason="its bytes are missing from the blob store"), None
            if found is None:
                give_back_inspection(self._database, one.manifest_id)
                continue
            save_reading(self._database, one.manifest_id, found[0], READER_VERSION, found[1])
            done += 1
        return done

    def _inspect(self, one: Waiting) -> tuple[Reading, Facts | None] | None:
        """What is found; None if it cannot be said yet."""
        if is_index(one.media_type):
            reading = self._inspect_index(one)
            return (reading, None) if reading is not None else None
        layer = find_layer(one.content, one.media_type) if one.media_type in IMAGES else None
        if layer is None:
            return NOT_A_FILTER, None
        return self._read(layer)

    def _inspect_index(self, one: Waiting) -> Reading | None:
        """An index says what its child for proxies says; None while another replica reads that child."""
        digest = choose_child(one.content)
        if digest is None:
            return NOT_A_FILTER
        with self._database.read() as session:
            child = find_reading(session, one.repository_id, digest)
            there = find_manifest(session, one.repository_id, digest)
        if child is None or there is None:
            return NOT_A_FILTER
        return child if child.state != "pending" else None

    def _read(self, layer: ModuleLayer) -> tuple[Reading, Facts | None]:
        with self._database.read() as session:
            key = find_layer_key(session, layer.digest)
        if key is None:
            return NOT_A_FILTER, None
        with self._blobs.local(key) as path:
            result = self._inspector.inspect(path, layer.wrapping)
        if result.facts is None:
            return NOT_A_FILTER, None
        problem = next((problem["sentence"] for problem in result.facts.get("problems", ())), None)
        if result.sha256 is None or result.size is None:
            reason = f"its module could not be taken out of its layer: {problem}"
            return Reading("failed", layer.format, None, layer.digest, layer.wrapping, reason), None
        reading = Reading("module", layer.format, result.sha256, layer.digest, layer.wrapping, problem)
        return reading, Facts(result.sha256, result.size, result.facts)
