"""A Gloo target on a real API server that knows Gloo's Gateway by its documented schema; no Gloo runs there."""

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from deploy.targets import gloo
from proxywasm.digest_tags import digest_of_tag
from tests.deploy.fleet import header_filter, until
from tests.hub import HubProcess
from tests.mesh.kubernetes import ControlPlane, Object
from tests.mesh.target import MeshTarget
from tests.oci import Client
from tests.web.test_openapi import schema_of

GATEWAY = ("gateway.solo.io/v1", "Gateway")
SCHEMA = Path(__file__).parent / "schemas" / "gloo.yaml"
APPLIED = "applied-not-observed"
VERBS = ["get", "list", "watch", "patch"]
OPENED = ['{"k": "(secret other)"}', '{"k": "(secret key)"}']
# A null in what is somebody else's: it stays.
THEIRS = {"image": "registry.example.com/sally/auth:v1", "name": "auth", "config": {"@type": "x", "value": {"a": None}}}


class GlooTarget(MeshTarget):
    """A Gloo target whose account may do with Gateways what the hub needs, and nothing else."""

    def __init__(self, running: HubProcess, control: ControlPlane, namespace: str, *, everywhere: bool) -> None:
        self.namespace = namespace
        self.cluster = control.admin
        rule = {"apiGroups": ["gateway.solo.io"], "resources": ["gateways"], "verbs": VERBS}
        account = control.account("hub", namespace, [rule], everywhere=everywhere)
        settings = {"hub": "https://hub.example.com"}
        super().__init__(running, {"kind": "gloo", "settings": settings, "kubeconfig": account.kubeconfig()})

    def gateway(self, name: str = "gateway-proxy", **options: Any) -> Object:
        """Makes a Gateway as Gloo's users do."""
        made: Object = {
            "apiVersion": GATEWAY[0],
            "kind": GATEWAY[1],
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"bindPort": 8080, "httpGateway": {"options": options} if options else {}},
        }
        answer = self.cluster.http.post(self.cluster.path(*GATEWAY, "", self.namespace), json=made)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def now(self, name: str = "gateway-proxy") -> Object:
        """The Gateway as it is."""
        found = self.cluster.get(*GATEWAY, name, self.namespace)
        assert found is not None
        return found

    def filters(self, name: str = "gateway-proxy") -> list[str]:
        """The filters that it lists, in short."""
        listed = self.now(name)["spec"]["httpGateway"].get("options", {}).get("wasm", {}).get("filters", [])
        return [str(one["name"]).rpartition("/")[2] for one in listed]

    def say(self, state: Any, reason: str = "", name: str = "gateway-proxy") -> None:
        """Writes what Gloo would say of it."""
        told = {"statuses": {"gloo-system": {"reportedBy": "gloo", "state": state, "reason": reason}}}
        path = self.cluster.path(*GATEWAY, name, self.namespace) + "/status"
        headers = {"Content-Type": "application/merge-patch+json"}
        params = {"fieldManager": "gloo"}
        answer = self.cluster.http.patch(path, params=params, headers=headers, content=json.dumps({"status": told}))
        assert answer.status_code == 200, answer.text

    def deploy(self, name: str, reference: str, **body: Any) -> dict[str, Any]:
        """Deploys to the Gateway of that name in the target's namespace."""
        placement = {"namespace": self.namespace, **body.pop("placement", {})}
        return super().deploy(name, reference, placement=placement, **body)


@pytest.fixture
def target(
    request: pytest.FixtureRequest, control: ControlPlane, mesh_hub: HubProcess, namespace: str
) -> Iterator[GlooTarget]:
    """One whose account has its rights in its namespace alone; with the parameter True in the whole cluster."""
    control.install(SCHEMA.read_text())
    made = GlooTarget(mesh_hub, control, namespace, everywhere=getattr(request, "param", False))
    answer = made.register()
    assert answer.status_code == 201, answer.text
    assert {one["may"] for one in answer.json()["reach"]["rights"]} == {f"{verb} gateways" for verb in VERBS}
    yield made
    made.http.close()


@pytest.fixture
def filters(target: GlooTarget, oci: Client) -> None:
    """Public filters, as Gloo pulls them."""
    for name in ("one", "two"):
        oci.push_filter(f"admin/gloo-{name}", "1", header_filter(name))
        opened = target.http.patch(f"/api/v1/repositories/admin/gloo-{name}", json={"visibility": "public"})
        assert opened.status_code == 200, opened.text


def spec_of(gateway: Object) -> Any:
    """What is others', without the hub's filters."""
    found = copy.deepcopy(gateway["spec"])
    options = found["httpGateway"].get("options", {})
    listed = options.get("wasm", {}).get("filters", [])
    kept = [one for one in listed if not str(one.get("name")).startswith("wasmhub/")]
    if "wasm" in options and not kept:
        del options["wasm"]
    elif "wasm" in options:
        options["wasm"]["filters"] = kept
    return found


@pytest.mark.usefixtures("filters")
def test_filters_come_change_and_go_and_the_gateway_stays_its_owners(target: GlooTarget, oci: Client) -> None:
    before = target.gateway(healthCheck={"path": "/up"}, wasm={"filters": [THEIRS]})
    target.deploy("one", "admin/gloo-one:1", order=20, config="per second")
    found = target.becomes("one", APPLIED)
    assert found["message"] == "revision 1 was applied; whether proxies run it was not looked at"
    assert found["objects"] == [f"Gateway {target.namespace}/gateway-proxy"]
    target.deploy("two", "admin/gloo-two:1", order=10, placement={"stage": "AuthNStage"})
    target.becomes("two", APPLIED)

    assert target.filters() == ["auth", "two", "one"]
    assert spec_of(target.now()) == before["spec"]
    held = target.now()["spec"]["httpGateway"]["options"]["wasm"]["filters"][2]
    repository, _, tag = held["image"].removeprefix("hub.example.com/").partition(":")
    assert held["config"]["value"] == "per second"
    manifest = oci.ask("GET", f"/v2/{repository}/manifests/{tag}")
    assert manifest.headers["docker-content-digest"] == digest_of_tag(tag)
    assert len(manifest.json()["layers"]) == 2 and manifest.json()["config"]["mediaType"].startswith(
        "application/vnd.mo"
    )

    edited = target.now()
    edited["spec"] = before["spec"]
    assert target.cluster.http.put(target.cluster.path_of(edited), json=edited).status_code == 200
    until(lambda: target.filters() == ["auth", "two", "one"], "what was taken out by hand is back")

    for name in ("one", "two"):
        target.undeploy(name)
        target.becomes(name, 404)
    assert target.now()["spec"] == before["spec"]


@pytest.mark.usefixtures("filters")
def test_what_is_done_by_hand_is_said_and_left_where_the_deployment_says_so(target: GlooTarget) -> None:
    target.gateway()
    target.deploy("one", "admin/gloo-one:1", placement={"drift": "report"}, config="first")
    target.deploy("two", "admin/gloo-two:1")
    for name in ("one", "two"):
        target.becomes(name, APPLIED)
    where, mine = f"Gateway {target.namespace}/gateway-proxy", target.filters().index("one")

    def edit(change: Callable[[list[Any]], Any]) -> None:
        """What somebody does to the list of filters with an editor."""
        edited = target.now()
        change(edited["spec"]["httpGateway"]["options"]["wasm"]["filters"])
        path, params = target.cluster.path_of(edited), {"fieldManager": "kubectl-edit"}
        assert target.cluster.http.put(path, params=params, json=edited).status_code == 200

    edit(lambda filters: filters[mine]["config"].update(value="by hand"))
    said = target.becomes("one", "stalled")["message"]
    assert f"in {where} was changed by kubectl-edit and differs in config.value; deploy again" in said
    target.put("two", config="other")
    target.becomes("two", APPLIED)
    until(lambda: '"other"' in json.dumps(target.now()), "what is another's goes on")
    assert '"by hand"' in json.dumps(target.now())
    target.put("one", config="second")
    target.becomes("one", APPLIED)
    assert '"second"' in json.dumps(target.now())

    edit(lambda filters: filters.pop(mine))
    assert f"was taken out of {where} by kubectl-edit" in target.becomes("one", "stalled")["message"]
    assert target.filters() == ["two"]
    target.put("one", config="third")
    target.becomes("one", APPLIED)
    for name in ("one", "two"):
        target.undeploy(name)
        target.becomes(name, 404)


@pytest.mark.usefixtures("filters")
def test_a_secret_is_told_to_the_gateway_alone_and_answers_look_as_described(target: GlooTarget) -> None:
    target.gateway(wasm={"filters": [THEIRS]})
    base = f"/api/v1/targets/{target.name}"
    for name, value in (("key", "correct horse"), ("other", "battery staple")):
        assert target.http.put(f"{base}/secrets/{name}", json={"value": value}).status_code in (200, 201, 204)
    target.deploy("two", "admin/gloo-two:1", config='{"k": {"$secret": "other"}}')
    target.becomes("two", APPLIED)
    wish = {"reference": "admin/gloo-one:1", "placement": {"namespace": target.namespace}}
    preview = target.http.post(f"{base}/deployments/one/preview", json=wish | {"config": '{"k": {"$secret": "key"}}'})
    (shown,) = preview.json()["objects"]
    listed = shown["spec"]["httpGateway"]["options"]["wasm"]["filters"]
    assert [one.get("config", {}).get("value") for one in listed] == [{"a": None}, *OPENED]
    assert "correct horse" not in preview.text and "battery staple" not in preview.text
    assert "battery staple" in json.dumps(target.now()) and "somebody else's" in preview.json()["notes"][-1]

    one, deployment = "/api/v1/targets/{target}", "/api/v1/targets/{target}/deployments/{deployment}"
    asked = [("get", one, base), ("get", deployment, f"{base}/deployments/two")]
    for method, path, where in asked:
        Draft202012Validator(schema_of(method, path, 200)).validate(target.http.request(method, where).json())
    Draft202012Validator(schema_of("post", f"{deployment}/preview", 200)).validate(preview.json())
    target.undeploy("two")
    target.becomes("two", 404)


def test_a_patch_of_a_version_that_is_gone_is_refused(target: GlooTarget) -> None:
    before = target.gateway(wasm={"filters": [THEIRS]})
    edited = copy.deepcopy(before)
    edited["spec"]["bindPort"] = 8081
    now = target.cluster.http.put(target.cluster.path_of(edited), json=edited).json()
    ours = {"namespace": target.namespace, "gateway": "gateway-proxy", "order": 1, "filter": {"name": "wasmhub/h/t/x"}}
    for gateway, status in ((before, 409), (now, 200)):
        steps = gloo.patch(gateway, gloo.merge(gateway, [ours], "wasmhub/h/t/"))
        headers = {"Content-Type": "application/json-patch+json"}
        path = target.cluster.path_of(gateway)
        answer = target.cluster.http.patch(path, headers=headers, content=json.dumps(steps))
        assert answer.status_code == status, answer.text
    assert target.filters() == ["auth", "x"] and target.now()["spec"]["bindPort"] == 8081


@pytest.mark.usefixtures("filters")
def test_a_filter_moves_from_one_gateway_to_another(target: GlooTarget) -> None:
    first, second = target.gateway(), target.gateway("public")
    target.deploy("one", "admin/gloo-one:1")
    target.becomes("one", APPLIED)
    wish = {"placement": {"namespace": target.namespace, "gateway": "public"}}
    preview = target.http.post(f"/api/v1/targets/{target.name}/deployments/one/preview", json=wish).json()
    changed = [f"Gateway {target.namespace}/{name}" for name in ("public", "gateway-proxy")]
    assert [(one["object"], one["change"]) for one in preview["diff"]] == [(one, "change") for one in changed], preview
    assert target.filters("public") == []

    target.deploy("one", "admin/gloo-one:1", placement={"gateway": "public"})
    until(lambda: target.filters("public") == ["one"] and target.filters() == [], "it is there, and no more here")
    assert target.becomes("one", APPLIED)["objects"] == changed[:1]
    assert spec_of(target.now()) == first["spec"] | {"httpGateway": {"options": {}}}
    target.undeploy("one")
    target.becomes("one", 404)
    assert spec_of(target.now("public")) == second["spec"] | {"httpGateway": {"options": {}}}


@pytest.mark.usefixtures("filters")
def test_what_gloo_says_of_the_gateway_is_told(target: GlooTarget) -> None:
    target.gateway()
    target.deploy("one", "admin/gloo-one:1")
    target.becomes("one", APPLIED)
    target.say("Accepted")
    until(lambda: "Gloo accepts" in target.deployment("one")["message"], "it accepts it")
    assert target.deployment("one")["status"] == APPLIED
    target.say(2, "could not pull the image")
    found = target.becomes("one", "stalled")
    assert (
        f"Gloo refuses Gateway {target.namespace}/gateway-proxy with revision 1 in it: could not pull"
        in found["message"]
    )

    target.deploy("one", "admin/gloo-one:1", config="other")
    found = target.becomes("one", "waiting")
    assert "before revision 2 was in it, and has not said anything since" in found["message"]
    target.say("Warning", "no virtual services")
    assert "Gloo warns of Gateway" in target.becomes("one", APPLIED)["message"]
    target.undeploy("one")
    target.becomes("one", 404)


@pytest.mark.usefixtures("filters")
def test_what_stands_in_the_way_is_said_and_is_gone_with_its_cause(target: GlooTarget) -> None:
    target.deploy("one", "admin/gloo-one:1")
    assert "Gloo has no Gateway gateway-proxy in" in target.becomes("one", "stalled")["message"]
    gateway = target.gateway()
    target.becomes("one", APPLIED)

    theirs = {name: gateway[name] for name in ("apiVersion", "kind")}
    theirs["metadata"] = {name: gateway["metadata"][name] for name in ("name", "namespace")}
    theirs["spec"] = {"httpGateway": {"options": {"wasm": {"filters": [THEIRS]}}}}
    applied = target.cluster.apply(theirs, manager="argocd-controller")
    found = target.becomes("one", "stalled")
    assert "are applied as a whole list by argocd-controller; leave that list to one of you" in found["message"]
    assert (
        target.filters() == ["auth"]
        and target.now()["metadata"]["resourceVersion"] == (applied["metadata"]["resourceVersion"])
    )
    target.undeploy("one")
    target.becomes("one", 404)

    oci_private = target.http.patch("/api/v1/repositories/admin/gloo-two", json={"visibility": "private"})
    assert oci_private.status_code == 200
    refused = target.put("two", reference="admin/gloo-two:1", placement={"namespace": target.namespace})
    assert refused.status_code == 422 and "make the repository public" in refused.text
    target.http.patch("/api/v1/repositories/admin/gloo-two", json={"visibility": "public"})


@pytest.mark.usefixtures("filters")
def test_what_cannot_be_made_any_more_keeps_what_there_is(target: GlooTarget) -> None:
    target.gateway()
    target.deploy("one", "admin/gloo-one:1", failure_policy="FAIL_OPEN", order=1)
    target.deploy("two", "admin/gloo-two:1", order=2)
    target.becomes("two", APPLIED)
    target.configure(version="1.11")
    assert "FAIL_OPEN needs Gloo 1.12" in target.becomes("one", "stalled")["message"]
    target.deploy("two", "admin/gloo-two:1", config="changed")
    until(lambda: "changed" in json.dumps(target.now()), "the other one changes")
    assert target.filters() == ["one", "two"]
    for name in ("one", "two"):
        target.undeploy(name)
        target.becomes(name, 404)
    assert target.filters() == []


@pytest.mark.usefixtures("filters")
@pytest.mark.parametrize(("seed", "target"), [(1, False), (2, True)], indirect=["target"])
def test_random_changes_of_both_sides_lose_nothing_of_anybody(target: GlooTarget, seed: int) -> None:
    chance, wanted = random.Random(seed), dict[str, int]()
    target.gateway(wasm={"filters": [THEIRS]})
    theirs = ["auth"]
    for _ in range(12):
        name = chance.choice(("one", "two"))
        step = chance.choice(("deploy", "deploy", "undeploy", "theirs"))
        if step == "deploy":
            wanted[name] = chance.randint(1, 9)
            target.deploy(name, f"admin/gloo-{name}:1", order=wanted[name], config=str(chance.random()))
        elif step == "undeploy" and wanted.pop(name, None) is not None:
            target.undeploy(name)
        else:
            theirs = _edit(target, chance)
    ours = sorted(wanted, key=lambda name: (wanted[name], name))

    def settled() -> bool:
        found = target.filters()
        return [one for one in found if one not in ("one", "two")] == theirs and [
            one for one in found if one in ("one", "two")
        ] == ours

    until(settled, "each side has its own")
    for name in ours:
        target.undeploy(name)
        target.becomes(name, 404)
    until(lambda: target.filters() == theirs, "what is theirs is left")


def _edit(target: GlooTarget, chance: random.Random) -> list[str]:
    """Somebody else puts a filter in or takes one out, and reads again where they were not the first."""
    fresh = f"their-{chance.randint(0, 999)}"
    while True:
        gateway = target.now()
        options = gateway["spec"]["httpGateway"].setdefault("options", {})
        listed = options.setdefault("wasm", {}).setdefault("filters", [])
        others = [one for one in listed if not one["name"].startswith("wasmhub/")]
        if others and fresh[-1] in "02468":
            listed.remove(others[0])
        else:
            listed.insert(int(fresh[-1]) % (len(listed) + 1), THEIRS | {"name": fresh})
        answer = target.cluster.http.put(target.cluster.path_of(gateway), json=gateway)
        if answer.status_code == 200:
            return [one["name"] for one in listed if not one["name"].startswith("wasmhub/")]
        assert answer.status_code == 409, answer.text
