"""A real Consul with ACLs, and services of its mesh: each a real Envoy in a network namespace, before a real server."""

import secrets
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.mesh.network import Network
from tests.mesh.pods import Container
from tests.peers import envoy_binary, mesh_file

HTTP = 8500
XDS = 8502
SIDECAR = 21000  # where a sidecar takes what others send to its service
ADMIN = 19000  # of each sidecar, at its pod's address


class Consul:
    """A server of Consul at an address of its own. Nothing is allowed without a token; `token` may do everything."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.inside = network.namespace()
        self.url = f"http://{self.inside.address}:{HTTP}"
        self.token = str(uuid.uuid4())
        self.agent = Container(self.inside, "consul")
        self.http = httpx.Client(base_url=self.url, headers={"X-Consul-Token": self.token}, trust_env=False, timeout=30)

    def start(self) -> "Consul":
        """Starts it, empty, as it keeps nothing but in memory."""
        self._run("-dev", answers=self._answers)
        return self

    def _run(self, *words: str | Path, answers: Callable[[], bool]) -> None:
        tokens = f'initial_management = "{self.token}", agent = "{self.token}"'
        lines = [
            f'acl = {{ enabled = true, default_policy = "deny", tokens = {{ {tokens} }} }}',
            'default_intention_policy = "allow"',
        ]
        (self.agent.folder / "it.hcl").write_text("\n".join(lines))
        address = self.inside.address
        agent: list[str | Path] = [mesh_file("consul", "consul"), "agent", *words, "-bind", address, "-client", address]
        self.agent.run(*agent, "-config-file", "it.hcl", answers=answers)

    def remove(self) -> None:
        """Ends it."""
        self.http.close()
        self.agent.remove()

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """What its API answers."""
        answer = self.http.request(method, path, **more)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def write(self, kind: str, name: str, **entry: Any) -> None:
        """Writes a config entry."""
        self.ask("PUT", "/v1/config", json={"Kind": kind, "Name": name, **entry})

    def new_token(self, rules: str) -> str:
        """A token with these rights, in Consul's own language of rules."""
        name = f"rules-{secrets.token_hex(4)}"
        self.ask("PUT", "/v1/acl/policy", json={"Name": name, "Rules": rules})
        made = self.ask("PUT", "/v1/acl/token", json={"Policies": [{"Name": name}]})
        return str(made["SecretID"])

    def _answers(self) -> bool:
        try:
            leader = self.http.get("/v1/status/leader").text
            return ":" in leader and self.http.get("/v1/acl/tokens").is_success
        except httpx.TransportError:
            return False


class Voter(Consul):
    """One of three servers that elect their leader and keep what they have, so that each may end and come back."""

    def __init__(self, network: Network, token: str) -> None:
        super().__init__(network)
        self.token = token
        self.http.headers["X-Consul-Token"] = token

    def join(self, *others: "Voter") -> None:
        """Starts it; it looks for the others."""
        seek = [f"-retry-join={one.inside.address}" for one in others]
        name = self.inside.address.replace(".", "-")
        words = ["-server", "-bootstrap-expect=3", "-data-dir=data", f"-node={name}", "-retry-interval=1s", *seek]
        self._run(*words, answers=self._is_up)

    def leader(self) -> str:
        """The address of the leader that it knows; empty where there is none."""
        try:
            return str(self.http.get("/v1/status/leader").json()).rpartition(":")[0]
        except (httpx.TransportError, ValueError):
            return ""

    def _is_up(self) -> bool:
        try:
            return self.http.get("/v1/status/peers").is_success
        except httpx.TransportError:
            return False


class Service:
    """A service of the mesh: `address:port` behind an Envoy of its own, which also leads to other services."""

    def __init__(self, consul: Consul, name: str, behind: str, protocol: str = "http") -> None:
        self.name = name
        self.consul = consul
        self.inside = consul.network.namespace()
        self.address = self.inside.address
        self._behind = behind
        self._ports: dict[str, int] = {}
        self.envoy = Container(self.inside, name)
        self._protocol = protocol
        self.extend()

    def start(self, *upstreams: str) -> "Service":
        """Registers it and starts its Envoy, with these other services at `port_of` them."""
        self.register(*upstreams)
        # Connections that are kept stay with the old listener and its filter until it is drained: 600 s by default.
        words: list[str | Path] = [envoy_binary(), "-c", self._bootstrap(), "--concurrency", "1", "--drain-time-s", "2"]
        self.envoy.run(*words, answers=self._answers)
        return self

    def register(self, *upstreams: str) -> None:
        """Registers it, once more if it has other upstreams now."""
        self._ports = {name: 9000 + place for place, name in enumerate(upstreams)}
        leads = [
            {"DestinationName": name, "LocalBindAddress": self.address, "LocalBindPort": port}
            for name, port in self._ports.items()
        ]
        host, _, port = self._behind.rpartition(":")
        local = {"LocalServiceAddress": host, "LocalServicePort": int(port), "Upstreams": leads}
        check = {"Name": "it is there", "TTL": "24h", "Status": "passing"}
        sidecar = {"Port": SIDECAR, "Address": self.address, "Proxy": local, "Checks": [check]}
        own = {"Name": self.name, "Address": self.address, "Port": int(port)}
        told = {**own, "Connect": {"SidecarService": sidecar}}
        self.consul.ask("PUT", "/v1/agent/service/register", json=told)

    def lead_to(self, behind: str) -> None:
        """Has another server behind its Envoy, at `address:port`."""
        self._behind = behind
        self.register(*self._ports)

    def extend(self, *extensions: dict[str, Any]) -> None:
        """Gives its Envoy these extensions and no others."""
        self.consul.write("service-defaults", self.name, Protocol=self._protocol, EnvoyExtensions=list(extensions))

    def port_of(self, upstream: str) -> int:
        """Where its Envoy leads to that service, at its own address."""
        return self._ports[upstream]

    def admin(self, path: str) -> httpx.Response:
        """Asks its Envoy's admin listener."""
        return httpx.get(f"http://{self.address}:{ADMIN}{path}", trust_env=False)

    def remove(self) -> None:
        """Ends its Envoy and takes it out of Consul."""
        self.envoy.remove()
        self.consul.ask("PUT", f"/v1/agent/service/deregister/{self.name}")
        self.consul.ask("DELETE", f"/v1/config/service-defaults/{self.name}")

    def _bootstrap(self) -> Path:
        server = self.consul.inside.address
        words: list[str | Path] = [
            mesh_file("consul", "consul"),
            "connect",
            "envoy",
            "-sidecar-for",
            self.name,
            "-bootstrap",
        ]
        words += ["-http-addr", self.consul.url, "-grpc-addr", f"http://{server}:{XDS}", "-token", self.consul.token]
        words += ["-admin-bind", f"{self.address}:{ADMIN}", "-ignore-envoy-compatibility"]
        done = subprocess.run(words, check=True, capture_output=True)
        path = self.envoy.folder / "bootstrap.json"
        path.write_bytes(done.stdout)
        return path

    def _answers(self) -> bool:
        try:
            return self.admin("/ready").status_code == 200
        except httpx.TransportError:
            return False
