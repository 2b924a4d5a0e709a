"""Objects for meshes that do not run here are what a real API server takes by the documented schema of their kind."""

import copy
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from deploy.targets import gloo, kuma
from deploy.targets.merging import mark
from tests.mesh.kubernetes import ControlPlane
from tests.targets.plans import plan_for

SCHEMAS = Path(__file__).parent / "schemas"
HUB = {"hub": "https://hub.example.com"}
POLICIES = ("FAIL_CLOSED", "FAIL_OPEN", "FAIL_RELOAD")


def install(control: ControlPlane, kind: ModuleType) -> None:
    """Makes a kind of target's objects known to the API server, where what is unknown is refused."""
    control.install((SCHEMAS / f"{kind.KIND}.yaml").read_text())


def refusal(control: ControlPlane, item: dict[str, Any]) -> str:
    """Why the API server does not take the object, where no field may be unknown to it; empty if it does."""
    path = control.admin.path_of(item)
    params = {"fieldManager": "wasmhub", "dryRun": "All", "fieldValidation": "Strict"}
    headers = {"Content-Type": "application/json"}
    answer = control.admin.http.post(path.rpartition("/")[0], params=params, headers=headers, json=item)
    return "" if answer.is_success else str(answer.json()["message"])


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("placed", ["mesh", "labels", "tags", "gateway"])
def test_a_kuma_mesh_is_given_what_its_schema_allows(
    control: ControlPlane, namespace: str, policy: str, placed: str
) -> None:
    install(control, kuma)
    settings = HUB | {"select_by": "MeshSubset" if placed == "tags" else "Dataplane"}
    placement: dict[str, Any] = {"namespace": namespace, "env": {"A": "1"}}
    placement |= {"labels": {"app": "web"}} if placed in ("labels", "tags") else {}
    placement |= {"origin": "gateway"} if placed == "gateway" else {}
    plans = [
        plan_for(kuma, settings, placement, deployment=name, failure_policy=policy, config=config)
        for name, config in (("one", None), ("two", '{"a": 1}'))
    ]
    (item,) = kuma.render_together(plans)
    assert refusal(control, item) == ""
    item["spec"]["default"]["appendModifications"][0]["cluster"]["operation"] = "AddFirst"
    assert "appendModifications[0].cluster.operation" in refusal(control, item)


@pytest.mark.parametrize("policy", POLICIES[:2])
def test_a_gloo_gateway_stays_what_its_schema_allows(control: ControlPlane, namespace: str, policy: str) -> None:
    install(control, gloo)
    theirs = {"image": "registry.example.com/sally/auth:v1", "name": "auth", "rootId": "auth"}
    options = {"healthCheck": {"path": "/up"}, "wasm": {"filters": [theirs]}}
    gateway: dict[str, Any] = {
        "apiVersion": gloo.TYPES[0][0],
        "kind": gloo.TYPES[0][1],
        "metadata": {"name": "gateway-proxy", "namespace": namespace},
        "spec": {"bindPort": 8080, "httpGateway": {"options": options}},
    }
    plans = [
        plan_for(gloo, HUB, {"namespace": namespace} | stage, deployment=name, failure_policy=policy, config=config)
        for name, config, stage in (("one", None, {}), ("two", "per second", {"stage": "AuthNStage"}))
    ]
    wanted = [gloo.render(plan) for plan in plans]
    merged = gloo.merge(gateway, wanted, mark("h1", "mesh"))
    assert refusal(control, merged) == ""
    wrong = copy.deepcopy(merged)
    wrong["spec"]["httpGateway"]["options"]["wasm"]["filters"][1]["vmId"] = "x"
    assert 'unknown field "spec.httpGateway.options.wasm.filters[1].vmId"' in refusal(control, wrong)

    kept = control.admin.apply(gateway)
    try:
        control.admin.apply(merged, manager="tests")
        bare = gloo.merge(control.admin.get(*_where(gateway)) or {}, [], mark("h1", "mesh"))
        assert bare["spec"] == kept["spec"]
    finally:
        control.admin.delete(gateway)


def _where(item: dict[str, Any]) -> tuple[str, str, str, str]:
    return item["apiVersion"], item["kind"], item["metadata"]["name"], item["metadata"]["namespace"]
