"""What replicas tell one another through Redis: counters and wake-ups, all of which may be lost at any moment.

Redis decides nothing. Whatever it does (it is gone, slow, full, or answers something else), the hub goes on without it:
a question has a quarter of a second in all, and after a failure nobody asks again for some seconds.
"""

import asyncio
import hmac
import logging
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar
from urllib.parse import unquote, urlsplit

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

log = logging.getLogger("wasmhub.redis")
PATIENCE = 0.25  # seconds for a question in all: finding the address, connecting, signing in, the answer
LEFT_ALONE = 5.0  # seconds without a question after a failure; then one question finds out whether it is back
CONNECTIONS = 4  # for questions, besides the one that listens
BREATH = 0.05  # seconds between two wake-ups, told or heard: many pushes at once are one
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class RedisAddress:
    """Where Redis answers, and how to sign in there."""

    host: str
    port: int = 6379
    number: int = 0  # of the database within Redis
    tls: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def read_redis_url(url: str) -> RedisAddress:
    """Takes `redis://` or `rediss://` (TLS), `[user:password@]host[:port][/number]`. Raises ValueError."""
    parts = urlsplit(url)
    number = re.fullmatch(r"/?|/(\d{1,4})", parts.path)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname or number is None or "?" in url or "#" in url:
        raise ValueError("must be redis://[user:password@]host[:port][/number], or rediss:// for TLS")
    if not re.fullmatch(r"[A-Za-z0-9._:%-]+", parts.hostname) or parts.port == 0 or re.search(r"\s", url):
        raise ValueError("must name a host and a port, such as redis://redis.example.com:6379")
    user, password = (unquote(part) if part else None for part in (parts.username, parts.password))
    if user and not password:
        raise ValueError("must have a password if it has a user name, such as redis://:password@host")
    return RedisAddress(
        parts.hostname, parts.port or 6379, int(number[1] or 0), parts.scheme == "rediss", user, password
    )


class Shared:
    """A Redis that may be there or not. For one event loop.

    Several hubs may use one Redis: names are made of the `secret`, so that each sees its own alone.
    """

    def __init__(self, address: RedisAddress, secret: bytes) -> None:
        self.address = address
        self._secret = secret
        self.trouble: str | None = None  # what was wrong when it was asked last
        self._ask_again = 0.0  # when the pause after a failure ends
        self._client = self._connect(CONNECTIONS)
        self._told = asyncio.Event()

    async def ask(self, question: Callable[["Redis"], Awaitable[Any]], read: Callable[[Any], Answer]) -> Answer | None:
        """What Redis answers, as `read` understands it; None if it does not, which the caller must do without.

        `read` raises ValueError or TypeError for what is no answer to this question.
        """
        if self.trouble is not None:
            if time.monotonic() < self._ask_again:
                return None
            self._ask_again = time.monotonic() + LEFT_ALONE  # one finds out; the others do without meanwhile
        try:
            async with asyncio.timeout(PATIENCE):
                answer = read(await question(self._client))
        except Exception as error:  # whatever speaks there, the library may raise anything about it
            await self._fail(error)
            return None
        if self.trouble is not None:
            self.trouble = None
            log.info("Redis at %s answers again", self.address)
        return answer

    async def ping(self) -> str | None:
        """What is wrong with Redis, as the rest of a sentence, or None."""
        # A Redis that is full or read-only still answers to PING.
        await self.ask(lambda client: client.set(self.name("ping"), "", px=1000), _read_set)
        return self.trouble

    def tell(self) -> None:
        """Wakes the other replicas up, soon, or not at all. For the event loop's thread."""
        self._told.set()

    def name(self, words: str) -> str:
        """The name in Redis for what these words stand for; it tells nothing to who reads it there."""
        # The same braces in each put all on one node of a cluster.
        return "{wasmhub}" + hmac.digest(self._secret, words.encode(errors="replace"), "sha256")[:16].hex()

    async def run(self, heard: Callable[[], None]) -> NoReturn:
        """Carries wake-ups both ways until it is cancelled; `heard` is called for each that came."""
        channel = self.name("pushed")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(channel, heard))
            while True:
                await self._told.wait()
                self._told.clear()
                await self.ask(lambda client: client.publish(channel, b"1"), int)
                await asyncio.sleep(BREATH)

    async def close(self) -> None:
        """Closes the connections."""
        await _close(self._client)

    async def _listen(self, channel: str, heard: Callable[[], None]) -> NoReturn:
        while True:
            client = self._connect(1)
            try:
                await self._hear(client, channel, heard)
            except Exception as error:
                log.debug("wake-ups cannot be heard: %r", error)
            finally:
                await _close(client)
            await asyncio.sleep(LEFT_ALONE)

    async def _hear(self, client: "Redis", channel: str, heard: Callable[[], None]) -> NoReturn:
        async with client.pubsub() as ear:
            async with asyncio.timeout(PATIENCE):
                await ear.subscribe(channel)
            heard()  # what was told before is missed
            while True:
                # A connection that is dead without saying so is found by TCP's keep-alive.
                if await ear.get_message(ignore_subscribe_messages=True, timeout=None) is not None:
                    heard()
                    await asyncio.sleep(BREATH)

    async def _fail(self, error: Exception) -> None:
        """Notes the failure and forgets all connections: what comes on them now may answer an older question."""
        if self.trouble is None:
            log.warning(
                "Redis at %s %s; the hub goes on without it (%r)", self.address, _sentence(error), str(error)[:200]
            )
        self.trouble = _sentence(error)
        self._ask_again = time.monotonic() + LEFT_ALONE
        failed, self._client = self._client, self._connect(CONNECTIONS)
        await _close(failed)

    def _connect(self, connections: int) -> "Redis":
        """A client that connects when it is asked something, and never tries twice."""
        address = self.address
        return Redis.from_pool(
            BlockingConnectionPool(
                max_connections=connections,
                timeout=PATIENCE,
                connection_class=SSLConnection if address.tls else Connection,
                host=address.host,
                port=address.port,
                db=address.number,
                username=address.user,
                password=address.password,
                socket_timeout=None,  # the deadline is over the whole question
                socket_connect_timeout=PATIENCE,
                socket_keepalive=True,
                retry=Retry(NoBackoff(), 0),
                protocol=2,
                driver_info=None,
                maint_notifications_config=MaintNotificationsConfig(enabled=False),
            )
        )


def _read_set(answer: Any) -> None:
    if answer is not True:
        raise ValueError("no answer to SET")


async def _close(client: "Redis") -> None:
    with suppress(Exception):
        async with asyncio.timeout(PATIENCE):
            await client.aclose()


def _sentence(error: Exception) -> str:
    if isinstance(error, TimeoutError | exceptions.TimeoutError):
        return f"did not answer within {PATIENCE} s"
    if isinstance(error, exceptions.AuthenticationError | exceptions.ResponseError):
        return "refused the question"
    if isinstance(error, OSError | exceptions.ConnectionError):
        return "cannot be reached"
    return "answered something that Redis does not"
