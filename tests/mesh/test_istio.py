"""The whole way to a real Istio: agents and Envoys pull, run, swap and drop what is deployed, and the hub says so."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.auth.signing import Signer, push_signature
from tests.deploy.deriving import push_cncf
from tests.deploy.fleet import REFUSES, REFUSES_THREE_BYTES, Load, Upstream, ask, header_filter, until
from tests.hub import HubProcess
from tests.mesh.istio import Istiod, Proxy, Sidecar, route
from tests.mesh.network import Network
from tests.mesh.pods import shows
from tests.mesh.target import PLUGIN, Target
from tests.oci import Client


@pytest.fixture(params=["gateway", "sidecar"])
def proxy(request: pytest.FixtureRequest, istiod: Istiod, namespace: str) -> Iterator[Proxy]:
    """A gateway, or a sidecar with its app, that lets requests through."""
    if request.param == "gateway":
        yield request.getfixturevalue("gateway")
        return
    made = Sidecar(istiod, "gw", namespace)
    try:
        made.start()
        until(lambda: shows(made, 200), "the sidecar lets requests through", 60)
        yield made
    finally:
        made.remove()


@pytest.fixture
def target(istiod: Istiod, mesh_hub: HubProcess, namespace: str) -> Iterator[Target]:
    with Target(mesh_hub, istiod.control.admin, namespace) as made:
        yield made


def test_a_private_filter_is_brought_swapped_and_taken_away(proxy: Proxy, target: Target, oci: Client) -> None:
    oci.push_filter("admin/istio", "1", header_filter("one"))
    oci.push_filter("admin/istio", "2", header_filter("two"))

    target.deploy("marks", "admin/istio:1", placement=at_gateway(target), config={"a": 1})
    until(lambda: shows(proxy, 200, "one"), "the filter's header is seen", 30)
    assert target.becomes("marks", "ready")["message"] == "1 of 1 proxies run revision 1"

    with Load(proxy.front) as load:
        target.put("marks", reference="admin/istio:2")
        until(lambda: shows(proxy, 200, "two"), "the next version's header is seen", 30)
        assert target.becomes("marks", "ready")["message"] == "1 of 1 proxies run revision 2"
    assert load.failed == []
    assert load.seen == {("one",), ("two",)}

    target.undeploy("marks")
    target.becomes("marks", 404)
    until(lambda: shows(proxy, 200), "the header is gone", 30)
    assert target.object(PLUGIN, f"marks.{target.name}") is None
    assert target.pull_secrets() == []


def test_what_the_agent_cannot_fetch_as_it_was_pushed_is_fetched_as_what_was_made_of_it(
    gateway: Proxy, target: Target, oci: Client
) -> None:
    pushed = push_cncf(oci, "admin/cncf", header_filter("made"))
    signer = Signer(ec.generate_private_key(ec.SECP256R1()))
    rules = {"settings": {**target.settings, "cosign_keys": [signer.pem]}}
    changed = target.http.patch(f"/api/v1/targets/{target.name}", json=rules)
    assert changed.status_code == 200, changed.text
    path = f"/api/v1/targets/{target.name}/deployments/marks"
    wish = {"reference": "admin/cncf:1", "placement": at_gateway(target)}
    refused = target.http.put(path, json=wish).json()["error"]
    assert [one["code"] for one in refused["reasons"]] == ["signature"]

    push_signature(oci, "admin/cncf", pushed, signer)
    target.deploy("marks", "admin/cncf:1", placement=at_gateway(target))

    until(lambda: shows(gateway, 200, "made"), "the filter's header is seen", 30)
    assert target.becomes("marks", "ready")["message"] == "1 of 1 proxies run revision 1"
    plugin = target.object(PLUGIN, f"marks.{target.name}")
    assert plugin is not None and "@sha256:" in plugin["spec"]["url"] and pushed not in plugin["spec"]["url"]


def test_a_version_that_envoy_refuses_is_reported_and_the_old_one_serves(
    gateway: Proxy, target: Target, oci: Client
) -> None:
    oci.push_filter("admin/refused", "1", header_filter("one"))
    oci.push_filter("admin/refused", "2", header_filter("two", REFUSES))
    target.deploy("marks", "admin/refused:1", placement=at_gateway(target), config={"a": 1})
    target.becomes("marks", "ready")

    with Load(gateway.front) as load:
        target.put("marks", reference="admin/refused:2")
        said = target.becomes("marks", "stalled")["message"]
    assert f"the Envoy of {target.namespace}/gw refused revision 2" in said
    assert (load.failed, load.seen) == ([], {("one",)})

    rolled = target.http.post(f"/api/v1/targets/{target.name}/deployments/marks/rollback")
    assert rolled.status_code == 200, rolled.text
    assert target.becomes("marks", "ready")["message"] == "1 of 1 proxies run revision 3"
    until(lambda: shows(gateway, 200, "one"), "its workers run it as soon", 2)


def test_a_pull_that_fails_is_reported_and_tried_again(gateway: Proxy, target: Target, oci: Client) -> None:
    oci.push_filter("admin/failing", "1", header_filter("one"))
    nowhere = {**target.settings, "hub": "http://hub.test:1"}
    path = f"/api/v1/targets/{target.name}"
    assert target.http.patch(path, json={"settings": nowhere}).status_code == 200
    began = time.monotonic()
    target.deploy("marks", "admin/failing:1", placement=at_gateway(target))

    said = target.becomes("marks", "stalled")["message"]
    assert time.monotonic() - began < 10
    assert f"the agent of {target.namespace}/gw could not pull the image, and has not signed in to the hub" in said
    assert ask(gateway.front)[0] == 403

    assert target.http.patch(path, json={"settings": target.settings}).status_code == 200
    target.becomes("marks", "ready")
    until(lambda: shows(gateway, 200, "one"), "its workers run it as soon", 2)


def test_a_pull_that_failed_is_tried_again_though_nothing_changed(
    gateway: Proxy, istiod: Istiod, network: Network, mesh_hub: HubProcess, oci: Client
) -> None:
    oci.push_filter("admin/later", "1", header_filter("one"))
    port = mesh_hub.url.rpartition(":")[2]
    with Target(mesh_hub, istiod.control.admin, gateway.namespace, hub=f"http://afterwards.test:{port}") as target:
        target.deploy("marks", "admin/later:1", placement=at_gateway(target))
        assert "could not pull the image" in target.becomes("marks", "stalled")["message"]

        network.call("afterwards.test", network.address)  # now the hub has that name
        target.becomes("marks", "ready")
        until(lambda: shows(gateway, 200, "one"), "its workers run it as soon", 2)
        target.undeploy("marks")
        target.becomes("marks", 404)


@pytest.mark.parametrize("form", ["TrafficExtension", "EnvoyFilter", "EnvoyFilter-ECDS"])
def test_other_forms_bring_swap_and_take_away(
    gateway: Proxy, istiod: Istiod, mesh_hub: HubProcess, oci: Client, form: str
) -> None:
    name = f"admin/{form.lower()}"
    oci.push_filter(name, "1", header_filter("one"))
    oci.push_filter(name, "2", header_filter("two"))
    if form == "EnvoyFilter-ECDS":
        made_public = oci.http.patch(
            f"/api/v1/repositories/{name}", json={"visibility": "public"}, auth=("admin", mesh_hub.admin_password)
        )
        assert made_public.status_code == 200, made_public.text
    with Target(mesh_hub, istiod.control.admin, gateway.namespace, form=form) as target:
        placement = at_gateway(target)
        if form.startswith("EnvoyFilter"):
            placement["context"] = "GATEWAY"
        target.deploy("marks", f"{name}:1", placement=placement)
        until(lambda: shows(gateway, 200, "one"), "the filter's header is seen", 30)
        assert target.becomes("marks", "ready")["message"] == "1 of 1 proxies run revision 1"
        with Load(gateway.front) as load:
            target.put("marks", reference=f"{name}:2")
            until(lambda: shows(gateway, 200, "two"), "the next version's header is seen", 30)
            assert target.becomes("marks", "ready")["message"] == "1 of 1 proxies run revision 2"
        assert load.failed == []
        target.undeploy("marks")
        target.becomes("marks", 404)
        until(lambda: shows(gateway, 200), "the header is gone", 30)


def test_a_listener_whose_filter_does_not_start_is_told(
    proxy: Proxy, istiod: Istiod, mesh_hub: HubProcess, oci: Client
) -> None:
    """Envoy takes a listener before it has fetched the module; one that it has it tries first."""
    name = f"admin/inline-{proxy.namespace}"
    oci.push_filter(name, "1", header_filter("one", REFUSES_THREE_BYTES))
    oci.push_filter(name, "2", header_filter("two", REFUSES))
    with Target(mesh_hub, istiod.control.admin, proxy.namespace, form="EnvoyFilter") as target:
        context = "SIDECAR_INBOUND" if isinstance(proxy, Sidecar) else "GATEWAY"
        target.deploy("marks", f"{name}:1", placement={**at_gateway(target), "context": context}, config="good")
        target.becomes("marks", "ready")
        until(lambda: shows(proxy, 200, "one"), "its workers run it as soon", 2)

        with Load(proxy.front) as load:
            target.put("marks", reference=f"{name}:1", config="bad")
            said = target.becomes("marks", "stalled")["message"]
        assert f"the Envoy of {target.namespace}/gw refused revision 2 and runs what it ran before" in said
        assert (load.failed, load.seen) == ([], {("one",)})

        target.put("marks", reference=f"{name}:2", config="good")
        until(lambda: "could not start revision 3" in target.deployment("marks")["message"], "it is told")
        assert target.deployment("marks")["status"] == "stalled"
        assert shows(proxy, 503)

        rolled = target.http.post(f"/api/v1/targets/{target.name}/deployments/marks/rollback", json={"revision": 1})
        assert rolled.status_code == 200, rolled.text
        assert target.becomes("marks", "ready")["message"] == "1 of 1 proxies run revision 4"
        until(lambda: shows(proxy, 200, "one"), "its workers run it as soon", 2)
        target.undeploy("marks")
        target.becomes("marks", 404)


def test_a_pod_that_comes_later_has_to_run_all_that_stands_in_its_listeners(
    istiod: Istiod, upstream: Upstream, mesh_hub: HubProcess, oci: Client, namespace: str
) -> None:
    oci.push_filter("admin/inline-later", "1", header_filter("one"))
    oci.push_filter("admin/inline-later", "2", header_filter("two"))
    for one in route(namespace, "gw", upstream.address):
        istiod.control.admin.apply(one)
    later = Proxy(istiod, "gw", namespace)
    with Target(mesh_hub, istiod.control.admin, namespace, form="EnvoyFilter") as target:
        placement = {**at_gateway(target), "context": "GATEWAY"}
        for number in (1, 2):
            target.deploy(f"marks-{number}", f"admin/inline-later:{number}", placement=placement, order=number)
        assert target.becomes("marks-1", "waiting")["message"] == "no pod matches the placement, or none is running"
        try:
            later.start()
            until(lambda: shows(later, 200, "two", "one"), "both filters' headers are seen", 60)
            for number in (1, 2):
                assert target.becomes(f"marks-{number}", "ready")["message"] == "1 of 1 proxies run revision 1"
            target.put("marks-2", config={"a": 1})
            assert target.becomes("marks-2", "ready")["message"] == "1 of 1 proxies run revision 2"
            for number in (1, 2):
                target.undeploy(f"marks-{number}")
                target.becomes(f"marks-{number}", 404)
        finally:
            later.remove()


def at_gateway(target: Target) -> dict[str, Any]:
    """The placement of what is to run in the gateway."""
    return {"namespace": target.namespace, "labels": {"app": "gw"}}
