"""Blobs as files in a folder: written aside, synced, renamed, the folder synced; only then do they exist."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from storage.database import Conflict, StorageError

CHUNK = 1 << 20
MARK = ".finished"


class FileBlobs:
    """A blob store in a folder: `uploads/` holds what is being written, `copies/xx/` what is whole.

    From `finish` until `settle` a mark in `uploads/` remembers that perhaps no row names the copy, so that a start
    after a crash finds such copies without looking through all of them.

    Calls block on the disk: they belong in threads.
    """

    def __init__(self, folder: Path) -> None:
        self._uploads = folder / "uploads"
        self._copies = folder / "copies"
        with _translated():
            self._uploads.mkdir(parents=True, exist_ok=True)
            self._copies.mkdir(exist_ok=True)
            for number in range(256):
                (self._copies / f"{number:02x}").mkdir(exist_ok=True)
            for made in (self._copies, folder, folder.parent):
                _sync_folder(made)

    def new_key(self) -> str:
        """A key that was never used and never will be again."""
        return secrets.token_hex(16)

    def append(self, key: str, offset: int, chunks: list[bytes], *, sync: bool) -> None:
        """Writes chunks of an upload at the offset, cutting off what an interrupted write left behind it.

        With `sync` the bytes are durable when the call returns. Raises Conflict if bytes before the offset are missing.
        """
        with _translated():
            file = os.open(self._uploads / key, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                size = os.fstat(file).st_size
                if size < offset:
                    raise Conflict("the bytes of this upload are lost; begin a new one")
                if size > offset:
                    os.ftruncate(file, offset)
                os.lseek(file, offset, os.SEEK_SET)
                _write_all(file, chunks)
                if sync:
                    os.fsync(file)
            finally:
                os.close(file)

    def finish(self, key: str) -> None:
        """Makes a whole, synced upload a copy that can be read; durable when the call returns.

        Once a row that names the copy is committed, `settle` it.
        """
        with _translated():
            target = self._copy(key)
            os.close(os.open(self._mark(key), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            os.rename(self._uploads / key, target)
            _sync_folder(target.parent)

    def reopen(self, key: str) -> None:
        """Makes a finished copy an upload again. Only for a copy that no row names."""
        with _translated():
            if self._copy(key).exists():
                os.rename(self._copy(key), self._uploads / key)
            self._mark(key).unlink(missing_ok=True)

    def settle(self, key: str) -> None:
        """Says that a committed row names the copy."""
        with _translated():
            self._mark(key).unlink(missing_ok=True)

    def abandon(self, key: str) -> None:
        """Removes an upload's bytes, but not a copy: whether a row names that one may be unknown after a failure."""
        with suppress(OSError):  # It is the next start's, then; what went wrong before matters more.
            (self._uploads / key).unlink(missing_ok=True)

    def discard(self, key: str) -> None:
        """Removes an upload's bytes or a copy; what is not there is no error."""
        with _translated():
            for path in (self._uploads / key, self._copy(key), self._mark(key)):
                path.unlink(missing_ok=True)

    def read_upload(self, key: str, length: int) -> Iterator[bytes]:
        """The first `length` bytes of an upload, in chunks; fewer if fewer were written."""
        try:
            file = open(self._uploads / key, "rb")  # noqa: SIM115 (closed below; a missing file is no upload)
        except FileNotFoundError:
            return
        with file:
            while length > 0 and (chunk := file.read(min(CHUNK, length))):
                length -= len(chunk)
                yield chunk

    def read(self, key: str) -> bytes:
        """A whole copy; for small blobs."""
        with _translated():
            return self._copy(key).read_bytes()

    def open(self, key: str) -> int:
        """A file descriptor on a copy, which the caller closes. Deleting the copy does not disturb its readers."""
        with _translated():
            return os.open(self._copy(key), os.O_RDONLY | os.O_CLOEXEC)

    def path(self, key: str) -> Path:
        """Where a copy lies, for readers in other processes."""
        return self._copy(key)

    def unsettled(self) -> set[str]:
        """Keys of copies that were finished but, as far as is known here, not named by a row."""
        with _translated():
            return {path.name.removesuffix(MARK) for path in self._uploads.glob("*" + MARK)}

    def sweep(self, *, live: set[str], stored: set[str]) -> int:
        """Tidies up what crashes left behind, and says how much was removed. For the start, before serving.

        `live` are the keys of uploads that may go on, `stored` those of the unsettled copies that a row names.
        """
        with _translated():
            keys = {path.name.removesuffix(MARK) for path in self._uploads.iterdir()}
            for key in keys & stored:
                self.settle(key)
            for key in (keys & live) - stored:
                self.reopen(key)
            left = keys - stored - live
            for key in left:
                self.discard(key)
        return len(left)

    def _mark(self, key: str) -> Path:
        return self._uploads / (key + MARK)

    def _copy(self, key: str) -> Path:
        return self._copies / key[:2] / key


def _write_all(file: int, chunks: list[bytes]) -> None:
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            view = view[os.write(file, view) :]


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError("the disk that holds the blobs is full; free some space and try again") from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise StorageError("the blobs cannot be written; make the data folder writable") from error
        raise StorageError(f"the blob store failed: {error.strerror}") from error
