"""One open stream of an Envoy over gRPC: it hears, looks at what is due, and has one answer under way at a time."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from typing import Any

import grpc
from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from deploy.fleets.polls import LONGEST, Answer, BadPoll, Poll, answer_poll
from deploy.fleets.streams import Refusal, Stream
from deploy.fleets.xds_messages import proxy, read_request, write_answer
from deploy.means import Means
from deploy.targets.envoy_fleet import EXTENSION_TYPE, slot_name
from storage.database import StorageError
from storage.targets import TargetRow

log = logging.getLogger("wasmhub")
FIRST_WORD = 15  # seconds in which a new stream must say what it asks for
SENDING = 60  # seconds that an answer may take to leave
AGAIN = 5  # seconds after which a slot is looked at again whose answer could not be made
WAITING = 8  # requests that may wait to be heard
_STATUS = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
}


class Ending(Exception):
    """Why a stream ends, as one sentence, with gRPC's code."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code


class Session:
    """A stream of a node of the target, begun with the key whose fingerprint is `key`."""

    def __init__(
        self,
        means: Means,
        target: TargetRow,
        key: str,
        context: Any,
        pushes: asyncio.Semaphore,
        threads: CapacityLimiter,
        *,
        delta: bool,
    ) -> None:
        self.target = target
        self.key = key
        self.node = ""
        self.node_id: int | None = None
        self.stream = Stream(target.name, target.settings["slots"], delta=delta)
        self._means = means
        self._context = context
        self._pushes = pushes
        self._threads = threads
        self._delta = delta
        self._proxy = ""
        self._heard: asyncio.Queue[Any] = asyncio.Queue(WAITING)
        self._news = asyncio.Event()
        self._ending: Ending | None = None
        self._over = False
        self._written: dict[int, str] = {}  # by slot, what the database knows that it runs

    def look(self, slots: Iterable[int]) -> None:
        """Has these slots looked at anew, if the stream asks for them."""
        self.stream.due |= self.stream.running.keys() & set(slots)
        self._news.set()

    def end(self, code: grpc.StatusCode, text: str) -> None:
        """Has the stream end with that."""
        self._ending = Ending(code, text)
        self._news.set()

    async def run(self, requests: AsyncIterator[Any], changed: Callable[["Session"], None]) -> None:
        """Serves until the node goes. Calls `changed` when it runs something else. Raises Ending."""
        listening = asyncio.create_task(self._listen(requests))
        first = asyncio.get_running_loop().call_later(FIRST_WORD, self._silent)
        try:
            while not self._over:
                await self._news.wait()
                self._news.clear()
                if self._ending is not None:
                    raise self._ending
                while not self._heard.empty():
                    self._hear(self._heard.get_nowait())
                    first.cancel()
                while self.stream.due and self.stream.sent is None and not self._over and self._ending is None:
                    slot = min(self.stream.due)
                    if await self._answer(slot):  # others may have been kept back until then
                        self.look(self.stream.running.keys() - {slot})
                        changed(self)
        finally:
            first.cancel()
            listening.cancel()

    async def _listen(self, requests: AsyncIterator[Any]) -> None:
        try:
            async for one in requests:
                await self._heard.put(one)
                self._news.set()
        finally:
            self._over = True
            self._news.set()

    def _silent(self) -> None:
        self.end(grpc.StatusCode.DEADLINE_EXCEEDED, "the stream asked for nothing")

    def _hear(self, message: Any) -> None:
        if message.type_url not in ("", EXTENSION_TYPE):
            raise Ending(grpc.StatusCode.INVALID_ARGUMENT, f"only {EXTENSION_TYPE} can be asked for here")
        if not self.node:
            name = message.node.id
            if not 0 < len(name) <= LONGEST or not name.isprintable():
                raise Ending(
                    grpc.StatusCode.INVALID_ARGUMENT, f"the node must have an id of at most {LONGEST} characters"
                )
            self.node, self._proxy = name, proxy(message.node)
        said = read_request(message)
        self.stream.hear(said)
        if said.names and not self.stream.running:
            raise Ending(
                grpc.StatusCode.NOT_FOUND, f"this key belongs to target {self.target.name}, which has no such slot"
            )

    async def _answer(self, slot: int) -> bool:
        """Looks at one slot and sends what it is to have. Returns whether the node was seen to have moved on there."""
        stream = self.stream
        stream.due.discard(slot)
        refusal = stream.refusals.pop(slot, None)
        running = stream.running[slot]
        try:
            answer = await self._decide(slot, running, refusal)
        except BadPoll as error:
            raise Ending(_STATUS.get(error.status, grpc.StatusCode.INVALID_ARGUMENT), str(error)) from None
        except StorageError as error:
            log.warning("slot %d of node %s of %s: %s", slot, self.node, self.target.name, error)
            if refusal is not None:
                stream.refusals[slot] = refusal
            asyncio.get_running_loop().call_later(AGAIN, self.look, (slot,))
            return False
        moved = self._settle(slot, running) or refusal is not None
        self.node_id = answer.node_id
        if answer.version:
            await self._send(slot, answer)
        return moved

    def _settle(self, slot: int, running: str) -> bool:
        before = self._written.get(slot)
        self._written[slot] = running
        return before is not None and before != running

    async def _decide(self, slot: int, running: str, refusal: Refusal | None) -> Answer:
        refuses, why = (refusal.version, refusal.why) if refusal else ("", "")
        resource = slot_name(self.target.name, slot)
        poll = Poll(self.node, self._proxy, resource, self.target.name, slot, running, refuses, why)
        means = self._means
        stores = means.database, means.modules, means.gate.secret_key
        decide = partial(answer_poll, *stores, self.target, poll, left=set())
        return await run_sync(decide, limiter=self._threads)

    async def _send(self, slot: int, answer: Answer) -> None:
        sent = self.stream.send(slot, answer.version)
        resource, joined = slot_name(self.target.name, slot), self.stream.joined(sent)
        async with self._pushes:
            write = partial(write_answer, resource, answer, sent, joined, delta=self._delta)
            written = await run_sync(write, limiter=self._threads)
            try:
                await asyncio.wait_for(self._context.write(written), SENDING)
            except TimeoutError:
                raise Ending(grpc.StatusCode.DEADLINE_EXCEEDED, "the answer was not taken in time") from None
