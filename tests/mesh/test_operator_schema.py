"""What the real API server takes and refuses of FilterDeployments, and what it takes of those that were wasme's."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.commands import Commands
from tests.cli.test_convert import old
from tests.deploy.fleet import header_filter
from tests.hub import ROOT, HubProcess
from tests.mesh.kubernetes import Object
from tests.mesh.operators import API, CHART, KIND, Filters
from tests.mesh.target import Target
from tests.oci import Client
from wasmhub.cli.operator import OPERATED, _settings

PAGE = (ROOT / "docs" / "operator.md").read_text()
IMAGE = {"repository": "shop/limits", "tag": "1.2.0"}
DIGEST = "sha256:" + "0" * 64
FILTER = {"form": "EnvoyFilter"}
GATEWAY = {"kind": "envoy-gateway"}
WEB = {"targets": [{"kind": "HTTPRoute", "name": "web"}]}


def applied(filters: Filters, name: str = "marks", **spec: Any) -> Object:
    """Applies one of that spec."""
    meta = {"name": name, "namespace": filters.namespace}
    return filters.control.admin.apply({"apiVersion": API, "kind": KIND, "metadata": meta, "spec": spec})


TAKEN: list[dict[str, Any]] = [
    {"image": IMAGE},
    {"image": {"repository": "a/b/c-d.e", "digest": DIGEST}},
    {"image": IMAGE, "config": "a text"},
    {"image": IMAGE, "config": {"a": [1, {"b": None}]}},
    {"image": IMAGE, "config": [1, 2]},
    {"image": IMAGE, "placement": {"env": [{"name": "A", "value": "1"}, {"name": "B"}], "ports": [80, 8080]}},
    {"image": IMAGE, "placement": {"targets": [{"kind": "Gateway", "name": "web"}], "phase": "AUTHN"}},
    {"image": IMAGE, "mesh": FILTER, "placement": {"context": "GATEWAY"}},
    {"image": IMAGE, "mesh": GATEWAY, "placement": {**WEB, "env": [{"name": "A"}]}, "pullSecret": {"name": "x"}},
    {"image": IMAGE, "mesh": {**GATEWAY, "form": "HTTP"}, "placement": WEB},
    {
        "image": IMAGE,
        "mesh": {**GATEWAY, "form": "Image"},
        "placement": {"targets": [{"kind": "Gateway", "name": "web", "section": "https"}]},
    },
]


@pytest.mark.parametrize("spec", TAKEN, ids=json.dumps)
def test_taken(filters: Filters, spec: dict[str, Any]) -> None:
    made = applied(filters, **spec)
    assert made["spec"]["mesh"] == {"kind": "istio", **spec.get("mesh", {})}
    assert (made["spec"]["order"], made["spec"]["failurePolicy"]) == (1000, "FAIL_CLOSED")
    assert made["spec"].get("config") == spec.get("config")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "spec.image: Required value"),
    ({"image": {"repository": "a/b"}}, "give exactly one of tag and digest"),
    ({"image": {"repository": "a/b", "tag": "1", "digest": DIGEST}}, "give exactly one of tag and digest"),
    ({"image": {"repository": "https://hub/a/b", "tag": "1"}}, "spec.image.repository"),
    ({"image": {"repository": "alone", "tag": "1"}}, "spec.image.repository"),
    ({"image": {"repository": "a/b", "tag": "a b"}}, "spec.image.tag"),
    ({"image": {"repository": "a/b", "digest": "sha256:0"}}, "spec.image.digest"),
    ({"image": IMAGE, "order": 0}, "should be greater than or equal to 1"),
    ({"image": IMAGE, "order": 10000}, "should be less than or equal to 9999"),
    ({"image": IMAGE, "failurePolicy": "OPEN"}, "Unsupported value"),
    ({"image": IMAGE, "mesh": {"kind": "consul"}}, "Unsupported value"),
    ({"image": IMAGE, "mesh": {"form": "Wasm"}}, "Unsupported value"),
    (
        {"image": IMAGE, "placement": {"labels": {"a": "b"}, "targets": [{"kind": "Gateway", "name": "web"}]}},
        "a placement has either labels or targets; leave one of them out",
    ),
    ({"image": IMAGE, "mesh": FILTER, "placement": {"phase": "AUTHN"}}, "phase and mode belong to the form WasmPlugin"),
    ({"image": IMAGE, "mesh": FILTER, "placement": {"mode": "CLIENT"}}, "phase and mode belong to the form WasmPlugin"),
    (
        {"image": IMAGE, "mesh": {"form": "WasmPlugin"}, "placement": {"context": "ANY"}},
        "context belongs to the form EnvoyFilter",
    ),
    ({"image": IMAGE, "mesh": FILTER, "pullSecret": {"name": "x"}}, "an EnvoyFilter pulls nothing with a secret"),
    ({"image": IMAGE, "placement": {"ports": [0]}}, "spec.placement.ports"),
    ({"image": IMAGE, "placement": {"ports": [80, 80]}}, "duplicate"),
    ({"image": IMAGE, "placement": {"targets": [{"kind": "Pod", "name": "web"}]}}, "Unsupported value"),
    ({"image": IMAGE, "pullSecret": {}}, "spec.pullSecret.name: Required value"),
    ({"image": IMAGE, "mesh": {"form": "Image"}}, "the forms Image and HTTP are envoy-gateway's, all others istio's"),
    ({"image": IMAGE, "mesh": {**GATEWAY, **FILTER}, "placement": WEB}, "the forms Image and HTTP are envoy-gateway's"),
    (
        {"image": IMAGE, "mesh": {**GATEWAY, "form": "HTTP"}, "placement": WEB, "pullSecret": {"name": "x"}},
        "the form HTTP pulls nothing with a secret",
    ),
    (
        {"image": IMAGE, "mesh": GATEWAY, "placement": WEB, "failurePolicy": "FAIL_RELOAD"},
        "envoy-gateway cannot say FAIL_RELOAD",
    ),
    ({"image": IMAGE, "mesh": GATEWAY}, "with envoy-gateway a placement has targets; name at least one"),
    ({"image": IMAGE, "mesh": GATEWAY, "placement": {"targets": []}}, "with envoy-gateway a placement has targets"),
    *(
        (
            {"image": IMAGE, "mesh": GATEWAY, "placement": {**WEB, **other}},
            "labels, ports, phase, mode and context belong to istio; with envoy-gateway choose targets",
        )
        for other in (
            {"labels": {}},
            {"ports": [80]},
            {"phase": "AUTHN"},
            {"mode": "CLIENT"},
            {"context": "ANY"},
        )
    ),
    (
        {"image": IMAGE, "mesh": GATEWAY, "placement": {"targets": [{"kind": "Service", "name": "web"}]}},
        "a target of envoy-gateway is a Gateway, ListenerSet, HTTPRoute or GRPCRoute",
    ),
    (
        {"image": IMAGE, "mesh": GATEWAY, "placement": {**WEB, "env": [{"name": "A", "value": "1"}]}},
        "envoy-gateway gives a module variables of the proxy's own environment alone",
    ),
    ({"image": IMAGE, "placement": WEB}, "a target of istio is a Gateway, GatewayClass, Service or ServiceEntry"),
    (
        {"image": IMAGE, "placement": {"targets": [{"kind": "Gateway", "name": "web", "section": "https"}]}},
        "and has no section",
    ),
]


@pytest.mark.parametrize(("spec", "said"), REFUSED, ids=lambda value: json.dumps(value)[:60])
def test_refused(filters: Filters, spec: dict[str, Any], said: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(said)):
        applied(filters, **spec)


@pytest.mark.parametrize("name", ["a.b", "a" * 64])
def test_names_are_one_label(filters: Filters, name: str) -> None:
    with pytest.raises(AssertionError, match="the name must be lower-case letters, digits and dashes, at most 63"):
        applied(filters, name, image=IMAGE)


@pytest.mark.parametrize(("first", "then"), [({}, GATEWAY), (GATEWAY, {})], ids=["to another", "to the default"])
def test_the_kind_of_mesh_stays(filters: Filters, first: dict[str, Any], then: dict[str, Any]) -> None:
    gateway = {"placement": {"targets": [{"kind": "Gateway", "name": "web"}]}}
    applied(filters, image=IMAGE, mesh=first, **gateway)
    with pytest.raises(AssertionError, match="a filter does not move from one mesh to another"):
        applied(filters, image=IMAGE, mesh=then, **gateway)


def test_kubectl_shows_what_matters(filters: Filters) -> None:
    applied(filters, image=IMAGE)
    now = "2026-01-31T12:00:00Z"
    ready = {"type": "Ready", "status": "False", "reason": "Stalled", "message": "why", "lastTransitionTime": now}
    meta = {"name": "marks", "namespace": filters.namespace}
    status = {"conditions": [ready], "applied": {"digest": DIGEST}}
    admin = filters.control.admin
    admin.apply({"apiVersion": API, "kind": KIND, "metadata": meta, "status": status}, part="status")
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    shown = admin.http.get(admin.path(API, KIND, "marks", filters.namespace), headers={"Accept": table}).json()
    cells = dict(zip([one["name"] for one in shown["columnDefinitions"]], shown["rows"][0]["cells"], strict=True))
    assert cells.pop("Age")
    assert cells == {
        "Name": "marks",
        "Image": "shop/limits",
        "Tag": "1.2.0",
        "Mesh": "istio",
        "Ready": "False",
        "Reason": "Stalled",
        "Digest": DIGEST,
        "Message": "why",
    }


def test_what_the_page_shows_is_taken(filters: Filters, tmp_path: Path) -> None:
    shown = [yaml.safe_load(one) for one in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
    filter_deployments = [one for one in shown if one.get("kind") == KIND]
    for one in filter_deployments:
        one["metadata"]["namespace"] = filters.namespace
        assert filters.control.admin.apply(one)["spec"]["image"]["repository"] == "shop/rate-limit"
    assert [one["spec"].get("mesh") for one in filter_deployments] == [None, GATEWAY]
    (settings,) = [one for one in shown if "kind" not in one]
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings))
    read = _settings(tmp_path / "settings.yaml", "https://hub.example.com", OPERATED)
    assert all(read[kind]["policy"] for kind in OPERATED)


def test_the_page_names_every_field(filters: Filters) -> None:
    definition = yaml.safe_load((CHART / "crds" / "filterdeployments.yaml").read_text())
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    spec = schema["spec"]["properties"]
    nested = {*spec["image"]["properties"], *spec["mesh"]["properties"], *spec["placement"]["properties"]}
    for name in {*spec, *nested}:
        assert re.search(rf"`(\w+\.)?{name}[.`]", PAGE), name


def test_what_was_wasmes_is_taken(filters: Filters, mesh_hub: HubProcess, oci: Client) -> None:
    """By the API server, and as a command by the hub."""
    document = old(image="webassemblyhub.io/admin/wasmes:1")
    document["metadata"]["namespace"] = filters.namespace
    done = Commands().run("convert", "-", stdin=yaml.safe_dump(document))
    assert done.returncode == 0, done.stderr
    assert filters.control.admin.apply(yaml.safe_load(done.stdout))["spec"]["rootID"] == "limits_root"

    oci.push_filter("admin/wasmes", "1", header_filter("old"))
    with Target(mesh_hub, filters.control.admin, filters.namespace, observe="nothing") as target:
        words = ("--to", "deploy", "--target", target.name)
        command = Commands().run("convert", "-", *words, stdin=yaml.safe_dump(document)).stdout
        made = mesh_hub_token(target)
        typed = Commands(mesh_hub.url, made)
        line = command.replace("wasmhub deploy", f"{typed.program[0]} deploy --no-wait", 1)
        ran = subprocess.run(["sh", "-c", line], env=typed.environment(), capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, ran.stderr
        found = target.http.get(f"/api/v1/targets/{target.name}/deployments/limits").json()
        current = found["revisions"][0]
        assert (current["config"], current["root_id"]) == ('{"a": 1}', "limits_root")
        assert (current["placement"]["labels"], current["placement"]["mode"]) == ({"app": "web"}, "SERVER")
        target.undeploy("limits")
        target.becomes("limits", 404)


def mesh_hub_token(target: Target) -> str:
    """A personal token of the administrator's."""
    made = target.http.post("/api/v1/user/tokens", json={"name": f"for {target.name}"})
    assert made.status_code == 201, made.text
    return str(made.json()["token"])
