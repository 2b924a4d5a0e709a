"""What an Istio mesh is given: objects as its documents want them, and sentences for what it cannot be given."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.targets import istio
from deploy.targets.plan import BadPlacement, Module
from tests.deploy.test_envoy_fleet import CERTIFICATE
from tests.targets.plans import MODULE, changed, envoy_refuses, facts, golden, plan_for

HUB = {"hub": "https://hub.example.com"}
WEB = {"namespace": "shop", "labels": {"app": "web"}}
FILTER = HUB | {"form": "EnvoyFilter"}
ECDS = HUB | {"form": "EnvoyFilter-ECDS"}

RENDERED: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (
        "wasmplugin",
        HUB,
        {
            "namespace": "shop",
            "labels": {"tier": "front", "app": "web"},
            "phase": "AUTHN",
            "mode": "SERVER",
            "ports": [9090, 8080, 8080],
            "env": {"POD_NAME": None, "LEVEL": "info"},
        },
        {"pull_secret": "hub-pull"},
    ),
    (
        "wasmplugin-for-all",
        HUB,
        {"namespace": "istio-system"},
        {"root_id": "", "config": None, "failure_policy": "FAIL_OPEN"},
    ),
    (
        "wasmplugin-for-targets",
        HUB | {"istio_version": "1.27.1"},
        {
            "namespace": "shop",
            "targets": [
                {"kind": "Gateway", "name": "waypoint"},
                {"kind": "Service", "name": "web"},
                {"kind": "ServiceEntry", "name": "bank"},
            ],
        },
        {"failure_policy": "FAIL_RELOAD"},
    ),
    (
        "trafficextension",
        HUB | {"form": "TrafficExtension", "istio_version": "1.30"},
        WEB | {"phase": "STATS", "mode": "CLIENT"},
        {"pull_secret": "hub-pull"},
    ),
    ("envoyfilter", FILTER, WEB, {"failure_policy": "FAIL_OPEN", "pull_secret": "hub-pull"}),
    (
        "envoyfilter-for-gateways",
        {"hub": "http://hub.hubs.svc:8080", "form": "EnvoyFilter", "istio_version": "1.27", "restrict": False},
        {
            "namespace": "shop",
            "targets": [{"kind": "Gateway", "name": "edge"}],
            "ports": [443, 80],
            "env": {"LEVEL": "info", "POD_NAME": None},
        },
        {
            "failure_policy": "FAIL_RELOAD",
            "root_id": "",
            "config": None,
            "module_url": f"http://hub.hubs.svc:8080/modules/GRANT/{MODULE}.wasm",
        },
    ),
    ("envoyfilter-ecds", ECDS | {"istio_version": "1.25"}, WEB | {"context": "SIDECAR_OUTBOUND"}, {}),
]


@pytest.mark.parametrize(("name", "settings", "placement", "change"), RENDERED, ids=[one[0] for one in RENDERED])
def test_objects_are_as_written_by_hand(
    name: str, settings: dict[str, Any], placement: dict[str, Any], change: dict[str, Any]
) -> None:
    plan = plan_for(istio, settings, placement, **change)

    assert istio.problems(plan) == []
    assert istio.render(plan) == golden("istio", name)


@pytest.mark.parametrize(
    ("name", "settings", "placement", "change"), RENDERED[4:], ids=[one[0] for one in RENDERED[4:]]
)
def test_envoy_takes_what_an_envoyfilter_carries(
    name: str, settings: dict[str, Any], placement: dict[str, Any], change: dict[str, Any], tmp_path: Path
) -> None:
    plan = plan_for(istio, settings | {"ca_file": str(tmp_path / "ca.pem")}, placement, **change)
    (tmp_path / "ca.pem").write_text(CERTIFICATE)

    patches = istio.render(plan)[0]["spec"]["configPatches"]
    values = [one["patch"]["value"] for one in patches]

    assert (
        envoy_refuses(
            tmp_path,
            [one for one in values if one.get("typed_config", {}).get("@type", "").endswith("Wasm")][:1],
            [one["patch"]["value"] for one in patches if one["applyTo"] == "CLUSTER"],
        )
        == ""
    )


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({}, "the field hub is missing"),
        ({"hub": 7}, "hub must be a printable text of at most 300 characters"),
        ({"hub": "hub.example.com"}, "hub must be the URL of the hub without a path"),
        ({"hub": "oci://hub.example.com"}, "hub must be the URL of the hub without a path"),
        ({"hub": "https://hub.example.com/hub"}, "hub must be the URL of the hub without a path"),
        ({"hub": "https://user:pw@hub.example.com"}, "hub must be the URL of the hub without a path"),
        ({"hub": "https://hub.example.com:99999"}, "hub must be the URL of the hub without a path"),
        ({"hub": "http://localhost:8080"}, "other than localhost: agents that pull images refuse to fetch a token fro"),
        ({"hub": "http://hub.localhost"}, "from hub.localhost; give the hub a name that the cluster's DNS knows"),
        ({"hub": "http://10.0.0.7:8080"}, "from 10.0.0.7; give the hub a name that the cluster's DNS knows"),
        ({"hub": "http://127.1"}, "from 127.1; give the hub a name that the cluster's DNS knows"),
        ({"hub": "http://[::1]:8080"}, "from ::1; give the hub a name that the cluster's DNS knows"),
        ({"hub": "http://metadata.google.internal"}, "from metadata.google.internal; give the hub a name"),
        (HUB | {"from": "WasmPlugin"}, "there is no field 'from' in the settings of an Istio target; the fields are h"),
        (HUB | {"form": "Wasm"}, "form must be one of WasmPlugin, TrafficExtension, EnvoyFilter, EnvoyFilter-ECDS"),
        (HUB | {"form": ""}, "form must be one of WasmPlugin"),
        (HUB | {"form": []}, "form must be one of WasmPlugin"),
        (HUB | {"istio_version": "27"}, "istio_version must be a release such as 1.27"),
        (HUB | {"istio_version": "2.0"}, "istio_version must be a release such as 1.27"),
        (
            HUB | {"form": "TrafficExtension", "istio_version": "1.29.2"},
            "TrafficExtension needs Istio 1.30; set form to WasmPlugin, or istio_version to what runs",
        ),
        (HUB | {"root_namespace": "Istio"}, "root_namespace must be the name of a namespace"),
        (HUB | {"observe": "all"}, "observe must be one of agents, nothing"),
        (HUB | {"agent_port": 0}, "agent_port must be a port, a whole number from 1 to 65535"),
        (HUB | {"agent_port": True}, "agent_port must be a port"),
        (HUB | {"restrict": "yes"}, "restrict must be true or false"),
        (HUB | {"ca_file": "\n"}, "ca_file must be a printable text"),
    ],
)  # fmt: skip
def test_settings_are_refused_with_a_sentence(asked: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadPlacement) as refused:
        istio.read_settings(asked)

    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "asked", "sentence"),
    [
        (HUB, {}, "the field namespace is missing"),
        (HUB, {"namespace": "Shop"}, "'Shop' is none"),
        (HUB, {"namespace": "a.b"}, "namespace must be the name of a namespace: lower-case letters, digits and dashes"),
        (HUB, {"namespace": "a" * 64}, "at most 63"),
        (HUB, WEB | {"selector": {}}, "there is no field 'selector' in a placement by WasmPlugin; the fields are name"),
        (HUB, WEB | {"labels": ["app"]}, "labels must be an object of at most 32 labels"),
        (HUB, WEB | {"labels": {"app": "we*"}}, "there are no wildcards"),
        (HUB, WEB | {"labels": {"app": "w" * 64}}, "the label app in labels must be a text of at most 63 letters"),
        (HUB, WEB | {"labels": {"app": 7}}, "the label app in labels must be a text"),
        (HUB, WEB | {"labels": {"/app": "web"}}, "'/app' in labels is no name of a label"),
        (HUB, WEB | {"labels": {"": "web"}}, "'' in labels is no name of a label"),
        (HUB, WEB | {"targets": [{"kind": "Service", "name": "web"}]}, "either labels or targets; leave one of them o"),
        (HUB, {"namespace": "shop", "targets": {}}, "targets must be a list of at most 16 objects with kind and name"),
        (HUB, {"namespace": "shop", "targets": ["web"]}, "each of targets must be an object with kind and name"),
        (HUB, {"namespace": "shop", "targets": [{"kind": "Pod", "name": "w"}]}, "must be one of Gateway, GatewayClass"),
        (HUB, {"namespace": "shop", "targets": [{"kind": "Service"}]}, "the field name is missing"),
        (HUB, {"namespace": "shop", "targets": [{"kind": "Service", "name": "W"}]}, "the name of an object of Kuberne"),
        (HUB, {"namespace": "shop", "targets": [{"kind": "GatewayClass", "name": "istio"}]}, "only in the namespace i"),
        (FILTER, {"namespace": "shop", "targets": [{"kind": "Service", "name": "w"}]}, "must be one of Gateway, Gatew"),
        (HUB, WEB | {"phase": "UNSPECIFIED_PHASE"}, "phase must be one of AUTHN, AUTHZ, STATS"),
        (HUB, WEB | {"mode": "client"}, "mode must be one of CLIENT, SERVER, CLIENT_AND_SERVER"),
        (HUB, WEB | {"context": "ANY"}, "context belongs to the form EnvoyFilter; with this one choose mode, phase or"),
        (FILTER, WEB | {"phase": "AUTHN"}, "phase and mode belong to the form WasmPlugin; with an EnvoyFilter choose"),
        (FILTER, WEB | {"context": "WAYPOINT"}, "context must be one of SIDECAR_INBOUND, SIDECAR_OUTBOUND, GATEWAY, A"),
        (HUB, WEB | {"ports": [0]}, "each of ports must be a port"),
        (HUB, WEB | {"ports": 80}, "ports must be a list of at most 64 ports"),
        (HUB, WEB | {"env": {"A B": ""}}, "'A B' in env is no name of an environment variable, such as LEVEL"),
        (HUB, WEB | {"env": {"A": 1}}, "or null to take it from the proxy's own environment"),
        (HUB, WEB | {"env": {"A": "x" * 2049}}, "the variable A in env must be a printable text of at most 2048"),
        (ECDS, WEB | {"env": {"ISTIO_META_WASM_IMAGE_PULL_SECRET": "x"}}, "Istio's agent reads what begins with ISTIO"),
    ],
)  # fmt: skip
def test_placements_are_refused_with_a_sentence(settings: dict[str, Any], asked: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadPlacement) as refused:
        istio.read_placement(asked, istio.read_settings(settings))

    assert sentence in str(refused.value)


OLD = "needs Istio 1.{}, and this target runs 1.{}; "


@pytest.mark.parametrize(
    ("settings", "placement", "change", "sentence"),
    [
        (HUB, WEB, {"config": "per second"}, "the config is no JSON, and a WasmPlugin carries JSON objects; write it"),
        (HUB, WEB, {"config": "[1]"}, "the config is no JSON object, and a WasmPlugin carries JSON objects; write it"),
        (HUB, WEB, {"config": '{"a":9007199254740993}'}, "holds the number 9007199254740993, of which the last digits"),
        (HUB, WEB, {"config": '{"a":' + "9" * 5000 + "}"}, "of which the last digits would be lost"),
        (HUB, WEB, {"config": '{"a":-1e999}'}, "the config holds the number -1e999, which is too large"),
        (HUB, WEB, {"config": '{"a":NaN}'}, "the config holds NaN, which JSON cannot say"),
        (HUB, WEB, {"config": '{"a":1,"b":2,"a":3}'}, "the config says 'a' twice"),
        (HUB, WEB, {"config": '{"a":"\\ud800"}'}, "the config holds half a character"),
        (HUB, WEB, {"config": '{"a":' * 100_000}, "the config is nested too deeply"),
        (ECDS, WEB, {"pull_secret": "hub-pull"}, "make the repository public, or set the target's form to WasmPlugin"),
        (FILTER, WEB, {"module": Module(MODULE, 40_000_000)}, "the module has 40000000 bytes, and an Envoy that fetch"),
        (HUB | {"istio_version": "1.26.4"}, WEB, {"failure_policy": "FAIL_RELOAD"}, OLD.format(27, 26) + "choose FAIL"),
        (FILTER | {"istio_version": "1.24"}, WEB, {"failure_policy": "FAIL_RELOAD"}, OLD.format(25, 24) + "choose FAI"),
        (HUB | {"istio_version": "1.18"}, WEB, {"failure_policy": "FAIL_OPEN"}, OLD.format(19, 18) + "choose FAIL_CLO"),
        (
            HUB | {"istio_version": "1.21"},
            {"namespace": "shop", "targets": [{"kind": "Gateway", "name": "g"}]},
            {},
            OLD.format(22, 21) + "choose workloads by labels",
        ),
        (HUB | {"istio_version": "1.13"}, WEB | {"env": {"A": "b"}}, {}, OLD.format(14, 13) + "leave env out"),
        (HUB | {"istio_version": "1.15"}, WEB | {"ports": [80]}, {}, OLD.format(16, 15) + "leave both out"),
        (HUB | {"istio_version": "1.13"}, WEB, {"pull_secret": "p"}, OLD.format(14, 13) + "make the repository public"),
        (HUB | {"istio_version": "1.11"}, WEB, {}, OLD.format(12, 11) + "set the target's form to EnvoyFilter"),
    ],
)  # fmt: skip
def test_what_cannot_be_rendered_is_said_with_the_way_out(
    settings: dict[str, Any], placement: dict[str, Any], change: dict[str, Any], sentence: str
) -> None:
    (found,) = istio.problems(plan_for(istio, settings, placement, **change))

    assert sentence in found


def test_a_text_of_any_kind_goes_into_an_envoyfilter() -> None:
    for config in ("per second", "[1]", '{"a":9007199254740993}', '{"a":1,"a":2}'):
        plan = plan_for(istio, FILTER, WEB, config=config)

        assert istio.problems(plan) == []
        held = istio.render(plan)[0]["spec"]["configPatches"][1]["patch"]["value"]["typed_config"]["config"]
        assert held["configuration"]["value"] == config


def test_another_module_or_environment_has_another_vm() -> None:
    def vm_id(env: dict[str, str | None], module: str = MODULE) -> str:
        plan = plan_for(istio, FILTER, WEB | {"env": env}, module=Module(module, 1, facts()))
        patches = istio.render(plan)[0]["spec"]["configPatches"]
        found: str = patches[1]["patch"]["value"]["typed_config"]["config"]["vm_config"]["vm_id"]
        return found

    ids = [vm_id({}), vm_id({"A": "1"}), vm_id({"A": "2"}), vm_id({"A": None}), vm_id({}, "0" * 64)]

    assert len(set(ids)) == len(ids)
    assert vm_id({"A": "1", "B": "2"}) == vm_id({"B": "2", "A": "1"})


def test_filters_run_in_rising_order() -> None:
    first, second = (plan_for(istio, HUB, WEB, order=order) for order in (1, 2))
    assert istio.render(first)[0]["spec"]["priority"] > istio.render(second)[0]["spec"]["priority"]

    first, second = (plan_for(istio, FILTER, WEB, order=order) for order in (1, 2))
    assert istio.render(first)[0]["spec"]["priority"] < istio.render(second)[0]["spec"]["priority"]


@pytest.mark.parametrize("form", istio.FORMS)
@pytest.mark.parametrize("seed", range(5))
def test_whatever_has_no_problem_is_rendered_the_same_each_time(form: str, seed: int) -> None:
    dice = random.Random(f"{form}{seed}")
    release = dice.choice(["", "1.30"])
    plan = plan_for(istio, HUB | {"form": form, "istio_version": release}, WEB)
    rendered = 0
    for _ in range(60):
        plan = changed(dice, plan)
        if istio.problems(plan):
            continue
        rendered += 1
        (one,) = istio.render(plan)
        assert one == istio.render(replace(plan))[0]
        assert (one["apiVersion"], one["kind"]) in {kind[:2] for kind in istio.TYPES}
        assert one["metadata"]["name"] == plan.name and one["metadata"]["labels"] == plan.labels
        assert len(plan.name) <= 253 and all(len(value) <= 63 for value in plan.labels.values())
    assert rendered > 5
