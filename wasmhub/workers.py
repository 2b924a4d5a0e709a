"""Several hub processes on one machine: a parent that serves nobody starts the workers and keeps them running."""

import contextlib
import logging
import os
import select
import signal
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

from wasmhub.server import GRACE

log = logging.getLogger("wasmhub.workers")
STABLE = 10.0  # seconds after which a worker counts as one that runs
LONGEST_PAUSE = 10.0  # seconds before a worker that dies again and again is started once more
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


@dataclass(frozen=True)
class Post:
    """What a worker knows of its place: its number from 0, and how it and its parent hear of one another."""

    number: int
    parent: int  # the read end of a pipe, which ends with the parent
    ready: int | None  # the write end of a pipe: a byte says that it answers, if somebody waits for that

    def started(self) -> None:
        """Tells the parent that this worker answers."""
        if self.ready is not None:
            with contextlib.suppress(OSError):  # the parent is gone
                os.write(self.ready, b"1")
            os.close(self.ready)


@dataclass
class _Place:
    """A worker as its parent sees it."""

    number: int
    pid: int = 0  # 0: there is none now
    since: float = 0.0
    deaths: int = 0  # in a row
    again: float = 0.0  # when to start the next


@dataclass
class Workers:
    """The workers of a hub. `work` is a worker's whole life; its answer is the exit code.

    They are forked from a process that has opened nothing yet: no database, no thread, no event loop. So each begins
    in milliseconds with the code loaded and its memory shared, and holds nothing that another process uses as well,
    but the listener. That is one for all: a client whom one worker does not let in is let in by another, where
    listeners of their own (SO_REUSEPORT) would drop the clients of a worker that dies.
    """

    count: int
    listener: socket.socket
    work: Callable[[Post], int]
    drain: float
    _places: list[_Place] = field(init=False)
    _stopping: int = field(default=0, init=False)  # signals that asked for it

    def run(self) -> int:
        """Keeps them running until SIGTERM or SIGINT; the exit code is the first one's if that cannot start."""
        self._places = [_Place(number) for number in range(self.count)]
        self._woken, wake = socket.socketpair()
        for end in (self._woken, wake):
            end.setblocking(False)
        self._parent, self._alive = os.pipe()
        signal.set_wakeup_fd(wake.fileno())
        for number in SIGNALS:
            signal.signal(number, lambda *_: None)
        failed = self._start_first()
        if failed is not None:
            return failed
        while any(place.pid for place in self._places) or not self._stopping:
            if not self._stopping:
                self._start_missing()
            self._wait()
        return 0

    def _start_first(self) -> int | None:
        """Starts the worker that does what is done once, such as migrations. Its exit code if it does not start."""
        place = self._places[0]
        ready, tell = os.pipe()
        self._fork(place, tell)
        os.close(tell)
        while ready not in select.select([ready, self._woken.fileno()], [], [])[0]:
            self._heed()
        told = os.read(ready, 1)  # or its end, if the worker is gone
        os.close(ready)
        if told:
            return None
        pid, place.pid = place.pid, 0
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def _start_missing(self) -> None:
        for place in self._places:
            if not place.pid and time.monotonic() >= place.again:
                self._fork(place, None)

    def _fork(self, place: _Place, tell: int | None) -> None:
        # Until the child has handlers of its own, a signal to it would be taken for one to its parent.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        pid = os.fork()
        if pid == 0:
            self._become(Post(place.number, self._parent, tell))
        place.pid, place.since = pid, time.monotonic()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _become(self, post: Post) -> NoReturn:
        """Is a worker, in the forked process, to its end."""
        code = 1
        try:
            os.setpgid(0, 0)  # a terminal's Ctrl-C is for the parent, which tells the workers
            os.close(self._alive)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, _leave)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            code = self.work(post)
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0
        except BaseException:
            log.error("worker %d failed: %s", post.number + 1, traceback.format_exc())
        finally:
            logging.shutdown()
            os._exit(code)

    def _wait(self) -> None:
        """Sleeps until something has happened or is due, and heeds it."""
        due = [place.again for place in self._places if not place.pid]
        pause = max(0.0, min(due) - time.monotonic()) if due and not self._stopping else None
        select.select([self._woken], [], [], pause)
        self._heed()
        self._reap()

    def _heed(self) -> None:
        """Does what signals asked for meanwhile."""
        heard = b""
        with contextlib.suppress(BlockingIOError):
            heard = self._woken.recv(4096)
        for number in heard:
            if number in (signal.SIGTERM, signal.SIGINT):
                self._stop()

    def _reap(self) -> None:
        for place in self._places:
            if not place.pid:
                continue
            pid, status = os.waitpid(place.pid, os.WNOHANG)
            if pid == 0:
                continue
            place.pid = 0
            lived = time.monotonic() - place.since
            place.deaths = 0 if lived > STABLE else place.deaths + 1
            pause = min(LONGEST_PAUSE, 0.1 * 2**place.deaths) if place.deaths else 0.0
            place.again = time.monotonic() + pause
            if not self._stopping:
                how = _ending(os.waitstatus_to_exitcode(status))
                log.error("worker %d %s; it is started again in %.1f seconds", place.number + 1, how, pause)

    def _stop(self) -> None:
        """Has the workers end what was begun; asked twice, at once."""
        self._stopping += 1
        self.listener.close()  # while a worker listens, clients get in; after that nobody is to wait in vain
        if self._stopping == 1:
            signal.signal(signal.SIGALRM, lambda *_: self._kill())
            signal.setitimer(signal.ITIMER_REAL, self.drain + GRACE + 15)
        for place in self._places:
            if place.pid:
                os.kill(place.pid, signal.SIGTERM if self._stopping == 1 else signal.SIGINT)

    def _kill(self) -> None:
        for place in self._places:
            if place.pid:
                log.error("worker %d did not end in time and is killed", place.number + 1)
                os.kill(place.pid, signal.SIGKILL)


def _leave(number: int, frame: object) -> None:
    raise SystemExit(0)


def _ending(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
