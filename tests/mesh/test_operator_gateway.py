"""The operator's whole way to a real Envoy Gateway, by the chart's own rights: also of filters that share a policy."""

import secrets
from collections.abc import Iterator

import pytest

from tests.deploy.fleet import REFUSES, Load, ask, header_filter, until
from tests.hub import HubProcess
from tests.mesh.envoy_gateway import SYSTEM, EnvoyGateway, Proxy
from tests.mesh.front import Front
from tests.mesh.kubernetes import Object
from tests.mesh.operators import CHART, Filters, Operator, Shelf, give_rights
from tests.mesh.pods import shows
from tests.mesh.target import POLICY
from tests.oci import Client

ROUTE = {"targets": [{"kind": "HTTPRoute", "name": "gw"}]}
SPEC = {"mesh": {"kind": "envoy-gateway"}, "placement": ROUTE, "pullSecret": {"name": "hub"}}


@pytest.fixture(scope="module")
def marks(mesh_hub: HubProcess, oci: Client) -> Shelf:
    """A private repository with versions of a filter, one of which does not start."""
    made = Shelf(mesh_hub, oci)
    for tag in ("one", "two", "beside"):
        made.push(tag, header_filter(tag))
    made.push("bad", header_filter("never", REFUSES))
    return made


@pytest.fixture
def wishes(gateways: EnvoyGateway, marks: Shelf, namespace: str, front: Front) -> Filters:
    """FilterDeployments of the test's namespace, in which a Secret pulls from that repository."""
    gateways.control.install((CHART / "crds" / "filterdeployments.yaml").read_text())
    gateways.control.admin.apply(marks.secret(namespace, front.port))
    return Filters(gateways.control, namespace, marks.name)


@pytest.fixture
def operator(wishes: Filters, mesh_hub: HubProcess, marks: Shelf, front: Front) -> Iterator[Operator]:
    """One for Envoy Gateway alone; it lacks no right that it asks for, and has none for other meshes."""
    home = f"home-{secrets.token_hex(4)}"
    give_rights(wishes.control, home, wishes.namespace, "envoy-gateway", SYSTEM)
    own = {"envoy-gateway": {"hub": front.url, "proxies_namespace": SYSTEM}}
    made = Operator(wishes.control, mesh_hub, marks.token, wishes.namespace, home, observe="proxies", meshes=own)
    made.meshes = ("envoy-gateway",)
    try:
        yield made.start()
        assert "Traceback" not in made.log() and "orbidden" not in made.log()
    finally:
        made.remove()


def test_a_filter_is_brought_changed_refused_and_taken_away(operator: Operator, wishes: Filters, proxy: Proxy) -> None:
    wishes.apply("marks", "one", config={"a": 1}, **SPEC)
    until(lambda: shows(proxy, 200, "one"), "the filter's header is seen", 30)
    said = wishes.becomes("marks", Resolved="True", Applied="True", Ready="True")
    assert said["Ready"]["message"] == "1 of 1 proxies run revision 1"
    (policy,) = policies(wishes)
    assert policy["spec"]["wasm"][0]["config"] == {"a": 1}
    assert policy["spec"]["wasm"][0]["code"]["image"]["pullSecretRef"]["name"] == "hub"
    assert said["Applied"]["message"] == f"generation 1 is {POLICY[1]} {wishes.namespace}/{policy['metadata']['name']}"

    with Load(proxy.front) as load:
        wishes.apply("marks", "two", config={"a": 1}, **SPEC)
        until(lambda: shows(proxy, 200, "two"), "the next version's header is seen", 30)
        assert wishes.becomes("marks", Ready="True")["Ready"]["message"] == "1 of 1 proxies run revision 2"
        wishes.apply("marks", "two", config={"a": 2}, **SPEC)
        said = wishes.becomes("marks", Ready="True")
        assert said["Ready"]["message"] == "1 of 1 proxies run revision 3"
        operator.kill()  # what was seen of proxies is not forgotten with it
        operator.start()
        assert wishes.becomes("marks", Ready="True") == said
        wishes.apply("marks", "absent", config={"a": 2}, **SPEC)
        absent = wishes.becomes("marks", Resolved="False", Applied="False", Ready="False")
        assert absent["Resolved"]["message"] == f"{wishes.repository} has no absent; push it first"
        assert absent["Applied"]["message"] == "generation 4 is not applied; generation 3 stays as it is"
        assert shows(proxy, 200, "two")
    assert load.failed == []
    assert load.seen == {("one",), ("two",)}

    wishes.apply("marks", "bad", **SPEC)
    refused = wishes.becomes("marks", Resolved="True", Applied="True", Ready="False", Ready_reason="Stalled")
    assert f"the Envoy of {SYSTEM}/{proxy.name} could not start revision 5" in refused["Ready"]["message"]
    assert ask(proxy.front)[0] == 503
    wishes.apply("marks", "one", **SPEC)
    wishes.becomes("marks", Ready="True")
    assert shows(proxy, 200, "one")

    wishes.delete("marks")
    until(lambda: shows(proxy, 200), "the header is gone", 30)
    assert policies(wishes) == []


def test_filters_of_one_route_share_a_policy_and_leave_each_other_alone(
    operator: Operator, wishes: Filters, proxy: Proxy
) -> None:
    wishes.apply("outer", "one", order=1, **SPEC)
    wishes.apply("inner", "beside", order=2, **SPEC)
    for name in ("outer", "inner"):
        wishes.becomes(name, Applied="True", Ready="True")
    until(lambda: shows(proxy, 200, "beside", "one"), "both headers are seen", 30)
    (before,) = policies(wishes)
    assert names(before) == ["outer", "inner"] and owners(before) == {"outer", "inner"}

    wishes.apply("outer", "absent", order=3, **SPEC)  # what is refused stays where it was too
    wishes.becomes("outer", Resolved="False", Ready="False")
    wishes.apply("inner", "two", order=2, **SPEC)
    said = wishes.becomes("inner", Ready="True")
    assert said["Ready"]["message"] == "1 of 1 proxies run revision 2"
    until(lambda: shows(proxy, 200, "two", "one"), "the other changes", 30)
    (after,) = policies(wishes)
    assert names(after) == ["outer", "inner"] and after["spec"]["wasm"][0] == before["spec"]["wasm"][0]

    operator.end()
    operator.start(url="http://127.0.0.1:9")
    away = wishes.becomes("inner", Resolved="Unknown", Applied="True")
    assert away["Applied"] == said["Applied"]
    assert policies(wishes)[0]["spec"] == after["spec"]
    wishes.delete("outer")  # for which no hub is needed
    (left,) = policies(wishes)
    assert names(left) == ["inner"] and owners(left) == {"inner"}
    until(lambda: shows(proxy, 200, "two"), "one header is gone", 30)
    wishes.delete("inner")
    until(lambda: shows(proxy, 200), "the other too", 30)
    assert policies(wishes) == []


def test_what_nobody_looks_after_is_told_and_another_policy_stays(operator: Operator, wishes: Filters) -> None:
    nowhere = {"placement": {"targets": [{"kind": "HTTPRoute", "name": "none"}]}}
    wishes.apply("waits", "one", **{**SPEC, **nowhere})
    wishes.apply("marks", "one")  # for Istio
    said = wishes.becomes("waits", Resolved="True", Applied="True", Ready="False", Ready_reason="Waiting")
    assert said["Ready"]["message"].startswith(f"there is no HTTPRoute {wishes.namespace}/none that an Envoy Gateway")
    other = wishes.becomes("marks", Applied="False", Ready="False")["Applied"]
    assert other["reason"] == "MeshNotEnabled"
    assert other["message"] == "this operator looks after envoy-gateway alone; start it with --mesh istio too"

    wishes.apply("bare", "one", **{name: SPEC[name] for name in ("mesh", "placement")})
    bare = wishes.becomes("bare", Resolved="True", Applied="False", Ready="False")
    assert "name a Secret that can pull it as pullSecret" in bare["Ready"]["message"]
    (policy,) = policies(wishes)
    edit = {"spec": {"wasm": []}, "metadata": {"annotations": {"theirs": "stays"}}}
    headers = {"Content-Type": "application/merge-patch+json"}
    path = wishes.control.admin.path_of(policy)
    assert wishes.control.admin.http.patch(path, json=edit, headers=headers).status_code == 200
    until(lambda: names(policies(wishes)[0]) == ["waits"], "the edit is put back")
    assert policies(wishes)[0]["metadata"]["annotations"]["theirs"] == "stays"
    for name in ("waits", "bare", "marks"):
        wishes.delete(name)
    assert policies(wishes) == []


def test_one_that_is_deleted_waits_until_it_is_out_of_the_policy(operator: Operator, wishes: Filters) -> None:
    nowhere = {"placement": {"targets": [{"kind": "HTTPRoute", "name": "none"}]}}
    for name in ("goes", "stays"):
        wishes.apply(name, "one", **{**SPEC, **nowhere})
        wishes.becomes(name, Applied="True")
    (policy,) = policies(wishes)
    bare = {"name": policy["metadata"]["name"], "namespace": wishes.namespace}
    theirs = {"apiVersion": POLICY[0], "kind": POLICY[1], "metadata": bare}
    wishes.control.admin.apply({**theirs, "spec": {"wasm": policy["spec"]["wasm"]}}, manager="another")
    wishes.control.admin.delete(wishes.wish("goes"))
    said = wishes.becomes("goes", Ready="False", Ready_reason="Deleting")["Ready"]["message"]
    assert 'is also applied by another: conflict with "another"' in said and ".spec.wasm" in said
    assert names(policies(wishes)[0]) == ["goes", "stays"]
    wishes.control.admin.apply(theirs, manager="another")  # it leaves the field alone again
    until(lambda: wishes.get("goes") is None, "it goes", 60)
    assert names(policies(wishes)[0]) == ["stays"]
    wishes.delete("stays")
    assert policies(wishes) == []


def policies(wishes: Filters) -> list[Object]:
    """Those of the test's namespace."""
    return wishes.control.admin.all(*POLICY, wishes.namespace)


def names(policy: Object) -> list[str]:
    """The FilterDeployments whose filters a policy lists, in their order."""
    return [str(one["name"]).split("/")[3] for one in policy["spec"].get("wasm") or ()]


def owners(policy: Object) -> set[str]:
    """The FilterDeployments that own it."""
    return {str(one["name"]) for one in policy["metadata"]["ownerReferences"]}
