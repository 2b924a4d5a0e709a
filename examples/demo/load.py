"""People at work: requests through the proxy, one after the other in the background, each of them counted."""

import threading
import time
from collections import Counter
from http.client import HTTPConnection, HTTPException
from typing import Self
from urllib.parse import urlsplit

FRESH = 10  # every so many requests the connection is a new one


class Load:
    """Asks the proxy until it is left; keeps what was answered, by the header that the filter added."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent = 0
        self.failures: list[str] = []
        self.marks: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(15)

    def more(self, number: int) -> bool:
        """Whether so many further requests were answered or failed, within some seconds."""
        wanted, end = self.sent + number, time.monotonic() + 15
        while self.sent < wanted and time.monotonic() < end:
            time.sleep(0.01)
        return self.sent >= wanted

    def summary(self) -> str:
        """The numbers, in words."""
        by = ", ".join(f"{count} by {mark}" for mark, count in sorted(self.marks.items()))
        return f"{self.sent} requests so far, {len(self.failures)} failed; answered: {by}"

    def _run(self) -> None:
        connection = self._connect()
        while not self._end.is_set():
            if self.sent % FRESH == 0:
                connection.close()
                connection = self._connect()
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                answer.read()
                mark = ", ".join(answer.headers.get_all("x-filter", ["nothing"]))
                if answer.status != 200:
                    self.failures.append(f"status {answer.status}")
                self.marks[mark] += 1
            except (OSError, HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
            self.sent += 1
            time.sleep(0.005)
        connection.close()

    def _connect(self) -> HTTPConnection:
        return HTTPConnection(self._host, self._port, timeout=10)
