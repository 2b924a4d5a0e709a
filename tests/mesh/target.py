"""An Istio target of a running hub, as its administrator drives it over the JSON API."""

import secrets
import time
from typing import Any

import httpx

from tests.hub import HubProcess
from tests.mesh.kubernetes import Cluster, Object

HUB = "hub.test"  # a name, since agents refuse a token realm at a private address
POLICY = ("gateway.envoyproxy.io/v1alpha1", "EnvoyExtensionPolicy")
PLUGIN = ("extensions.istio.io/v1alpha1", "WasmPlugin")
FILTER = ("networking.istio.io/v1alpha3", "EnvoyFilter")
SECRET = ("v1", "Secret")


class MeshTarget:
    """A target that the hub reaches out to; `body` is what it is made of, besides its name."""

    def __init__(self, running: HubProcess, body: dict[str, Any]) -> None:
        self.name = f"t-{secrets.token_hex(3)}"
        self.http = httpx.Client(
            base_url=running.url, auth=("admin", running.admin_password), timeout=30, trust_env=False
        )
        self.body = body

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def register(self, **other: Any) -> httpx.Response:
        """Makes the target."""
        return self.http.post("/api/v1/targets", json={"name": self.name, **self.body, **other})

    def configure(self, **settings: Any) -> None:
        """Gives it other settings."""
        self.body["settings"] |= settings
        made = self.http.patch(f"/api/v1/targets/{self.name}", json={"settings": self.body["settings"]})
        assert made.status_code == 200, made.text

    def put(self, name: str, **body: Any) -> httpx.Response:
        """Deploys or changes."""
        return self.http.put(self._path(name), json=body)

    def undeploy(self, name: str) -> None:
        """Undeploys; `becomes(name, 404)` waits until all of it is gone."""
        gone = self.http.delete(self._path(name))
        assert gone.status_code == 204, gone.text

    def deployment(self, name: str) -> dict[str, Any]:
        """The deployment; its `status` is 404 where there is none."""
        found = self.http.get(self._path(name))
        return dict(found.json()) if found.status_code == 200 else {"status": found.status_code}

    def becomes(self, name: str, status: Any, seconds: float = 30) -> dict[str, Any]:
        """The deployment once it stands like that."""
        end = time.monotonic() + seconds
        while (found := self.deployment(name))["status"] != status:
            assert time.monotonic() < end, found
            time.sleep(0.05)
        return found

    def deploy(self, name: str, reference: str, **body: Any) -> dict[str, Any]:
        """Deploys or changes, which must be taken."""
        made = self.put(name, reference=reference, **body)
        assert made.status_code in (200, 201), made.text
        return dict(made.json())

    def _path(self, name: str) -> str:
        return f"/api/v1/targets/{self.name}/deployments/{name}"


class Target(MeshTarget):
    """An Istio target with that cluster; `deploy` puts filters before the workloads with the label `app: gw`."""

    def __init__(self, running: HubProcess, cluster: Cluster, namespace: str, **settings: Any) -> None:
        self.namespace = namespace
        self.cluster = cluster
        self.settings = {"hub": f"http://{HUB}:{running.url.rpartition(':')[2]}", **settings}
        super().__init__(running, {"kind": "istio", "settings": self.settings, "kubeconfig": cluster.kubeconfig()})

    def __enter__(self) -> "Target":
        made = self.register()
        assert made.status_code == 201, made.text
        return self

    def deploy(self, name: str, reference: str, **body: Any) -> dict[str, Any]:
        """Deploys or changes, which must be taken."""
        placement = {"namespace": self.namespace, "labels": {"app": "gw"}}
        return super().deploy(name, reference, **{"placement": placement, **body})

    def object(self, kind: tuple[str, str], name: str) -> Object | None:
        """An object of the target's namespace."""
        return self.cluster.get(*kind, name, self.namespace)

    def pull_secrets(self) -> list[str]:
        """The names of the target's Secrets in its namespace."""
        found = self.cluster.all(*SECRET, self.namespace, labelSelector=f"wasmhub/target={self.name}")
        return sorted(str(one["metadata"]["name"]) for one in found)


class ConsulTarget(MeshTarget):
    """A Consul target, into which a token lets the hub."""

    def __init__(self, running: HubProcess, address: str, token: str, **settings: Any) -> None:
        super().__init__(running, {"kind": "consul", "settings": {"address": address, **settings}, "token": token})

    def __enter__(self) -> "ConsulTarget":
        made = self.register()
        assert made.status_code == 201, made.text
        return self


class GatewayTarget(MeshTarget):
    """An Envoy Gateway target with that cluster; `deploy` puts filters before the route `gw`. It reaches the hub so."""

    def __init__(self, running: HubProcess, cluster: Cluster, namespace: str, hub: str, **settings: Any) -> None:
        self.namespace = namespace
        self.cluster = cluster
        self.settings = {"hub": hub, **settings}
        body = {"kind": "envoy-gateway", "settings": self.settings, "kubeconfig": cluster.kubeconfig()}
        super().__init__(running, body)

    def __enter__(self) -> "GatewayTarget":
        made = self.register()
        assert made.status_code == 201, made.text
        return self

    def deploy(self, name: str, reference: str, **body: Any) -> dict[str, Any]:
        """Deploys or changes, which must be taken."""
        placement = {"namespace": self.namespace, "targets": [{"kind": "HTTPRoute", "name": "gw"}]}
        return super().deploy(name, reference, **{"placement": placement, **body})

    def policies(self) -> list[Object]:
        """The target's policies in its namespace, by name."""
        found = self.cluster.all(*POLICY, self.namespace, labelSelector=f"wasmhub/target={self.name}")
        return sorted(found, key=lambda one: str(one["metadata"]["name"]))
