"""Reads modules in a worker process, so that a hostile one can neither hurt the hub nor hold it up."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import proxywasm
from proxywasm.images import RAW
from proxywasm.reader import READER_VERSION, too_costly
from proxywasm.unpacking import MAX_MODULE

START_SECONDS = 60.0  # A busy machine may take long to start a process, and that is no module's fault.
TRIES = 2  # A worker may die of something else than its module, or go for idleness just when it is asked.


@dataclass(frozen=True, slots=True)
class Inspection:
    """What came of one inspection.

    `facts` is the JSON of ModuleFacts; None says that the layer holds no module. `sha256` and `size` are those of
    the raw module, None where there is none or none could be taken out.
    """

    sha256: str | None
    size: int | None
    facts: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one inspection may use: seconds by the clock and of processor, bytes of memory and of the module."""

    seconds: float = 20.0
    processor_seconds: int = 15
    memory: int = 1024 * 1024 * 1024
    module: int = MAX_MODULE
    idle: float = 15.0


class InspectorClosed(Exception):
    """The inspector was closed before it had an answer: ask another one about the same module."""


class Inspector:
    """Owns at most one worker process: started when it is needed, gone when idle, replaced when it overruns.

    Safe to use from several threads, which then wait for each other. Close it, or use it as a context manager.
    """

    def __init__(self, bounds: Bounds = Bounds()) -> None:
        self._bounds = bounds
        self._lock = threading.Lock()
        self._worker: subprocess.Popen[bytes] | None = None
        self._closed = False

    def inspect(self, path: Path, wrapping: str = RAW) -> Inspection:
        """Reads the module in a file, which may be wrapped as `proxywasm.images` says of its layer.

        Bytes that cannot be read give facts of the kind `unreadable`; so do those that use up two workers, with a
        problem of the rule `limits`, which a less busy machine may judge otherwise. Raises InspectorClosed during or
        after `close`, and FileNotFoundError or another OSError when the file itself is not to be had.
        """
        size = path.stat().st_size
        request = {"path": os.fspath(path.absolute()), "wrapping": wrapping, "limit": self._bounds.module}
        with self._lock:
            answer = self._ask(request)
        if answer is None:
            return Inspection(None, None, too_costly(size).to_json())
        return Inspection(answer["sha256"], answer["size"], answer["facts"])

    def inspect_bytes(self, data: bytes, wrapping: str = RAW) -> Inspection:
        """As `inspect`, for bytes that lie in no file."""
        with tempfile.NamedTemporaryFile(prefix="wasmhub-module-") as file:
            file.write(data)
            file.flush()
            return self.inspect(Path(file.name), wrapping)

    def close(self) -> None:
        """Ends the worker at once, in the middle of an inspection too, which then raises InspectorClosed."""
        self._closed = True
        worker = self._worker
        if worker is not None:
            worker.kill()
        with self._lock:
            self._drop()

    def __enter__(self) -> Inspector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The worker's process number while there is one."""
        return self._worker.pid if self._worker is not None and self._worker.poll() is None else None

    def _ask(self, request: dict[str, Any]) -> dict[str, Any] | None:
        line = json.dumps(request).encode() + b"\n"
        left = self._bounds.seconds
        for _ in range(TRIES):
            if self._closed:
                raise InspectorClosed
            worker = self._start()
            begun = time.monotonic()
            found = _exchange(worker, line, begun + left) if worker is not None else None
            if found is not None:
                answer: dict[str, Any] = json.loads(found)
                return answer
            self._drop()
            left -= time.monotonic() - begun
        if self._closed:
            raise InspectorClosed
        return None

    def _start(self) -> subprocess.Popen[bytes] | None:
        """The worker, ready to be asked; None when a new one does not get ready."""
        if self._worker is not None and self._worker.poll() is None:
            return self._worker
        self._drop()
        bounds = self._bounds
        limits = (str(bounds.memory), str(bounds.processor_seconds), str(bounds.idle))
        # The worker gets none of the hub's environment: there may be secrets in it.
        home = os.fspath(Path(proxywasm.__file__).parent.parent)
        self._worker = subprocess.Popen(
            [sys.executable, "-m", "proxywasm.worker", *limits],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PYTHONPATH": home, "PYTHONDONTWRITEBYTECODE": "1"},
            start_new_session=True,
        )
        ready = _read_line(self._worker, time.monotonic() + START_SECONDS)
        return self._worker if ready is not None else None

    def _drop(self) -> None:
        worker, self._worker = self._worker, None
        if worker is None:
            return
        worker.kill()
        worker.wait()
        for pipe in (worker.stdin, worker.stdout):
            if pipe is not None:
                pipe.close()


def _exchange(worker: subprocess.Popen[bytes], request: bytes, deadline: float) -> bytes | None:
    """The worker's answer; None when it has died or the time is over."""
    assert worker.stdin is not None
    try:
        # Requests are far shorter than a pipe's buffer, so this cannot wait.
        os.write(worker.stdin.fileno(), request)
    except BrokenPipeError:
        return None
    return _read_line(worker, deadline)


def _read_line(worker: subprocess.Popen[bytes], deadline: float) -> bytes | None:
    assert worker.stdout is not None
    line = bytearray()
    while not line.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([worker.stdout], [], [], left)[0]:
            return None
        piece = os.read(worker.stdout.fileno(), 65536)
        if not piece:
            return None
        line += piece
    return bytes(line)


__all__ = ["READER_VERSION", "Bounds", "Inspection", "Inspector", "InspectorClosed"]
