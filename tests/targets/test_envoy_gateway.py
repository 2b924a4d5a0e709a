"""What an Envoy Gateway is given: one policy for each thing that filters are attached to, however many they are."""

import random
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from deploy.targets import envoy_gateway
from deploy.targets.plan import BadPlacement, Module, Object, Plan
from tests.targets.plans import changed, golden, plan_for

HUB = {"hub": "https://hub.example.com"}
ROUTE = {"kind": "HTTPRoute", "name": "web"}
WEB = {"namespace": "shop", "targets": [ROUTE]}


def filters(policy: Object) -> list[str]:
    """The deployments whose filters a policy lists."""
    return [str(one["name"]).split("/")[3] for one in policy["spec"]["wasm"]]


def changed_module(plan: Plan) -> Plan:
    """The plan with another module."""
    return replace(plan, module=Module("0" * 64, 1))


def a_plan(name: str, order: int, *targets: str) -> Plan:
    placement = {"namespace": "shop", "targets": [{"kind": "HTTPRoute", "name": target} for target in targets]}
    return plan_for(envoy_gateway, HUB, placement, deployment=name, order=order)


def test_objects_are_as_written_by_hand() -> None:
    gateway = {"kind": "Gateway", "name": "edge", "section": "https"}
    image = plan_for(
        envoy_gateway,
        HUB | {"version": "1.9.1"},
        {
            "namespace": "shop",
            "targets": [{"kind": "HTTPRoute", "name": "web.v1"}, gateway, gateway],
            "env": {"POD_NAME": None},
        },
        pull_secret="hub-pull",
    )
    http = plan_for(
        envoy_gateway, HUB | {"form": "HTTP"}, WEB, root_id="", config=None, failure_policy="FAIL_OPEN", pull_secret="p"
    )

    assert envoy_gateway.problems(image) == envoy_gateway.problems(http) == []
    assert envoy_gateway.render(image) == golden("envoy_gateway", "image")
    assert envoy_gateway.render(http) == golden("envoy_gateway", "http")


def test_filters_on_one_route_share_its_policy_in_order() -> None:
    plans = [a_plan("c", 3, "web"), a_plan("a", 1, "web", "api"), a_plan("b", 3, "web")]

    policies = envoy_gateway.render_together(plans)

    found = {one["spec"]["targetRefs"][0]["name"]: filters(one) for one in policies}
    assert found == {"web": ["a", "b", "c"], "api": ["a"]}
    assert policies == envoy_gateway.render_together(plans[::-1])
    assert policies[1]["metadata"]["annotations"] == {"wasmhub/deployments": "a,b,c"}
    alone = envoy_gateway.render(plans[0])[0]["metadata"]
    assert alone["name"] == policies[1]["metadata"]["name"], "a policy stays while filters come and go"


def test_what_cannot_be_rendered_stays_where_and_as_it_is() -> None:
    a, b = a_plan("a", 1, "web"), a_plan("b", 2, "web")
    live = envoy_gateway.render_together([a, b])
    moved = a_plan("a", 3, "api")

    assert envoy_gateway.render_together([b], [moved], live)[0]["spec"]["wasm"] == live[0]["spec"]["wasm"][::-1]
    assert envoy_gateway.render_together([], [a, b], live) == live
    (policy,) = envoy_gateway.render_together([b], [a], [])
    assert filters(policy) == ["b"], "nothing is there of what never was"
    elsewhere = deepcopy(live)
    elsewhere[0]["spec"]["targetRefs"][0]["name"] = "elsewhere"  # by hand, which moves nothing
    assert envoy_gateway.render_together([b], [a], elsewhere) == live


def test_another_try_has_another_address_and_means_the_same() -> None:
    image, module = a_plan("a", 1, "web"), plan_for(envoy_gateway, HUB | {"form": "HTTP"}, WEB)

    assert envoy_gateway.again(image, 0) == image
    (first,), (third,) = (envoy_gateway.render(envoy_gateway.again(image, tries)) for tries in (0, 3))
    held = third["spec"]["wasm"][0]["code"]["image"]
    assert held["url"] == f"{image.image}:retry-3@{image.manifest}"
    held["url"] = first["spec"]["wasm"][0]["code"]["image"]["url"]
    assert third == first
    (other,) = envoy_gateway.render(envoy_gateway.again(module, 2))
    assert other["spec"]["wasm"][0]["code"]["http"]["url"] == f"{module.module_url}?retry=2"


def test_another_module_is_known_by_its_name_and_its_environment() -> None:
    plan = a_plan("a", 1, "web")
    others = [changed_module(plan), plan_for(envoy_gateway, HUB, WEB, deployment="a", order=1, config="[1]")]

    found = [envoy_gateway.render(one)[0]["spec"]["wasm"][0] for one in (plan, *others)]

    assert len({one["name"] for one in found}) == 3
    keys = [one["env"]["hostKeys"] for one in found]
    assert keys[0] == keys[2] != keys[1], "one machine is enough for two configs"


def test_names_of_policies_differ_and_are_valid() -> None:
    places = [("w" * 253, ""), ("w" * 252 + "x", ""), ("a.b", ""), ("a-b", ""), ("a", "b"), ("a", "")]
    targets = [{"kind": "Gateway", "name": name} | ({"section": s} if s else {}) for name, s in places]
    plan = plan_for(envoy_gateway, HUB, {"namespace": "shop", "targets": targets}, target="t" * 63)

    names = [one["metadata"]["name"] for one in envoy_gateway.render(plan)]

    assert len(set(names)) == len(places) and max(map(len, names)) <= 253


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({}, "the field hub is missing"),
        ({"hub": "http://10.0.0.7"}, "other than localhost: agents that pull images refuse to fetch a token from 10.0"),
        (HUB | {"form": "Module"}, "form must be one of Image, HTTP"),
        (HUB | {"version": "nine"}, "version must be a release such as 1.27"),
        (HUB | {"proxies_namespace": "A"}, "proxies_namespace must be the name of a namespace"),
        (HUB | {"gateway": "x"}, "there is no field 'gateway' in the settings of an Envoy Gateway target; the fields"),
    ],
)
def test_settings_are_refused_with_a_sentence(asked: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadPlacement) as refused:
        envoy_gateway.read_settings(asked)

    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"targets": [ROUTE]}, "the field namespace is missing"),
        ({"namespace": "shop"}, "targets must be a list of 1 to 16 objects with kind and name"),
        (WEB | {"targets": [ROUTE] * 17}, "targets must be a list of 1 to 16 objects with kind and name"),
        (WEB | {"targets": ["web"]}, "each of targets must be an object with kind and name"),
        (WEB | {"targets": [{"kind": "TCPRoute", "name": "w"}]}, "must be one of Gateway, ListenerSet, HTTPRoute, GRP"),
        (WEB | {"targets": [ROUTE | {"group": "x"}]}, "there is no field 'group' in a target of a placement"),
        (WEB | {"targets": [ROUTE | {"section": "A"}]}, "section must be the name of an object of Kubernetes"),
        (WEB | {"labels": {"app": "web"}}, "there is no field 'labels' in a placement on Envoy Gateway"),
    ],
)  # fmt: skip
def test_placements_are_refused_with_a_sentence(asked: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadPlacement) as refused:
        envoy_gateway.read_placement(asked, envoy_gateway.read_settings(HUB))

    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "placement", "change", "sentence"),
    [
        ({}, {}, {"failure_policy": "FAIL_RELOAD"}, "Envoy Gateway cannot say FAIL_RELOAD; choose FAIL_CLOSED or FAIL"),
        ({}, {"env": {"A": "1"}}, {}, "set A to null, or put the values into the config"),
        ({"version": "1.8.4"}, {}, {}, "of Envoy Gateway 1.8 go on running the module that a filter had first"),
        ({}, {}, {"config": "per second"}, "the config is no JSON, and Envoy Gateway carries JSON; write it as a JSON"),
    ],
)  # fmt: skip
def test_what_cannot_be_rendered_is_said_with_the_way_out(
    settings: dict[str, Any], placement: dict[str, Any], change: dict[str, Any], sentence: str
) -> None:
    (found,) = envoy_gateway.problems(plan_for(envoy_gateway, HUB | settings, WEB | placement, **change))

    assert sentence in found


def test_any_json_value_is_a_config() -> None:
    for config, value in (("[1, 2]", [1, 2]), ('"text"', "text"), ("7", 7)):
        plan = plan_for(envoy_gateway, HUB, WEB, config=config)

        assert envoy_gateway.problems(plan) == []
        assert envoy_gateway.render(plan)[0]["spec"]["wasm"][0]["config"] == value


def test_too_many_filters_on_one_route_are_said() -> None:
    plans = [a_plan(f"f{number}", number, "web", f"route-{number}") for number in range(1, 18)]

    assert envoy_gateway.problems_together(plans[:16]) == []
    assert envoy_gateway.problems_together(plans) == [
        "HTTPRoute web in shop would run 17 filters, and Envoy Gateway takes 16; undeploy some there"
    ]


@pytest.mark.parametrize("seed", range(5))
def test_whatever_has_no_problem_is_rendered_the_same_each_time(seed: int) -> None:
    dice, rendered = random.Random(seed), 0
    for _ in range(60):
        plan = changed(dice, plan_for(envoy_gateway, HUB | {"form": dice.choice(["Image", "HTTP"])}, WEB))
        if not envoy_gateway.problems(plan):
            rendered += 1
            (one,) = envoy_gateway.render(plan)
            assert [one] == envoy_gateway.render(plan) and (one["apiVersion"], one["kind"]) == envoy_gateway.TYPES[0][
                :2
            ]
            assert len(one["metadata"]["name"]) <= 253
    assert rendered > 5
