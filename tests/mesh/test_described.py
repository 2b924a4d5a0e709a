"""What the API answers about a mesh looks as its description says, with a real API server behind it."""

from typing import Any

from jsonschema import Draft202012Validator

from tests.deploy.fleet import header_filter
from tests.hub import HubProcess
from tests.mesh.kubernetes import ControlPlane
from tests.mesh.target import Target
from tests.oci import Client
from tests.web.test_openapi import schema_of


def test_answers_about_meshes_look_as_described(
    cluster: ControlPlane, mesh_hub: HubProcess, oci: Client, namespace: str
) -> None:
    oci.push_filter("admin/described", "1", header_filter("one"))
    target = Target(mesh_hub, cluster.admin, namespace)
    listed, one = "/api/v1/targets", "/api/v1/targets/{target}"
    deployment = f"{one}/deployments/{{deployment}}"
    kubeconfig = cluster.admin.kubeconfig()
    made = {"name": target.name, "kind": "istio", "settings": target.settings, "kubeconfig": kubeconfig}
    wish = {"reference": "admin/described:1", "placement": {"namespace": namespace, "labels": {"app": "none"}}}
    steps: list[tuple[str, str, Any, int]] = [
        ("post", listed, {**made, "kubeconfig": "x"}, 400),
        ("post", listed, {**made, "kubeconfig": kubeconfig.replace(cluster.admin.token, "x")}, 422),
        ("post", listed, made, 201),
        ("get", listed, None, 200),
        ("get", one, None, 200),
        ("patch", one, {"settings": {**target.settings, "form": "EnvoyFilter"}, "kubeconfig": kubeconfig}, 200),
        ("patch", one, {"settings": target.settings}, 200),
        ("post", f"{deployment}/preview", wish, 200),
        ("put", deployment, wish, 201),
        ("get", deployment, None, 200),
        ("get", "/api/v1/deployments", None, 200),
    ]
    for method, path, body, status in steps:
        answer = target.http.request(method, path.format(target=target.name, deployment="d"), json=body)
        assert answer.status_code == status, (method, path, answer.text)
        Draft202012Validator(schema_of(method, path, status)).validate(answer.json())
        assert cluster.admin.token not in answer.text
    target.undeploy("d")
    target.becomes("d", 404)
    assert target.http.delete(one.format(target=target.name)).status_code == 204
    target.http.close()
