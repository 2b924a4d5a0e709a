"""The bytes of modules on their way to proxies: unwrapped from their layers, the last few kept in bounded memory."""

import hashlib
import threading
from collections import OrderedDict

from deploy.targets.envoy_fleet import MAX_MODULE_BYTES
from proxywasm.error import ModuleError
from proxywasm.unpacking import extract_module
from storage.blobs.store import BlobStore, Missing
from storage.database import Database
from storage.running import module_location

KEPT_BYTES = 32 * 1024 * 1024


class Modules:
    """Finds modules by sha256. Safe to use from many threads; calls block on the disk."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._loading: dict[str, threading.Lock] = {}

    def read(self, sha256: str) -> bytes | None:
        """The module; None where no image that the hub holds has it, or where its bytes cannot be had any more."""
        module = self._remembered(sha256)
        if module is not None:
            return module
        with self._lock:
            turn = self._loading.setdefault(sha256, threading.Lock())
        with turn:  # A fleet asks all at once for a module that is new: one of its requests fetches it for all.
            module = self._remembered(sha256) or load_module(self._database, self._blobs, sha256)
            if module is not None:
                self._keep(sha256, module)
        with self._lock:
            self._loading.pop(sha256, None)
        return module

    def _remembered(self, sha256: str) -> bytes | None:
        with self._lock:
            if sha256 in self._kept:
                self._kept.move_to_end(sha256)
            return self._kept.get(sha256)

    def _keep(self, sha256: str, module: bytes) -> None:
        with self._lock:
            self._kept[sha256] = module
            while sum(map(len, self._kept.values())) > KEPT_BYTES:
                self._kept.popitem(last=False)


def load_module(database: Database, blobs: BlobStore, sha256: str, limit: int = MAX_MODULE_BYTES) -> bytes | None:
    """A module of at most `limit` bytes, from its layer; None as `Modules.read`."""
    with database.read() as session:
        location = module_location(session, sha256)
    if location is None:
        return None
    key, wrapping = location
    try:
        with blobs.file(key) as layer:
            module = extract_module(layer, wrapping, limit)
    except (ModuleError, Missing):
        return None
    return module if module is not None and hashlib.sha256(module).hexdigest() == sha256 else None
