"""Bytes that are hashed while they are stored: nothing is kept that is not what its digest says."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from storage.blobs.store import BlobStore, Missing


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
        if not right:
            writer.undo()
            yield None
            return
        yield writer.finish()
        writer.done()
