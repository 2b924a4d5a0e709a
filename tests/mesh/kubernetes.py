"""A real Kubernetes API server with its etcd, and a small client that applies, reads and deletes objects.

It has no controllers and no kubelet: Deployments make no pods, namespaces never finish going away, and the status of
pods is what tests write.
"""

import base64
import json
import secrets
import ssl
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.engines import Server, free_port
from tests.peers import mesh_file, peer

Object = dict[str, Any]
MANAGER = "tests"
APPLY = "application/apply-patch+yaml"


class Cluster:
    """An API server as one holder of a token sees it."""

    def __init__(self, url: str, token: str, authority: Path) -> None:
        self.url = url
        self.token = token
        self.authority = authority  # a PEM file
        headers = {"Authorization": f"Bearer {token}"}
        trust = ssl.create_default_context(cafile=authority)
        self.http = httpx.Client(base_url=url, headers=headers, verify=trust, trust_env=False, timeout=30)
        self._resources: dict[tuple[str, str], tuple[str, bool]] = {}

    def path(self, api: str, kind: str, name: str = "", namespace: str = "") -> str:
        """Where an object of that `apiVersion` and kind is, or all of them."""
        if (api, kind) not in self._resources:
            found = self._told(self.http.get(f"/{_root(api)}"))["resources"]
            plain = [one for one in found if "/" not in one["name"]]
            self._resources |= {(api, one["kind"]): (one["name"], one["namespaced"]) for one in plain}
        plural, namespaced = self._resources[api, kind]
        place = f"/namespaces/{namespace or 'default'}" if namespaced else ""
        return f"/{_root(api)}{place}/{plural}{f'/{name}' if name else ''}"

    def apply(self, item: Object, *, manager: str = MANAGER, part: str = "", dry: bool = False) -> Object:
        """Applies the object, or its `status`, on the server's side; AssertionError says why it refused."""
        params = {"fieldManager": manager, "force": "true", **({"dryRun": "All"} if dry else {})}
        path = self.path_of(item) + (f"/{part}" if part else "")
        headers = {"Content-Type": APPLY}
        return self._told(self.http.patch(path, params=params, headers=headers, content=json.dumps(item)))

    def get(self, api: str, kind: str, name: str, namespace: str = "") -> Object | None:
        """The object, if it is there."""
        answer = self.http.get(self.path(api, kind, name, namespace))
        return None if answer.status_code == 404 else self._told(answer)

    def all(self, api: str, kind: str, namespace: str = "", **params: str) -> list[Object]:
        """The objects of that kind in a namespace, such as those of a `labelSelector`."""
        return list(self._told(self.http.get(self.path(api, kind, "", namespace), params=params))["items"])

    def version(self, api: str, kind: str, namespace: str = "") -> str:
        """From where `events` of that kind go on."""
        return str(self._told(self.http.get(self.path(api, kind, "", namespace)))["metadata"]["resourceVersion"])

    def events(self, api: str, kind: str, namespace: str, since: str) -> list[Any]:
        """All that happened to objects of that kind in a namespace since that version."""
        params = {"watch": "true", "resourceVersion": since, "timeoutSeconds": "1"}
        answer = self.http.get(self.path(api, kind, "", namespace), params=params)
        assert answer.is_success, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]

    def delete(self, item: Object) -> None:
        """Deletes the object, if it is there."""
        answer = self.http.delete(self.path_of(item))
        if answer.status_code != 404:
            self._told(answer)

    def path_of(self, item: Object) -> str:
        """Where the object is."""
        data = item["metadata"]
        return self.path(item["apiVersion"], item["kind"], data["name"], data.get("namespace", ""))

    def kubeconfig(self) -> str:
        """A kubeconfig, as YAML, with this token and the server's authority in it."""
        authority = base64.b64encode(self.authority.read_bytes()).decode()
        server = {"server": self.url, "certificate-authority-data": authority}
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "it", "cluster": server}],
                "users": [{"name": "me", "user": {"token": self.token}}],
                "contexts": [{"name": "me@it", "context": {"cluster": "it", "user": "me"}}],
                "current-context": "me@it",
            }
        )

    def _told(self, answer: httpx.Response) -> Object:
        assert answer.is_success, f"{answer.request.method} {answer.request.url.path}: {answer.text}"
        return dict(answer.json())


class Etcd(Server):
    """Where the API server keeps its objects."""

    def __init__(self) -> None:
        super().__init__("etcd")
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it; after an end it comes back with what it had."""
        words: list[str | Path] = [peer("etcd"), "--data-dir", self.folder / "data", "--unsafe-no-fsync"]
        words += ["--listen-client-urls", self.url, "--advertise-client-urls", self.url]
        self.launch([*words, "--listen-peer-urls", f"http://127.0.0.1:{free_port()}"], self._answers)

    def _answers(self) -> bool:
        return _is_ok(f"{self.url}/health")


class ControlPlane(Server):
    """etcd and an API server at that address of this machine; `admin` may do everything."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        super().__init__("kubernetes")
        self.etcd = Etcd()
        self.url = f"https://{address}:{self.port}"
        self.authority = self.folder / "pki" / "apiserver.crt"
        self._address = address
        self._seen: list[Cluster] = []
        self._token = secrets.token_hex(16)
        (self.folder / "tokens.csv").write_text(f"{self._token},admin,admin,system:masters\n")
        subprocess.run(["openssl", "genrsa", "-out", self.folder / "sa.key", "2048"], check=True, capture_output=True)

    def start(self) -> "ControlPlane":
        """Starts both; after an end they come back with what they had."""
        if self.etcd.process is None or self.etcd.process.poll() is not None:
            self.etcd.start()
        key = self.folder / "sa.key"
        options = {
            "etcd-servers": self.etcd.url,
            "cert-dir": self.authority.parent,
            "secure-port": self.port,
            "bind-address": self._address,
            "authorization-mode": "RBAC",
            "token-auth-file": self.folder / "tokens.csv",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": key,
            "service-account-signing-key-file": key,
            "service-cluster-ip-range": "10.0.0.0/24",
            "disable-admission-plugins": "ServiceAccount",  # no controller makes the default ones
        }
        flags = [f"--{name}={value}" for name, value in options.items()]
        self.launch([mesh_file("kubernetes", "kube-apiserver"), *flags], self._answers)
        if not self._seen:
            self.admin = self._as(self._token)
        return self

    def remove(self) -> None:
        """Ends both at once and removes what they kept."""
        for one in self._seen:
            one.http.close()
        super().remove()
        self.etcd.remove()

    def install(self, definitions: str | Iterable[str]) -> None:
        """Applies the CRDs of YAML documents, and waits until objects of their kinds are taken."""
        texts = [definitions] if isinstance(definitions, str) else definitions
        found = [one for text in texts for one in yaml.load_all(text, yaml.CSafeLoader) if one]
        for one in found:
            if one["kind"] == "CustomResourceDefinition":
                self.admin.apply(one)
        for one in found:
            if one["kind"] == "CustomResourceDefinition":
                self._wait_for(one)

    def namespace(self, name: str) -> str:
        """Makes the namespace, if it is not there."""
        self.admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        return name

    def account(self, name: str, namespace: str, rules: Iterable[Object] = (), *, everywhere: bool = False) -> Cluster:
        """What a new ServiceAccount sees; `rules` are its rights in its namespace, or in all of them."""
        place = {"name": name, "namespace": namespace}
        self.admin.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": place})
        kind = "ClusterRole" if everywhere else "Role"
        api, group = "rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io"
        where = {"name": f"{namespace}-{name}"} if everywhere else place
        subject = {"kind": "ServiceAccount", **place}
        role = {"apiGroup": group, "kind": kind, "name": where["name"]}
        self.admin.apply({"apiVersion": api, "kind": kind, "metadata": where, "rules": list(rules)})
        binding = {"apiVersion": api, "kind": f"{kind}Binding", "metadata": where}
        self.admin.apply({**binding, "roleRef": role, "subjects": [subject]})
        return self.as_account(name, namespace)

    def as_account(self, name: str, namespace: str) -> Cluster:
        """What a ServiceAccount that is there sees."""
        return self._as(self.token(name, namespace))

    def token(self, account: str, namespace: str, *audiences: str, seconds: int = 3600) -> str:
        """A new token of that ServiceAccount, for the API server itself or these audiences; at least 600 s long."""
        path = self.admin.path("v1", "ServiceAccount", account, namespace)
        asked = {"audiences": list(audiences), "expirationSeconds": seconds}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": asked}
        answer = self.admin.http.post(f"{path}/token", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["status"]["token"])

    def _as(self, token: str) -> Cluster:
        self._seen.append(Cluster(self.url, token, self.authority))
        return self._seen[-1]

    def _answers(self) -> bool:
        try:
            trust = ssl.create_default_context(cafile=self.authority)
        except (FileNotFoundError, ssl.SSLError):  # the server has not written it yet, or not all of it
            return False
        return _is_ok(f"{self.url}/readyz", verify=trust, headers={"Authorization": f"Bearer {self._token}"})

    def _wait_for(self, definition: Object) -> None:
        deadline = time.monotonic() + 60
        while True:
            found = self.admin.get(definition["apiVersion"], definition["kind"], definition["metadata"]["name"])
            conditions = (found or {}).get("status", {}).get("conditions") or []
            if any(one["type"] == "Established" and one["status"] == "True" for one in conditions):
                return
            assert time.monotonic() < deadline, f"{definition['metadata']['name']}: {conditions}"
            time.sleep(0.1)


def _root(api: str) -> str:
    return f"apis/{api}" if "/" in api else f"api/{api}"


def _is_ok(url: str, **more: Any) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=5, **more).status_code == 200
    except httpx.TransportError:
        return False
