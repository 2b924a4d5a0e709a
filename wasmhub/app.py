"""The composition root: builds the hub from its settings and hands each request to a door."""

import asyncio
import contextlib
import importlib
import logging
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auth.accounts import ensure_administrator
from auth.bearer import BearerTokens
from auth.challenge import Origins
from auth.exchange import Exchange
from auth.foreign_tokens import ForeignTokens
from auth.gate import Gate
from auth.issuers import Issuers
from auth.outgoing import AT_ONCE, Outgoing
from auth.secret_rotation import claim_database
from auth.secrets import load_secret_key
from auth.sign_on import SignOn
from auth.token_door import PATHS as TOKEN_PATHS
from auth.token_door import create_token_door
from deploy.desk import Desk
from deploy.door import create_deploy_door
from deploy.following.loop import Follower
from deploy.meshes.controller import Controller
from deploy.rollouts.loop import Conductor
from deploy.routes import is_deploy_path
from deploy.sets.loop import SetKeeper
from proxywasm.inspector import Inspector
from registry.calls import Calls
from registry.door import RegistryDoor
from registry.folding import Folding
from registry.garbage import Collector
from registry.means import Means
from registry.reader import Reader
from registry.scrub import Scrub
from storage.blobs.opening import open_blobs
from storage.checking import Second
from storage.clock import Periods
from storage.database import Database
from storage.shared import Shared
from storage.usage import Limits, Meter
from wasmhub.counts import Counts
from wasmhub.health import HEALTH_PATHS, HealthDoor
from wasmhub.readiness import Part, Readiness, blocking
from wasmhub.settings import Settings, SettingsError, shown_settings
from web.door import WebDoor

log = logging.getLogger("wasmhub")
REACHING_OUT = 16  # look-ups of targets' names at once
SIGNING_ON = 64  # calls to providers under way at once; of one provider no more than its own share of them


class Hub:
    """The whole hub as one ASGI application. `first_password` is the administrator's, on the first start only.

    `xds` is where proxies are served over gRPC, as host:port, if anywhere.
    """

    def __init__(self, settings: Settings, counts: Counts, xds: str | None = None) -> None:
        self.database = Database(settings.database, settings.database_connections)
        self.database.migrate()
        self.blobs = open_blobs(settings.blob_place)
        secret_key = load_secret_key(
            settings.secret_key, settings.data, old=settings.old_secret_key, coming=settings.next_secret_key
        )
        hub_id = claim_database(self.database, secret_key)
        self.blobs.claim(hub_id)
        self.first_password = ensure_administrator(self.database, settings.admin_password)
        tokens = BearerTokens(self.database, secret_key)
        origins = Origins(settings.public_url, settings.trusted_proxies)
        self._shared = Shared(settings.redis_url, secret_key.derive("shared")) if settings.redis_url else None
        gate = Gate(self.database, secret_key, origins, self._shared)  # one: throttling counts over all doors
        self._sign_ins = gate.sign_ins
        self._inspector = Inspector()
        self._reader = Reader(self.database, self.blobs, self._inspector)
        self._collector = Collector(
            self.database, self.blobs, _periods(settings), settings.gc_interval, counts.note, settings.audit_kept
        )
        second = Second(settings.second_copy) if settings.second_copy else None
        self._scrub = Scrub(self.database, self.blobs, second, settings.scrub_days, counts.note)
        self._counts = counts
        meter = Meter(Limits(settings.quota_bytes, settings.quota_repositories))
        self._folding = Folding(self.database, meter)
        self._health = HealthDoor(Readiness(self._parts()), counts)
        self._registry = self._registry_door(settings, Calls(tokens, origins), meter)
        exchange = Exchange(self.database, ForeignTokens(Issuers(_outgoing(settings))))
        self._token = create_token_door(gate, tokens, exchange, settings.create_namespace_on_push)
        # With calls of its own: a cluster that is silent holds up nobody who signs in.
        calls = _outgoing(settings, at_once=REACHING_OUT)
        self._deploy = create_deploy_door(self.database, self.blobs, gate, meter, calls, self._deployed)
        self._controller = Controller(self.database, secret_key, calls, hub_id)
        self._conductor, self._follower = Conductor(self.database), Follower(self._deploy.state.means)
        self._sets = SetKeeper(self._deploy.state.means)
        self._xds = self._xds_door(settings, xds) if xds is not None else None
        # With calls of its own: a provider that is silent holds up no exchange of a job's token.
        sign_on = SignOn(self.database, secret_key, _outgoing(settings, at_once=SIGNING_ON))
        self._web = WebDoor(
            self.database,
            self.blobs,
            gate,
            sign_on,
            meter,
            parts=self._health.readiness.parts,
            settings=shown_settings(settings),
            deploying=Desk(self._deploy.state.means),
            teams_by_all=settings.create_teams == "everyone",
            sign_up=settings.sign_up,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request, or the life of the server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":
            return
        name, door = self._door(scope["path"])
        if door is self._registry and scope["method"] in ("GET", "HEAD"):
            status = await self._registry.read(scope, send)
            if status is not None:
                self._counts.add(name, status)
                return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._counts.add(name, message["status"])
            await send(message)

        # A client that goes away in the middle of its request is no fault of the hub's.
        with contextlib.suppress(ClientDisconnect):
            await door(scope, receive, counted)

    def _registry_door(self, settings: Settings, calls: Calls, meter: Meter) -> RegistryDoor:
        return RegistryDoor(
            Means(
                self.database,
                self.blobs,
                calls,
                settings.blob_limit,
                settings.create_namespace_on_push,
                self._pushed,
                settings.gc_orphans / 2,
                meter,
            )
        )

    def _xds_door(self, settings: Settings, address: str) -> Any:
        # Only a hub that serves proxies over gRPC loads its libraries.
        made = importlib.import_module("deploy.fleets.xds_door")
        chain, key = settings.tls_cert, settings.tls_key
        certificates = made.Certificates(chain, key, settings.xds_client_ca) if chain and key else None
        return made.XdsDoor(self._deploy.state.means, address, certificates)

    def _parts(self) -> list[Part]:
        """What the hub stands on, for /readyz."""
        parts = [Part("database", blocking(self.database.ping)), Part("blobs", blocking(self.blobs.ping))]
        if self._shared is not None:
            parts.append(Part("redis", self._shared.ping, needed=False))
        return parts

    def leave(self) -> None:
        """Says from now on that this process is about to stop, to whoever asks whether it is ready."""
        self._health.readiness.draining = True
        self._deploy.state.means.following.open.clear()  # who follows a timeline goes on at another replica

    def _deployed(self) -> None:
        """Has what was deployed brought to where it belongs."""
        self._controller.wake()
        self._conductor.wake()
        self._sets.wake()
        self._follower.wake()
        if self._xds is not None:
            self._xds.wake()

    def _pushed(self) -> None:
        """Has what was pushed read and followed, by this replica or by one that has nothing else to do."""
        self._reader.wake()
        self._follower.wake()
        if self._shared is not None:
            self._shared.tell()

    def _door(self, path: str) -> tuple[str, ASGIApp]:
        """The door that a path leads to, and its name in the metrics."""
        if path.startswith("/v2/") or path == "/v2":
            return "registry", self._registry
        if path in TOKEN_PATHS:
            return "token", self._token
        if is_deploy_path(path):
            return "deploy", self._deploy
        if path in HEALTH_PATHS:
            return "health", self._health
        return "web", self._web

    async def _live(self, receive: Receive, send: Send) -> None:
        """ASGI's lifespan: background work begins with the server and ends after its last request."""
        await receive()
        async with self._background():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        self._registry.close()
        self.database.close()
        await send({"type": "lifespan.shutdown.complete"})

    @contextlib.asynccontextmanager
    async def _background(self) -> AsyncIterator[None]:
        background = (self._reader, self._collector, self._scrub, self._sign_ins, self._folding)
        deploying = (self._controller, self._conductor, self._follower, self._sets)
        tasks = [asyncio.create_task(one.run()) for one in (*background, *deploying)]
        if self._xds is not None:
            tasks.append(asyncio.create_task(self._xds.run()))
        if self._shared is not None:
            tasks.append(asyncio.create_task(self._shared.run(self._reader.wake)))
        try:
            yield
        finally:
            self._inspector.close()  # ends an inspection at once; its row waits for the next start
            self._collector.close()  # so does the row of a garbage collection
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._shared is not None:
                await self._shared.close()


def _periods(settings: Settings) -> Periods:
    return Periods(settings.gc_lease * 1000, settings.gc_grace * 1000, settings.gc_orphans * 1000)


def _outgoing(settings: Settings, at_once: int = AT_ONCE) -> Outgoing:
    """How the hub calls out. Raises SettingsError for certificates that cannot be read."""
    try:
        return Outgoing(settings.outgoing_networks, ca_bundle=settings.outgoing_ca_bundle, at_once=at_once)
    except ValueError as error:
        raise SettingsError(f"WASMHUB_OUTGOING_CA_BUNDLE: {error}") from None
