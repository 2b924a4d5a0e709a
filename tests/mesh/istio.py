"""A real Istio without containers: istiod, gateways and sidecars, each a real agent and Envoy in a pod's network."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.deploy.fleet import until
from tests.engines import Server
from tests.mesh.kubernetes import ControlPlane
from tests.mesh.network import Network
from tests.mesh.pods import Pod
from tests.peers import envoy_binary, mesh_file

SYSTEM = "istio-system"
ISTIOD = f"istiod.{SYSTEM}.svc"
XDS = 15012
CLUSTER = "Kubernetes"
STATS = 15020  # of each agent, at its pod's address
ADMIN = 15000  # of each Envoy, at its own loopback
GATEWAY = 8080
# The stock Envoy lacks the filters that Istio's own build has.
_STOCK_ENVOY = {"PILOT_ENABLE_METADATA_EXCHANGE": "false", "PILOT_ENABLE_ALPN_FILTER": "false"}


class Istiod(Server):
    """Istio's control plane, at the network's own address; `debug` is where it answers what it knows of proxies."""

    def __init__(self, control: ControlPlane, network: Network) -> None:
        super().__init__("istiod")
        self.control = control
        self.network = network
        self.debug = f"http://{network.address}:15014"
        network.call(ISTIOD, network.address)

    def start(self) -> "Istiod":
        """Installs what it needs in the cluster, and starts it."""
        self.control.install(mesh_file("istio", "crds.yaml").read_text())
        self.control.namespace(SYSTEM)
        (self.folder / "kubeconfig").write_text(self.control.admin.kubeconfig())
        nothing: dict[str, list[str]] = {"metrics": [], "tracing": [], "accessLogging": []}
        mesh = {"defaultConfig": {"discoveryAddress": f"{ISTIOD}:{XDS}"}, "defaultProviders": nothing}
        (self.folder / "mesh.yaml").write_text(yaml.safe_dump(mesh))
        address = self.network.address
        options = {
            "kubeconfig": self.folder / "kubeconfig",
            "meshConfig": self.folder / "mesh.yaml",
            "grpcAddr": f"{address}:15010",
            "secureGRPCAddr": f"{address}:{XDS}",
            "httpAddr": f"{address}:15080",
            "httpsAddr": "",
            "monitoringAddr": f"{address}:15014",
            "ctrlz_port": "0",
        }
        words: list[str | Path] = [mesh_file("istio", "pilot-discovery"), "discovery"]
        words += [f"--{name}={value}" for name, value in options.items()]
        environment = {"POD_NAME": "istiod", "POD_NAMESPACE": SYSTEM, "CLUSTER_ID": CLUSTER, **_STOCK_ENVOY}
        environment |= {"PILOT_CERT_PROVIDER": "istiod", "ENABLE_LEADER_ELECTION": "false"}
        environment |= {"VALIDATION_WEBHOOK_CONFIG_NAME": "", "INJECTION_WEBHOOK_CONFIG_NAME": ""}
        self.launch(words, self._answers, **environment)
        return self

    def root(self, namespace: str) -> str:
        """The certificate that proxies of that namespace trust, once istiod has put it there."""
        found = until(
            lambda: self.control.admin.get("v1", "ConfigMap", "istio-ca-root-cert", namespace),
            f"istiod's certificate is in {namespace}",
        )
        return str(found["data"]["root-cert.pem"])

    def _answers(self) -> bool:
        return answers(f"http://{self.network.address}:15080/ready")


class Proxy(Pod):
    """A pod with an agent and its Envoy: a gateway, or with the role `sidecar` what stands before an app."""

    tells = True  # whether Envoy's own counters of plugins are among the agent's

    def __init__(self, istiod: Istiod, name: str, namespace: str, role: str = "router") -> None:
        super().__init__(istiod.control.admin, istiod.network, name, namespace, {"app": name})
        self._istiod = istiod
        self._role = role
        self.agent = self.container("agent")

    def start(self) -> "Proxy":
        """Starts the agent and waits until its Envoy has what istiod tells it."""
        folder = self.agent.folder
        self._write(folder)
        own: dict[str, Any] = {"concurrency": 1, "proxyAdminPort": ADMIN, "statusPort": STATS}
        if self.tells:
            own["proxyStatsMatcher"] = {"inclusionPrefixes": ["extension_config_discovery"]}
        own |= {"discoveryAddress": f"{ISTIOD}:{XDS}", "binaryPath": str(envoy_binary()), "configPath": str(folder)}
        environment = {
            "POD_NAME": self.name,
            "POD_NAMESPACE": self.namespace,
            "INSTANCE_IP": self.address,
            "SERVICE_ACCOUNT": self.name,
            "CLUSTER_ID": CLUSTER,
            "ISTIO_META_CLUSTER_ID": CLUSTER,
            "ISTIO_META_WORKLOAD_NAME": self.name,
            "ISTIO_META_INTERCEPTION_MODE": "REDIRECT" if self._role == "sidecar" else "NONE",
            "ISTIO_METAJSON_LABELS": json.dumps(self.labels),
            "PROXY_CONFIG": json.dumps(own),
        }
        words: list[str | Path] = [mesh_file("istio", "pilot-agent"), "proxy", self._role]
        words += ["--domain", f"{self.namespace}.svc.cluster.local"]
        words += ["--templateFile", mesh_file("istio", "envoy_bootstrap.json")]
        self.is_ready(False)
        self.agent.run(*words, answers=self._answers, **environment)
        self.is_ready()
        return self

    @property
    def front(self) -> tuple[str, int]:
        """Where its Envoy takes requests."""
        return self.address, GATEWAY

    def _write(self, folder: Path) -> None:
        token = folder / "var/run/secrets/tokens/istio-token"
        token.parent.mkdir(parents=True, exist_ok=True)
        token.write_text(self._istiod.control.token(self.name, self.namespace, "istio-ca"))
        root = folder / "var/run/secrets/istio/root-cert.pem"
        root.parent.mkdir(parents=True, exist_ok=True)
        root.write_text(self._istiod.root(self.namespace))

    def _answers(self) -> bool:
        return answers(f"http://{self.address}:15021/healthz/ready")


class Sidecar(Proxy):
    """A pod with an app on port 80: all that comes to it goes through its Envoy, by Istio's own iptables."""

    def __init__(self, istiod: Istiod, name: str, namespace: str) -> None:
        super().__init__(istiod, name, namespace, "sidecar")
        place = {"name": name, "namespace": namespace}
        spec = {"selector": self.labels, "ports": [{"name": "http", "port": 80, "targetPort": 80}]}
        istiod.control.admin.apply({"apiVersion": "v1", "kind": "Service", "metadata": place, "spec": spec})

    @property
    def front(self) -> tuple[str, int]:
        """Where requests for the app come."""
        return self.address, 80

    def start(self) -> "Sidecar":
        """Starts the app, what leads to Envoy, and the agent."""
        app = self.container("app")
        (app.folder / "index.html").write_text("ok")
        words = [sys.executable, "-m", "http.server", "80", "--bind", self.address]
        app.run(*words, answers=lambda: answers(f"http://{self.address}"))
        rules = ["istio-iptables", "-p", "15001", "-z", "15006", "-u", "0", "-g", "0", "-m", "REDIRECT", "-i", "*"]
        rules += ["-b", "*", "-d", f"15090,15021,{STATS}"]
        command = self.inside.command(mesh_file("istio", "pilot-agent"), *rules, folder=self.agent.folder)
        subprocess.run(command, check=True, capture_output=True)
        super().start()
        return self


def route(namespace: str, gateway: str, upstream: str) -> list[dict[str, Any]]:
    """Objects that send what comes to that gateway's port 8080 to an upstream at `address:port`."""
    address, _, port = upstream.rpartition(":")
    place = {"name": gateway, "namespace": namespace}
    api, host = "networking.istio.io/v1", f"{gateway}.test"
    server = {"port": {"number": GATEWAY, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
    ports = [{"number": 80, "name": "http", "protocol": "HTTP"}]
    entry = {"hosts": [host], "ports": ports, "resolution": "STATIC", "location": "MESH_EXTERNAL"}
    there = [{"address": address, "ports": {"http": int(port)}}]
    towards = [{"route": [{"destination": {"host": host, "port": {"number": 80}}}]}]
    kinds = {
        "Gateway": {"selector": {"app": gateway}, "servers": [server]},
        "ServiceEntry": {**entry, "endpoints": there},
        "VirtualService": {"hosts": ["*"], "gateways": [gateway], "http": towards},
    }
    return [{"apiVersion": api, "kind": kind, "metadata": place, "spec": spec} for kind, spec in kinds.items()]


def answers(url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        return httpx.get(url, trust_env=False, timeout=5).status_code == 200
    except httpx.TransportError:
        return False
