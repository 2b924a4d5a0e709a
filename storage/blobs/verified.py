"""Bytes that are hashed while they are read or stored: nothing is kept that is not what its digest says."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from storage.blobs.store import BlobStore, Missing
from storage.errors import StorageError


def readable(blobs: BlobStore, key: str, size: int) -> Iterator[bytes]:
    """The bytes of a copy. Raises Missing where the store is there and the copy is not, or is not to be read: a bad
    sector, say. A store that is not there at all says nothing of a copy, and raises StorageError."""
    try:
        yield from blobs.stream(key, 0, size)
    except StorageError as error:
        blobs.ping()
        raise Missing from error


def is_sound(blobs: BlobStore, key: str, size: int, digest: str) -> bool:
    """Reads a copy and says whether its bytes are what its digest says."""
    algorithm, _, wanted = digest.partition(":")
    running = hashlib.new(algorithm)
    try:
        for chunk in readable(blobs, key, size):
            running.update(chunk)
    except Missing:
        return False
    return running.hexdigest() == wanted


@contextmanager
def verified(blobs: BlobStore, upload: str, chunks: Iterable[bytes], digest: str) -> Iterator[str | None]:
    """Stores the chunks as that upload, and gives the key of the copy for the block that makes use of it.

    None, and nothing is kept, if the bytes are not what the digest says or end in Missing.
    """
    algorithm, _, wanted = digest.partition(":")
    running = hashlib.new(algorithm)
    with blobs.resume(upload, 0, None) as writer:
        try:
            for chunk in chunks:
                running.update(chunk)
                writer.write([chunk])
            right = running.hexdigest() == wanted
        except Missing:
            right = False
        except BaseException:
            writer.undo()
            raise
        if not right:
            writer.undo()
            yield None
            return
        yield writer.finish()
        writer.done()
