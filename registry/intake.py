"""Takes a request's body into the blob store: bounded memory, hashed and written in large steps off the event loop."""

from typing import Any

import anyio
import anyio.to_thread
from starlette.requests import Request

from registry.errors import OCIError
from storage.blobs.store import State, Writer
from storage.database import StorageError

STEP = 2**20


class Intake:
    """One body on its way to an upload's bytes. `offset` counts what was taken, `running` hashes it if it can."""

    def __init__(self, writer: Writer, offset: int, running: Any | None, limit: int) -> None:
        self.writer = writer
        self.offset = offset
        self.running = running
        self._limit = limit

    async def take(self, request: Request) -> list[bytes]:
        """Reads the body, writes all but its last step, and returns that rest for the caller to write.

        Raises OCIError SIZE_INVALID (413) when the blob would be larger than the limit. If the body cannot be taken
        whole, nothing of it is left.
        """
        try:
            return await self._take(request)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self.writer.undo)
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

    def write(self, chunks: list[bytes]) -> None:
        """Hashes and writes chunks after those before; blocks on the blob store."""
        try:
            self.writer.write(chunks)
        except StorageError:
            self.writer.undo()
            raise
        for chunk in chunks:
            self.offset += len(chunk)
            if self.running is not None:
                self.running.update(chunk)

    def sync(self) -> State:
        """Makes all of it durable; what the upload's row must keep."""
        try:
            return self.writer.sync()
        except StorageError:
            self.writer.undo()
            raise

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise OCIError("SIZE_INVALID", f"blobs larger than {self._limit} bytes are not taken", status=413)
