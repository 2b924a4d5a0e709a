"""A Kuma target on a real API server that knows Kuma's kind by its documented schema; no Kuma runs there."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.fleet import header_filter, until
from tests.hub import HubProcess
from tests.mesh.kubernetes import ControlPlane, Object
from tests.mesh.target import MeshTarget
from tests.oci import Client

POLICY = ("kuma.io/v1alpha1", "MeshProxyPatch")
SCHEMA = Path(__file__).parent / "schemas" / "kuma.yaml"
APPLIED = "applied-not-observed"
RIGHTS = {"apiGroups": ["kuma.io"], "resources": ["meshproxypatches"]}
VERBS = ["get", "list", "watch", "create", "patch", "delete"]


class KumaTarget(MeshTarget):
    """A Kuma target whose account may do with policies what the hub needs, and nothing else."""

    def __init__(self, running: HubProcess, control: ControlPlane, namespace: str) -> None:
        self.namespace = namespace
        self.cluster = control.admin
        account = control.account("hub", namespace, [{**RIGHTS, "verbs": VERBS}])
        settings = {"hub": "https://hub.example.com", "system_namespace": namespace}
        super().__init__(running, {"kind": "kuma", "settings": settings, "kubeconfig": account.kubeconfig()})

    def policies(self) -> list[Object]:
        """The policies in its namespace."""
        return self.cluster.all(*POLICY, self.namespace)

    def filters(self) -> dict[str, list[str]]:
        """The deployments of each policy, in the order of their filters."""
        return {one["metadata"]["name"]: [*map(_deployment, _filters(one))] for one in self.policies()}


def _filters(policy: Object) -> list[dict[str, Any]]:
    listed = policy["spec"]["default"]["appendModifications"]
    return [json.loads(one["httpFilter"]["value"]) for one in listed if "httpFilter" in one]


def _deployment(held: dict[str, Any]) -> str:
    return str(held["name"]).rpartition("/")[2]


@pytest.fixture
def target(control: ControlPlane, mesh_hub: HubProcess, namespace: str) -> Iterator[KumaTarget]:
    control.install(SCHEMA.read_text())
    made = KumaTarget(mesh_hub, control, namespace)
    answer = made.register()
    assert answer.status_code == 201, answer.text
    assert {one["may"]: one["allowed"] for one in answer.json()["reach"]["rights"]}.keys() == {
        f"{verb} meshproxypatches" for verb in VERBS
    }
    yield made
    made.http.close()


def test_policies_come_change_and_go_with_their_deployments(target: KumaTarget, oci: Client) -> None:
    for name in ("one", "two"):
        oci.push_filter(f"admin/kuma-{name}", "1", header_filter(name))
    web = {"labels": {"app": "web"}}
    target.deploy("one", "admin/kuma-one:1", placement=web, order=20)
    assert (
        target.becomes("one", APPLIED)["message"] == "revision 1 was applied; whether proxies run it was not looked at"
    )
    target.deploy("two", "admin/kuma-two:1", placement=web, order=10)
    target.becomes("two", APPLIED)
    (policy,) = target.policies()
    assert list(target.filters().values()) == [["two", "one"]]
    assert policy["spec"]["targetRef"] == {"kind": "Dataplane", "labels": {"app": "web"}}
    url = _filters(policy)[0]["typed_config"]["config"]["vm_config"]["code"]["remote"]["http_uri"]["uri"]
    assert url.startswith("https://hub.example.com/modules/")

    target.deploy("one", "admin/kuma-one:1", placement={}, order=20)
    until(lambda: sorted(target.filters().values()) == [["one"], ["two"]], "it has a policy of its own")
    target.cluster.delete(policy)
    until(lambda: sorted(target.filters().values()) == [["one"], ["two"]], "what was deleted by hand is back")

    target.undeploy("one")
    target.becomes("one", 404)
    assert list(target.filters().values()) == [["two"]]
    target.undeploy("two")
    target.becomes("two", 404)
    assert target.policies() == []


def test_what_is_done_by_hand_is_said_and_left_where_a_deployment_says_so(target: KumaTarget, oci: Client) -> None:
    oci.push_filter("admin/kuma-report", "1", header_filter("one"))
    target.deploy("asks", "admin/kuma-report:1", placement={"drift": "report"})
    target.becomes("asks", APPLIED)
    (policy,) = target.policies()
    edited = target.cluster.http.patch(
        target.cluster.path_of(policy),
        params={"fieldManager": "kubectl-edit"},
        headers={"Content-Type": "application/merge-patch+json"},
        content=json.dumps({"spec": {"default": {"appendModifications": []}}}),
    )
    assert edited.status_code == 200, edited.text
    said = "was changed by kubectl-edit and differs in spec.default.appendModifications; deploy asks again"
    assert said in target.becomes("asks", "stalled")["message"]
    assert [*target.filters().values()] == [[]]
    target.put("asks", config={"a": 1})
    target.becomes("asks", APPLIED)
    assert [*target.filters().values()] == [["asks"]]
    target.undeploy("asks")
    target.becomes("asks", 404)


def test_policies_of_others_stay(target: KumaTarget, oci: Client) -> None:
    theirs = {
        "apiVersion": POLICY[0],
        "kind": POLICY[1],
        "metadata": {"name": "theirs", "namespace": target.namespace, "labels": {"kuma.io/mesh": "default"}},
        "spec": {"targetRef": {"kind": "Mesh"}, "default": {"appendModifications": []}},
    }
    kept = target.cluster.apply(theirs)
    oci.push_filter("admin/kuma-beside", "1", header_filter("beside"))
    target.deploy("beside", "admin/kuma-beside:1")
    target.becomes("beside", APPLIED)
    preview = target.http.post(f"/api/v1/targets/{target.name}/deployments/beside/preview", json={"order": 7})
    assert [one["change"] for one in preview.json()["diff"]] == ["none"], preview.text
    target.undeploy("beside")
    target.becomes("beside", 404)
    assert target.policies() == [kept]


def test_what_cannot_be_made_any_more_keeps_what_there_is(target: KumaTarget, oci: Client) -> None:
    for name in ("gone", "stays"):
        oci.push_filter(f"admin/kuma-{name}", "1", header_filter(name))
        target.deploy(name, f"admin/kuma-{name}:1", failure_policy="FAIL_RELOAD" if name == "gone" else "FAIL_CLOSED")
        target.becomes(name, APPLIED)
    before = target.filters()
    target.configure(envoy_version="1.20")

    found = target.becomes("gone", "stalled")
    assert "FAIL_RELOAD needs Envoy 1.33" in found["message"]
    target.deploy("stays", "admin/kuma-stays:1", config="changed")
    target.becomes("stays", APPLIED)
    assert target.filters() == before
    target.undeploy("gone")
    target.becomes("gone", 404)
    assert list(target.filters().values()) == [["stays"]]
