"""Private images in a cluster: one Secret for all that pull a repository in a namespace, there for as long as it is
named.
"""

import base64
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from tests.deploy.fleet import header_filter, until
from tests.hub import HubProcess
from tests.mesh.kubernetes import Object
from tests.mesh.target import PLUGIN, SECRET, Target
from tests.oci import Client

APPLIED = "applied-not-observed"


@pytest.fixture
def told(target: Target) -> Iterator[None]:
    """Sees that no plugin named a Secret at any moment that was not there."""
    since = {kind: target.cluster.version(*kind, target.namespace) for kind in (SECRET, PLUGIN)}
    yield
    events = [
        (int(one["object"]["metadata"]["resourceVersion"]), kind, one["type"], one["object"])
        for kind, version in since.items()
        for one in target.cluster.events(*kind, target.namespace, version)
    ]
    there: set[str] = set()
    named: dict[str, str] = {}
    for _, kind, what, one in sorted(events, key=lambda event: event[0]):
        name = one["metadata"]["name"]
        if kind == SECRET:
            there = there - {name} if what == "DELETED" else there | {name}
        elif what == "DELETED":
            del named[name]
        else:
            named[name] = one["spec"]["imagePullSecret"]
        assert {*named.values()} <= there, (what, kind, name)
    assert events and not named and not there


@pytest.mark.usefixtures("told")
def test_what_pulls_one_repository_shares_a_secret(target: Target, oci: Client) -> None:
    for name in ("shared", "lone"):
        oci.push_filter(f"admin/{name}", "1", header_filter(name))
    for name, filter_name in (("marks", "shared"), ("limits", "shared"), ("signs", "lone")):
        target.deploy(name, f"admin/{filter_name}:1")
        target.becomes(name, APPLIED)
    assert named(target, "marks") == named(target, "limits") != named(target, "signs")
    assert target.pull_secrets() == sorted([named(target, "marks"), named(target, "signs")])
    plugin, secret = target.object(PLUGIN, f"limits.{target.name}"), target.object(SECRET, named(target, "limits"))
    assert plugin and secret and secret["metadata"]["annotations"] == {"wasmhub/repository": "admin/shared"}

    target.undeploy("marks")
    target.becomes("marks", 404)
    assert named(target, "limits") in target.pull_secrets()
    shown = target.http.post(
        f"/api/v1/targets/{target.name}/deployments/limits/preview", json={"reference": "admin/lone:1"}
    ).json()["diff"]
    assert [(one["change"], one["object"].partition(" ")[0]) for one in shown] == [
        ("none", "Secret"), ("change", "WasmPlugin"), ("delete", "Secret")
    ]  # fmt: skip
    target.deploy("limits", "admin/lone:1")
    until(lambda: target.pull_secrets() == [named(target, "signs")], "what nothing names is taken away")
    assert named(target, "limits") == named(target, "signs")
    for name in ("limits", "signs"):
        target.undeploy(name)
        target.becomes(name, 404)
    assert target.pull_secrets() == []


@pytest.mark.usefixtures("told")
def test_secrets_of_one_deployment_each_are_left_for_the_shared_one(
    target: Target, oci: Client, mesh_hub: HubProcess
) -> None:
    oci.push_filter("admin/earlier", "1", header_filter("one"))
    placement = {"namespace": target.namespace, "labels": {"app": "gw"}}
    target.deploy("marks", "admin/earlier:1", placement=placement)
    target.deploy("kept", "admin/earlier:1", placement={**placement, "drift": "report"})
    for name in ("marks", "kept"):
        target.becomes(name, APPLIED)
    shared = target.object(SECRET, named(target, "marks"))
    assert shared is not None

    mesh_hub.stop()
    for name in ("marks", "kept"):
        _make_earlier(target, name, shared)
    target.cluster.delete(shared)
    with contextlib.closing(mesh_hub.open_database()) as database, database.write() as session:
        session.execute(text("UPDATE pull_credentials SET created_at = 0"))
    mesh_hub.start()

    until(lambda: _earlier("marks", target) not in target.pull_secrets(), "it is left")
    assert named(target, "marks") == shared["metadata"]["name"]
    assert "was changed by kubectl-edit" in target.becomes("kept", "stalled")["message"]
    assert named(target, "kept") == _earlier("kept", target)
    now, former = password(target, named(target, "marks")), password(target, shared)
    assert now == password(target, named(target, "kept")) != former, "both have the new secret"
    for held in (now, former):
        assert _signs_in(mesh_hub, held), "one is good while another takes its place"

    target.deploy("kept", "admin/earlier:1", placement={**placement, "drift": "report"})
    until(lambda: target.pull_secrets() == [shared["metadata"]["name"]], "the last is left")
    for name in ("marks", "kept"):
        target.undeploy(name)
        target.becomes(name, 404)


def named(target: Target, deployment: str) -> str:
    """The Secret that a deployment's plugin names."""
    plugin = target.object(PLUGIN, f"{deployment}.{target.name}")
    assert plugin is not None
    return str(plugin["spec"]["imagePullSecret"])


def password(target: Target, secret: str | Object) -> tuple[str, str]:
    """What a Secret has agents sign in with."""
    found = target.object(SECRET, secret) if isinstance(secret, str) else secret
    assert found is not None
    ((_, held),) = json.loads(base64.b64decode(found["data"][".dockerconfigjson"]))["auths"].items()
    return held["username"], held["password"]


def _earlier(deployment: str, target: Target) -> str:
    return f"{deployment}.{target.name}.pull"


def _make_earlier(target: Target, deployment: str, shared: Object) -> None:
    """Has the cluster look as a hub left it that made a Secret for each deployment; somebody edited what is kept."""
    plugin = target.object(PLUGIN, f"{deployment}.{target.name}")
    assert plugin is not None
    place = {"name": _earlier(deployment, target), "namespace": target.namespace}
    secret: dict[str, Any] = {name: shared[name] for name in ("apiVersion", "kind", "type", "data")}
    target.cluster.apply({**secret, "metadata": {**place, "labels": plugin["metadata"]["labels"]}}, manager="wasmhub")
    if deployment == "kept":
        target.cluster.http.patch(
            target.cluster.path_of(plugin),
            params={"fieldManager": "kubectl-edit"},
            headers={"Content-Type": "application/merge-patch+json"},
            content=json.dumps({"spec": {"priority": 7}}),
        ).raise_for_status()
        plugin["spec"].pop("priority")
    meta = {name: plugin["metadata"][name] for name in ("name", "namespace", "labels")}
    spec = {**plugin["spec"], "imagePullSecret": place["name"]}
    target.cluster.apply({**plugin, "metadata": meta, "spec": spec}, manager="wasmhub")


def _signs_in(hub: HubProcess, held: tuple[str, str]) -> bool:
    client = Client(hub.url, *held)
    try:
        return bool(client.http.get("/token", auth=held).status_code == 200)
    finally:
        client.close()
