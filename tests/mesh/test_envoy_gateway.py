"""The whole way to a real Envoy Gateway: its controller pulls, its Envoy runs, swaps and drops, and the hub says so."""

import json
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import yaml
from jsonschema import Draft202012Validator

from deploy.targets.plan import MANAGER
from tests.deploy.fleet import REFUSES, Load, Upstream, ask, header_filter, until
from tests.hub import ROOT, HubProcess
from tests.mesh.envoy_gateway import PORT, EnvoyGateway, Proxy, gateway
from tests.mesh.front import Front
from tests.mesh.kubernetes import Cluster
from tests.mesh.pods import shows
from tests.mesh.target import POLICY, SECRET, GatewayTarget
from tests.oci import Client
from tests.web.test_openapi import schema_of


@pytest.fixture
def target(gateways: EnvoyGateway, mesh_hub: HubProcess, front: Front, namespace: str) -> Iterator[GatewayTarget]:
    with GatewayTarget(mesh_hub, gateways.control.admin, namespace, front.url) as made:
        yield made


@pytest.mark.parametrize("form", ["Image", "HTTP"])
def test_a_private_filter_is_brought_swapped_and_taken_away(
    proxy: Proxy, target: GatewayTarget, oci: Client, form: str
) -> None:
    oci.push_filter("admin/gateway", "1", header_filter(f"one-{form}"))
    oci.push_filter("admin/gateway", "2", header_filter(f"two-{form}"))
    target.configure(form=form)

    target.deploy("marks", "admin/gateway:1", config={"a": 1})
    until(lambda: shows(proxy, 200, f"one-{form}"), "the filter's header is seen", 30)
    assert target.becomes("marks", "ready")["message"] == "1 of 1 proxies run revision 1"
    (policy,) = target.policies()
    assert ("pullSecretRef" in str(policy)) == (form == "Image")

    with Load(proxy.front) as load:
        changed = target.put("marks", reference="admin/gateway:2")
        assert changed.status_code == 200, changed.text
        until(lambda: shows(proxy, 200, f"two-{form}"), "the next version's header is seen", 30)
        assert target.becomes("marks", "ready")["message"] == "1 of 1 proxies run revision 2"
    assert load.failed == []
    assert load.seen == {(f"one-{form}",), (f"two-{form}",)}

    target.put("marks", config={"a": 2})
    assert target.becomes("marks", "ready")["message"] == "1 of 1 proxies run revision 3"

    target.undeploy("marks")
    target.becomes("marks", 404)
    until(lambda: shows(proxy, 200), "the header is gone", 30)
    assert left(target) == []


def test_a_version_that_envoy_refuses_is_reported_and_rolled_back(
    proxy: Proxy, target: GatewayTarget, oci: Client
) -> None:
    oci.push_filter("admin/unstarted", "1", header_filter("before"))
    oci.push_filter("admin/unstarted", "2", header_filter("never", REFUSES))
    target.deploy("marks", "admin/unstarted:1")
    target.becomes("marks", "ready")

    target.put("marks", reference="admin/unstarted:2")
    said = target.becomes("marks", "stalled")["message"]
    assert f"the Envoy of {proxy.namespace}/{proxy.name} could not start revision 2" in said
    assert ask(proxy.front)[0] == 503

    back(target, "marks")
    assert target.becomes("marks", "ready")["message"] == "1 of 1 proxies run revision 3"
    assert shows(proxy, 200, "before")

    # Now Envoy has the module that it could not start, tries it out before it takes the listener, and keeps the old.
    with Load(proxy.front) as load:
        target.put("marks", reference="admin/unstarted:2")
        said = target.becomes("marks", "stalled")["message"]
    assert f"the Envoy of {proxy.namespace}/{proxy.name} refused revision 4 and runs what it ran before" in said
    assert (load.failed, load.seen) == ([], {("before",)})
    target.undeploy("marks")
    target.becomes("marks", 404)
    assert left(target) == []


def test_a_version_that_does_not_start_is_told_where_two_listeners_have_it(
    proxy: Proxy, gateways: EnvoyGateway, upstream: Upstream, target: GatewayTarget, oci: Client
) -> None:
    """Each of them fetches the module and tries it."""
    made = gateway(target.namespace, proxy.gateway, upstream.address)[0]
    made["spec"]["listeners"].append({"name": "other", "protocol": "HTTP", "port": PORT + 1})
    gateways.control.admin.apply(made)
    other = SimpleNamespace(front=(proxy.address, PORT + 1))
    until(lambda: shows(other, 200), "the other listener lets requests through", 60)
    oci.push_filter("admin/at-two", "1", header_filter("at-two", REFUSES))
    oci.push_filter("admin/at-two", "2", header_filter("at-both"))

    target.deploy("marks", "admin/at-two:1")
    said = target.becomes("marks", "stalled")["message"]
    assert f"the Envoy of {proxy.namespace}/{proxy.name} could not start revision 1" in said

    target.put("marks", reference="admin/at-two:2")
    assert target.becomes("marks", "ready")["message"] == "1 of 1 proxies run revision 2"
    until(lambda: shows(proxy, 200, "at-both") and shows(other, 200, "at-both"), "its workers run it as soon", 2)
    target.undeploy("marks")
    target.becomes("marks", 404)


def test_a_pull_that_fails_is_reported_and_tried_again(
    proxy: Proxy, target: GatewayTarget, oci: Client, gateways: EnvoyGateway, front: Front
) -> None:
    oci.push_filter("admin/unpulled", "1", header_filter("one"))
    target.configure(hub=f"https://later.test:{front.port}")
    target.deploy("marks", "admin/unpulled:1")

    said = target.becomes("marks", "stalled", 10)["message"]
    assert "Envoy Gateway refused revision 1: Wasm: could not fetch Wasm OCI image" in said
    assert "lookup later.test" in said and "and has not signed in to the hub with its secret" in said
    assert ask(proxy.front)[0] == 500

    # The name is known, though to a certificate of another: the message follows, since the hub has it tried again.
    gateways.network.call("later.test", gateways.network.address)
    until(lambda: "certificate" in target.deployment("marks")["message"], "the next failure is told", 40)

    target.configure(hub=front.url)
    target.becomes("marks", "ready")
    assert shows(proxy, 200, "one")

    # Envoy Gateway does not hold what ran before, and so it stands in the manual.
    oci.push_filter("admin/unpulled", "2", header_filter("two"))
    target.configure(hub=f"https://nowhere.test:{front.port}")
    target.put("marks", reference="admin/unpulled:2")
    assert "lookup nowhere.test" in target.becomes("marks", "stalled", 10)["message"]
    assert ask(proxy.front)[0] == 500
    target.configure(hub=front.url)
    back(target, "marks")
    target.becomes("marks", "ready")
    assert shows(proxy, 200, "one")
    target.undeploy("marks")
    target.becomes("marks", 404)


def test_what_is_done_by_hand_to_a_shared_policy_is_said_and_left_where_one_of_them_says_so(
    proxy: Proxy, target: GatewayTarget, oci: Client, namespace: str
) -> None:
    for name in ("asks", "beside"):
        oci.push_filter(f"admin/gateway-{name}", "1", header_filter(name))
    asking = {"namespace": namespace, "targets": [{"kind": "HTTPRoute", "name": "gw"}], "drift": "report"}
    target.deploy("asks", "admin/gateway-asks:1", config={"a": 1}, placement=asking, order=10)
    target.deploy("beside", "admin/gateway-beside:1", config={"b": 1}, order=20)
    assert [target.becomes(name, "ready")["status"] for name in ("asks", "beside")] == ["ready"] * 2

    (policy,) = target.policies()
    policy["spec"]["wasm"][0]["config"] = {"a": 2}
    edited = target.cluster.http.patch(
        target.cluster.path_of(policy),
        params={"fieldManager": "kubectl-edit"},
        headers={"Content-Type": "application/merge-patch+json"},
        content=json.dumps({"spec": policy["spec"]}),
    )
    assert edited.status_code == 200, edited.text
    said = "was changed by kubectl-edit and differs in spec.wasm[0].config.a"
    way = "; deploy asks again to put it right, or undo that"
    assert said + way in target.becomes("asks", "stalled")["message"]
    target.put("beside", config={"b": 2})
    assert said in target.becomes("beside", "stalled")["message"]
    assert configs(target) == [{"a": 2}, {"b": 1}], "nothing is written, not for another either"

    target.put("asks", config={"a": 3})
    assert [target.becomes(name, "ready")["status"] for name in ("asks", "beside")] == ["ready"] * 2
    assert configs(target) == [{"a": 3}, {"b": 2}]

    assert target.cluster.http.delete(target.cluster.path_of(policy)).status_code == 200
    assert "was deleted by hand; deploy asks again" in target.becomes("asks", "stalled")["message"]
    assert target.policies() == []
    target.undeploy("asks")
    target.becomes("asks", 404)
    target.becomes("beside", "ready")
    assert configs(target) == [{"b": 2}], "nobody asks any more"
    target.undeploy("beside")
    target.becomes("beside", 404)
    assert left(target) == []


def test_filters_of_one_route_share_a_policy_and_run_in_order(
    proxy: Proxy, target: GatewayTarget, oci: Client, namespace: str
) -> None:
    for tag in ("first", "second"):
        oci.push_filter("admin/both", tag, header_filter(tag))
    target.deploy("inner", "admin/both:second", order=20)
    target.becomes("inner", "ready")
    target.deploy("outer", "admin/both:first", order=10)
    for name in ("inner", "outer"):
        target.becomes(name, "ready")
    # What runs first sees the answer last, and adds its header after the other's.
    until(lambda: shows(proxy, 200, "second", "first"), "both headers are seen", 30)
    (policy,) = target.policies()
    assert policy["metadata"]["annotations"] == {"wasmhub/deployments": "inner,outer"}

    oci.push_filter("admin/both", "third", header_filter("third"))
    target.put("outer", reference="admin/both:third")
    target.becomes("outer", "ready")
    assert target.becomes("inner", "ready")["message"] == "1 of 1 proxies run revision 1"
    until(lambda: shows(proxy, 200, "second", "third"), "one is swapped", 30)

    target.undeploy("inner")
    target.becomes("inner", 404)
    until(lambda: shows(proxy, 200, "third"), "the other stays", 30)
    assert [one["metadata"]["name"] for one in target.policies()] == [policy["metadata"]["name"]]
    target.undeploy("outer")
    target.becomes("outer", 404)
    until(lambda: shows(proxy, 200), "all headers are gone", 30)
    assert left(target) == []


def test_what_nobody_looks_after_is_waited_for(
    gateways: EnvoyGateway, target: GatewayTarget, oci: Client, namespace: str
) -> None:
    oci.push_filter("admin/nowhere", "1", header_filter("one"))
    placement = {"namespace": namespace, "targets": [{"kind": "HTTPRoute", "name": "none"}]}
    target.deploy("marks", "admin/nowhere:1", placement=placement)
    said = target.becomes("marks", "waiting")["message"]
    assert said.startswith(f"there is no HTTPRoute {namespace}/none that an Envoy Gateway looks after")
    target.undeploy("marks")
    target.becomes("marks", 404)


def test_a_policy_of_somebody_else_stays_and_is_told(
    proxy: Proxy, target: GatewayTarget, oci: Client, gateways: EnvoyGateway, namespace: str
) -> None:
    oci.push_filter("admin/second", "1", header_filter("one"))
    reference = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "gw"}
    place = {"name": "a-first", "namespace": namespace}
    theirs = {"apiVersion": POLICY[0], "kind": POLICY[1], "metadata": place, "spec": {"targetRefs": [reference]}}
    gateways.control.admin.apply(theirs)
    target.deploy("marks", "admin/second:1")
    said = target.becomes("marks", "stalled")["message"]
    assert "another EnvoyExtensionPolicy" in said
    gateways.control.admin.delete(theirs)
    target.becomes("marks", "ready")
    assert shows(proxy, 200, "one")
    target.undeploy("marks")
    target.becomes("marks", 404)


def test_what_is_changed_or_deleted_by_hand_is_put_right(
    gateways: EnvoyGateway, target: GatewayTarget, oci: Client, namespace: str
) -> None:
    for tag in ("one", "two"):
        oci.push_filter("admin/edited", tag, header_filter(tag))
        target.deploy(tag, f"admin/edited:{tag}")
    until(lambda: names(target) == ["one", "two"], "both filters are applied")
    (policy,) = target.policies()
    edit(target, policy, {"spec": {"wasm": policy["spec"]["wasm"][:1]}})
    until(lambda: names(target) == ["one", "two"], "the change is taken back")
    edit(target, policy, {"metadata": {"annotations": {"wasmhub/deployments": "one"}}})
    until(lambda: names(target) == ["one", "two"], "the annotation too")
    target.cluster.delete(policy)
    until(lambda: names(target) == ["one", "two"], "the object is there again")
    for tag in ("one", "two"):
        target.undeploy(tag)
        target.becomes(tag, 404)
    assert left(target) == []


def test_a_deployment_that_cannot_be_any_more_keeps_its_place_beside_others(
    gateways: EnvoyGateway, target: GatewayTarget, oci: Client
) -> None:
    for tag in ("one", "two"):
        oci.push_filter("admin/stays", tag, header_filter(tag))
    env = {"POD": None}
    there = {"namespace": target.namespace, "targets": [{"kind": "HTTPRoute", "name": "gw"}], "env": env}
    target.deploy("one", "admin/stays:one", placement=there)
    target.deploy("two", "admin/stays:two")
    until(lambda: names(target) == ["one", "two"], "both filters are applied")
    before = target.policies()[0]["spec"]
    target.configure(version="1.8")  # with which neither would be deployed
    for name in ("one", "two"):
        assert "update to 1.9" in target.becomes(name, "stalled")["message"]
    assert target.policies()[0]["spec"] == before

    target.undeploy("one")
    target.becomes("one", 404)
    assert names(target) == ["two"]
    target.configure(version="")
    until(lambda: target.deployment("two")["status"] != "stalled", "it is looked after again")
    target.undeploy("two")
    target.becomes("two", 404)


def test_a_preview_shows_the_shared_policy_and_changes_nothing(
    gateways: EnvoyGateway, target: GatewayTarget, oci: Client
) -> None:
    oci.push_filter("admin/seen", "1", header_filter("one"))
    there = {"namespace": target.namespace, "targets": [{"kind": "HTTPRoute", "name": "gw"}]}
    target.deploy("one", "admin/seen:1")
    until(lambda: names(target) == ["one"], "the filter is applied")
    (policy,) = target.policies()

    found = preview(target, "two", reference="admin/seen:1", placement=there)
    assert [one["kind"] for one in found["objects"]] == ["Secret", "EnvoyExtensionPolicy"]
    assert found["objects"][1]["metadata"]["annotations"] == {"wasmhub/deployments": "one,two"}
    assert [(one["object"].split()[0], one["change"]) for one in found["diff"]] == [
        ("Secret", "none"),  # that of the repository, which both pull from
        ("EnvoyExtensionPolicy", "change"),
    ]
    assert preview(target, "one", reference="admin/seen:1")["diff"][1]["change"] == "none"
    assert target.policies() == [policy]
    target.undeploy("one")
    target.becomes("one", 404)


def test_what_is_to_be_copied_is_enough(
    gateways: EnvoyGateway, mesh_hub: HubProcess, front: Front, oci: Client, namespace: str
) -> None:
    page = (ROOT / "docs" / "deploy-envoy-gateway.md").read_text()
    (text,) = [one for one in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "ServiceAccount" in one]
    control = gateways.control
    for one in yaml.safe_load_all(text):
        control.admin.apply(one)
    account = Cluster(control.url, control.token("hub", "wasmhub"), control.authority)
    oci.push_filter("admin/copied", "1", header_filter("one"))
    target = GatewayTarget(mesh_hub, account, namespace, front.url)
    made = target.register()
    assert made.status_code == 201, made.text
    Draft202012Validator(schema_of("post", "/api/v1/targets", 201)).validate(made.json())
    rights = {one["may"]: one["allowed"] for one in made.json()["reach"]["rights"]}
    assert all(rights.values()) and len(rights) == 14, rights
    target.cluster = control.admin
    shown = target.deploy("marks", "admin/copied:1")
    path = "/api/v1/targets/{target}/deployments/{deployment}"
    Draft202012Validator(schema_of("put", path, 201)).validate(shown)
    assert "there is no HTTPRoute" in target.becomes("marks", "waiting")["message"]
    Draft202012Validator(schema_of("get", path, 200)).validate(target.deployment("marks"))
    target.undeploy("marks")
    target.becomes("marks", 404)
    assert left(target) == []
    target.http.close()
    account.http.close()


def test_the_rights_that_are_asked_for_are_told(gateways: EnvoyGateway, target: GatewayTarget, namespace: str) -> None:
    account = gateways.control.account("hub", namespace)
    body = {"kubeconfig": account.kubeconfig()}
    told = target.http.patch(f"/api/v1/targets/{target.name}", json=body).json()["reach"]["rights"]
    rights = {one["may"]: one["allowed"] for one in told}
    assert {"create envoyextensionpolicies", "patch secrets", "list pods", "get pods/proxy"} <= rights.keys()
    assert not any(rights.values())


def back(target: GatewayTarget, name: str) -> None:
    """Rolls back."""
    rolled = target.http.post(f"/api/v1/targets/{target.name}/deployments/{name}/rollback")
    assert rolled.status_code == 200, rolled.text


def preview(target: GatewayTarget, name: str, **wish: Any) -> dict[str, Any]:
    """What the wish would make."""
    answer: httpx.Response = target.http.post(f"/api/v1/targets/{target.name}/deployments/{name}/preview", json=wish)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def edit(target: GatewayTarget, policy: dict[str, Any], change: dict[str, Any]) -> None:
    """Changes a policy as a person does."""
    target.cluster.http.patch(
        target.cluster.path_of(policy),
        params={"fieldManager": "kubectl-edit"},
        headers={"Content-Type": "application/merge-patch+json"},
        json=change,
    ).raise_for_status()


def names(target: GatewayTarget) -> list[str]:
    """The deployments whose filters are in the target's one policy, if it says so too; none if there is no policy."""
    found = target.policies()
    if not found:
        return []
    (policy,) = found
    filters = [one["name"].split("/")[3] for one in policy["spec"]["wasm"]]
    said = policy["metadata"]["annotations"]["wasmhub/deployments"]
    return filters if said == ",".join(sorted(filters)) else []


def configs(target: GatewayTarget) -> list[Any]:
    """The configs of the filters of the one policy that there is, in their order."""
    (policy,) = target.policies()
    return [one["config"] for one in policy["spec"]["wasm"]]


def left(target: GatewayTarget) -> list[str]:
    """What there is of the target in its namespace."""
    selector = f"app.kubernetes.io/managed-by={MANAGER},wasmhub/target={target.name}"
    found = [target.cluster.all(*kind, target.namespace, labelSelector=selector) for kind in (POLICY, SECRET)]
    return [one["metadata"]["name"] for some in found for one in some]
