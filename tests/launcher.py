"""Starts hubs out of a process that has imported the hub already, so that what is left of a start is the start itself.

A start takes nearly two seconds of CPU, most of them for imports, and tests start hundreds of hubs. The launcher runs
what `wasmhub serve` runs: each hub in a process and an environment of its own, with nothing of the tests in it.
"""

import atexit
import gc
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
import weakref
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import BinaryIO

import storage.blobs.s3
import storage.migrating  # noqa: F401  what takes the time
import wasmhub.cli.serve  # noqa: F401  as well
from wasmhub.cli import main as run_wasmhub

LENGTH = struct.Struct("!I")  # before a request comes how long it is
STATUS = struct.Struct("!i")  # an exit code, or a signal's number with a minus
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
            raise subprocess.TimeoutExpired("wasmhub serve", timeout or 0.0)
        return found

    def send_signal(self, number: int) -> None:
        """Sends it a signal, unless it has ended."""
        if self.poll() is None:
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

    def start(self, environment: Mapping[str, str], folder: Path, out: BinaryIO) -> Launched:
        """Starts a hub in that folder, with that environment alone, which writes to `out`."""
        ended, theirs = socket.socketpair()
        request = json.dumps({"environment": dict(environment), "folder": str(folder)}).encode()
        with self._lock, theirs:
            socket.send_fds(self._ours, [LENGTH.pack(len(request))], [out.fileno(), theirs.fileno()])
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


def main() -> int:
    """Starts a hub for each request that comes by stdin, and tells who has ended; in a hub, it is the hub."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    gc.freeze()  # hubs share what they do not touch
    asked = socket.socket(fileno=os.dup(0))
    watched = selectors.DefaultSelector()
    watched.register(asked, selectors.EVENT_READ)
    while True:
        for key, _ in watched.select():
            if key.fileobj is not asked:
                _tell(watched, key)
                continue
            length, files, _, _ = socket.recv_fds(asked, LENGTH.size, 2)
            if not length:
                return 0
            request = json.loads(asked.recv(LENGTH.unpack(length)[0], socket.MSG_WAITALL))
            pid = os.fork()
            if pid == 0:
                asked.detach()
                watched.close()
                return _become_hub(request, files[0])
            asked.sendall(STATUS.pack(pid))
            os.close(files[0])
            watched.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, files[1]))


def _tell(watched: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    """Takes leave of a hub and says how it ended."""
    pid, ended = key.data
    _, status = os.waitpid(pid, 0)
    watched.unregister(key.fileobj)
    os.close(key.fd)
    with socket.socket(fileno=ended) as teller:
        try:
            teller.sendall(STATUS.pack(os.waitstatus_to_exitcode(status)))
        except OSError:  # nobody waits for it any more
            return


def _become_hub(request: Mapping[str, Mapping[str, str]], out: int) -> int:
    """Makes of this process what a shell makes of the one that it starts the hub in."""
    null = os.open(os.devnull, os.O_RDONLY)
    for number, handle in enumerate((null, out, out)):
        os.dup2(handle, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(str(request["folder"]))
    sys.argv = ["wasmhub", "serve"]
    return run_wasmhub()


if __name__ == "__main__":
    code = main()
    sys.exit(code)
