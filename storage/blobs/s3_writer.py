"""Writes one request's bytes of an upload into a bucket: parts of a multipart upload, and a tail beside them."""

import secrets
from contextlib import suppress
from types import TracebackType

from storage.blobs.s3_client import NoParts, Objects
from storage.blobs.store import Lost, State
from storage.database import StorageError

COPIES = "copies/"
PART = 8 << 20  # bytes; what is smaller than one part is stored by one call
SMALLEST_PART = 5 << 20  # that S3 takes anywhere but at the end


class S3Writer:
    """One request's writing to an upload.

    The row keeps `tail` and `tail_size`, an object with the bytes behind the parts, and once there is a part `copy`,
    the key that the multipart upload will have, `upload`, its id, and `tags`, the parts' ETags. A new tail is another
    object, and the old one goes when a row names the new one, so that a crash at any moment leaves what the row says.
    An upload that ends with a tail alone has its copy already: the tail becomes it.
    """

    def __init__(self, objects: Objects, key: str, offset: int, state: State) -> None:
        self.sure = True
        self._objects = objects
        self._key = key
        self._size = offset
        kept = state or {}
        self._tail: str | None = kept.get("tail")
        self._tail_size: int = kept.get("tail_size", 0)
        self._copy: str | None = kept.get("copy")
        self._upload: str | None = kept.get("upload")
        self._tags: list[str] = list(kept.get("tags", ()))
        self._before = kept
        self._held = bytearray()  # what follows the parts; the tail's bytes too once they are here
        self._changed = False  # the tail does not hold what is held
        self._gone = False  # the multipart upload is not there: perhaps it was completed, and its row not committed
        self._made: list[str] = []  # objects of this request

    def hold(self) -> bool:
        """Nothing to hold: what another request writes has other keys, and the row decides between them."""
        return False

    def write(self, chunks: list[bytes]) -> None:
        """Holds chunks, and stores a part whenever there is enough for one."""
        for chunk in chunks:
            if not chunk:
                continue
            self._take_tail()
            self._changed = True
            self._held += chunk
            self._size += len(chunk)
            while len(self._held) >= PART:
                self._store_part(PART)

    def sync(self) -> State:
        """Stores what is held: as a part if it is large enough and others are there, else as a new tail."""
        if self._changed:
            if self._upload is not None and len(self._held) >= SMALLEST_PART:
                self._store_part(len(self._held))
            if self._gone:
                raise Lost
            self._tail_size = len(self._held)
            self._tail = self._store(self._held) if self._held else None
            self._changed = False
        return self._state()

    def finish(self) -> str:
        """Completes the parts, or stores a small copy by one call, or by none if it is stored as the tail."""
        if self._upload is None:
            if self._changed or self._tail is None:
                self._tail, self._changed = self._store(self._held), False
            return self._tail
        assert self._copy is not None
        self._take_tail()
        if self._held:
            self._store_part(len(self._held))
        self._tail = None
        try:
            if not self._gone:
                self._objects.complete(COPIES + self._copy, self._upload, self._tags)
                return self._copy
        except NoParts:
            pass
        # It was completed before, if all of it is there; whether these are the bytes, reading them tells.
        self.sure = False
        if self._objects.size(COPIES + self._copy) != self._size:
            raise Lost
        return self._copy

    def done(self) -> None:
        """Removes the tail that was replaced."""
        before = self._before.get("tail")
        if before is not None and before != self._tail:
            with suppress(StorageError):  # It is tidied up later, then.
                self._objects.remove(COPIES + before, hasty=True)

    def undo(self) -> None:
        """Removes what this request stored, but no object that an older multipart upload was completed to."""
        made, self._made = self._made, []
        began = self._upload is not None and "upload" not in self._before
        with suppress(StorageError):
            if began and self._copy is not None and self._upload is not None:
                self._objects.abort(COPIES + self._copy, self._upload, hasty=True)
                made.append(self._copy)
            for key in made:
                self._objects.remove(COPIES + key, hasty=True)

    def __enter__(self) -> "S3Writer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held = bytearray()

    def _take_tail(self) -> None:
        """Fetches the bytes behind the parts, which what comes now belongs behind."""
        if self._tail is None or self._held or self._changed or not self._tail_size:
            return
        self._held += self._objects.get(COPIES + self._tail, 0, self._tail_size)

    def _store(self, content: bytearray) -> str:
        key = self._new_key()
        self._made.append(key)
        self._objects.put(COPIES + key, content)
        return key

    def _store_part(self, size: int) -> None:
        """Stores the first bytes that are held as the next part; beginning with the first part, there are parts."""
        if self._upload is None:
            self._copy = self._new_key()
            self._upload = self._objects.begin(COPIES + self._copy)
        assert self._copy is not None
        part = bytes(self._held[:size])
        del self._held[:size]
        if self._gone:
            return
        try:
            number = len(self._tags) + 1
            self._tags.append(self._objects.put_part(COPIES + self._copy, self._upload, number, part))
        except NoParts:
            self._gone = True

    def _new_key(self) -> str:
        return f"{self._key}.{secrets.token_hex(4)}"

    def _state(self) -> State:
        kept = {
            "tail": self._tail,
            "tail_size": self._tail_size if self._tail else 0,
            "copy": self._copy,
            "upload": self._upload,
            "tags": self._tags,
        }
        return {name: value for name, value in kept.items() if value} or None
