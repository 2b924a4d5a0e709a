"""What a blob store can do: the interface that files in a folder and objects in a bucket both have."""

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Protocol

from storage.database import Conflict, StorageError

# What an upload's row keeps for the store, as JSON: None where the store needs nothing but key and offset.
State = dict[str, Any] | None

LOST = "the bytes of this upload are lost; begin a new one"


class Missing(StorageError):
    """A row names a copy whose bytes are not in the store."""

    def __init__(self) -> None:
        super().__init__("the bytes of this blob are missing from the blob store; push it again")


class Lost(Conflict):
    """Bytes of an upload that its row vouches for are not in the store."""

    def __init__(self) -> None:
        super().__init__(LOST)


class Stored(NamedTuple):
    """Something that lies in the store. It belongs to the upload whose key is its own up to the first dot."""

    key: str
    size: int
    modified: int  # milliseconds since 1970, by the store's clock
    state: State = None  # what `discard` needs beside the key


@dataclass(frozen=True)
class Bucket:
    """A bucket of an S3 service, and how to speak to it."""

    name: str
    prefix: str = ""  # of all keys; empty, or ends in a slash
    endpoint: str | None = None  # None: AWS
    region: str | None = None  # None: as boto3 finds it
    addressing: str = "auto"  # auto | path | virtual
    ca_bundle: Path | None = None  # certificates that the endpoint's is checked against, PEM
    encryption: str | None = None  # AES256 | aws:kms | aws:kms:<key>; None: the bucket's own default
    public_endpoint: str | None = None  # where clients reach the service by themselves; None: they do not


class Writer(Protocol):
    """One request's writing to an upload. Leaving the block gives up the right to write, not what was written.

    Calls block; none may be made beside another.
    """

    @property
    def sure(self) -> bool:
        """Whether the finished copy surely is what went through `write`; if not, it must be read and hashed."""

    def hold(self) -> bool:
        """Takes the right to write, if this store has one. Then the upload's row must be read again before `write`.

        Raises Conflict where another process is writing to the upload.
        """

    def write(self, chunks: list[bytes]) -> None:
        """Appends chunks. Raises Conflict where another process is writing to the upload."""

    def sync(self) -> State:
        """Makes all that was written durable, and returns what the upload's row must keep from now on."""

    def finish(self) -> str:
        """Makes the upload a copy, whole and durable, and returns the key under which it can be read."""

    def done(self) -> None:
        """Says that what `sync` or `finish` returned is committed: what it replaced is removed."""

    def undo(self) -> None:
        """Gives up what this request wrote, as far as that can be done now; the upload goes on where it was before.

        After `finish` only where it is certain that no row names the copy.
        """

    def __enter__(self) -> "Writer": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class BlobStore(Protocol):
    """Bytes under keys that are never used twice. Which of them exist is the database's to say, never the store's.

    Calls block: they belong in threads. Whatever goes wrong is a StorageError whose text is fit for a user.
    """

    def new_key(self) -> str:
        """A key for a new upload: never used before, never again."""

    def resume(self, key: str, offset: int, state: State) -> Writer:
        """The writer for an upload of which `offset` bytes are durable. Does nothing yet, so it does not block."""

    def read(self, key: str) -> bytes:
        """A whole copy; for small blobs. Raises Missing."""

    def stream(self, key: str, start: int, stop: int) -> Generator[bytes, None, None]:
        """Bytes of a copy in large chunks; all of them, or an error. Raises Missing at the first."""

    def file(self, key: str) -> AbstractContextManager[BinaryIO]:
        """A copy as a file that can be read and sought in. Raises Missing."""

    def local(self, key: str) -> AbstractContextManager[Path]:
        """Where a copy lies on this machine while the block runs, for readers in other processes. Raises Missing."""

    @property
    def redirects(self) -> bool:
        """Whether clients that can follow are sent to `url` for large copies."""

    def url(self, key: str) -> str:
        """Where a client can fetch a copy by itself for ten minutes. Only where the store redirects."""

    def discard(self, key: str, state: State = None) -> None:
        """Removes a copy, or with its row's state what an upload has written. What is not there is no error."""

    def list(self, after: str, limit: int) -> Sequence[Stored]:
        """What lies in the store, copies or parts of uploads, by key from after that one on; for tidying up only."""

    def claim(self, hub_id: str) -> None:
        """Marks the store as this hub's. Raises StorageError if another hub's mark is there, or it cannot be used."""

    def ping(self) -> None:
        """Asks the store something. Raises StorageError if it cannot answer."""
