"""Blobs as objects in a bucket: small ones by one call, large ones in parts; nothing is renamed, nothing decides but
the database."""

import logging
import secrets
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from storage.blobs.s3_client import URL_SECONDS, Objects
from storage.blobs.s3_writer import COPIES, S3Writer
from storage.blobs.store import Bucket, Missing, State, Stored
from storage.database import StorageError

CHUNK = 1 << 22  # bytes that one call fetches and one reader holds
IN_MEMORY = 1 << 23  # bytes of a copy that a reader who seeks holds; more goes to a temporary file
MARK = "hub"  # the object that says whose store this is
URLS = 10_000  # signed ones that are remembered


class S3Blobs:
    """A blob store in a bucket: `<prefix>copies/` holds copies and the tails of uploads.

    An upload's objects have its key, a dot and a word of chance as theirs, so none is ever written twice.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._objects = Objects(bucket)
        self._urls: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._lock = threading.Lock()
        self.redirects = bucket.public_endpoint is not None

    def new_key(self) -> str:
        """A key that was never used and never will be again."""
        return secrets.token_hex(16)

    def resume(self, key: str, offset: int, state: State) -> S3Writer:
        """The writer for an upload, which goes on from what its row keeps."""
        return S3Writer(self._objects, key, offset, state)

    def read(self, key: str) -> bytes:
        """A whole copy; for small blobs."""
        return self._objects.get(COPIES + key)

    def stream(self, key: str, start: int, stop: int) -> Generator[bytes, None, None]:
        """Bytes of a copy by one call a chunk, so that a slow reader holds a chunk and not a connection."""
        while start < stop:
            end = min(start + CHUNK, stop)
            yield self._objects.get(COPIES + key, start, end)
            start = end

    @contextmanager
    def file(self, key: str) -> Iterator[BinaryIO]:
        """A copy, fetched: in memory if it is small."""
        with tempfile.SpooledTemporaryFile(IN_MEMORY) as file:
            self._fetch(key, cast(BinaryIO, file))
            yield cast(BinaryIO, file)

    @contextmanager
    def local(self, key: str) -> Iterator[Path]:
        """A copy in a temporary file."""
        folder = Path(_temporary_folder())
        try:
            with (folder / key).open("xb") as file:
                self._fetch(key, file)
            yield folder / key
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def url(self, key: str) -> str:
        """A signed URL, remembered for half its life."""
        now = time.monotonic()
        with self._lock:
            made, url = self._urls.get(key, (0.0, ""))
        if url and now - made < URL_SECONDS / 2:
            return url
        url = self._objects.signed_url(COPIES + key)
        with self._lock:
            self._urls[key] = (now, url)
            if len(self._urls) > URLS:
                self._urls.popitem(last=False)
        return url

    def discard(self, key: str, state: State = None) -> None:
        """Removes a copy or, with its state, what an upload has written."""
        if state is None:
            self._objects.remove(COPIES + key)
            return
        if state.get("upload"):
            self._objects.abort(COPIES + state["copy"], state["upload"])
            self._objects.remove(COPIES + state["copy"])  # It may have been completed without being committed.
        if state.get("tail"):
            self._objects.remove(COPIES + state["tail"])

    def list(self, after: str, limit: int) -> Sequence[Stored]:
        """Objects, and multipart uploads where the service tells them, by key."""
        found = [
            Stored(one["Key"], one["Size"], int(one["LastModified"].timestamp() * 1000))
            for one in self._objects.listed(COPIES, after, limit)
        ]
        for one in self._objects.begun(COPIES, after, limit):
            state = {"copy": one["Key"], "upload": one["UploadId"]}
            found.append(Stored(one["Key"], 0, int(one["Initiated"].timestamp() * 1000), state))
        return sorted(found, key=lambda one: one.key)[:limit]

    def claim(self, hub_id: str) -> None:
        """Marks the bucket's prefix as this hub's, or finds that it is: the first call, which shows what is wrong."""
        try:
            found = self._objects.get(MARK)
        except Missing:
            self._objects.put_first(MARK, hub_id.encode())
            found = self._objects.get(MARK)
        if found != hub_id.encode():
            place = f"s3://{self._bucket.name}/{self._bucket.prefix}"
            raise StorageError(
                f"WASMHUB_BLOBS is {place}, which holds the blobs of another hub's database;"
                " give each database a bucket or a prefix of its own"
            )
        self._objects.log_level = logging.WARNING

    def ping(self) -> None:
        """Asks the bucket whether it is there, for six seconds at most."""
        self._objects.look()

    def _fetch(self, key: str, file: BinaryIO) -> None:
        """Writes a copy into a file and goes back to its beginning."""
        size = self._objects.size(COPIES + key)
        if size is None:
            raise Missing
        try:
            for chunk in self.stream(key, 0, size):
                file.write(chunk)
            file.seek(0)
        except OSError as error:
            raise _no_room(error) from error


def _temporary_folder() -> str:
    try:
        return tempfile.mkdtemp(prefix="wasmhub-")
    except OSError as error:
        raise _no_room(error) from error


def _no_room(error: OSError) -> StorageError:
    return StorageError(f"a blob cannot be kept in the folder for temporary files: {error.strerror}; set TMPDIR")
