"""What goes wrong between the hub and a cluster: said in a sentence, harming nobody, and mended when it is over."""

import json
import random
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from tests.deploy.fleet import header_filter, until
from tests.deploy.polling import Set
from tests.engines import free_port
from tests.hub import HubProcess
from tests.mesh.kubernetes import Cluster, ControlPlane, Object
from tests.mesh.network import Network
from tests.mesh.target import PLUGIN, Target
from tests.oci import Client
from tests.peers import mesh_file

APPLIED = "applied-not-observed"
ADMISSION = "admissionregistration.k8s.io/v1"
RIGHTS = "rbac.authorization.k8s.io/v1"
PLUGINS = {"apiGroups": ["extensions.istio.io"], "resources": ["wasmplugins"], "verbs": ["*"]}
SECRETS = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"]}


@pytest.fixture(scope="module")
def image(oci: Client) -> str:
    """A filter in the hub."""
    oci.push_filter("admin/faults", "1", header_filter("one"))
    return "admin/faults:1"


def test_what_a_revision_no_longer_says_goes_from_the_object(target: Target, image: str) -> None:
    target.deploy("marks", image, config={"a": 1, "b": {"c": 2}})
    target.becomes("marks", APPLIED)
    for config in ({"a": 1}, None):
        target.deploy("marks", image, config=config)
        target.becomes("marks", APPLIED)
        assert _plugin(target)["spec"].get("pluginConfig") == config


def test_somebodys_finalizer_holds_what_was_undeployed(target: Target, image: str) -> None:
    target.deploy("marks", image)
    target.becomes("marks", APPLIED)
    _patch(target.cluster, _plugin(target), {"metadata": {"finalizers": ["example.com/keeps"]}})
    target.undeploy("marks")

    said = until(lambda: "example.com/keeps" in target.deployment("marks")["message"], "the finalizer is named")
    assert said and target.deployment("marks")["status"] == "progressing"
    version = _plugin(target)["metadata"]["resourceVersion"]
    time.sleep(1)
    assert _plugin(target)["metadata"]["resourceVersion"] == version
    target.deploy("marks", image)
    assert "example.com/keeps" in target.becomes("marks", "stalled")["message"]
    _patch(target.cluster, _plugin(target), {"metadata": {"finalizers": None}})
    target.becomes("marks", APPLIED)
    assert "deletionTimestamp" not in _plugin(target)["metadata"]


def test_a_policy_that_denies_is_quoted_and_followed_when_it_goes(target: Target, image: str) -> None:
    rule = {"apiGroups": ["extensions.istio.io"], "apiVersions": ["*"], "resources": ["wasmplugins"]}
    matched = {"resourceRules": [{**rule, "operations": ["CREATE", "UPDATE"]}]}
    here = {"matchLabels": {"kubernetes.io/metadata.name": target.namespace}}
    name = f"no-filters-{target.namespace}"
    spec: Object = {"failurePolicy": "Fail", "matchConstraints": matched}
    spec["validations"] = [{"expression": "false", "message": "no filters on Fridays"}]
    policy = {"apiVersion": ADMISSION, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name}, "spec": spec}
    bound = {"policyName": name, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": here}}
    binding = {**policy, "kind": "ValidatingAdmissionPolicyBinding", "spec": bound}
    target.cluster.apply(policy)
    target.cluster.apply(binding)
    until(lambda: _refuses(target), "the policy is in force")

    target.deploy("marks", image)
    assert "no filters on Fridays" in target.becomes("marks", "stalled")["message"]
    target.cluster.delete(binding)
    target.becomes("marks", APPLIED)


def test_a_namespace_that_is_missing_is_waited_for(target: Target, cluster: ControlPlane, image: str) -> None:
    place = {"namespace": f"{target.namespace}-later", "labels": {"app": "gw"}}
    target.deploy("marks", image, placement=place)
    assert "make the namespace first" in target.becomes("marks", "stalled")["message"]
    cluster.namespace(place["namespace"])  # type: ignore[arg-type]
    target.becomes("marks", APPLIED)
    target.undeploy("marks")
    target.becomes("marks", 404)


def test_a_namespace_that_is_going_away_takes_nothing_new_and_lets_go(target: Target, image: str) -> None:
    target.deploy("marks", image)
    target.becomes("marks", APPLIED)
    target.cluster.delete({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": target.namespace}})
    target.deploy("more", image)
    assert "is being deleted" in target.becomes("more", "stalled")["message"]
    for name in ("marks", "more"):
        target.undeploy(name)
        target.becomes(name, 404)
    assert target.object(PLUGIN, f"marks.{target.name}") is None


def test_rights_in_one_namespace_are_enough_there(
    cluster: ControlPlane, mesh_hub: HubProcess, namespace: str, image: str
) -> None:
    seen = cluster.account("hub", namespace, [PLUGINS, SECRETS])
    elsewhere = cluster.namespace(f"{namespace}-other")
    with Target(mesh_hub, seen, namespace, observe="nothing") as target:
        target.deploy("marks", image)
        target.deploy("more", image, placement={"namespace": elsewhere})
        target.becomes("marks", APPLIED)
        assert "may not" in target.becomes("more", "stalled")["message"]

        _allow(cluster.admin, namespace, [{**PLUGINS, "verbs": ["get", "patch", "create", "delete"]}, SECRETS])
        until(lambda: seen.http.get(seen.path(*PLUGIN, "", namespace)).status_code == 403, "it may not list them")
        target.undeploy("marks")
        said = until(lambda: "may not list WasmPlugin" in target.deployment("marks").get("message", ""), "it is said")
        assert said and cluster.admin.get(*PLUGIN, f"marks.{target.name}", namespace)
        _allow(cluster.admin, namespace, [PLUGINS, SECRETS])
        target.becomes("marks", 404)
        assert cluster.admin.get(*PLUGIN, f"marks.{target.name}", namespace) is None


def test_nothing_is_applied_that_stands_on_what_was_refused(
    cluster: ControlPlane, mesh_hub: HubProcess, namespace: str, image: str
) -> None:
    with Target(mesh_hub, cluster.account("hub", namespace, [PLUGINS]), namespace, observe="nothing") as target:
        target.deploy("marks", image)
        assert "secrets" in target.becomes("marks", "stalled")["message"]
        assert cluster.admin.get(*PLUGIN, f"marks.{target.name}", namespace) is None
        _allow(cluster.admin, namespace, [PLUGINS, SECRETS])
        target.becomes("marks", APPLIED)


def test_an_account_that_ended_is_said_and_another_kubeconfig_is_the_way_out(
    cluster: ControlPlane, mesh_hub: HubProcess, namespace: str, image: str
) -> None:
    seen = cluster.account("hub", namespace, [PLUGINS, SECRETS])
    with Target(mesh_hub, seen, namespace, observe="nothing") as target:
        target.deploy("marks", image)
        target.becomes("marks", APPLIED)
        cluster.admin.delete(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "hub", "namespace": namespace}}
        )
        # The API server itself goes on believing a token for some seconds.
        until(lambda: seen.http.get("/version").status_code == 401, "the token has ended")
        target.deploy("marks", image, config={"a": 1})
        said = until(lambda: _state(target)["status"] == "away" and _state(target)["message"], "the target is away")
        assert "give the target a new kubeconfig" in said
        found = target.deployment("marks")
        assert found["status"] == "waiting" and f"{target.name} is away since" in found["message"]

        answer = target.http.patch(f"/api/v1/targets/{target.name}", json={"kubeconfig": cluster.admin.kubeconfig()})
        assert answer.status_code == 200, answer.text
        target.becomes("marks", APPLIED)
        assert _state(target)["status"] == "reached"


def test_a_cluster_that_goes_and_comes_back_is_caught_up_and_slows_no_other(
    target: Target, mesh_hub: HubProcess, network: Network, image: str
) -> None:
    with (
        _another(network) as other,
        Target(mesh_hub, other.admin, "shop", observe="nothing") as away,
        Target(mesh_hub, other.admin, "shop", observe="nothing") as lost,
    ):
        away.deploy("marks", image)
        assert "knows no WasmPlugin" in away.becomes("marks", "stalled")["message"]
        other.install(mesh_file("istio", "crds.yaml").read_text())
        away.becomes("marks", APPLIED)

        other.end(signal.SIGKILL)
        with socket.create_server((network.address, other.port)):  # accepts, and never answers
            away.deploy("more", image)
            until(lambda: _state(away)["status"] == "away", "it is away")
            assert away.deployment("marks")["status"] == APPLIED
            assert f"{away.name} is away since" in away.deployment("marks")["message"]
            assert away.becomes("more", "waiting")
            _is_abandoned_when_asked(lost, image)
            began = time.monotonic()
            target.deploy("marks", image)
            target.becomes("marks", APPLIED, 10)
            assert time.monotonic() - began < 5
        other.start()
        away.becomes("more", APPLIED, 40)
        assert _state(away)["status"] == "reached"


def test_two_who_deploy_at_once_both_count_and_one_runs(target: Target, image: str) -> None:
    target.deploy("marks", image)
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda number: target.deploy("marks", image, config={"n": number}), range(8)))
    assert {one["revision"]["number"] for one in told} == set(range(2, 10))
    last = max(told, key=lambda one: one["revision"]["number"])["revision"]
    assert "revision 9 " in target.becomes("marks", APPLIED)["message"]
    assert _plugin(target)["spec"]["pluginConfig"] == json.loads(last["config"])
    assert len(target.http.get(f"/api/v1/targets/{target.name}/deployments/marks").json()["revisions"]) == 9


def test_a_hub_that_is_killed_goes_on_where_it_was(
    cluster: ControlPlane, network: Network, namespace: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    chance = random.Random(6)
    settings = {
        "WASMHUB_LISTEN": f"{network.address}:{free_port()}",
        "WASMHUB_OUTGOING_NETWORKS": f"{network.address}/24",
    }
    with HubProcess(tmp_path_factory.mktemp("killed") / "data", **settings) as hub:
        client = Client(hub.url, "admin", hub.admin_password)
        client.push_filter("admin/killed", "1", header_filter("one"))
        with Target(hub, cluster.admin, namespace, observe="nothing") as target:
            for number in (1, 2):
                target.deploy("marks", "admin/killed:1", config={"n": number})
                time.sleep(chance.random() * 0.5)
                hub.kill()
                hub.start()
                said = target.becomes("marks", APPLIED)["message"]
                assert f"revision {number} " in said
                assert _plugin(target)["spec"]["pluginConfig"] == {"n": number}
        client.close()


def test_a_target_stays_while_something_is_deployed_on_it(target: Target, image: str) -> None:
    target.deploy("marks", image)
    answer = target.http.delete(f"/api/v1/targets/{target.name}")
    assert answer.status_code == 409 and "undeploy it first" in answer.text


def _is_abandoned_when_asked(lost: Target, image: str) -> None:
    """A target whose cluster does not come back: it goes only once nothing is deployed there and it is asked for."""
    lost.deploy("marks", image)
    path = f"/api/v1/targets/{lost.name}"
    assert lost.http.delete(path, params={"abandon": "true"}).status_code == 409
    some = Set(lost.http, f"set-{lost.name}")
    some.apply({"target": lost.name, "placement": {"namespace": "shop"}}, reference=image)
    assert f"waits to be applied: {lost.name} is away since" in some.says("is away since")["message"]
    leaving = lost.http.delete(some.path)
    assert leaving.status_code == 202 and leaving.json()["status"] == "leaving", leaving.text
    said = some.says("its objects cannot be taken away")["message"]
    assert "is away since" in said and f"`wasmhub targets delete {lost.name} --abandon` leaves them" in said
    lost.undeploy("marks")
    refused = lost.http.delete(path)
    assert refused.status_code == 409 and "abandon=true" in refused.text
    assert lost.http.delete(path, params={"abandon": "yes"}).status_code == 400
    assert lost.http.delete(path, params={"abandon": "true"}).status_code == 204
    assert lost.http.get(path).status_code == 404
    told = lost.http.get("/api/v1/events", params={"action": "target.delete", "limit": 1}).json()["events"][0]
    assert (told["subject"], told["detail"]) == (lost.name, {"abandoned": ["marks", f"set-{lost.name}"]})
    some.becomes(404)


@contextmanager
def _another(network: Network) -> Iterator[ControlPlane]:
    """A cluster of the test's own, that may be ended, with a namespace `shop`."""
    made = ControlPlane(network.address)
    try:
        made.start().namespace("shop")
        yield made
    finally:
        made.remove()


def _plugin(target: Target) -> Object:
    found = target.object(PLUGIN, f"marks.{target.name}")
    assert found is not None
    return found


def _patch(cluster: Cluster, item: Object, change: Object) -> None:
    headers = {"Content-Type": "application/merge-patch+json"}
    answer = cluster.http.patch(cluster.path_of(item), headers=headers, content=json.dumps(change))
    assert answer.status_code == 200, answer.text


def _refuses(target: Target) -> bool:
    """Whether the API server refuses plugins in the target's namespace."""
    meta = {"name": "probe", "namespace": target.namespace}
    item = {"apiVersion": PLUGIN[0], "kind": PLUGIN[1], "metadata": meta, "spec": {"url": "oci://example.com/x:1"}}
    path = target.cluster.path(*PLUGIN, "", target.namespace)
    return target.cluster.http.post(path, params={"dryRun": "All"}, json=item).status_code == 422


def _allow(cluster: Cluster, namespace: str, rules: list[Object]) -> None:
    """Gives the account `hub` of that namespace other rights there."""
    meta = {"name": "hub", "namespace": namespace}
    cluster.apply({"apiVersion": RIGHTS, "kind": "Role", "metadata": meta, "rules": rules})


def _state(target: Target) -> dict[str, Any]:
    return dict(target.http.get(f"/api/v1/targets/{target.name}").json()["state"])
