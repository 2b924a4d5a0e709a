"""Threads that take turns: one at a time, up to its next transaction or call of the blob store; it may crash there."""

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.orm import Session

from storage.blobs.files import FileBlobs
from storage.database import Database

IN_FOLDER = "00"  # where all copies lie: to look through the 255 others at each step would take longer than all else


class Crashed(BaseException):
    """The process that did this was killed here."""


class Turn:
    """One thread's doings. It stands still at each `point` until somebody lets it go on."""

    def __init__(self, name: str, act: Callable[["Turn"], None]) -> None:
        self.name = name
        self.done = False
        self.crashes = False
        self.error: BaseException | None = None
        self.before = ""  # what it stands before
        self.commits_by: float | None = None  # when a push that no row names yet is over, by the true time
        self._act = act
        # Plain locks, which whoever waits for one takes and the other one gives back: the cheapest way to take turns.
        self._go = threading.Lock()
        self._back = threading.Lock()
        self._go.acquire()
        self._back.acquire()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def point(self, before: str = "") -> None:
        """Stands still, and then goes on or crashes."""
        self.before = before
        if self.crashes:
            raise Crashed
        self._back.release()
        self._go.acquire()
        if self.crashes:
            raise Crashed

    def go_on(self) -> None:
        """Lets it run to its next point, or to its end."""
        self._go.release()
        self._back.acquire()

    def crash(self) -> None:
        """Ends it where it stands; nothing that it would have done happens."""
        self.crashes = True
        while not self.done:
            self.go_on()

    def _run(self) -> None:
        self._go.acquire()
        try:
            if not self.crashes:
                self._act(self)
        except Crashed:
            pass
        except BaseException as error:
            self.error = error
        self.done = True
        self._back.release()


class TurnDatabase:
    """The database as one thread sees it: before each transaction, and after each commit, others may have theirs."""

    def __init__(self, database: Database, turn: Turn) -> None:
        self._database = database
        self._turn = turn

    def watch(self) -> "TurnWatch":
        """As the database's own."""
        return TurnWatch(self._database.watch(), self._turn)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """As the database's own."""
        self._turn.point()
        with self._database.read() as session:
            yield session

    @contextmanager
    def write(self, *, beside: bool = False) -> Iterator[Session]:
        """As the database's own."""
        self._turn.point("a transaction")
        with self._database.write(beside=beside) as session:
            yield session
        self._turn.point()


class TurnWatch:
    """A watch as one thread sees it: before it asks, others may have their turn."""

    def __init__(self, watch: Any, turn: Turn) -> None:
        self._watch = watch
        self._turn = turn
        self.close = watch.close

    async def version(self) -> Any:
        """As the watch's own."""
        self._turn.point()
        return await self._watch.version()

    async def facts(self, question: Any) -> Any:
        """As the watch's own."""
        self._turn.point()
        return await self._watch.facts(question)


class TurnBlobs:
    """The blob store as one thread sees it; a crashed one does nothing to it any more."""

    redirects = False

    def __init__(self, blobs: FileBlobs, turn: Turn) -> None:
        self._blobs = blobs
        self._turn = turn

    def new_key(self) -> str:
        """As the store's own, but all in one folder."""
        return f"{IN_FOLDER}{self._blobs.new_key()[len(IN_FOLDER) :]}"

    def resume(self, key: str, offset: int, state: Any) -> "TurnWriter":
        """As the store's own."""
        return TurnWriter(self._blobs.resume(key, offset, state), self._turn)

    def read(self, key: str) -> bytes:
        """As the store's own."""
        self._turn.point("bytes")
        return self._blobs.read(key)

    def stream(self, key: str, start: int, stop: int) -> Generator[bytes, None, None]:
        """As the store's own."""
        self._turn.point()
        return self._blobs.stream(key, start, stop)

    def ping(self) -> None:
        """It is always there."""

    def discard(self, key: str, state: Any = None) -> None:
        """As the store's own."""
        self._turn.point("a removal")
        self._blobs.discard(key, state)

    def list(self, after: str, limit: int) -> Any:
        """As the store's own."""
        self._turn.point()
        return self._blobs.list(after, limit)


class TurnWriter:
    """A writer of the store as one thread sees it."""

    def __init__(self, writer: Any, turn: Turn) -> None:
        self._writer = writer
        self._turn = turn

    @property
    def sure(self) -> bool:
        """As the writer's own."""
        return bool(self._writer.sure)

    def __getattr__(self, name: str) -> Any:
        def act(*arguments: Any) -> Any:
            self._turn.point()
            return getattr(self._writer, name)(*arguments)

        return act

    def __enter__(self) -> "TurnWriter":
        self._writer.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._writer.__exit__(*error)  # a killed process holds no lock any more, so this may be done for it
