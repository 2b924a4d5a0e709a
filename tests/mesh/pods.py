"""Pods without a kubelet: an object of the API server, and processes in a network namespace with the pod's address."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from tests.deploy.fleet import ask
from tests.engines import Server
from tests.mesh.kubernetes import Cluster, Object
from tests.mesh.network import Namespace, Network


class Container(Server):
    """A process in a network namespace, in a folder of its own."""

    def __init__(self, inside: Namespace, name: str, **places: Path) -> None:
        super().__init__(name)
        self._inside = inside
        self._places = places

    def run(self, *words: str | Path, answers: Callable[[], bool], **environment: str) -> None:
        """Starts it and waits until it answers."""
        self.launch(self._inside.command(*words, folder=self.folder, **self._places), answers, **environment)


class Pod:
    """A pod with an address that this machine and all pods reach."""

    def __init__(self, cluster: Cluster, network: Network, name: str, namespace: str, labels: dict[str, str]) -> None:
        self.name = name
        self.namespace = namespace
        self.labels = labels
        self.inside = network.namespace()
        self.address = self.inside.address
        self._cluster = cluster
        self._containers: list[Container] = []
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}
        cluster.apply(account)
        container = {"name": "it", "image": "it", "ports": [{"containerPort": 15020, "name": "metrics"}]}
        spec = {"serviceAccountName": name, "nodeName": "here", "containers": [container]}
        cluster.apply({**self.object, "metadata": {**self.object["metadata"], "labels": labels}, "spec": spec})

    @property
    def object(self) -> Object:
        """What names it to the API server."""
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": self.name, "namespace": self.namespace}}

    def container(self, name: str, **places: Path) -> Container:
        """A new process, that is not started, with its mounted folders."""
        made = Container(self.inside, f"{self.name}-{name}", **places)
        self._containers.append(made)
        return made

    def is_ready(self, ready: bool = True) -> None:
        """Says to the API server that it runs, and whether it is ready."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": now}
        status = {"phase": "Running", "podIP": self.address, "podIPs": [{"ip": self.address}], "startTime": now}
        self._cluster.apply({**self.object, "status": {**status, "conditions": [condition]}}, part="status")

    def remove(self) -> None:
        """Ends its processes and deletes it."""
        for container in self._containers:
            container.remove()
        self._cluster.http.delete(self._cluster.path_of(self.object), params={"gracePeriodSeconds": "0"})


class Fronted(Protocol):
    """A proxy that takes requests from outside."""

    @property
    def front(self) -> tuple[str, int]:
        """Where."""


def shows(proxy: Fronted, status: int, *marks: str) -> bool:
    """Whether a request through the proxy is answered with that status and these marks."""
    try:
        return ask(proxy.front) == (status, list(marks))
    except OSError:
        return False
