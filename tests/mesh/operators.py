"""Operators as in a cluster: with a service account's token, least rights, and a robot's token of the hub."""

import base64
import json
import secrets
import signal
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.deploy.fleet import until
from tests.engines import Server
from tests.hub import ROOT, WASMHUB, HubProcess
from tests.mesh.kubernetes import ControlPlane, Object
from tests.mesh.target import HUB
from tests.oci import Client

API = "wasmhub.io/v1alpha1"
KIND = "FilterDeployment"
CHART = ROOT / "helm" / "wasmhub"
FILES = CHART / "files"
LEASE = ("coordination.k8s.io/v1", "Lease", "wasmhub-operator")
ACCOUNT = "wasmhub-operator"


class Shelf:
    """A private repository of a team, and a robot that may read it."""

    def __init__(self, hub: HubProcess, oci: Client) -> None:
        self.team = f"crew-{secrets.token_hex(3)}"
        self.name = f"{self.team}/marks"
        self.oci = oci
        made = oci.http.post("/api/v1/teams", json={"name": self.team}, auth=("admin", hub.admin_password))
        assert made.status_code == 201, made.text
        robots = f"/api/v1/teams/{self.team}/robots"
        asked = {"name": "operator", "role": "reader"}
        robot = oci.http.post(robots, json=asked, auth=("admin", hub.admin_password))
        assert robot.status_code == 201, robot.text
        self.login, self.token = f"{self.team}+operator", str(robot.json()["token"])

    def push(self, tag: str, module: bytes) -> str:
        """Pushes a filter; its digest."""
        return self.oci.push_filter(self.name, tag, module)

    def secret(self, namespace: str, port: int) -> Object:
        """A Secret with which a mesh pulls from it."""
        auth = base64.b64encode(f"{self.login}:{self.token}".encode()).decode()
        config = {"auths": {f"{HUB}:{port}": {"username": self.login, "password": self.token, "auth": auth}}}
        data = {".dockerconfigjson": base64.b64encode(json.dumps(config).encode()).decode()}
        meta = {"name": "hub", "namespace": namespace}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/dockerconfigjson",
            "metadata": meta,
            "data": data,
        }


class Operator(Server):
    """One operator that looks after a namespace, or after all (the empty one); its lease is in one of its own."""

    meshes: tuple[str, ...] = ("istio",)

    def __init__(self, control: ControlPlane, hub: HubProcess, token: str, namespace: str, home: str, **settings: Any):
        super().__init__("operator")
        self._control = control
        self._namespace = namespace
        self._hub = hub.url
        self._settings = {"hub": f"http://{HUB}:{hub.url.rpartition(':')[2]}", "observe": "nothing", **settings}
        (self.folder / "settings.yaml").write_text(yaml.safe_dump(self._settings))
        (self.folder / "hub-token").write_text(token)
        (self.folder / "ca.crt").write_text(control.authority.read_text())
        (self.folder / "namespace").write_text(home)
        (self.folder / "token").write_text(control.token(ACCOUNT, home))

    def start(self, wait: str = "this operator leads", url: str = "") -> "Operator":
        """Starts it and waits until it says so."""
        where = urlsplit(self._control.url)
        words: list[str | Path] = [WASMHUB, "operator", *(["--namespace", self._namespace] if self._namespace else [])]
        words += ["--settings", self.folder / "settings.yaml", "--token-file", self.folder / "hub-token"]
        words += ["--service-account", self.folder, *(word for kind in self.meshes for word in ("--mesh", kind))]
        began = len(self.log()) if self.process is not None else 0
        self.launch(
            words,
            lambda: wait in self.log()[began:],
            WASMHUB_URL=url or self._hub,
            KUBERNETES_SERVICE_HOST=str(where.hostname),
            KUBERNETES_SERVICE_PORT=str(where.port),
        )
        return self

    def kill(self) -> None:
        """Kills it."""
        self.end(signal.SIGKILL)


def give_rights(control: ControlPlane, home: str, namespace: str, mesh: str = "istio", proxies: str = "") -> None:
    """Makes the operator's account with the chart's rights for a mesh and no others: in that namespace and in its own,
    and where the pods of proxies are.
    """
    control.namespace(home)
    control.account(ACCOUNT, home, _rules("operator-lease-rules"))
    rules, pods = _rules("operator-rules", f"operator-rules-{mesh}"), _rules("operator-pods-rules")
    _give(control, home, ACCOUNT, namespace, rules if proxies else [*rules, *pods])
    if proxies:
        _give(control, home, f"{ACCOUNT}-of-{home}", proxies, pods)


def _rules(*names: str) -> list[Object]:
    return [rule for name in names for rule in yaml.safe_load((FILES / f"{name}.yaml").read_text())]


def _give(control: ControlPlane, home: str, name: str, namespace: str, rules: list[Object]) -> None:
    meta = {"name": name, "namespace": namespace}
    api, group = "rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io"
    control.admin.apply({"apiVersion": api, "kind": "Role", "metadata": meta, "rules": rules})
    role = {"apiGroup": group, "kind": "Role", "name": name}
    subjects = [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": home}]
    control.admin.apply(
        {"apiVersion": api, "kind": "RoleBinding", "metadata": meta, "roleRef": role, "subjects": subjects}
    )


class Filters:
    """FilterDeployments of one namespace, as somebody with kubectl handles them."""

    def __init__(self, control: ControlPlane, namespace: str, repository: str) -> None:
        self.control = control
        self.namespace = namespace
        self.repository = repository

    def wish(self, name: str, tag: str = "1", **spec: Any) -> Object:
        """One with that image; `spec` is what else it says."""
        image = {"repository": self.repository, "tag": tag}
        meta = {"name": name, "namespace": self.namespace}
        return {"apiVersion": API, "kind": KIND, "metadata": meta, "spec": {"image": image, **spec}}

    def apply(self, name: str, tag: str = "1", **spec: Any) -> Object:
        """Applies it as somebody does."""
        placement = {"placement": {"labels": {"app": "gw"}}}
        return self.control.admin.apply(self.wish(name, tag, **{**placement, **spec}), manager="somebody")

    def get(self, name: str) -> Object | None:
        """It as it is now."""
        return self.control.admin.get(API, KIND, name, self.namespace)

    def becomes(self, name: str, seconds: float = 30, **statuses: str) -> dict[str, Any]:
        """Its conditions once those of its current generation have these statuses, or reasons (as `Ready_reason`)."""
        end = time.monotonic() + seconds
        while True:
            found = self.get(name)
            assert found is not None
            given = {one["type"]: one for one in (found.get("status") or {}).get("conditions", ())}
            fresh = {kind: one for kind, one in given.items() if one["observedGeneration"] == generation(found)}
            flat = {kind: one["status"] for kind, one in fresh.items()}
            flat |= {f"{kind}_reason": one["reason"] for kind, one in fresh.items()}
            if all(flat.get(kind) == status for kind, status in statuses.items()):
                return fresh
            assert time.monotonic() < end, found
            time.sleep(0.05)

    def delete(self, name: str) -> None:
        """Deletes it and waits until it is gone."""
        self.control.admin.delete(self.wish(name))
        until(lambda: self.get(name) is None, f"{name} is gone", 30)

    def object(self, kind: tuple[str, str], name: str) -> Object | None:
        """What was made of one."""
        return self.control.admin.get(*kind, f"{name}.filterdeployment", self.namespace)


def generation(found: Object) -> int:
    """The number of its spec."""
    return int(found["metadata"]["generation"])
