"""What a deployment would be, asked of a real API server: shown but for secrets, and nothing is changed by it."""

import secrets
from typing import Any

from tests.deploy.fleet import header_filter, until
from tests.hub import HubProcess
from tests.mesh.kubernetes import ControlPlane
from tests.mesh.target import PLUGIN, Target
from tests.oci import Client

APPLIED = "applied-not-observed"


def preview(target: Target, name: str = "marks", **body: Any) -> dict[str, Any]:
    """What would be, for the workloads of the target's namespace."""
    placement = {"namespace": target.namespace, "labels": {"app": "gw"}}
    path = f"/api/v1/targets/{target.name}/deployments/{name}/preview"
    found = target.http.post(path, json={"placement": placement, **body})
    assert found.status_code == 200, found.text
    return dict(found.json())


def changes(found: dict[str, Any]) -> dict[str, str]:
    """What would become of each kind of object."""
    assert found["diff"] is not None, found["notes"]
    return {one["object"].partition(" ")[0]: one["change"] for one in found["diff"]}


def test_what_is_new_is_shown_and_is_not_there_afterwards(target: Target, oci: Client) -> None:
    digest = oci.push_filter("admin/preview", "1", header_filter("one"))
    found = preview(target, reference="admin/preview:1", config={"a": 1})

    secret, plugin = found["objects"]
    assert (secret["kind"], secret["data"]) == ("Secret", {".dockerconfigjson": "(secret)"})
    assert plugin["spec"]["url"].endswith(f"/admin/preview@{digest}")
    assert plugin["spec"]["pluginConfig"] == {"a": 1}
    assert changes(found) == {"Secret": "create", "WasmPlugin": "create"}
    assert (found["problems"], found["notes"]) == ([], [])
    assert target.object(PLUGIN, f"marks.{target.name}") is None
    assert target.pull_secrets() == []
    assert target.deployment("marks")["status"] == 404


def test_what_would_differ_is_named_field_by_field(target: Target, oci: Client) -> None:
    one = oci.push_filter("admin/differ", "1", header_filter("one"))
    two = oci.push_filter("admin/differ", "2", header_filter("two"))
    target.deploy("marks", "admin/differ:1", config={"a": 1})
    target.becomes("marks", APPLIED)
    assert changes(preview(target)) == {"Secret": "none", "WasmPlugin": "none"}

    found = preview(target, reference="admin/differ:2", config={"a": 2})
    fields = {one["field"]: (one["before"], one["after"]) for one in found["diff"][1]["fields"]}
    assert fields.keys() == {"spec.url", "spec.sha256", "spec.pluginConfig.a"}
    assert fields["spec.pluginConfig.a"] == (1, 2)
    assert [value.rpartition("@")[2] for value in fields["spec.url"]] == [one, two]
    assert (target.object(PLUGIN, f"marks.{target.name}") or {})["spec"]["pluginConfig"] == {"a": 1}
    assert target.deployment("marks")["revision"]["number"] == 1


def test_what_would_be_taken_away_or_refused_is_said(target: Target, cluster: ControlPlane, oci: Client) -> None:
    oci.push_filter("admin/moved", "1", header_filter("one"))
    target.deploy("marks", "admin/moved:1")
    target.becomes("marks", APPLIED)
    found = preview(target, placement={"namespace": "nowhere-at-all"})
    said = {(one["object"], one["change"]) for one in found["diff"]}
    assert (f"WasmPlugin {target.namespace}/marks.{target.name}", "delete") in said
    assert (f"WasmPlugin nowhere-at-all/marks.{target.name}", "refused") in said
    assert any("make the namespace first" in one["message"] for one in found["diff"])

    foreign = {"apiVersion": PLUGIN[0], "kind": PLUGIN[1], "spec": {"url": "oci://elsewhere.example/x:1"}}
    place = {"name": f"theirs.{target.name}", "namespace": target.namespace}
    cluster.admin.apply({**foreign, "metadata": place})
    refused = preview(target, "theirs", reference="admin/moved:1")["diff"][1]
    assert refused["change"] == "refused" and "is not the hub's" in refused["message"]


def test_what_a_deployer_is_warned_of_is_said_beforehand(target: Target, oci: Client) -> None:
    oci.push_filter("admin/warned", "1", header_filter("one"))
    rules = {"policy": {"capabilities": {"change_headers": "warn"}}}
    changed = target.http.patch(f"/api/v1/targets/{target.name}", json={"settings": {**target.settings, **rules}})
    assert changed.status_code == 200, changed.text
    notes = preview(target, reference="admin/warned:1")["notes"]
    assert any("headers" in one for one in notes), notes


def test_problems_are_all_said_and_nothing_is_rendered(target: Target, oci: Client) -> None:
    oci.push_filter("admin/text", "1", header_filter("one"))
    found = preview(target, reference="admin/text:1", config="no JSON")
    assert (found["objects"], found["diff"]) == ([], [])
    assert len(found["problems"]) == 1 and "JSON" in found["problems"][0]


def test_what_cannot_be_looked_at_is_a_sentence(cluster: ControlPlane, mesh_hub: HubProcess, oci: Client) -> None:
    oci.push_filter("admin/away", "1", header_filter("one"))
    namespace = cluster.namespace(f"shop-{secrets.token_hex(4)}")
    account = cluster.account("hub", namespace)
    with Target(mesh_hub, account, namespace, observe="nothing", form="EnvoyFilter") as target:
        refused = preview(target, reference="admin/away:1")["diff"][0]
        assert refused["change"] == "refused" and "give its account that right" in refused["message"]

        gone = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "hub", "namespace": namespace}}
        cluster.admin.delete(gone)
        until(lambda: preview(target, reference="admin/away:1")["diff"] is None, "the token is good no more")
        found = preview(target, reference="admin/away:1")
        assert [one["kind"] for one in found["objects"]] == ["EnvoyFilter"]
        assert "/modules/GRANT/" in str(found["objects"])
        assert "is not known" in found["notes"][0] and "GRANT" in found["notes"][1]


def test_who_asks_for_what_cannot_be_is_told(target: Target, mesh_hub: HubProcess) -> None:
    path = f"/api/v1/targets/{target.name}/deployments"
    assert target.http.post(f"{path}/No!/preview", json={}).status_code == 400
    assert target.http.post(f"{path}/d/preview", json={}).status_code == 400
    assert target.http.post(f"{path}/d/preview", json={"reference": "admin/none:1"}).status_code == 404
    fleet = f"f-{secrets.token_hex(4)}"
    assert target.http.post("/api/v1/targets", json={"name": fleet}).status_code == 201
    answer = target.http.post(f"/api/v1/targets/{fleet}/deployments/d/preview", json={"reference": "admin/none:1"})
    assert answer.status_code == 409 and "nothing is applied there" in answer.text


def test_secrets_that_configs_name_are_told_to_the_cluster_alone(
    target: Target, mesh_hub: HubProcess, oci: Client
) -> None:
    oci.push_filter("admin/secretive", "1", header_filter("one"))
    path = f"/api/v1/targets/{target.name}/secrets/key"
    assert target.http.put(path, json={"value": "first-value"}).status_code == 201
    config = {"key": {"$secret": "key"}, "a": 1}
    found = preview(target, reference="admin/secretive:1", config=config)
    assert found["objects"][1]["spec"]["pluginConfig"] == {"key": "(secret key)", "a": 1}
    assert changes(found)["WasmPlugin"] == "create"

    target.deploy("marks", "admin/secretive:1", config=config)
    target.becomes("marks", APPLIED)
    name = f"marks.{target.name}"
    assert (target.object(PLUGIN, name) or {})["spec"]["pluginConfig"] == {"key": "first-value", "a": 1}
    assert changes(preview(target))["WasmPlugin"] == "none"

    assert target.http.put(path, json={"value": "second-value"}).status_code == 200
    told = {"key": "second-value", "a": 1}
    until(lambda: (target.object(PLUGIN, name) or {})["spec"]["pluginConfig"] == told, "the cluster is told")
    found = preview(target, config={"key": "plain", "a": 2})
    fields = {one["field"]: (one["before"], one["after"]) for one in found["diff"][1]["fields"]}
    assert fields == dict.fromkeys(("spec.pluginConfig.key", "spec.pluginConfig.a"), ("(secret)", "(secret)"))
    assert "-value" not in str(found) + str(target.deployment("marks")) + mesh_hub.log()
    assert target.deployment("marks")["revision"]["number"] == 1
