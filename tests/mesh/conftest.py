"""One network, one hub and one control plane of each kind for all tests of meshes; each test has its own namespace."""

import secrets
from collections.abc import Iterator

import pytest

from tests.deploy.fleet import Upstream, header_filter, until
from tests.engines import free_port
from tests.hub import HubProcess
from tests.mesh import envoy_gateway
from tests.mesh.consul import Consul
from tests.mesh.envoy_gateway import EnvoyGateway
from tests.mesh.front import Front
from tests.mesh.istio import Istiod, Proxy, route
from tests.mesh.kubernetes import ControlPlane
from tests.mesh.network import Network
from tests.mesh.operators import CHART, Filters, Shelf
from tests.mesh.pods import shows
from tests.mesh.target import HUB, Target
from tests.oci import Client
from tests.peers import mesh_file


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    """Addresses for pods."""
    made = Network()
    try:
        yield made.start()
    finally:
        made.remove()


@pytest.fixture(scope="session")
def control(network: Network) -> Iterator[ControlPlane]:
    """A Kubernetes API server that pods reach."""
    made = ControlPlane(network.address)
    try:
        yield made.start()
    finally:
        made.remove()


@pytest.fixture(scope="session")
def cluster(control: ControlPlane) -> ControlPlane:
    """The same, which knows Istio's kinds."""
    control.install(mesh_file("istio", "crds.yaml").read_text())
    return control


@pytest.fixture(scope="session")
def istiod(control: ControlPlane, network: Network) -> Iterator[Istiod]:
    """Istio in that cluster."""
    made = Istiod(control, network)
    try:
        yield made.start()
    finally:
        made.remove()


@pytest.fixture(scope="session")
def consul(network: Network) -> Iterator[Consul]:
    """A Consul that services reach."""
    made = Consul(network)
    try:
        yield made.start()
    finally:
        made.remove()


@pytest.fixture(scope="session")
def mesh_hub(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub that pods reach as `hub.test` at its port."""
    network.call(HUB, network.address)
    listen = f"{network.address}:{free_port()}"
    around = f"{network.address}/24"  # where its clusters are
    data = tmp_path_factory.mktemp("hub") / "data"
    told = {"WASMHUB_OUTGOING_NETWORKS": around, "WASMHUB_TRUSTED_PROXIES": network.address}
    with HubProcess(data, WASMHUB_LISTEN=listen, **told) as running:
        yield running
        running.check_log()


@pytest.fixture(scope="session")
def front(mesh_hub: HubProcess, network: Network) -> Iterator[Front]:
    """Where pods reach that hub by https."""
    made = Front(network.address, HUB)
    try:
        yield made.start(mesh_hub.host)
    finally:
        made.remove()


@pytest.fixture(scope="session")
def gateways(control: ControlPlane, network: Network, front: Front) -> Iterator[EnvoyGateway]:
    """Envoy Gateway in that cluster."""
    made = EnvoyGateway(control, network, front.authority)
    try:
        yield made.start()
    finally:
        made.remove()


@pytest.fixture(scope="session")
def oci(mesh_hub: HubProcess) -> Iterator[Client]:
    """What pushes to that hub as its administrator."""
    made = Client(mesh_hub.url, "admin", mesh_hub.admin_password)
    yield made
    made.close()


@pytest.fixture(scope="session")
def upstream(network: Network) -> Iterator[Upstream]:
    """What lies behind gateways."""
    made = Upstream(network.address)
    yield made
    made.close()


@pytest.fixture
def namespace(control: ControlPlane) -> str:
    """A namespace of the test's own."""
    return control.namespace(f"shop-{secrets.token_hex(4)}")


@pytest.fixture
def gateway(istiod: Istiod, upstream: Upstream, namespace: str) -> Iterator[Proxy]:
    """A gateway in the test's namespace that lets requests through."""
    made = Proxy(istiod, "gw", namespace)
    for one in route(namespace, made.name, upstream.address):
        istiod.control.admin.apply(one)
    try:
        made.start()
        until(lambda: shows(made, 200), "the gateway lets requests through", 60)
        yield made
    finally:
        made.remove()


@pytest.fixture
def proxy(gateways: EnvoyGateway, upstream: Upstream, namespace: str) -> Iterator[envoy_gateway.Proxy]:
    """The Envoy of a Gateway in the test's namespace that lets requests through."""
    for one in envoy_gateway.gateway(namespace, "gw", upstream.address):
        gateways.control.admin.apply(one)
    made = envoy_gateway.Proxy(gateways, "gw", namespace)
    try:
        made.start()
        until(lambda: shows(made, 200), "the Gateway lets requests through", 60)
        yield made
    finally:
        made.remove()


@pytest.fixture
def target(cluster: ControlPlane, mesh_hub: HubProcess, namespace: str) -> Iterator[Target]:
    """The cluster as a target, where no proxies are looked at."""
    with Target(mesh_hub, cluster.admin, namespace, observe="nothing") as made:
        yield made


@pytest.fixture(scope="session")
def fitted(cluster: ControlPlane) -> ControlPlane:
    """The same, which knows FilterDeployments too."""
    cluster.install((CHART / "crds" / "filterdeployments.yaml").read_text())
    return cluster


@pytest.fixture(scope="session")
def shelf(mesh_hub: HubProcess, oci: Client) -> Shelf:
    """A private repository with two versions of a filter, for operators."""
    made = Shelf(mesh_hub, oci)
    made.push("1", header_filter("one"))
    made.push("2", header_filter("two"))
    return made


@pytest.fixture
def filters(fitted: ControlPlane, shelf: Shelf, namespace: str, mesh_hub: HubProcess) -> Filters:
    """FilterDeployments of the test's namespace, in which a Secret `hub` pulls from that repository."""
    fitted.admin.apply(shelf.secret(namespace, int(mesh_hub.url.rpartition(":")[2])))
    return Filters(fitted, namespace, shelf.name)
