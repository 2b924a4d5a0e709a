"""A real Envoy Gateway without containers: its controller, and the Envoy of each Gateway as its Deployment says."""

import base64
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.fleet import until
from tests.mesh.istio import answers
from tests.mesh.kubernetes import ControlPlane, Object
from tests.mesh.network import Network
from tests.mesh.pods import Container, Pod
from tests.peers import envoy_binary, mesh_file

SYSTEM = "envoy-gateway-system"
SERVICE = f"envoy-gateway.{SYSTEM}.svc.cluster.local"
CLASS = "eg"
CONTROLLER = "gateway.envoyproxy.io/gatewayclass-controller"
PORT = 8080  # of each Gateway
OWN = "gateway.envoyproxy.io/v1alpha1"
API = "gateway.networking.k8s.io/v1"


class EnvoyGateway:
    """The controller, in a network namespace of its own."""

    def __init__(self, control: ControlPlane, network: Network, authority: Path) -> None:
        self.control = control
        self.authority = authority  # a PEM file: whom it believes by https
        self.network = network
        self.inside = network.namespace()
        self._certificates = Path(tempfile.mkdtemp(prefix="eg-certificates-"))
        self.process = Container(self.inside, "envoy-gateway", certs=self._certificates)
        network.call(SERVICE, self.inside.address)

    def start(self) -> "EnvoyGateway":
        """Installs what it needs in the cluster, and starts it."""
        self.control.install(mesh_file("envoy-gateway", "crds.yaml").read_text())
        self.control.namespace(SYSTEM)
        folder = self.process.folder
        (folder / "kubeconfig").write_text(self.control.admin.kubeconfig())
        kubernetes = {"leaderElection": {"disable": True}, "proxyTopologyInjector": {"disabled": True}}
        config = {
            "apiVersion": OWN,
            "kind": "EnvoyGateway",
            "gateway": {"controllerName": CONTROLLER},
            "provider": {"type": "Kubernetes", "kubernetes": kubernetes},
            "extensionApis": {"enableBackend": True},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        program = mesh_file("envoy-gateway", "envoy-gateway")
        environment = {"KUBECONFIG": str(folder / "kubeconfig"), "ENVOY_GATEWAY_NAMESPACE": SYSTEM}
        making: list[str | Path] = [program, "certgen", "--disable-topology-injector"]
        subprocess.run(making, check=True, capture_output=True, env=os.environ | environment)
        self.certificates("envoy-gateway", self._certificates)
        words: list[str | Path] = [program, "server", "--config-path", "config.yaml"]
        url = f"http://{self.inside.address}:8081/readyz"
        environment["SSL_CERT_FILE"] = str(self.authority)
        self.process.run(*words, answers=lambda: answers(url), **environment)
        kind = {"apiVersion": API, "kind": "GatewayClass", "metadata": {"name": CLASS}}
        self.control.admin.apply({**kind, "spec": {"controllerName": CONTROLLER}})
        return self

    def certificates(self, secret: str, folder: Path) -> None:
        """Writes a Secret's files into a folder."""
        for name, value in (self._secret(secret) or {})["data"].items():
            (folder / name).write_bytes(base64.b64decode(value))

    def remove(self) -> None:
        """Ends it."""
        self.process.remove()
        shutil.rmtree(self._certificates)

    def _secret(self, name: str) -> Object | None:
        return self.control.admin.get("v1", "Secret", name, SYSTEM)


class Proxy(Pod):
    """The pod of a Gateway's Deployment: its Envoy, started as that says."""

    def __init__(self, gateways: EnvoyGateway, gateway: str, namespace: str) -> None:
        self._gateways = gateways
        self.gateway = gateway
        self.deployment = until(lambda: self._deployment(gateway, namespace), f"{gateway} has a Deployment", 60)
        labels = self.deployment["spec"]["template"]["metadata"]["labels"]
        name = f"{self.deployment['metadata']['name']}-0"
        super().__init__(gateways.control.admin, gateways.network, name, SYSTEM, labels)

    @property
    def front(self) -> tuple[str, int]:
        """Where its Envoy takes requests."""
        return self.address, PORT

    def start(self) -> "Proxy":
        """Starts Envoy and waits until it has what the controller tells it."""
        spec = self.deployment["spec"]["template"]["spec"]
        told = next(one for one in spec["containers"] if one["name"] == "envoy")
        folders = self.container("volumes").folder
        for volume in ("certs", "sds"):
            (folders / volume).mkdir()
        self._gateways.certificates("envoy", folders / "certs")
        config = self._cluster.get("v1", "ConfigMap", self.deployment["metadata"]["name"], SYSTEM)
        for name, text in (config or {})["data"].items():
            (folders / "sds" / name).write_text(text)
        envoy = self.container("envoy", certs=folders / "certs", sds=folders / "sds")
        values = {"ENVOY_POD_NAME": self.name, "ENVOY_POD_NAMESPACE": SYSTEM, "ENVOY_SERVICE_ZONE": "here"}
        words = [_filled(one, values) for one in told["args"]]
        self.is_ready(False)
        url = f"http://{self.address}:19003/ready"
        envoy.run(envoy_binary(), *words, "--concurrency", "1", answers=lambda: answers(url), **values)
        self.is_ready()
        return self

    def _deployment(self, gateway: str, namespace: str) -> Object | None:
        found = self._gateways.control.admin.all("apps/v1", "Deployment", SYSTEM)
        place = {"owning-gateway-name": gateway, "owning-gateway-namespace": namespace}
        wanted = {f"gateway.envoyproxy.io/{name}": value for name, value in place.items()}
        return next((one for one in found if wanted.items() <= one["metadata"]["labels"].items()), None)


def gateway(namespace: str, name: str, upstream: str) -> list[Object]:
    """Objects of a Gateway that sends what comes to it to an upstream at `address:port`, by a route of its name."""
    address, _, port = upstream.rpartition(":")
    place = {"name": name, "namespace": namespace}
    listener = {"name": "http", "protocol": "HTTP", "port": PORT}
    there = {"group": OWN.partition("/")[0], "kind": "Backend", "name": name}
    specs: list[tuple[str, str, dict[str, Any]]] = [
        (API, "Gateway", {"gatewayClassName": CLASS, "listeners": [listener]}),
        (OWN, "Backend", {"endpoints": [{"ip": {"address": address, "port": int(port)}}]}),
        (API, "HTTPRoute", {"parentRefs": [{"name": name}], "rules": [{"backendRefs": [there]}]}),
    ]
    return [{"apiVersion": api, "kind": kind, "metadata": place, "spec": spec} for api, kind, spec in specs]


def _filled(word: str, values: dict[str, str]) -> str:
    """A word of a pod's command line, as a kubelet makes it; hosts files do not know names that end with a dot."""
    word = word.replace(f"{SERVICE}.", SERVICE)
    for name, value in values.items():
        word = word.replace(f"$({name})", value)
    return word
