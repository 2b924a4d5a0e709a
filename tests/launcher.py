"""Runs `wasmhub` out of a process that has imported all of it already, so that what is left is the work itself.

A hub's start takes nearly two seconds of CPU and a command a fifth of one, most of them for imports, and tests start
hundreds of hubs and type a thousand commands. The launcher runs what a shell would: each in a process and an
environment of its own, with nothing of the tests in it.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import storage.blobs.s3
import storage.migrating  # noqa: F401  what takes the time
from wasmhub.cli import VERBS
from wasmhub.cli import main as run_wasmhub

LENGTH = struct.Struct("!I")  # before a request comes how long it is
STATUS = struct.Struct("!i")  # an exit code, or a signal's number with a minus
POSSIBLE = hasattr(os, "pidfd_open")  # elsewhere commands run as they do in a shell
SECONDS = 120  # for the launcher's own start, on a machine that does much else


class Launched:
    """A process that the launcher started: as much of `subprocess.Popen` as tests ask of a hub."""

    def __init__(self, pid: int, ended: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = ended
        self._lock = threading.Lock()
        weakref.finalize(self, os.close, ended)

    def poll(self) -> int | None:
        """The exit code, if it has ended."""
        return self._look(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code once it has ended. Raises TimeoutExpired."""
        found = self._look(timeout)
        if found is None:
            raise subprocess.TimeoutExpired("wasmhub", timeout or 0.0)
        return found

    def send_signal(self, number: int) -> None:
        """Sends it a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # the launcher knows of its end, and says so in a moment
                os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9."""
        self.send_signal(signal.SIGKILL)

    def _look(self, seconds: float | None) -> int | None:
        if not select.select([self._ended], [], [], seconds)[0]:
            return None
        with self._lock:
            if self.returncode is None:
                said = os.read(self._ended, STATUS.size)
                # A launcher that is gone has taken the answer with it.
                self.returncode = STATUS.unpack(said)[0] if said else -signal.SIGKILL
        return self.returncode


class Launcher:
    """The tests' end of it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ours, theirs = socket.socketpair()
        with theirs:
            # It ends when nobody can ask it any more.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.launcher"],
                stdin=theirs,
                cwd=Path(__file__).parent.parent,
            )
        self._ours.settimeout(SECONDS)

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path, files: Sequence[int]
    ) -> Launched:
        """Starts a command in that folder, with that environment alone; `files` are its stdin, stdout and stderr."""
        ended, theirs = socket.socketpair()
        asked = {"arguments": list(arguments), "environment": dict(environment), "folder": str(folder)}
        request = json.dumps(asked).encode()
        with self._lock, theirs:
            socket.send_fds(self._ours, [LENGTH.pack(len(request))], [*files, theirs.fileno()])
            self._ours.sendall(request)
            return Launched(STATUS.unpack(self._ours.recv(STATUS.size))[0], ended.detach())

    def close(self) -> None:
        """Ends the launcher, and no hub."""
        self._ours.close()
        self._process.wait(timeout=SECONDS)


@cache
def launcher() -> Launcher:
    """The one of this session."""
    made = Launcher()
    atexit.register(made.close)
    return made


def run(
    arguments: Sequence[str], environment: Mapping[str, str], *, stdin: bytes = b"", timeout: float
) -> subprocess.CompletedProcess[bytes]:
    """Runs a command here to its end. Raises TimeoutExpired once it had to be killed, after `timeout` seconds."""
    if not POSSIBLE:
        words = [str(Path(sys.executable).parent / "wasmhub"), *arguments]
        return subprocess.run(words, input=stdin, env=environment, capture_output=True, timeout=timeout)
    with BytesFile(stdin) as given, BytesFile() as out, BytesFile() as trouble:
        files = [given.number, out.number, trouble.number]
        process = launcher().start(arguments, environment, Path.cwd(), files)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        return subprocess.CompletedProcess(["wasmhub", *arguments], code, out.read(), trouble.read())


class BytesFile:
    """A file in memory, which another process can be given."""

    def __init__(self, content: bytes = b"") -> None:
        self._file = os.fdopen(os.memfd_create("bytes"), "w+b", buffering=0)
        self._file.write(content)
        self._file.seek(0)
        self.number = self._file.fileno()

    def read(self) -> bytes:
        """All that is in it."""
        self._file.seek(0)
        return self._file.read()

    def __enter__(self) -> "BytesFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def main() -> int:
    """Runs a command for each request that comes by stdin, and tells who has ended; in its process, it is it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for verb in VERBS:
        importlib.import_module(f"wasmhub.cli.{verb}")
    gc.collect()
    gc.freeze()  # all share what they do not touch
    asked = socket.socket(fileno=os.dup(0))
    watched = selectors.DefaultSelector()
    watched.register(asked, selectors.EVENT_READ)
    while True:
        for key, _ in watched.select():
            if key.fileobj is not asked:
                _tell(watched, key)
                continue
            length, files, _, _ = socket.recv_fds(asked, LENGTH.size, 4)
            if not length:
                return 0
            request = json.loads(asked.recv(LENGTH.unpack(length)[0], socket.MSG_WAITALL))
            pid = os.fork()
            if pid == 0:
                asked.detach()
                watched.close()
                _become(request, files[:3])
            asked.sendall(STATUS.pack(pid))
            for handle in files[:3]:
                os.close(handle)
            watched.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, files[3]))


def _tell(watched: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    """Takes leave of a process and says how it ended."""
    pid, ended = key.data
    _, status = os.waitpid(pid, 0)
    watched.unregister(key.fileobj)
    os.close(key.fd)
    with socket.socket(fileno=ended) as teller:
        try:
            teller.sendall(STATUS.pack(os.waitstatus_to_exitcode(status)))
        except OSError:  # nobody waits for it any more
            return


def _become(request: Mapping[str, Any], files: Sequence[int]) -> NoReturn:
    """Makes of this process what a shell makes of the one that it starts a command in."""
    for number, handle in enumerate(files):
        os.dup2(handle, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    os.chdir(request["folder"])
    sys.argv = ["wasmhub", *request["arguments"]]
    try:
        code = run_wasmhub()
    except SystemExit as end:
        if not isinstance(end.code, int):
            raise
        code = end.code
    # Taking apart what all share would copy it, page by page.
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as every end does
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
