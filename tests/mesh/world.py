"""Whole meshes, from nothing to a proxy that lets requests through, for demos and measures."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.deploy.fleet import Upstream, ask, until
from tests.engines import free_port
from tests.hub import HubProcess
from tests.mesh import envoy_gateway
from tests.mesh.consul import Consul, Service
from tests.mesh.envoy_gateway import EnvoyGateway
from tests.mesh.front import Front
from tests.mesh.istio import Istiod, Proxy, route
from tests.mesh.kubernetes import ControlPlane
from tests.mesh.network import Network
from tests.mesh.target import HUB

NAMESPACE = "shop"
RIGHTS = 'service_prefix "" { policy = "write" } node_prefix "" { policy = "read" } agent_prefix "" { policy = "read" }'


@dataclass(frozen=True)
class IstioWorld:
    """A hub, and an Istio with one gateway, the pod `gw` in the namespace `shop`."""

    hub: HubProcess
    control: ControlPlane
    gateway: Proxy

    @property
    def front(self) -> tuple[str, int]:
        """Where requests go in."""
        return self.gateway.front


@dataclass(frozen=True)
class GatewayWorld:
    """A hub behind https, and an Envoy Gateway with the Gateway and the route `gw` in the namespace `shop`."""

    hub: HubProcess
    url: str  # of the hub, for pods
    control: ControlPlane
    proxy: envoy_gateway.Proxy

    @property
    def front(self) -> tuple[str, int]:
        """Where requests go in."""
        return self.proxy.front


@dataclass(frozen=True)
class ConsulWorld:
    """A hub that is a service of a Consul, and a service `client` whose sidecar leads to the service `web`."""

    hub: HubProcess
    consul: Consul
    client: Service
    web: Service
    token: str  # with the rights that the hub needs

    @property
    def front(self) -> tuple[str, int]:
        """Where requests go in."""
        return self.client.address, self.client.port_of(self.web.name)


@contextmanager
def istio_world(folder: Path) -> Iterator[IstioWorld]:
    """Runs it within the block."""
    with ExitStack() as stack:
        network, hub, upstream = _below(stack, folder)
        control = ControlPlane(network.address)
        stack.callback(control.remove)
        istiod = Istiod(control.start(), network)
        stack.callback(istiod.remove)
        istiod.start()
        control.namespace(NAMESPACE)
        gateway = Proxy(istiod, "gw", NAMESPACE)
        stack.callback(gateway.remove)
        for one in route(NAMESPACE, gateway.name, upstream.address):
            control.admin.apply(one)
        world = IstioWorld(hub, control, gateway.start())
        until(lambda: _passes(world.front), "the gateway lets requests through", 60)
        yield world


@contextmanager
def consul_world(folder: Path) -> Iterator[ConsulWorld]:
    """Runs it within the block."""
    with ExitStack() as stack:
        network, hub, upstream = _below(stack, folder)
        consul = Consul(network)
        stack.callback(consul.remove)
        consul.start()
        services = [Service(consul, name, behind) for name, behind in _services(hub, upstream)]
        for one in services:
            stack.callback(one.remove)
        itself, web, client = services
        itself.start()
        web.start(itself.name)
        client.start(web.name)
        world = ConsulWorld(hub, consul, client, web, consul.new_token(RIGHTS))
        until(lambda: _passes(world.front), "requests reach web", 60)
        yield world


@contextmanager
def gateway_world(folder: Path) -> Iterator[GatewayWorld]:
    """Runs it within the block."""
    with ExitStack() as stack:
        network, hub, upstream = _below(stack, folder)
        front = Front(network.address, HUB)
        stack.callback(front.remove)
        front.start(hub.host)
        control = ControlPlane(network.address)
        stack.callback(control.remove)
        gateways = EnvoyGateway(control.start(), network, front.authority)
        stack.callback(gateways.remove)
        gateways.start()
        control.namespace(NAMESPACE)
        for one in envoy_gateway.gateway(NAMESPACE, "gw", upstream.address):
            control.admin.apply(one)
        proxy = envoy_gateway.Proxy(gateways, "gw", NAMESPACE)
        stack.callback(proxy.remove)
        world = GatewayWorld(hub, front.url, control, proxy.start())
        until(lambda: _passes(world.front), "the Gateway lets requests through", 60)
        yield world


def _services(hub: HubProcess, upstream: Upstream) -> list[tuple[str, str]]:
    return [("wasmhub", hub.host), ("web", upstream.address), ("client", upstream.address)]


def _below(stack: ExitStack, folder: Path) -> tuple[Network, HubProcess, Upstream]:
    """What every mesh stands on: a network, a hub in it, and a server behind its proxies."""
    network = Network()
    stack.callback(network.remove)
    network.start()
    network.call(HUB, network.address)
    settings = {
        "WASMHUB_LISTEN": f"{network.address}:{free_port()}",
        "WASMHUB_OUTGOING_NETWORKS": f"{network.address}/24",
        "WASMHUB_TRUSTED_PROXIES": network.address,
    }
    hub = HubProcess(folder / "data", **settings)
    hub.admin_password = secrets.token_urlsafe(9)
    stack.enter_context(hub)
    upstream = Upstream(network.address)
    stack.callback(upstream.close)
    return network, hub, upstream


def _passes(front: tuple[str, int]) -> bool:
    try:
        return ask(front)[0] == 200
    except OSError:
        return False
