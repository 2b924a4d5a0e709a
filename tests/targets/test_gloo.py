"""What a Gloo Edge is given, and that nothing of others is lost when ours goes into a Gateway that is theirs."""

import copy
import random
from typing import Any

import pytest

from deploy.targets import gloo
from deploy.targets.merging import mark
from deploy.targets.plan import BadPlacement
from tests.targets.plans import changed, golden, plan_for

HUB = {"hub": "https://hub.example.com"}
OWN = mark("h1", "mesh")
THEIRS = {"image": "registry.example.com/sally/auth:v1", "name": "auth", "rootId": "auth"}
GATEWAY: dict[str, Any] = {
    "apiVersion": "gateway.solo.io/v1",
    "kind": "Gateway",
    "metadata": {"name": "gateway-proxy", "namespace": "gloo-system", "resourceVersion": "7"},
    "spec": {"bindPort": 8080, "proxyNames": ["gateway-proxy"], "httpGateway": {}},
}


def filters(gateway: dict[str, Any]) -> list[str]:
    held = gateway["spec"]["httpGateway"].get("options", {}).get("wasm", {}).get("filters", [])
    return [one.get("name", "").rpartition("/")[2] for one in held]


def extension(name: str, order: int) -> dict[str, Any]:
    return gloo.render(plan_for(gloo, HUB, {}, deployment=name, order=order))


def test_filters_are_as_written_by_hand() -> None:
    usual = plan_for(gloo, HUB, {})
    placement = {"namespace": "edge", "gateway": "public", "stage": "AuthNStage"}
    other = plan_for(gloo, HUB, placement, failure_policy="FAIL_OPEN", root_id="", config=None)

    assert gloo.problems(usual) == gloo.problems(other) == []
    assert [gloo.render(usual), gloo.render(other)] == golden("gloo", "filter")


def test_ours_come_and_go_with_the_option_that_holds_them() -> None:
    merged = gloo.merge(GATEWAY, [extension("b", 2), extension("a", 1)], OWN)
    assert filters(merged) == ["a", "b"] and merged["spec"]["bindPort"] == 8080

    bare = gloo.merge(merged, [], OWN)
    assert bare["spec"]["httpGateway"] == {"options": {}}
    assert gloo.merge(GATEWAY, [], OWN) == GATEWAY

    theirs: dict[str, Any] = copy.deepcopy(GATEWAY)
    theirs["spec"]["httpGateway"] = {"options": {"wasm": {"filters": [THEIRS]}, "healthCheck": {"path": "/"}}}
    both = gloo.merge(theirs, [extension("a", 1)], OWN)
    assert filters(both) == ["auth", "a"]
    assert gloo.merge(both, [], OWN) == theirs


@pytest.mark.parametrize("seed", range(10))
def test_nothing_of_others_is_ever_changed(seed: int) -> None:
    dice = random.Random(seed)
    strange: list[Any] = [THEIRS, {}, {"name": 7}, None, "text", THEIRS | {"name": "wasmhub/h1/mesh-2/a"}]
    others = [dice.choice(strange) for _ in range(dice.randint(1, 5))]
    gateway: dict[str, Any] = copy.deepcopy(GATEWAY)
    gateway["spec"]["httpGateway"]["options"] = {"wasm": {"filters": others}}
    start = copy.deepcopy(gateway)
    for _ in range(10):
        wanted = [extension(name, dice.randint(1, 3)) for name in dice.sample("abcd", dice.randint(0, 3))]
        gateway = gloo.merge(gateway, wanted, OWN)
        held = gateway["spec"]["httpGateway"]["options"]["wasm"]["filters"]
        ours = [one["filter"] for one in wanted]
        assert [one for one in held if one not in ours] == others
        assert len(held) == len(others) + len(ours)
        assert gloo.merge(gateway, wanted, OWN) == gateway
    assert gloo.merge(gateway, [], OWN) == start


@pytest.mark.parametrize(
    ("http", "change"),
    [
        ({}, {"op": "add", "path": "/spec/httpGateway/options"}),
        ({"options": {}}, {"op": "add", "path": "/spec/httpGateway/options/wasm"}),
        ({"options": {"wasm": {"filters": [THEIRS]}}}, {"op": "add", "path": "/spec/httpGateway/options/wasm/filters"}),
    ],
)
def test_a_patch_names_the_version_and_what_holds_the_filters_alone(
    http: dict[str, Any], change: dict[str, Any]
) -> None:
    gateway: dict[str, Any] = GATEWAY | {"spec": GATEWAY["spec"] | {"httpGateway": http}}
    merged = gloo.merge(gateway, [extension("a", 1)], OWN)
    (version, step) = gloo.patch(gateway, merged)

    assert version == {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}
    assert {name: step[name] for name in ("op", "path")} == change
    assert gloo.patch(merged, merged) == []
    back = gloo.patch(merged, gloo.merge(merged, [], OWN))
    theirs = "options" in http and "wasm" in http["options"]
    assert back[1]["op"] == ("add" if theirs else "remove") and "/wasm" in back[1]["path"]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (None, ("", "")),
        ({}, ("", "")),
        ({"state": 1}, ("Accepted", "")),
        ({"state": "Rejected", "reason": "no"}, ("Rejected", "no")),
        (
            {"statuses": {"gloo-system": {"state": "Accepted"}, "other": {"state": 3, "reason": "hm"}}},
            ("Warning", "hm"),
        ),
        (
            {
                "statuses": {
                    "a": {"state": "Accepted", "subresourceStatuses": {"*v1.Proxy.a_b": {"state": 2, "reason": "x"}}}
                }
            },
            ("Rejected", "x"),
        ),
        ({"statuses": "odd", "state": ["odd"]}, ("", "")),
    ],
)
def test_the_worst_that_gloo_says_of_a_gateway_counts(status: Any, said: tuple[str, str]) -> None:
    assert gloo.said(GATEWAY | {"status": status}) == gloo.Said(*said)


def test_a_gateway_that_cannot_take_them_is_said() -> None:
    wanted = [extension("a", 1)]

    assert gloo.conflicts(GATEWAY, wanted) == gloo.conflicts(None, []) == []
    assert gloo.conflicts(None, wanted) == [
        "Gloo has no Gateway gateway-proxy in gloo-system; name the one that takes the traffic"
    ]
    assert "is not for HTTP" in gloo.conflicts(GATEWAY | {"spec": {"tcpGateway": {}}}, wanted)[0]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"gateway": "A"}, "gateway must be the name of an object of Kubernetes"),
        ({"namespace": "A"}, "namespace must be the name of a namespace"),
        ({"stage": "First"}, "stage must be one of FaultStage, CorsStage"),
        ({"predicate": "before"}, "predicate must be one of Before, During, After"),
        ({"env": {}}, "there is no field 'env' in a placement on Gloo; the fields are namespace, gateway, stage, pred"),
    ],
)
def test_placements_are_refused_with_a_sentence(asked: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadPlacement) as refused:
        gloo.read_placement(asked, gloo.read_settings(HUB))

    assert sentence in str(refused.value)


def test_a_hub_without_https_is_refused() -> None:
    with pytest.raises(BadPlacement, match="hub must be an https URL"):
        gloo.read_settings({"hub": "http://hub.example.com"})


@pytest.mark.parametrize(
    ("settings", "change", "sentence"),
    [
        ({}, {"failure_policy": "FAIL_RELOAD"}, "Gloo cannot say FAIL_RELOAD; choose FAIL_CLOSED or FAIL_OPEN"),
        ({"version": "1.11"}, {"failure_policy": "FAIL_OPEN"}, "FAIL_OPEN needs Gloo 1.12, and this target runs 1.11"),
        ({}, {"public": False}, "Gloo pulls without a password; make the repository public"),
    ],
)
def test_what_gloo_cannot_do_is_said_with_the_way_out(
    settings: dict[str, Any], change: dict[str, Any], sentence: str
) -> None:
    (found,) = gloo.problems(plan_for(gloo, HUB | settings, {}, **change))

    assert sentence in found


def test_whatever_has_no_problem_is_rendered_the_same_each_time() -> None:
    dice = random.Random(1)
    for _ in range(60):
        plan = changed(dice, plan_for(gloo, HUB, {}))
        assert gloo.problems(plan) or gloo.render(plan) == gloo.render(copy.deepcopy(plan))
