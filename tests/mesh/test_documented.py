"""What docs/deploy-istio.md has people copy is enough for the hub, in a whole cluster and in one namespace."""

import re
from typing import Any

import httpx
import pytest
import yaml

from tests.deploy.fleet import header_filter
from tests.hub import ROOT, HubProcess
from tests.mesh.kubernetes import Cluster, ControlPlane, Object
from tests.mesh.target import PLUGIN, Target
from tests.oci import Client

PAGE = (ROOT / "docs" / "deploy-istio.md").read_text()
APPLIED = "applied-not-observed"


@pytest.fixture(scope="module", autouse=True)
def versions(oci: Client) -> None:
    """Two versions of the filter."""
    for tag in ("1", "2"):
        oci.push_filter("admin/documented", tag, header_filter(tag))


def written() -> list[Object]:
    """The objects to copy."""
    (text,) = [one for one in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "ServiceAccount" in one]
    return list(yaml.safe_load_all(text))


def rules() -> list[Any]:
    """The rights to copy."""
    return next(list(one["rules"]) for one in written() if one["kind"] == "ClusterRole")


def come_and_go(target: Target, form: tuple[str, str]) -> None:
    """Deploys, changes and undeploys with the target's account."""
    target.deploy("marks", "admin/documented:1")
    target.becomes("marks", APPLIED)
    target.put("marks", reference="admin/documented:2")
    target.becomes("marks", APPLIED)
    assert target.object(form, f"marks.{target.name}") is not None
    target.undeploy("marks")
    target.becomes("marks", 404)
    assert target.object(form, f"marks.{target.name}") is None
    assert target.pull_secrets() == []


def test_what_is_to_be_copied_is_enough(cluster: ControlPlane, mesh_hub: HubProcess, namespace: str) -> None:
    for one in written():
        cluster.admin.apply(one)
    found = cluster.admin.get("v1", "Secret", "hub", "wasmhub")
    assert found is not None and found["type"] == "kubernetes.io/service-account-token"
    account = Cluster(cluster.url, cluster.token("hub", "wasmhub"), cluster.authority)
    target = Target(mesh_hub, account, namespace)
    made = target.register()
    assert made.status_code == 201, made.text
    rights = {one["may"]: one["allowed"] for one in made.json()["reach"]["rights"]}
    assert all(rights.values()) and {"create wasmplugins", "get pods/proxy"} <= rights.keys(), rights
    target.http.patch(f"/api/v1/targets/{target.name}", json={"settings": {**target.settings, "observe": "nothing"}})
    target.cluster = cluster.admin
    come_and_go(target, PLUGIN)
    assert account.http.get("/api/v1/nodes").status_code == 403
    target.http.close()
    account.http.close()


def test_a_role_in_one_namespace_is_enough_for_that(
    cluster: ControlPlane, mesh_hub: HubProcess, namespace: str
) -> None:
    account = cluster.account("hub", namespace, rules())
    with Target(mesh_hub, account, namespace, observe="nothing") as target:
        target.cluster = cluster.admin
        come_and_go(target, PLUGIN)
        target.deploy("marks", "admin/documented:1", placement={"namespace": "default"})
        assert "may not" in target.becomes("marks", "stalled")["message"]
        target.undeploy("marks")
        target.becomes("marks", 404)


def test_each_right_is_needed(cluster: ControlPlane, mesh_hub: HubProcess, namespace: str) -> None:
    for missing in ("create", "patch"):
        place = cluster.namespace(f"{namespace}-{missing}")
        fewer = [{**one, "verbs": [verb for verb in one["verbs"] if verb != missing]} for one in rules()]
        account = cluster.account("hub", place, fewer, everywhere=True)
        target = Target(mesh_hub, account, place, observe="nothing")
        made = target.register()
        rights = {one["may"]: one["allowed"] for one in made.json()["reach"]["rights"]}
        assert rights[f"{missing} wasmplugins"] is False and rights["list wasmplugins"] is True
        target.deploy("marks", "admin/documented:1")
        assert "give its account that right" in target.becomes("marks", "stalled")["message"]
        target.http.close()


def test_the_hub_answers_what_the_page_says_it_refuses(cluster: ControlPlane, mesh_hub: HubProcess) -> None:
    target = Target(mesh_hub, cluster.admin, "default", hub="http://10.0.0.1")
    answer: httpx.Response = target.register()
    assert answer.status_code == 400 and "DNS name" in answer.text
    target.http.close()
