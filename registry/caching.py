"""What the read path keeps in memory: bytes by digest, and answers with the facts that they rest on."""

import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass

from storage.pulls import Facts

BYTES_LIMIT = 64 * 2**20
ADMITTED = 8 * 2**20
ANSWERS_LIMIT = 10_000  # some 20 MB of them

Headers = list[tuple[bytes, bytes]]
Key = tuple[bytes, str]  # the Authorization header and the path


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
    """Answers by token and path, each with the facts that it rests on and the version at which they were last true.

    While the database's version has not moved since, an answer given from here is the one that the database would give.
    Afterwards it is once the facts were asked for again and are the same, because an answer follows from its facts and
    from the token alone. So no tag, right or deletion is ever stale.
    """

    def __init__(self, limit: int = ANSWERS_LIMIT) -> None:
        self._limit = limit
        self._newest: object = None  # a version; perhaps the present one
        self._held: OrderedDict[Key, tuple[object, Facts, Answer]] = OrderedDict()

    def hopes(self, key: Key) -> bool:
        """Whether there is an answer that is good unless something was committed since the last look."""
        found = self._held.get(key)
        return found is not None and found[0] == self._newest

    def get(self, version: object, key: Key, moment: float) -> Answer | None:
        """The answer that was true at this version of the database."""
        self._newest = version
        found = self._held.get(key)
        if found is None or found[0] != version or found[2].expires_at <= moment:
            return None
        self._held.move_to_end(key)
        return found[2]

    def renew(self, version: object, key: Key, facts: Facts) -> Answer | None:
        """The answer that follows from these facts, which are true at that version; None if it is to be found."""
        self._newest = version
        found = self._held.get(key)
        if found is None or found[1] != facts:
            return None
        self._held[key] = version, facts, found[2]
        self._held.move_to_end(key)
        return found[2]

    def put(self, version: object, key: Key, facts: Facts, answer: Answer) -> None:
        """Holds an answer that follows from the facts; the one that was not asked for longest goes for it."""
        self._held[key] = version, facts, answer
        while len(self._held) > self._limit:
            self._held.popitem(last=False)
