"""How workers share the connections that come in: whoever has the fewest lets the next one in."""

import asyncio
import errno
import logging
import mmap
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

log = logging.getLogger("wasmhub.workers")
PATIENCE = 0.002  # seconds that a worker with more connections leaves a new one to the others
PAUSE = 1.0  # seconds without letting anybody in, when the system has no file descriptor or memory left
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Loads:
    """How many connections each worker has, in memory that processes forked later share."""

    def __init__(self, workers: int) -> None:
        self._all = memoryview(mmap.mmap(-1, workers * 8)).cast("Q")

    def set(self, worker: int, count: int) -> None:
        """Says how many a worker has."""
        self._all[worker] = count

    def is_least(self, worker: int) -> bool:
        """Whether no other worker has fewer."""
        return self._all[worker] == min(self._all)


class Connections(set[object]):
    """A worker's open connections; their number is told to the others as it changes."""

    def __init__(self, loads: Loads, worker: int) -> None:
        super().__init__()
        self._loads = loads
        self._worker = worker
        self._loads.set(worker, 0)

    def add(self, one: object) -> None:
        """Takes a connection in."""
        super().add(one)
        self._loads.set(self._worker, len(self))

    def discard(self, one: object) -> None:
        """Lets a connection go."""
        super().discard(one)
        self._loads.set(self._worker, len(self))

    def are_fewest(self) -> bool:
        """Whether no other worker has fewer."""
        return self._loads.is_least(self._worker)


class Acceptor:
    """Lets clients of one listener in, one at a time, for as long as it is the turn of this worker.

    The system wakes any of the workers for a client, mostly the same one, and a server that takes all who wait would
    leave the others idle. So a worker that has more than another leaves a client alone for a moment; if the others are
    too busy to come, it takes it after all.
    """

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        tls: ssl.SSLContext | None,
        connections: Connections,
    ) -> None:
        self._listener = listener
        self._protocol = protocol
        self._tls = tls
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._later: asyncio.TimerHandle | None = None
        self._greeting: set[asyncio.Task[object]] = set()
        listener.setblocking(False)
        self._loop.add_reader(listener, self._look)

    async def close(self) -> None:
        """Lets nobody in any more, once those who are being let in are. The listener stays open."""
        if self._later is not None:
            self._later.cancel()
        self._loop.remove_reader(self._listener)
        await asyncio.gather(*self._greeting)

    def _look(self) -> None:
        """Somebody waits."""
        if self._connections.are_fewest():
            self._accept()
        else:
            self._wait(PATIENCE, self._take_up)

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        self._loop.remove_reader(self._listener)
        self._later = self._loop.call_later(seconds, then)

    def _take_up(self) -> None:
        """The others had their chance."""
        self._loop.add_reader(self._listener, self._look)
        self._accept()

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker was first, or the client has gone
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            log.error("nobody can be let in for a second: %s", error)
            self._wait(PAUSE, self._take_up)
            return
        client.setblocking(False)
        task: asyncio.Task[object] = self._loop.create_task(self._greet(client))
        self._greeting.add(task)
        task.add_done_callback(self._greeting.discard)

    async def _greet(self, client: socket.socket) -> None:
        with suppress(OSError):  # it went away, or speaks no TLS
            await self._loop.connect_accepted_socket(self._protocol, client, ssl=self._tls)
