"""The commands at a hub with a real API server: a mesh is registered, deployed to, rendered, followed and taken off."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cli.commands import Commands
from tests.deploy.fleet import header_filter, until
from tests.hub import HubProcess
from tests.mesh.kubernetes import ControlPlane, Object
from tests.mesh.target import HUB, PLUGIN
from tests.oci import Client

FILTER = "admin/typed"


@pytest.fixture(scope="module", autouse=True)
def versions(oci: Client) -> None:
    """Two versions of the filter."""
    for tag in ("1", "2"):
        oci.push_filter(FILTER, tag, header_filter(tag))


@pytest.fixture(scope="module")
def admin(mesh_hub: HubProcess) -> Commands:
    """The administrator of that hub."""
    nobody = Commands(mesh_hub.url)
    made = nobody.json("token", "create", "mesh tests", "--user", "admin", stdin=mesh_hub.admin_password + "\n")
    return Commands(mesh_hub.url, made["token"])


@pytest.fixture
def mesh(cluster: ControlPlane, admin: Commands, mesh_hub: HubProcess) -> Iterator[str]:
    """A new target, of which nothing is left afterwards."""
    name = f"t-{secrets.token_hex(3)}"
    options = ["--hub", f"http://{HUB}:{mesh_hub.url.rpartition(':')[2]}", "--setting", "observe=nothing"]
    made = admin.text(
        "targets", "create", name, "--kind", "istio", *options, "--kubeconfig", "-", stdin=cluster.admin.kubeconfig()
    )
    assert made.startswith(f"made {name}\nreached: v") and "\n  patch wasmplugins: yes\n" in made
    yield name
    for one in admin.json("deployments", "--target", name):
        admin.text("undeploy", one["name"], "--target", name)
    admin.text("targets", "delete", name)


def plugin(cluster: ControlPlane, mesh: str, namespace: str) -> Object | None:
    """What is in the cluster for the deployment `typed`."""
    return cluster.admin.get(*PLUGIN, f"typed.{mesh}", namespace)


def test_a_filter_is_deployed_changed_and_taken_off(
    admin: Commands, mesh: str, cluster: ControlPlane, namespace: str
) -> None:
    place = ("--namespace", namespace, "--label", "app=web")
    said = admin.text("deploy", f"{FILTER}:1", "--target", mesh, *place).splitlines()
    assert said[0].startswith(f"{mesh}/typed: revision 1 is {FILTER}:1 (sha256:")
    assert said[-1].startswith("applied-not-observed: revision 1 was applied")
    there = plugin(cluster, mesh, namespace)
    assert there is not None and there["spec"]["selector"] == {"matchLabels": {"app": "web"}}

    shown = admin.text("deployments", "show", "typed", "--target", mesh)
    assert json.dumps({"namespace": namespace, "labels": {"app": "web"}}) in shown
    assert "no proxy of" not in shown and "slot" not in shown
    assert "revision 2 is" in admin.text("deploy", f"{FILTER}:2", "--target", mesh)

    gone = admin.text("undeploy", "typed", "--target", mesh).splitlines()
    assert gone[-1] == f"{mesh}/typed is undeployed; none of its objects is left"
    assert plugin(cluster, mesh, namespace) is None
    assert "no deployment 'typed'" in admin.refused("deployments", "show", "typed", "--target", mesh)


def test_what_the_mesh_refuses_ends_with_the_sentence(admin: Commands, mesh: str, tmp_path: Path) -> None:
    placement = tmp_path / "placement.json"
    placement.write_text(json.dumps({"namespace": "nowhere-at-all", "ports": [8080]}))
    said = admin.refused("deploy", f"{FILTER}:1", "--target", mesh, "--placement", str(placement))
    assert said.startswith(f"{mesh}/typed stalled: ") and "make the namespace first" in said
    assert f"`wasmhub undeploy typed --target {mesh}` takes it off" in said
    assert admin.json("deployments", "--target", mesh)[0]["revision"]["placement"]["ports"] == [8080]
    wrong = admin.refused("deploy", f"{FILTER}:1", "--target", mesh, "--namespace", "x", "--service", "y")
    assert "there is no field 'service' in a placement by WasmPlugin" in wrong


def test_objects_held_by_somebody_are_waited_for(
    admin: Commands, mesh: str, cluster: ControlPlane, namespace: str
) -> None:
    admin.text("deploy", f"{FILTER}:1", "--target", mesh, "--namespace", namespace)
    there = plugin(cluster, mesh, namespace)
    assert there is not None
    held = {name: there["metadata"][name] for name in ("name", "namespace")} | {"finalizers": ["tests.example/held"]}
    cluster.admin.apply({"apiVersion": PLUGIN[0], "kind": PLUGIN[1], "metadata": held}, manager="holder")

    said = admin.run("undeploy", "typed", "--target", mesh, "--wait", "1")
    assert said.returncode == 1 and "not all of it is gone after 1 s" in said.stderr
    assert "is undeployed" in admin.text("undeploy", "typed", "--target", mesh, "--no-wait")
    cluster.admin.apply(
        {"apiVersion": PLUGIN[0], "kind": PLUGIN[1], "metadata": {**held, "finalizers": []}}, manager="holder"
    )
    until(lambda: admin.json("deployments", "--target", mesh) == [], "what held it let it go", 60)
    assert plugin(cluster, mesh, namespace) is None


def test_objects_are_rendered_as_yaml_that_the_cluster_takes(
    admin: Commands, mesh: str, cluster: ControlPlane, namespace: str
) -> None:
    wish = (f"{FILTER}:1", "--target", mesh, "--namespace", namespace)
    done = admin.run("render", *wish)
    assert done.returncode == 0, done.stderr
    (rendered,) = yaml.safe_load_all(done.stdout)
    secret = f"{namespace}/{rendered['spec']['imagePullSecret']}"
    assert f"the secret {secret}, which is left out" in done.stderr
    assert (rendered["apiVersion"], rendered["kind"]) == PLUGIN
    cluster.admin.apply(rendered, dry=True)
    assert plugin(cluster, mesh, namespace) is None

    assert f"create WasmPlugin {namespace}/typed.{mesh}" in admin.text("render", *wish, "--diff")
    admin.text("deploy", *wish)
    changed = admin.text("render", f"{FILTER}:2", "--target", mesh, "--diff")
    assert f"none Secret {secret}\nchange WasmPlugin" in changed
    assert "\n  spec.url: oci://" in changed
    assert admin.json("render", *wish)["diff"][1]["change"] == "none"


def test_a_mesh_is_shown_and_configured(admin: Commands, mesh: str, cluster: ControlPlane, namespace: str) -> None:
    told = dict(line.split(maxsplit=1) for line in admin.text("targets", "show", mesh).splitlines() if " " in line)
    assert told["kind"] == "istio" and told["form"] == "WasmPlugin" and told["observe"] == "nothing"
    assert told["state"] in ("new", "reached")
    said = admin.text("targets", "configure", mesh, "--setting", "istio_version=1.13", "--setting", "restrict=false")
    assert said == f"{mesh} is configured\n"
    settings = admin.json("targets", "show", mesh)["settings"]
    assert (settings["istio_version"], settings["restrict"], settings["observe"]) == ("1.13", False, "nothing")
    assert "1.14" in admin.refused("render", f"{FILTER}:1", "--target", mesh, "--namespace", namespace)

    account = cluster.account("hub", namespace)
    shown = admin.text("targets", "configure", mesh, "--kubeconfig", "-", stdin=account.kubeconfig())
    assert "  patch wasmplugins: no (deployments there are stalled)" in shown
    admin.text("targets", "configure", mesh, "--kubeconfig", "-", stdin=cluster.admin.kubeconfig())
    assert "there is no field 'obsreve'" in admin.refused("targets", "configure", mesh, "--setting", "obsreve=nothing")
    assert "this is no kubeconfig" in admin.refused("targets", "configure", mesh, "--kubeconfig", "-", stdin="x")
