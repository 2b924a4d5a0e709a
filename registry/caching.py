"""What the read path keeps in memory: bytes by digest, and answers for as long as nothing was committed."""

import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass

BYTES_LIMIT = 64 * 2**20
ADMITTED = 8 * 2**20
ANSWERS_LIMIT = 20_000

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Answer:
    """A 200 that is ready to be sent: whose headers it has and where its bytes are."""

    digest: str
    etag: bytes
    size: int
    headers: Headers
    key: str | int  # of a blob: its key in the blob store; of a manifest: its row
    expires_at: float  # when the token that earned it expires, in seconds since 1970


class Bytes:
    """Whole manifests and small blobs by digest, least recently used out first. Bytes of a digest never change.

    Safe to use from many threads.
    """

    def __init__(self, limit: int = BYTES_LIMIT) -> None:
        self._limit = limit
        self._held: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, digest: str) -> bytes | None:
        """The bytes, if they are held."""
        found = self._held.get(digest)
        if found is not None:
            with suppress(KeyError):  # another thread may just have dropped them
                self._held.move_to_end(digest)
        return found

    def put(self, digest: str, content: bytes) -> None:
        """Holds the bytes, unless they are too large to be worth it."""
        if len(content) > ADMITTED:
            return
        with self._lock:
            if digest in self._held:
                return
            self._held[digest] = content
            self._size += len(content)
            while self._size > self._limit:
                _, dropped = self._held.popitem(last=False)
                self._size -= len(dropped)


class Answers:
    """Answers by token and path, all forgotten as soon as the database's version moves.

    So an answer given from here is the one that the database would give: no tag, right or deletion is ever stale.
    """

    def __init__(self, limit: int = ANSWERS_LIMIT) -> None:
        self._limit = limit
        self._version: object = None
        self._held: dict[tuple[bytes, str], Answer] = {}

    def get(self, version: object, key: tuple[bytes, str], moment: float) -> Answer | None:
        """The answer that was found at this version of the database."""
        if version != self._version:
            self._held.clear()
            self._version = version
            return None
        found = self._held.get(key)
        return found if found is not None and found.expires_at > moment else None

    def put(self, version: object, key: tuple[bytes, str], answer: Answer) -> None:
        """Holds an answer whose finding began at that version; in vain if the database has moved on."""
        if version != self._version:
            return
        if len(self._held) >= self._limit:
            self._held.clear()
        self._held[key] = answer
