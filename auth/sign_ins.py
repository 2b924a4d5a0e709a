"""Sign-ins in the audit log, so that neither a busy machine nor an attacker fills it.

Who comes in is a row once an hour for each credential and network; what browsers do is a row each, since it opens a
session. Who is refused is counted and written by a task of its own, never by the request: what is alike is one row, and
of rows there is a bucket that runs dry. Then all that is left is one row for each kind of refusal.
"""

import asyncio
import logging
import time
from collections import OrderedDict, deque
from contextlib import suppress
from dataclasses import replace

import anyio.to_thread

from auth.addresses import network_of
from auth.identity import Identity
from storage.database import Database, StorageError, now
from storage.sign_ins import Refusal, record_refusals, record_sign_in

log = logging.getLogger("wasmhub.sign_ins")
AGAIN = 3600.0  # seconds after which the same credential from the same network is a sign-in once more
REMEMBERED = 10_000  # credentials with networks
EVERY = 10.0  # seconds between two times that refusals are written; the first after a pause is written at once
KINDS = 1000  # of refusals that are told apart until then
BURST, SECONDS = 100, 5.0  # rows of refusals at once, and then one in so many seconds

Kind = tuple[str, str, str, str]  # action, reason, network, name


class SignIns:
    """What one process writes of sign-ins."""

    def __init__(self, database: Database, every: float = EVERY) -> None:
        self._database = database
        self._every = every
        self._noted: OrderedDict[tuple[str, str], float] = OrderedDict()  # credential, network -> until when
        self._refused: dict[Kind, Refusal] = {}
        self._waiting: deque[list[Refusal]] = deque()  # rows that are to be written, each lot by whoever takes it out
        self._wake = asyncio.Event()
        self._rows = float(BURST)
        self._filled_at = time.monotonic()

    async def note(self, action: str, identity: Identity, credential: str, token: str | None = None) -> None:
        """Somebody came in by a credential, which is named as the caller likes; `token` is what people call theirs."""
        key = (credential, network_of(identity.address))
        if self._noted.get(key, 0.0) > time.monotonic():
            return
        self._noted[key] = time.monotonic() + AGAIN
        self._noted.move_to_end(key)
        while len(self._noted) > REMEMBERED:
            self._noted.popitem(last=False)
        detail = {"token": token} if token is not None else {}
        try:
            await anyio.to_thread.run_sync(record_sign_in, self._database, identity.actor(), action, detail)
        except StorageError as error:  # a full disk must not keep anybody from signing in
            self._noted.pop(key, None)
            log.warning("the sign-in of %s is not in the audit log: %s", identity.name, error)

    def refuse(self, action: str, reason: str, address: str, name: str = "") -> None:
        """Somebody was refused, who said to be `name`."""
        kind = (action, reason, network_of(address), name)
        if kind not in self._refused and len(self._refused) >= KINDS:
            kind, address, name = (action, reason, "", ""), "", ""
        there = self._refused.get(kind) or Refusal(action, reason, address, name, 0, now())
        self._refused[kind] = replace(there, times=there.times + 1)
        self._wake.set()

    async def run(self) -> None:
        """Writes refusals until it is cancelled, and then what is left."""
        try:
            while True:
                await self._wake.wait()
                self._waiting.append(self._take())
                await anyio.to_thread.run_sync(self._write_waiting)
                await asyncio.sleep(self._every)
        finally:
            self._waiting.append(self._take())
            self._write_waiting()  # with what no thread had begun to write

    def _take(self) -> list[Refusal]:
        """The rows to write now: those that stand for most attempts by themselves, the rest by their kinds alone."""
        self._wake.clear()
        waiting = sorted(self._refused.values(), key=lambda one: -one.times)
        self._refused = {}
        moment = time.monotonic()
        self._rows = min(float(BURST), self._rows + (moment - self._filled_at) / SECONDS)
        self._filled_at = moment
        rows, rest = waiting[: int(self._rows)], waiting[int(self._rows) :]
        self._rows -= len(rows)
        alike: dict[tuple[str, str], Refusal] = {}
        for one in rest:
            there = alike.get((one.action, one.reason)) or replace(one, address="", name="", times=0)
            since = min(there.since, one.since)
            alike[one.action, one.reason] = replace(there, times=there.times + one.times, since=since)
        return [*rows, *alike.values()]

    def _write_waiting(self) -> None:
        with suppress(IndexError):
            while True:
                self._write(self._waiting.popleft())

    def _write(self, rows: list[Refusal]) -> None:
        try:
            if rows:
                record_refusals(self._database, rows)
        except StorageError as error:
            times = sum(one.times for one in rows)
            log.warning("%d refused sign-ins are not in the audit log: %s", times, error)
