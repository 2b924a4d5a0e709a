"""Deployments on a real API server with Istio's CRDs: applied, kept, changed, taken away, and nothing else touched."""

import asyncio
import base64
import json
from ipaddress import ip_network

from auth.control_plane import ControlPlane as Plane
from auth.outgoing import Outgoing
from deploy.meshes.carrying import carry_out
from deploy.meshes.kubeconfig import read_kubeconfig
from deploy.meshes.kubernetes import Cluster
from deploy.meshes.passing import Pass, Scope, Wanted
from tests.deploy.fleet import header_filter, until
from tests.hub import HubProcess
from tests.mesh.kubernetes import ControlPlane, Object
from tests.mesh.target import HUB, PLUGIN, SECRET, Target
from tests.oci import Client

MAP = ("v1", "ConfigMap", "configmaps")
APPLIED = "applied-not-observed"


def test_a_deployment_is_applied_changed_and_taken_away(target: Target, oci: Client) -> None:
    one = oci.push_filter("admin/passes", "1", header_filter("one"))
    two = oci.push_filter("admin/passes", "2", header_filter("two"))
    name = f"marks.{target.name}"

    target.deploy("marks", "admin/passes:1", config={"a": 1})
    target.becomes("marks", APPLIED)
    plugin = target.object(PLUGIN, name)
    assert plugin is not None
    assert plugin["spec"]["url"].endswith(f"/admin/passes@{one}")
    assert plugin["spec"]["pluginConfig"] == {"a": 1}

    assert target.put("marks", reference="admin/passes:2").status_code == 200
    until(lambda: (target.object(PLUGIN, name) or {})["spec"]["url"].endswith(two), "the new version is applied")
    rolled = target.http.post(f"/api/v1/targets/{target.name}/deployments/marks/rollback")
    assert rolled.status_code == 200, rolled.text
    until(lambda: (target.object(PLUGIN, name) or {})["spec"]["url"].endswith(one), "the old version is back")

    target.undeploy("marks")
    target.becomes("marks", 404)
    assert target.object(PLUGIN, name) is None
    assert target.pull_secrets() == []


def test_the_pull_secret_reads_that_repository_alone(target: Target, oci: Client, mesh_hub: HubProcess) -> None:
    digest = oci.push_filter("admin/mine", "1", header_filter("one"))
    other = oci.push_filter("admin/other", "1", header_filter("two"))
    target.deploy("marks", "admin/mine:1")
    target.becomes("marks", APPLIED)
    secret = target.object(SECRET, *target.pull_secrets())
    assert secret is not None and secret["type"] == "kubernetes.io/dockerconfigjson"
    config = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))
    ((host, held),) = config["auths"].items()
    assert host == f"{HUB}:{mesh_hub.url.rpartition(':')[2]}"

    puller = Client(mesh_hub.url, held["username"], held["password"])
    assert puller.ask("GET", f"/v2/admin/mine/manifests/{digest}").status_code == 200
    assert puller.ask("GET", f"/v2/admin/other/manifests/{other}").status_code in (401, 403, 404)
    target.undeploy("marks")
    target.becomes("marks", 404)
    sign_in = (held["username"], held["password"])
    until(lambda: puller.http.get("/token", auth=sign_in).status_code == 401, "the secret is good no more")
    puller.close()


def test_what_is_changed_or_deleted_by_hand_is_put_right(target: Target, oci: Client) -> None:
    oci.push_filter("admin/drift", "1", header_filter("one"))
    target.deploy("marks", "admin/drift:1", config={"a": 1})
    target.becomes("marks", APPLIED)
    plugin = target.object(PLUGIN, f"marks.{target.name}")
    assert plugin is not None
    path = target.cluster.path_of(plugin)

    edited = target.cluster.http.patch(
        path,
        params={"fieldManager": "kubectl-edit"},
        headers={"Content-Type": "application/merge-patch+json"},
        content=json.dumps({"spec": {"pluginConfig": {"a": 2}}, "metadata": {"annotations": {"mine": "kept"}}}),
    )
    assert edited.status_code == 200, edited.text
    until(lambda: _config(target) == {"a": 1}, "the change is taken back")
    assert (target.object(PLUGIN, f"marks.{target.name}") or {})["metadata"]["annotations"] == {"mine": "kept"}

    target.cluster.delete(plugin)
    until(lambda: _config(target) == {"a": 1}, "the object is there again")


def test_what_is_done_by_hand_is_said_and_left_where_the_deployment_says_so(target: Target, oci: Client) -> None:
    oci.push_filter("admin/report", "1", header_filter("one"))
    placement = {"namespace": target.namespace, "labels": {"app": "gw"}, "drift": "report"}
    target.deploy("marks", "admin/report:1", config={"a": 1}, placement=placement)
    target.becomes("marks", APPLIED)
    plugin = target.object(PLUGIN, f"marks.{target.name}")
    assert plugin is not None
    edited = target.cluster.http.patch(
        target.cluster.path_of(plugin),
        params={"fieldManager": "kubectl-edit"},
        headers={"Content-Type": "application/merge-patch+json"},
        content=json.dumps({"spec": {"pluginConfig": {"a": 2}}}),
    )
    assert edited.status_code == 200, edited.text
    said = target.becomes("marks", "stalled")["message"]
    way = "deploy again to put it right, or undo that"
    assert f"was changed by kubectl-edit and differs in spec.pluginConfig.a; {way}" in said
    assert _config(target) == {"a": 2}
    target.deploy("marks", "admin/report:1", config={"a": 3}, placement=placement)
    target.becomes("marks", APPLIED)
    assert _config(target) == {"a": 3}

    assert target.cluster.http.delete(target.cluster.path_of(plugin)).status_code == 200
    assert "was deleted by hand" in target.becomes("marks", "stalled")["message"]
    target.put("marks", config={"a": 4})
    target.becomes("marks", APPLIED)
    assert _config(target) == {"a": 4}
    target.undeploy("marks")
    target.becomes("marks", 404)
    assert target.object(PLUGIN, f"marks.{target.name}") is None


def test_another_who_applies_is_named_and_not_fought(target: Target, oci: Client) -> None:
    oci.push_filter("admin/fought", "1", header_filter("one"))
    target.deploy("marks", "admin/fought:1", config={"a": 1})
    target.becomes("marks", APPLIED)
    plugin = target.object(PLUGIN, f"marks.{target.name}")
    assert plugin is not None
    del plugin["metadata"]["managedFields"]
    plugin["spec"]["pluginConfig"] = {"a": 2}
    target.cluster.apply(plugin, manager="gitops")

    said = target.becomes("marks", "stalled")["message"]
    assert "gitops" in said and ".spec.pluginConfig" in said
    assert _config(target) == {"a": 2}


def test_what_is_not_the_hubs_is_never_touched(target: Target, oci: Client) -> None:
    oci.push_filter("admin/foreign", "1", header_filter("one"))
    taken: Object = {
        "apiVersion": PLUGIN[0],
        "kind": PLUGIN[1],
        "metadata": {"name": f"marks.{target.name}", "namespace": target.namespace},
        "spec": {"url": "oci://elsewhere.example/x:1"},
    }
    target.cluster.apply(taken)
    target.deploy("marks", "admin/foreign:1")
    assert "is not the hub's" in target.becomes("marks", "stalled")["message"]
    target.deploy("more", "admin/foreign:1")
    target.becomes("more", APPLIED)
    ours = target.object(PLUGIN, f"more.{target.name}")
    assert ours is not None
    copied = {**taken, "spec": ours["spec"], "metadata": {"name": "a-copy", "namespace": target.namespace}}
    copied["metadata"]["labels"] = ours["metadata"]["labels"]
    target.cluster.apply(copied)

    for name in ("marks", "more"):
        target.undeploy(name)
        target.becomes(name, 404)
    assert target.object(PLUGIN, f"more.{target.name}") is None
    assert (target.object(PLUGIN, f"marks.{target.name}") or {})["spec"] == taken["spec"]
    assert target.object(PLUGIN, "a-copy") is not None


def test_a_cluster_that_cannot_be_used_is_refused_when_it_is_registered(
    cluster: ControlPlane, mesh_hub: HubProcess, namespace: str
) -> None:
    made = Target(mesh_hub, cluster.admin, namespace)
    good = cluster.admin.kubeconfig()
    ended = good.replace(cluster.admin.token, "not-the-token")
    elsewhere = good.replace(cluster.url, f"{cluster.url.rpartition(':')[0]}:1")
    for kubeconfig, status, said in (
        (ended, 422, "does not know the hub"),
        (elsewhere, 422, "cannot be reached"),
        ("nonsense", 400, "this is no kubeconfig"),
        (good.replace("token:", "tokenFile:"), 400, "tokenFile"),
    ):
        answer = made.register(kubeconfig=kubeconfig)
        assert (answer.status_code, said in answer.text) == (status, True), answer.text
    made.http.close()


def test_rights_are_told_one_by_one(cluster: ControlPlane, mesh_hub: HubProcess, namespace: str) -> None:
    rules = [{"apiGroups": ["extensions.istio.io"], "resources": ["wasmplugins"], "verbs": ["*"]}]
    made = Target(mesh_hub, cluster.account("hub", namespace, rules, everywhere=True), namespace)
    answer = made.register()
    assert answer.status_code == 201, answer.text
    reach = answer.json()["reach"]
    assert reach["version"]
    rights = {one["may"]: one["allowed"] for one in reach["rights"]}
    assert rights["patch wasmplugins"] is True
    assert rights["patch secrets"] is False
    assert cluster.admin.token not in answer.text
    made.http.close()


def _config(target: Target) -> object:
    found = target.object(PLUGIN, f"marks.{target.name}")
    return found["spec"].get("pluginConfig") if found is not None else None


def test_one_list_tells_that_many_names_are_free(target: Target) -> None:
    names = [f"d-{number}.{target.name}" for number in range(4)]
    foreign = _map(names[2], target, {})
    target.cluster.apply(foreign)

    async def once() -> Pass:
        plane = Plane(Outgoing([ip_network("0.0.0.0/0")]), read_kubeconfig(target.cluster.kubeconfig()))
        try:
            scope = Scope("hub", target.name, [MAP], [target.namespace])
            labels = {"wasmhub/hub": "hub", "wasmhub/target": target.name}
            wanted = [Wanted(name, [(MAP, _map(name, target, labels))]) for name in names]
            return await carry_out(Cluster(plane), scope, wanted, frozenset())
        finally:
            await plane.close()

    done = asyncio.run(once()).done
    assert {name for name in names if done[name].written} == {*names} - {names[2]}
    assert "is not the hub's" in str(done[names[2]].trouble)
    there = target.object(("v1", "ConfigMap"), names[2])
    assert there is not None and "labels" not in there["metadata"]


def _map(name: str, target: Target, labels: dict[str, str]) -> Object:
    meta = {"name": name, "namespace": target.namespace, **({"labels": labels} if labels else {})}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"a": "b"}}
