"""Blobs as files in a folder: written aside, synced, renamed, the folder synced; only then do they exist."""

import errno
import fcntl
import heapq
import os
import secrets
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from storage.blobs.store import Lost, Missing, State, Stored
from storage.database import Conflict, StorageError

CHUNK = 1 << 20
MARK = "hub"  # the file that says whose store this is
UNFINISHED: State = {"unfinished": True}  # what a list says of an upload, so that nobody takes it for a copy


class FileBlobs:
    """A blob store in a folder: `uploads/` holds what is being written, `copies/xx/` what is whole.

    Several processes may use one folder: an upload's file is locked by the request that writes to it.
    """

    redirects = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
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

    def resume(self, key: str, offset: int, state: State) -> "FileWriter":
        """The writer for an upload; files need no state."""
        return FileWriter(self._uploads / key, self._copy(key), offset)

    def read(self, key: str) -> bytes:
        """A whole copy; for small blobs."""
        with _translated():
            return self._copy(key).read_bytes()

    def stream(self, key: str, start: int, stop: int) -> Generator[bytes, None, None]:
        """Bytes of a copy in chunks. Deleting the copy does not disturb its readers."""
        with _translated(), self._copy(key).open("rb", buffering=0) as file:
            while start < stop:
                chunk = os.pread(file.fileno(), min(CHUNK, stop - start), start)
                if not chunk:
                    raise Missing  # of what its row promises: who scrubs or backs up goes on with the next
                start += len(chunk)
                yield chunk

    @contextmanager
    def file(self, key: str) -> Iterator[BinaryIO]:
        """A copy, opened."""
        with _translated():
            file = self._copy(key).open("rb", buffering=0)
        with file:
            yield file

    @contextmanager
    def local(self, key: str) -> Iterator[Path]:
        """The copy itself: nobody writes to it any more."""
        path = self._copy(key)
        if not path.is_file():
            raise Missing
        yield path

    def url(self, key: str) -> str:
        """Nowhere: only the hub serves these files."""
        raise NotImplementedError

    def discard(self, key: str, state: State = None) -> None:
        """Removes an upload's bytes or a copy."""
        with _translated():
            for path in (self._uploads / key, self._copy(key)):
                path.unlink(missing_ok=True)

    def list(self, after: str, limit: int) -> Sequence[Stored]:
        """Copies and uploads by key. Looks only at the folders that the answer comes from."""
        with _translated():
            begun = (_stored(path, UNFINISHED) for path in sorted(self._uploads.iterdir()) if path.name > after)
            whole = (_stored(path, None) for path in self._from(after))
            found = heapq.merge(filter(None, begun), filter(None, whole), key=lambda one: one.key)
            return list(islice(found, limit))

    def claim(self, hub_id: str) -> None:
        """Marks the folder as this hub's, durably, or finds that it is."""
        mark, aside = self._folder / MARK, self._folder / f"{MARK}.{secrets.token_hex(4)}"
        with _translated():
            if not mark.exists():
                _write_durably(aside, hub_id.encode())
                with suppress(FileExistsError):
                    os.link(aside, mark)
                aside.unlink()
                _sync_folder(self._folder)
            found = mark.read_text(errors="replace")
        if found.strip() != hub_id:
            raise StorageError(
                f"WASMHUB_BLOBS is the folder {self._folder}, which holds the blobs of another hub's database;"
                " give each database a folder of its own"
            )

    def ping(self) -> None:
        """Looks at the folder."""
        with _translated():
            if not self._copies.is_dir():
                raise StorageError("the folder of the blob store is not there; put it back")

    def _copy(self, key: str) -> Path:
        return self._copies / key[:2] / key

    def _from(self, after: str) -> Iterator[Path]:
        for folder in sorted(self._copies.iterdir()):
            if folder.name >= after[:2]:
                yield from (path for path in sorted(folder.iterdir()) if path.name > after)


class FileWriter:
    """One request's writing to an upload's file, which is opened and locked by the first call that needs it.

    A finished copy is never touched again by who finds it without being certain that no row names it: an upload whose
    file has become a copy goes on with a file of its own, and finishes under a key of its own.
    """

    sure = True

    def __init__(self, upload: Path, copy: Path, offset: int) -> None:
        self._upload = upload
        self._copy = copy
        self._start = offset
        self._file: int | None = None  # locked
        self._ready = False  # cut off behind the offset, and at its end
        self._finished: Path | None = None

    def hold(self) -> bool:
        """Locks the upload's file, and leaves it as it is: its row is to be read again, for it may have moved."""
        with _translated():
            self._held()
        return True

    def write(self, chunks: list[bytes]) -> None:
        """Writes chunks after those before."""
        with _translated():
            file = self._opened()
            for chunk in chunks:
                _write_all(file, chunk)

    def sync(self) -> None:
        """Syncs the file; its row needs to keep nothing."""
        with _translated():
            os.fsync(self._opened())

    def finish(self) -> str:
        """Renames the synced file to its copy's place."""
        self.sync()
        with _translated():
            target = self._copy
            if target.exists():
                target = target.with_name(f"{target.name}.{secrets.token_hex(4)}")
            try:
                os.rename(self._upload, target)
            except FileNotFoundError:
                raise Lost from None
            self._finished = target
            _sync_folder(target.parent)
        return target.name

    def done(self) -> None:
        """Nothing was replaced."""

    def undo(self) -> None:
        """Cuts off what was written, to give a full disk its room back."""
        with suppress(OSError):  # It is tidied up later, then; what went wrong before matters more.
            if self._finished is not None:
                os.rename(self._finished, self._upload)
                self._finished = None
            if self._file is not None and self._start > 0:
                if not self._ready:
                    return  # nothing was written, and less may be there than the row says
                os.ftruncate(self._file, self._start)
                os.lseek(self._file, self._start, os.SEEK_SET)
            elif self._file is not None:
                self._upload.unlink(missing_ok=True)
                self._close()

    def __enter__(self) -> "FileWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file, self._ready = None, False

    def _opened(self) -> int:
        """The upload's file: locked, cut off behind the offset, and at its end."""
        file = self._held()
        if not self._ready:
            size = os.fstat(file).st_size
            if size < self._start:
                raise Lost
            if size > self._start:
                os.ftruncate(file, self._start)
            os.lseek(file, self._start, os.SEEK_SET)
            self._ready = True
        return file

    def _held(self) -> int:
        """The upload's file, locked."""
        if self._file is not None:
            return self._file
        if self._start > 0 and not self._upload.exists():
            self._bring_back()
        file = os.open(self._upload, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._lock(file)
        except BaseException:
            os.close(file)
            raise
        self._file = file
        return file

    def _lock(self, file: int) -> None:
        """Takes the file for this request. It may have become a copy, or have gone, between opening and locking it."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            same = os.path.samestat(os.fstat(file), os.stat(self._upload))
        except (BlockingIOError, FileNotFoundError):
            same = False
        if not same:
            raise Conflict("another request is writing to this upload")

    def _bring_back(self) -> None:
        """Goes on with an upload that a crash, or a failed commit, has left as a copy: with the bytes, not the copy."""
        aside = self._upload.with_name(f"{self._upload.name}.{secrets.token_hex(4)}")
        try:
            with self._copy.open("rb") as whole, aside.open("xb") as part:
                while part.tell() < self._start and (chunk := whole.read(min(CHUNK, self._start - part.tell()))):
                    part.write(chunk)
            with suppress(FileExistsError):
                os.link(aside, self._upload)
        except FileNotFoundError:
            raise Lost from None
        finally:
            aside.unlink(missing_ok=True)


def _stored(path: Path, state: State) -> Stored | None:
    """None: it has gone since the folder was listed."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return Stored(path.name, found.st_size, found.st_mtime_ns // 1_000_000, state)


def _write_all(file: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(file, view) :]


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


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
        if error.errno == errno.ENOENT:
            raise Missing from error
        raise StorageError(f"the blob store failed: {error.strerror}") from error
