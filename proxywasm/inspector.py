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
from proxywasm.error import ModuleError
from proxywasm.images import RAW
from proxywasm.reader import READER_VERSION, unreadable
from proxywasm.unpacking import MAX_MODULE

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


class Inspector:
    """Owns at most one worker process: started when it is needed, gone when idle, replaced when it overruns.

    Safe to use from several threads, which then wait for each other. Close it, or use it as a context manager.
    """

    def __init__(self, bounds: Bounds = Bounds()) -> None:
        self._bounds = bounds
        self._lock = threading.Lock()
        self._worker: subprocess.Popen[bytes] | None = None

    def inspect(self, path: Path, wrapping: str = RAW) -> Inspection:
        """Reads the module in a file, which may be wrapped as `proxywasm.images` says of its layer.

        Bytes that cannot be read, or that use up the worker, give facts of the kind `unreadable`.
        Raises FileNotFoundError, and other errors of opening, when the file itself is not to be had.
        """
        size = path.stat().st_size
        request = {"path": os.fspath(path.absolute()), "wrapping": wrapping, "limit": self._bounds.module}
        with self._lock:
            answer = self._ask(request)
        if answer is None:
            facts = unreadable(size, ModuleError(0, "reading it took more time or memory than a module may take"))
            return Inspection(None, None, facts.to_json())
        return Inspection(answer["sha256"], answer["size"], answer["facts"])

    def inspect_bytes(self, data: bytes, wrapping: str = RAW) -> Inspection:
        """As `inspect`, for bytes that lie in no file."""
        with tempfile.NamedTemporaryFile(prefix="wasmhub-module-") as file:
            file.write(data)
            file.flush()
            return self.inspect(Path(file.name), wrapping)

    def close(self) -> None:
        """Ends the worker; a later inspection starts a new one."""
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
        deadline = time.monotonic() + self._bounds.seconds
        for _ in range(TRIES):
            worker = self._start()
            line = _exchange(worker, json.dumps(request).encode() + b"\n", deadline)
            if line is not None:
                answer: dict[str, Any] = json.loads(line)
                return answer
            self._drop()
            if time.monotonic() >= deadline:
                break
        return None

    def _start(self) -> subprocess.Popen[bytes]:
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
        return self._worker

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
    assert worker.stdin is not None and worker.stdout is not None
    try:
        # Requests are far shorter than a pipe's buffer, so this cannot wait.
        os.write(worker.stdin.fileno(), request)
    except BrokenPipeError:
        return None
    answer = bytearray()
    while not answer.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([worker.stdout], [], [], left)[0]:
            return None
        piece = os.read(worker.stdout.fileno(), 65536)
        if not piece:
            return None
        answer += piece
    return bytes(answer)


__all__ = ["READER_VERSION", "Bounds", "Inspection", "Inspector"]
