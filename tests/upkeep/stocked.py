"""A hub with something of everything that it keeps, commands typed where it runs, and what must be there afterwards."""

import hashlib
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests import launcher
from tests.hub import HubProcess
from tests.oci import Client

HOLDER = "admin/shop"
COPIES = ("admin/shop", "admin/other", "admin/deep/er")


@dataclass
class Stock:
    """What was acknowledged: tags by repository and name, blobs by repository and digest."""

    manifests: dict[tuple[str, str], str] = field(default_factory=dict)
    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def push(self, client: Client, name: str, tag: str, content: bytes) -> None:
        """Pushes an image of one layer, and remembers it."""
        digest = client.push_image(name, tag, content)
        self.manifests[name, tag] = digest
        self.blobs[name, f"sha256:{hashlib.sha256(content).hexdigest()}"] = content

    def check(self, hub: HubProcess) -> None:
        """Reads all of it again, byte for byte."""
        client = Client(hub.url, "admin", hub.admin_password)
        for (name, tag), digest in self.manifests.items():
            answer = client.ask("GET", f"/v2/{name}/manifests/{tag}")
            assert answer.status_code == 200, (name, tag, answer.text)
            assert f"sha256:{hashlib.sha256(answer.content).hexdigest()}" == digest
        for (name, digest), content in self.blobs.items():
            answer = client.ask("GET", f"/v2/{name}/blobs/{digest}")
            assert (answer.status_code, answer.content) == (200, content), (name, digest)
        client.close()
        with _administrator(hub) as administrator:
            found = administrator.get("/providers/main").raise_for_status().json()
        assert found["has_secret"] is True and [one["group"] for one in found["groups"]] == ["ops"]


def stock(hub: HubProcess) -> Stock:
    """Small blobs and one of 20 MiB, one of them in several repositories, tags, an empty blob, and a provider."""
    client = Client(hub.url, "admin", hub.admin_password)
    made = Stock()
    for name in COPIES:
        made.push(client, name, "shared", b"the same everywhere")
        made.push(client, name, "own", name.encode() * 100)
    made.push(client, HOLDER, "large", os.urandom(20 * 2**20))
    made.push(client, HOLDER, "empty", b"")
    client.close()
    with _administrator(hub) as administrator:
        known = {"name": "main", "issuer": "https://login.example.com", "client_id": "hub", "client_secret": "a secret"}
        administrator.post("/providers", json=known).raise_for_status()
        administrator.post("/providers/main/groups", json={"group": "ops", "role": "auditor"}).raise_for_status()
    return made


def _administrator(hub: HubProcess) -> httpx.Client:
    auth = ("admin", hub.admin_password)
    return httpx.Client(base_url=f"{hub.url}/api/v1", auth=auth, timeout=30, trust_env=False)


def run(
    hub: HubProcess, *arguments: str, kill_after: float | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    """A command at the place where the hub runs, with its settings. Raises TimeoutExpired if it had to be killed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("WASMHUB_", "AWS_"))}
    told = hub.told()
    del told["WASMHUB_LISTEN"]
    done = launcher.run(arguments, environment | told | more, timeout=kill_after or 120)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def succeed(hub: HubProcess, *arguments: str, **more: str) -> Any:
    """What a command that must succeed says as JSON."""
    done = run(hub, *arguments, "--output", "json", **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def copy_of(hub: HubProcess, digest: str) -> Path:
    """The file in which an embedded hub keeps a blob that only one file of this size can be."""
    algorithm, _, wanted = digest.partition(":")
    for path in (hub.data / "blobs" / "copies").glob("*/*"):
        if hashlib.new(algorithm, path.read_bytes()).hexdigest() == wanted:
            return path
    raise AssertionError(f"no file holds {digest}")
