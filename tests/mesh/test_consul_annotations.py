"""What is rendered for Consul on Kubernetes, applied to a Deployment of others on a real API server and taken away."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy.fleet import header_filter
from tests.hub import HubProcess
from tests.mesh.consul import Consul
from tests.mesh.kubernetes import ControlPlane, Object
from tests.mesh.target import ConsulTarget
from tests.oci import Client

OURS = "wasmhub"
PREFIX = "consul.hashicorp.com/"
THEIRS = {f"{PREFIX}connect-inject": "true", "example.com/owner": "shop", f"{PREFIX}connect-service-upstreams": "db:1"}
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "servicedefaults.consul.hashicorp.com"},
    "spec": {
        "group": "consul.hashicorp.com",
        "names": {"kind": "ServiceDefaults", "plural": "servicedefaults", "singular": "servicedefaults"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


@pytest.fixture
def east(mesh_hub: HubProcess, consul: Consul) -> Iterator[ConsulTarget]:
    """A Consul, to which nothing is written."""
    with ConsulTarget(mesh_hub, consul.url, consul.token) as made:
        yield made


@pytest.fixture
def web(control: ControlPlane, namespace: str) -> Object:
    """A Deployment as its owners keep it."""
    container = {"name": "web", "image": "web:1"}
    template = {"metadata": {"labels": {"app": "web"}, "annotations": THEIRS}, "spec": {"containers": [container]}}
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    metadata = {"name": "web", "namespace": namespace, "labels": {"team": "shop"}}
    made = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
    return control.admin.apply(made, manager="owners")


def rendered(east: ConsulTarget, form: str, namespace: str, **query: str) -> dict[str, Any]:
    """What the hub prints for `admin/annotated:1` on the service `web`."""
    asked = {"form": form, "kube_namespace": namespace, **query}
    wish = {"reference": "admin/annotated:1", "placement": {"service": "web"}, "root_id": "add_header"}
    answer = east.http.post(f"/api/v1/targets/{east.name}/deployments/limits/preview", params=asked, json=wish)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert found["diff"] is None and any("nobody tells the hub" in note for note in found["notes"]) != bool(
        found["problems"]
    )
    return found


def annotations(control: ControlPlane, namespace: str) -> dict[str, str]:
    """Of the Deployment's pods now."""
    found = control.admin.get("apps/v1", "Deployment", "web", namespace)
    assert found is not None
    return dict(found["spec"]["template"]["metadata"]["annotations"])


def without_annotations(patch: Object) -> Object:
    return {**patch, "spec": {}}


def test_a_volume_is_mounted_and_taken_away_alone(
    control: ControlPlane, oci: Client, east: ConsulTarget, web: Object, namespace: str
) -> None:
    control.install([json.dumps(DEFINITION)])
    oci.push_filter("admin/annotated", "1", header_filter("one"))
    config_map, patch, defaults = rendered(east, "volume", namespace, workload="web")["objects"]
    for one in (config_map, patch, defaults):
        control.admin.apply(one, manager=OURS)

    now = annotations(control, namespace)
    (volume,) = json.loads(now[f"{PREFIX}consul-sidecar-user-volume"])
    (mount,) = json.loads(now[f"{PREFIX}consul-sidecar-user-volume-mount"])
    there = control.admin.get("v1", "ConfigMap", volume["configMap"]["name"], namespace)
    kept = control.admin.get("consul.hashicorp.com/v1alpha1", "ServiceDefaults", "web", namespace)
    assert THEIRS.items() <= now.items() and len(now) == len(THEIRS) + 2
    assert there is not None and kept is not None and volume["name"] == mount["name"]
    (extension,) = kept["spec"]["envoyExtensions"]
    code = extension["arguments"]["PluginConfig"]["VmConfig"]["Code"]
    (module,) = there["binaryData"]
    assert code == {"Local": {"Filename": f"{mount['mountPath']}/{module}"}}

    control.admin.apply(without_annotations(patch), manager=OURS)
    control.admin.delete(config_map)
    control.admin.delete(defaults)
    after = control.admin.get("apps/v1", "Deployment", "web", namespace)
    assert after is not None and after["spec"] == web["spec"], "what others wrote is as it was"
    assert after["metadata"]["labels"] == {"team": "shop"}


def test_the_forks_annotations_stand_beside_those_of_others(
    control: ControlPlane, oci: Client, east: ConsulTarget, web: Object, namespace: str
) -> None:
    oci.push_filter("admin/annotated", "1", header_filter("one", abi="0_1_0"))
    images = {"sidecar_image": "hub.test/sidecars/web:1", "sidecar_base": "envoy:2020"}
    found = rendered(east, "fork", namespace, workload="web", **images)
    assert found["problems"] == []
    (patch,) = found["objects"]
    assert any("FROM envoy:2020" in note and "COPY" in note for note in found["notes"])
    control.admin.apply(patch, manager=OURS)

    now = annotations(control, namespace)
    path = now.pop(f"{PREFIX}connect-wasm-filter-add_header")
    assert path.startswith("/filters/") and path.endswith(".wasm")
    assert now.pop(f"{PREFIX}connect-inject-image") == images["sidecar_image"]
    assert now.pop(f"{PREFIX}connect-service-protocol") == "http"
    assert now == THEIRS

    control.admin.apply(without_annotations(patch), manager=OURS)
    after = control.admin.get("apps/v1", "Deployment", "web", namespace)
    assert after is not None and after["spec"] == web["spec"], "also what both of us had said stays theirs"


def test_a_module_of_today_is_not_for_the_fork(oci: Client, east: ConsulTarget, namespace: str) -> None:
    oci.push_filter("admin/annotated", "1", header_filter("one"))
    images = {"sidecar_image": "web:1", "sidecar_base": "envoy:2020"}
    found = rendered(east, "fork", namespace, workload="web", **images)
    assert found["objects"] == [] and "the fork's Envoy has 0.1.0" in found["problems"][0]
