"""Running hashes of uploads. They live in memory only: a process that has none for an upload reads its bytes once."""

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

LIMIT = 10_000


class Hashes:
    """The hash of an upload's first `offset` bytes, kept between the requests that bring its chunks."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, tuple[int, str, Any]] = OrderedDict()

    def take(self, upload_id: str, offset: int, algorithm: str) -> Any | None:
        """The running hash if it is exactly of that many bytes; it is no longer kept."""
        found = self._held.pop(upload_id, None)
        if found is not None and found[:2] == (offset, algorithm):
            return found[2]
        return hashlib.new(algorithm) if offset == 0 else None

    def keep(self, upload_id: str, offset: int, algorithm: str, running: Any) -> None:
        """Keeps a running hash for the next request."""
        self._held[upload_id] = (offset, algorithm, running)
        if len(self._held) > LIMIT:
            self._held.popitem(last=False)


def hash_of(chunks: Iterable[bytes], algorithm: str) -> Any:
    """A running hash of bytes that are stored already."""
    running = hashlib.new(algorithm)
    for chunk in chunks:
        running.update(chunk)
    return running
