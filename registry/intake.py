"""Takes a request's body into the blob store: bounded memory, hashed and written in large steps off the event loop."""

from contextlib import suppress
from typing import Any

import anyio
import anyio.to_thread
from starlette.requests import Request

from registry.errors import OCIError
from storage.blobs.files import FileBlobs
from storage.database import StorageError

STEP = 2**20


class Intake:
    """One body on its way to an upload's bytes. `offset` counts what was taken, `running` hashes it if it can."""

    def __init__(self, blobs: FileBlobs, key: str, offset: int, running: Any | None, limit: int) -> None:
        self.offset = offset
        self.running = running
        self._start = offset
        self._blobs = blobs
        self.key = key
        self._limit = limit

    async def take(self, request: Request) -> list[bytes]:
        """Reads the body, writes all but its last step, and returns that rest for the caller to write and sync.

        Raises OCIError SIZE_INVALID (413) when the blob would be larger than the limit. If the body cannot be taken
        whole, nothing of it is left.
        """
        try:
            return await self._take(request)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._undo)
            raise

    async def _take(self, request: Request) -> list[bytes]:
        length = request.headers.get("content-length", "0")
        self._check(self.offset + (int(length) if length.isdigit() else 0))
        rest: list[bytes] = []
        held = 0
        async for chunk in request.stream():
            rest.append(chunk)
            held += len(chunk)
            self._check(self.offset + held)
            if held >= STEP:
                await anyio.to_thread.run_sync(self.write, rest)
                rest, held = [], 0
        return rest

    def write(self, chunks: list[bytes], sync: bool = False) -> None:
        """Hashes and writes chunks after those before; blocks on the disk. With `sync`, all of it is durable."""
        try:
            self._blobs.append(self.key, self.offset, chunks, sync=sync)
        except StorageError:
            self._undo()
            raise
        for chunk in chunks:
            self.offset += len(chunk)
            if self.running is not None:
                self.running.update(chunk)

    def _undo(self) -> None:
        """Cuts off what was written of this body, to give a full disk its room back."""
        with suppress(StorageError):
            self._blobs.append(self.key, self._start, [], sync=False)

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise OCIError("SIZE_INVALID", f"blobs larger than {self._limit} bytes are not taken", status=413)
