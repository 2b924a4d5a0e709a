"""What people do with clients besides push and pull: list, copy, attach, inspect, delete."""

import json
from collections.abc import Callable

import pytest

from tests.clients.home import ClientFailed, Home
from tests.clients.programs import (
    login_crane,
    login_orasgo,
    login_regctl,
    login_skopeo,
    orasgo,
    push_crane,
    push_orasgo,
    push_skopeo,
    regctl,
)
from tests.hub import HubProcess
from tests.peers import built_filter

GONE = "(?i)manifest.unknown|not found"
SCHEMA_TYPE = "application/vnd.wasmhub.config-schema.v1+json"


@pytest.fixture
def module() -> bytes:
    return built_filter("add-header").read_bytes()


def test_crane(open_home: Callable[[str], Home], hub: HubProcess, repository: str, module: bytes) -> None:
    home, name = open_home("crane"), f"{hub.host}/{repository}"
    login_crane(home, "admin", hub.admin_password)
    push_crane(home, f"{name}:v1", module)
    digest = home.run("crane", "digest", f"{name}:v1").decode().strip()

    home.run("crane", "tag", f"{name}:v1", "v2")
    home.run("crane", "copy", f"{name}:v2", f"{name}-copy:v2")

    assert home.run("crane", "ls", name).decode().split() == ["v1", "v2"]
    assert home.run("crane", "digest", f"{name}-copy:v2").decode().strip() == digest
    assert {repository, f"{repository}-copy"} <= set(home.run("crane", "catalog", hub.host).decode().split())
    home.run("crane", "delete", f"{name}@{digest}")
    with pytest.raises(ClientFailed, match=GONE):
        home.run("crane", "manifest", f"{name}:v1")
    assert json.loads(home.run("crane", "manifest", f"{name}-copy:v2"))["schemaVersion"] == 2


def test_skopeo(open_home: Callable[[str], Home], hub: HubProcess, repository: str, module: bytes) -> None:
    home, name = open_home("skopeo"), f"docker://{hub.host}/{repository}"
    login_skopeo(home, "admin", hub.admin_password)
    push_skopeo(home, f"{hub.host}/{repository}:v1", module)

    listed = json.loads(home.run("skopeo", "list-tags", "--tls-verify=false", name))
    seen = json.loads(home.run("skopeo", "inspect", "--tls-verify=false", f"{name}:v1"))
    home.run("skopeo", "delete", "--tls-verify=false", f"{name}:v1")

    assert listed["Tags"] == seen["RepoTags"] == ["v1"]
    with pytest.raises(ClientFailed, match=GONE):
        home.run("skopeo", "inspect", "--tls-verify=false", f"{name}:v1")


def test_regctl(open_home: Callable[[str], Home], hub: HubProcess, repository: str, module: bytes) -> None:
    home, name = open_home("regctl"), f"{hub.host}/{repository}"
    login_regctl(home, "admin", hub.admin_password)
    home.path("plugin.wasm").write_bytes(module)
    regctl(home, "artifact", "put", "--artifact-type", "application/wasm", "--file", "plugin.wasm", f"{name}:v1")

    attach = ["--artifact-type", SCHEMA_TYPE, "--subject", f"{name}:v1"]
    regctl(home, "artifact", "put", *attach, stdin='{"type": "object"}')
    regctl(home, "image", "copy", f"{name}:v1", f"{name}-copy:v1", "--referrers")

    for each in (name, f"{name}-copy"):
        listed = json.loads(regctl(home, "artifact", "list", f"{each}:v1", "--format", "{{json .Manifest}}"))
        assert [entry["artifactType"] for entry in listed["manifests"]] == [SCHEMA_TYPE]
    assert regctl(home, "tag", "ls", name).decode().split() == ["v1"]
    assert repository in regctl(home, "repo", "ls", hub.host).decode().split()
    regctl(home, "tag", "delete", f"{name}:v1")
    with pytest.raises(ClientFailed, match=GONE):
        regctl(home, "manifest", "get", f"{name}:v1")


def test_oras_go(open_home: Callable[[str], Home], hub: HubProcess, repository: str, module: bytes) -> None:
    home, reference = open_home("oras-go"), f"{hub.host}/{repository}:v1"
    login_orasgo(home, "admin", hub.admin_password)
    push_orasgo(home, reference, module)
    home.path("schema.json").write_text('{"type": "object"}')

    attached = orasgo(home, "attach", reference, "schema.json").decode().strip()

    assert orasgo(home, "referrers", reference).decode().split() == [attached, SCHEMA_TYPE]
    assert orasgo(home, "tags", f"{hub.host}/{repository}").decode().split() == ["v1"]
