"""The gRPC door of Envoys: ECDS and ADS, state of the world and delta, over streams that stay open; and their figures.

Who deploys wakes the streams of this process at once; what other replicas were told is found by one small query, as
long as there are streams. What a node is served is decided and stored as over REST (`deploy/fleets/polls.py`).
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from auth.secrets import fingerprint
from deploy.fleets.polls import NODE_LIMIT
from deploy.fleets.xds_messages import READERS
from deploy.fleets.xds_session import Ending, Session
from deploy.leading import Bell
from deploy.means import Means
from deploy.rollouts.stats_door import StatsDoor, key_of
from storage.database import StorageError
from storage.deployments import Place, slot_revisions
from storage.nodes import touch_nodes
from storage.targets import TargetRow, find_target_by_key, live_keys

log = logging.getLogger("wasmhub")
LOOK = 0.2  # seconds between two looks at what other replicas were told, while there are streams
KEYS_EVERY = 1.0  # seconds between two looks at whether the keys of streams are still good
SEEN_EVERY = 20.0  # seconds between two notes that the nodes of open streams are there
SAID_EVERY = 60.0  # seconds between two lines of the log that say the same of the same address
_SAID_MOST = 1000  # lines that are kept in mind for that
GRACE = 2  # seconds that streams have to end when the hub stops
MAX_REQUEST = 1024 * 1024  # bytes; an Envoy lists its extensions in its first request, which makes 77 KB
_ECDS = "envoy.service.extension.v3.ExtensionConfigDiscoveryService"
_ADS = "envoy.service.discovery.v3.AggregatedDiscoveryService"
# method -> whether it is delta
_METHODS = {
    _ECDS: {"StreamExtensionConfigs": False, "DeltaExtensionConfigs": True},
    _ADS: {"StreamAggregatedResources": False, "DeltaAggregatedResources": True},
}
_NO_KEY = "a fleet's key is needed here: make one for the target and give it to this Envoy"
_NO_FLEET = "this key is of no fleet: it was removed or never was one; give this Envoy a key of its target"
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_REQUEST),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.max_concurrent_streams", 256),  # of one connection, which is one Envoy
    ("grpc.max_connection_idle_ms", 300_000),
    ("grpc.keepalive_time_ms", 30_000),  # an Envoy that went without a word is noticed
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)


@dataclass(frozen=True)
class Certificates:
    """How the door proves itself, all PEM. With `clients` it asks for a certificate of theirs, by these authorities."""

    chain: Path
    key: Path
    clients: Path | None = None


class XdsDoor:
    """Serves on `address` (host:port) while it runs."""

    def __init__(self, means: Means, address: str, certificates: Certificates | None = None) -> None:
        self._means = means
        self._address = address
        self._certificates = certificates
        self._sessions: set[Session] = set()
        self._bell = Bell()
        self._threads = CapacityLimiter(8)
        self._pushes = asyncio.Semaphore(4)  # answers with a module in memory at a time
        self._stats = StatsDoor(means.database, self._run, self._target)
        self._places: dict[int, dict[int, Place]] = {}
        self._said: dict[tuple[str, str], float] = {}

    def wake(self) -> None:
        """Something was deployed here just now. From any thread."""
        self._bell.ring()

    async def run(self) -> None:
        """Serves until it is cancelled; then every stream is ended."""
        self._bell.hang()
        server = grpc.aio.server(options=_OPTIONS)
        for service, methods in _METHODS.items():
            handlers = {
                name: grpc.stream_stream_rpc_method_handler(partial(self._serve, delta), READERS[delta])
                for name, delta in methods.items()
            }
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        server.add_generic_rpc_handlers((self._stats.handler(),))
        try:
            if self._certificates is None:
                server.add_insecure_port(self._address)
            else:
                server.add_secure_port(self._address, _credentials(self._certificates))
            await server.start()
        except (RuntimeError, OSError) as error:
            log.error("proxies cannot be served over gRPC on %s: %s", self._address, error)
            return
        log.info("proxies are served over gRPC on %s", self._address)
        writing = asyncio.create_task(self._stats.write_on())
        try:
            await self._look_on()
        finally:
            writing.cancel()
            for session in self._sessions:
                session.end(grpc.StatusCode.UNAVAILABLE, "the hub stops; try again")
            await server.stop(GRACE)

    async def _serve(self, delta: bool, requests: AsyncIterator[Any], context: Any) -> None:
        key = key_of(context.invocation_metadata() or ())
        try:
            target = await self._run(self._target, key)
            if target is None:
                raise Ending(grpc.StatusCode.UNAUTHENTICATED, _NO_FLEET if key else _NO_KEY)
            session = Session(self._means, target, fingerprint(key), context, self._pushes, self._threads, delta=delta)
            self._admit(session)
        except StorageError as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        except Ending as error:
            await self._refuse(context, error)
        self._sessions.add(session)
        self._bell.ring()
        try:
            await session.run(requests, self._beside)
        except Ending as error:
            await self._refuse(context, error)
        finally:
            self._sessions.discard(session)

    async def _refuse(self, context: Any, why: Ending) -> None:
        """Ends a stream, and says so in the log: an Envoy tries for ever, with a stream for each of its slots."""
        address, at = _host(context.peer()), asyncio.get_running_loop().time()
        if (
            why.code != grpc.StatusCode.UNAVAILABLE
            and self._said.get((address, str(why)), -SAID_EVERY) <= at - SAID_EVERY
        ):
            if len(self._said) >= _SAID_MOST:
                self._said.clear()
            self._said[address, str(why)] = at
            log.warning("the proxy at %s is not served: %s", address, why)
        await context.abort(why.code, str(why))

    def _admit(self, new: Session) -> None:
        settings = new.target.settings
        limit = settings.get("node_limit", NODE_LIMIT) * settings["slots"]
        if sum(one.target.id == new.target.id for one in self._sessions) >= limit:
            text = f"target {new.target.name} has as many streams as its node_limit lets it have"
            raise Ending(grpc.StatusCode.RESOURCE_EXHAUSTED, text)

    def _beside(self, session: Session) -> None:
        """What a node runs has changed: its other streams may have waited for that."""
        for one in self._sessions:
            if one is not session and (one.target.id, one.node) == (session.target.id, session.node):
                one.look(one.stream.running.keys())

    async def _look_on(self) -> None:
        loop = asyncio.get_running_loop()
        keys_at = seen_at = loop.time()
        while True:
            if not self._sessions:
                self._places = {}
                await self._bell.wait()
            try:
                await self._tell()
                if loop.time() >= keys_at:
                    await self._check_keys()
                    keys_at = loop.time() + KEYS_EVERY
                if loop.time() >= seen_at:
                    await self._note_seen()
                    seen_at = loop.time() + SEEN_EVERY
            except StorageError as error:
                log.warning("proxies on gRPC are not told what changes: %s", error)
                await asyncio.sleep(1)
            await self._bell.wait(LOOK)

    async def _tell(self) -> None:
        """Tells the streams of each slot that another revision belongs into."""
        targets = {one.target.id for one in self._sessions}
        if not targets:
            return
        found = await self._run(self._find_places, targets)
        for session in self._sessions:
            before = self._places.get(session.target.id)
            after = found.get(session.target.id)
            if before is None:  # nobody looked until now
                session.look(session.stream.running.keys())
            elif after is not None and before != after:
                slots = before.keys() | after.keys()
                session.look({slot for slot in slots if before.get(slot) != after.get(slot)})
        self._places = found

    async def _check_keys(self) -> None:
        keys = {one.key for one in self._sessions}
        good = await self._run(self._live, keys) if keys else set()
        for session in self._sessions:
            if session.key in keys - good:
                session.end(grpc.StatusCode.UNAUTHENTICATED, "the fleet's key was removed; give this Envoy another")

    async def _note_seen(self) -> None:
        ids = {one.node_id for one in self._sessions if one.node_id is not None}
        if ids:
            await self._run(touch_nodes, self._means.database, ids)

    async def _run(self, function: Any, *values: Any) -> Any:
        return await run_sync(partial(function, *values), limiter=self._threads)

    def _target(self, key: str) -> TargetRow | None:
        if not key:
            return None
        with self._means.database.read() as session:
            return find_target_by_key(session, fingerprint(key))

    def _find_places(self, targets: set[int]) -> dict[int, dict[int, Place]]:
        with self._means.database.read() as session:
            return slot_revisions(session, targets)

    def _live(self, keys: set[str]) -> set[str]:
        with self._means.database.read() as session:
            return live_keys(session, keys)


def _host(peer: str) -> str:
    """The address of `ipv4:192.0.2.1:4711`."""
    return peer.partition(":")[2].rpartition(":")[0] or peer


def _credentials(certificates: Certificates) -> grpc.ServerCredentials:
    pair = (certificates.key.read_bytes(), certificates.chain.read_bytes())
    clients = certificates.clients.read_bytes() if certificates.clients else None
    return grpc.ssl_server_credentials([pair], clients, require_client_auth=clients is not None)
