"""The chart as Helm renders it, judged by the real API server; and the operator with what the chart gives it."""

import secrets
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.deploy.fleet import header_filter
from tests.hub import HubProcess
from tests.mesh.kubernetes import ControlPlane, Object
from tests.mesh.operators import ACCOUNT, CHART, Filters, Operator, Shelf
from tests.mesh.target import PLUGIN, POLICY
from tests.oci import Client
from tests.peers import built_beside, mesh_file

PULL = {"pullSecret": {"name": "hub"}}
ON = {
    "hub.enabled": "false",
    "operator.enabled": "true",
    "operator.hub.url": "https://hub.example.com",
    "operator.hub.tokenSecret": "hub-token",
}


def rendered(namespace: str, **values: str) -> list[Object]:
    """The chart's objects as a release in that namespace."""
    sets = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    words = [built_beside("helm"), "template", "it", CHART, "--namespace", namespace, *sets]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr)
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def kinds(objects: list[Object]) -> list[str]:
    """Their kinds."""
    return sorted(one["kind"] for one in objects)


@pytest.fixture
def home(control: ControlPlane) -> Iterator[str]:
    """The release's namespace; what of it is of the whole cluster goes with it."""
    made = control.namespace(f"home-{secrets.token_hex(4)}")
    yield made
    for kind in ("ClusterRoleBinding", "ClusterRole"):
        meta = {"name": ACCOUNT}
        control.admin.delete({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": meta})


@pytest.mark.parametrize("everywhere", [False, True], ids=["in one namespace", "everywhere"])
def test_the_operator_works_with_what_the_chart_gives_it(
    everywhere: bool, cluster: ControlPlane, mesh_hub: HubProcess, oci: Client, namespace: str, home: str
) -> None:
    cluster.install((CHART / "crds" / "filterdeployments.yaml").read_text())
    shelf = Shelf(mesh_hub, oci)
    shelf.push("1", header_filter("one"))
    only = {} if everywhere else {"operator.namespaces": f"{{{namespace}}}"}
    objects = rendered(home, **ON, **only, **{"operator.settings.observe": "nothing"})
    for one in objects:
        cluster.admin.apply(one)
    given = next(one["spec"]["template"]["spec"]["containers"][0] for one in objects if one["kind"] == "Deployment")
    assert [word for word in given["args"] if word.startswith("--namespace")] == (
        [] if everywhere else [f"--namespace={namespace}"]
    )
    (settings,) = [one["data"]["settings.yaml"] for one in objects if one["kind"] == "ConfigMap"]
    cluster.admin.apply(shelf.secret(namespace, int(mesh_hub.url.rpartition(":")[2])))
    filters = Filters(cluster, namespace, shelf.name)
    operator = Operator(
        cluster, mesh_hub, shelf.token, "" if everywhere else namespace, home, **yaml.safe_load(settings)
    )
    try:
        operator.start()
        filters.apply("marks", **PULL)
        filters.becomes("marks", Resolved="True", Applied="True")
        assert filters.object(PLUGIN, "marks") is not None
        filters.delete("marks")
        assert filters.object(PLUGIN, "marks") is None
        assert "Forbidden" not in operator.log() and "forbidden" not in operator.log()
    finally:
        operator.remove()
    account = cluster.as_account(ACCOUNT, home)
    assert not may(account, "get", "", "secrets", namespace)
    assert not may(account, "patch", "apps", "deployments", namespace)
    assert not may(account, "delete", "wasmhub.io", "filterdeployments", namespace)
    assert may(account, "patch", "extensions.istio.io", "wasmplugins", "kube-system") == everywhere


GATEWAYS = {"operator.meshes": "{envoy-gateway}", "operator.namespaces": "{shop}"}
PLACE = "operator.settings.meshes.envoy-gateway.proxies_namespace"


def test_each_mesh_has_the_rights_that_it_needs_and_no_others(control: ControlPlane, home: str) -> None:
    """As the API server says that they are, of an operator for Envoy Gateway alone."""
    shop, proxies = (control.namespace(f"{name}-{secrets.token_hex(4)}") for name in ("shop", "proxies"))
    place = {"operator.namespaces": f"{{{shop}}}", PLACE: proxies}
    objects = rendered(home, **ON, **GATEWAYS | place)
    for one in objects:
        control.admin.apply(one)
    (args,) = [
        one["spec"]["template"]["spec"]["containers"][0]["args"] for one in objects if one["kind"] == "Deployment"
    ]
    assert "--mesh=envoy-gateway" in args and "--mesh=istio" not in args
    account = control.as_account(ACCOUNT, home)
    policies = ("gateway.envoyproxy.io", "envoyextensionpolicies")
    assert all(may(account, verb, *policies, shop) for verb in ("get", "list", "watch", "create", "patch", "delete"))
    assert may(account, "list", "", "pods", proxies) and may(account, "get", "", "pods/proxy", proxies)
    for verb, group, resource, namespace in (
        ("create", "extensions.istio.io", "wasmplugins", shop),
        ("create", "networking.istio.io", "envoyfilters", shop),
        ("list", "", "pods", shop),
        ("get", "", "pods/proxy", shop),
        ("get", "", "secrets", shop),
        ("create", *policies, proxies),
        ("update", *policies, shop),
        ("get", "gateway.networking.k8s.io", "httproutes", shop),
    ):
        assert not may(account, verb, group, resource, namespace), (verb, resource, namespace)


def test_rights_follow_what_is_observed_and_where() -> None:
    everywhere = rendered("x", **ON, **GATEWAYS, **{PLACE: ""})
    assert [one["metadata"]["name"] for one in everywhere if one["kind"] == "ClusterRole"] == [f"{ACCOUNT}-proxies"]
    for blind in (GATEWAYS, {"operator.meshes": "{istio}"}):
        made = rendered("x", **ON, **blind, **{"operator.settings.observe": "nothing"})
        assert not [one for one in made if "pods" in str(one.get("rules"))]
    both = rendered("x", **ON, **GATEWAYS | {"operator.meshes": "{istio,envoy-gateway}"})
    roles = {one["metadata"]["name"]: one for one in both if one["kind"] == "Role"}
    groups = {group for rule in roles[ACCOUNT]["rules"] for group in rule["apiGroups"]}
    assert {"extensions.istio.io", "networking.istio.io", "gateway.envoyproxy.io", ""} <= groups
    assert roles[f"{ACCOUNT}-proxies"]["metadata"]["namespace"] == "envoy-gateway-system"


@pytest.mark.parametrize(("meshes", "said"), [("{consul}", "names consul"), ("null", "must name the kinds of mesh")])
def test_a_mesh_that_it_cannot_look_after_is_refused(meshes: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        rendered("x", **ON, **{"operator.meshes": meshes})


def test_an_operator_of_all_namespaces_keeps_them_apart(
    fitted: ControlPlane, shelf: Shelf, mesh_hub: HubProcess, home: str
) -> None:
    fitted.install(mesh_file("envoy-gateway", "crds.yaml").read_text())
    for one in rendered(home, **ON, **{"operator.meshes": "{envoy-gateway}", "operator.settings.observe": "nothing"}):
        fitted.admin.apply(one)
    operator = Operator(fitted, mesh_hub, shelf.token, "", home)
    operator.meshes = ("envoy-gateway",)
    route = {"targets": [{"kind": "HTTPRoute", "name": "web"}]}
    spec = {"mesh": {"kind": "envoy-gateway"}, "placement": route, **PULL}
    shops = [Filters(fitted, fitted.namespace(f"shop-{secrets.token_hex(4)}"), shelf.name) for _ in range(2)]
    try:
        operator.start()
        for one in shops:
            one.apply("marks", **spec)
            one.becomes("marks", Applied="True")
        assert [len(fitted.admin.all(*POLICY, one.namespace)) for one in shops] == [1, 1]
        shops[0].delete("marks")
        shops[1].apply("marks", "2", **spec)
        shops[1].becomes("marks", Applied="True")
        assert [len(fitted.admin.all(*POLICY, one.namespace)) for one in shops] == [0, 1]
        shops[1].delete("marks")
        assert "orbidden" not in operator.log() and "Traceback" not in operator.log()
    finally:
        operator.remove()


def test_a_release_without_the_operator_has_nothing_of_it() -> None:
    assert kinds(rendered("x")) == ["Service", "StatefulSet"]


def test_hub_and_operator_in_one_release_meet(control: ControlPlane, home: str) -> None:
    objects = rendered(home, **{"operator.enabled": "true", "operator.hub.tokenSecret": "t", "operator.replicas": "2"})
    assert kinds(objects).count("StatefulSet") == 1
    for one in objects:
        control.admin.apply(one, dry=True)
    operator = next(one for one in objects if one["kind"] == "Deployment")
    (variable,) = operator["spec"]["template"]["spec"]["containers"][0]["env"]
    assert variable == {"name": "WASMHUB_URL", "value": f"http://it.{home}.svc:80"}
    assert operator["spec"]["replicas"] == 2


def test_an_operator_without_a_token_is_refused() -> None:
    with pytest.raises(ValueError, match="tokenSecret must name a Secret"):
        rendered("x", **{"operator.enabled": "true"})


def may(account: Any, verb: str, group: str, resource: str, namespace: str) -> bool:
    """Whether the account may do that, as the API server says."""
    resource, _, part = resource.partition("/")
    asked = {"verb": verb, "group": group, "resource": resource, "subresource": part, "namespace": namespace}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
    answer = account.http.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", json=body)
    return bool(answer.json()["status"]["allowed"])
