"""What may go wrong around an operator: each is told in the object's own conditions, and put right when it can be."""

import secrets
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy.fleet import until
from tests.hub import HubProcess
from tests.mesh.kubernetes import ControlPlane, Object
from tests.mesh.network import Network
from tests.mesh.operators import ACCOUNT, CHART, Filters, Operator, Shelf, give_rights
from tests.mesh.target import PLUGIN
from tests.peers import built_filter, mesh_file

PULL = {"pullSecret": {"name": "hub"}}
ROLE = ("rbac.authorization.k8s.io/v1", "Role")


@pytest.fixture
def operator(fitted: ControlPlane, mesh_hub: HubProcess, shelf: Shelf, namespace: str) -> Iterator[Operator]:
    """One that looks after the test's namespace and has a rule; it is not started."""
    home = f"home-{secrets.token_hex(4)}"
    give_rights(fitted, home, namespace)
    rules = {"policy": {"capabilities": {"http_calls": "deny", "change_headers": "warn"}}}
    made = Operator(fitted, mesh_hub, shelf.token, namespace, home, **rules)
    try:
        yield made
        assert "Traceback" not in made.log()
    finally:
        made.remove()


def test_rules_of_the_operator_are_the_hubs_to_judge(operator: Operator, filters: Filters, shelf: Shelf) -> None:
    operator.start()
    shelf.push("calls", built_filter("rust").read_bytes())
    filters.apply("warned", **PULL)
    filters.apply("denied", "calls", **PULL)
    said = filters.becomes("warned", Resolved="True", Applied="True")["Resolved"]["message"]
    assert "; warning: " in said and "which target operator warns of" in said
    denied = filters.becomes("denied", Resolved="False", Ready="False")
    assert denied["Resolved"]["reason"] == "Capability"
    assert "(http_calls), which target operator denies" in denied["Ready"]["message"]


def test_tokens_are_read_again(operator: Operator, filters: Filters, shelf: Shelf) -> None:
    token = (operator.folder / "token").read_text()
    (operator.folder / "token").write_text("wrong")
    (operator.folder / "hub-token").write_text("whb_wrong")
    operator.start("the lease cannot be held")
    filters.apply("marks", **PULL)
    (operator.folder / "token").write_text(token)
    said = filters.becomes("marks", Resolved="False", Ready="False")["Resolved"]
    assert said["reason"] == "TokenRefused"
    (operator.folder / "hub-token").write_text(f"{shelf.token}\n")
    filters.becomes("marks", 60, Resolved="True", Applied="True")


def test_a_right_that_is_missing_is_told_and_taken_up_when_it_comes(
    operator: Operator, filters: Filters, fitted: ControlPlane
) -> None:
    role = fitted.admin.get(*ROLE, ACCOUNT, filters.namespace)
    assert role is not None
    bare = {"apiVersion": ROLE[0], "kind": ROLE[1], "metadata": {"name": ACCOUNT, "namespace": filters.namespace}}
    reading = [one for one in role["rules"] if one["apiGroups"] == ["wasmhub.io"]]
    watching = {"apiGroups": ["extensions.istio.io"], "resources": ["wasmplugins"], "verbs": ["get", "list", "watch"]}
    fitted.admin.apply({**bare, "rules": [*reading, watching]})
    operator.meshes = ("istio", "envoy-gateway")  # for which it has no rights at all
    operator.start()
    filters.apply("marks", **PULL)
    route = {"targets": [{"kind": "HTTPRoute", "name": "web"}]}
    filters.apply("edge", mesh={"kind": "envoy-gateway"}, placement=route, **PULL)
    said = filters.becomes("edge", Applied="False", Ready="False")["Applied"]
    assert said["reason"] == "Refused" and "may not list EnvoyExtensionPolicy" in said["message"]
    said = filters.becomes("marks", Applied="False", Ready="False")["Applied"]
    assert said["reason"] == "Refused"
    assert "the hub may not write WasmPlugin" in said["message"] and "give its account that right" in said["message"]
    fitted.admin.apply({**bare, "rules": role["rules"]})
    filters.becomes("marks", 60, Applied="True")


def test_what_another_applies_is_left_to_it(operator: Operator, filters: Filters, fitted: ControlPlane) -> None:
    operator.start()
    filters.apply("marks", **PULL)
    filters.becomes("marks", Applied="True")
    meta = {"name": "marks.filterdeployment", "namespace": filters.namespace}
    theirs = {
        "apiVersion": PLUGIN[0],
        "kind": PLUGIN[1],
        "metadata": meta,
        "spec": {"url": "oci://elsewhere.example/x:1"},
    }
    fitted.admin.apply(theirs, manager="another")
    said = filters.becomes("marks", Applied="False", Ready="False")["Applied"]["message"]
    assert 'is also applied by another: conflict with "another"' in said and ".spec.url" in said
    found = filters.object(PLUGIN, "marks")
    assert found is not None and found["spec"]["url"] == "oci://elsewhere.example/x:1"


def test_what_somebodys_finalizer_holds_is_waited_for(
    operator: Operator, filters: Filters, fitted: ControlPlane
) -> None:
    operator.start()
    filters.apply("marks", **PULL)
    filters.becomes("marks", Applied="True")
    hold(fitted, filters, ["theirs.example/hold"])
    fitted.admin.delete(filters.wish("marks"))
    said = until(lambda: deleting(filters), "it says that it is being deleted")
    assert "waits for theirs.example/hold, whose finalizer holds it" in said["message"]
    hold(fitted, filters, None)
    until(lambda: filters.get("marks") is None, "it goes with its object", 60)


def test_an_api_server_that_is_killed_and_comes_back(mesh_hub: HubProcess, shelf: Shelf, network: Network) -> None:
    other = ControlPlane(network.address)  # that of all tests has others who watch it
    try:
        other.start().install(mesh_file("istio", "crds.yaml").read_text())
        other.install((CHART / "crds" / "filterdeployments.yaml").read_text())
        give_rights(other, other.namespace("home"), other.namespace("shop"))
        filters = Filters(other, "shop", shelf.name)
        operator = Operator(other, mesh_hub, shelf.token, "shop", "home")
        try:
            operator.start()
            filters.apply("marks", config={"a": 1}, **PULL)
            filters.becomes("marks", Applied="True")
            other.end(signal.SIGKILL)
            other.start()
            filters.apply("marks", config={"a": 2}, **PULL)
            filters.becomes("marks", 60, Applied="True")
            found = filters.object(PLUGIN, "marks")
            assert found is not None and found["spec"]["pluginConfig"] == {"a": 2}
            assert "Traceback" not in operator.log()
        finally:
            operator.remove()
    finally:
        other.remove()


def test_a_status_that_somebody_wrote_does_no_harm(operator: Operator, filters: Filters, fitted: ControlPlane) -> None:
    item = filters.apply("marks", **PULL)
    nonsense: dict[str, Any] = {"proxies": [{"uid": "x", "name": "a/b", "generation": 1, "state": "runs"}]}
    nonsense |= {"applied": {"generation": 9, "at": "2026-01-31T12:00:00Z"}, "objects": ["nothing", "WasmPlugin a/b"]}
    theirs = {**{name: item[name] for name in ("apiVersion", "kind")}, "metadata": filters.wish("marks")["metadata"]}
    fitted.admin.apply({**theirs, "status": nonsense}, part="status")
    operator.start()
    filters.becomes("marks", Applied="True")
    found = filters.get("marks")
    assert found is not None
    assert found["status"]["objects"] == [f"WasmPlugin {filters.namespace}/marks.filterdeployment"]
    assert found["status"]["applied"]["generation"] == 1 and found["status"]["proxies"] == []
    filters.delete("marks")


def hold(control: ControlPlane, filters: Filters, finalizers: list[str] | None) -> None:
    """Has somebody's finalizer hold the plugin, or not."""
    path = control.admin.path(*PLUGIN, "marks.filterdeployment", filters.namespace)
    headers = {"Content-Type": "application/merge-patch+json"}
    answer = control.admin.http.patch(path, json={"metadata": {"finalizers": finalizers}}, headers=headers)
    assert answer.status_code == 200, answer.text


def deleting(filters: Filters) -> Object | None:
    """What it says of what holds it."""
    found = filters.get("marks")
    said = [one for one in ((found or {}).get("status") or {}).get("conditions", ()) if one["type"] == "Ready"]
    return next((one for one in said if one["reason"] == "Deleting" and "waits for" in one["message"]), None)
