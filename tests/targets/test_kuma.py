"""What a Kuma mesh is given: policies whose pieces the real Envoy takes, one for each selection of proxies."""

import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.targets import kuma
from deploy.targets.plan import BadPlacement, Module
from tests.deploy.test_envoy_fleet import CERTIFICATE
from tests.targets.plans import MODULE, changed, envoy_refuses, golden, plan_for

HUB = {"hub": "https://hub.example.com"}
WEB = {"labels": {"app": "web"}}


def opened(policies: list[Any]) -> list[Any]:
    """Policies with the YAML in their texts read."""
    for policy in policies:
        for modification in policy["spec"]["default"]["appendModifications"]:
            for one in modification.values():
                one["value"] = yaml.safe_load(one["value"])
    return policies


def names(policy: dict[str, Any]) -> list[str]:
    found = policy["spec"]["default"]["appendModifications"]
    return [one["httpFilter"]["value"]["name"].rpartition("/")[2] for one in found if "httpFilter" in one]


def test_objects_are_as_written_by_hand() -> None:
    plan = plan_for(kuma, HUB, WEB)

    assert kuma.problems(plan) == []
    assert opened(kuma.render(plan)) == opened(golden("kuma", "selected"))


def test_proxies_are_selected_in_each_way() -> None:
    everywhere = kuma.render(plan_for(kuma, HUB | {"mesh": "blue"}, {"namespace": "shop"}))[0]
    older = kuma.render(plan_for(kuma, HUB | {"select_by": "MeshSubset"}, WEB))[0]

    assert everywhere["spec"]["targetRef"] == {"kind": "Mesh"}
    assert everywhere["metadata"]["name"] == "mesh.mesh" and everywhere["metadata"]["namespace"] == "shop"
    assert everywhere["metadata"]["labels"]["kuma.io/mesh"] == "blue"
    assert older["spec"]["targetRef"] == {"kind": "MeshSubset", "tags": {"app": "web"}}


@pytest.mark.parametrize("policy", ["FAIL_CLOSED", "FAIL_OPEN", "FAIL_RELOAD"])
@pytest.mark.parametrize("envoy", ["", "1.36"])
def test_envoy_takes_what_a_policy_carries(policy: str, envoy: str, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(CERTIFICATE)
    settings = HUB | {"ca_file": str(tmp_path / "ca.pem"), "envoy_version": envoy}
    plan = plan_for(kuma, settings, WEB | {"env": {"A": "1", "B": None}}, failure_policy=policy)

    cluster, held = opened(kuma.render(plan))[0]["spec"]["default"]["appendModifications"]

    assert envoy_refuses(tmp_path, [held["httpFilter"]["value"]], [cluster["cluster"]["value"]]) == ""


def test_filters_of_one_selection_share_its_policy_in_order() -> None:
    plans = [
        plan_for(kuma, HUB, placement, deployment=name, order=order)
        for name, order, placement in (("c", 3, WEB), ("a", 1, WEB), ("b", 3, WEB), ("d", 2, {}))
    ]

    policies = opened(kuma.render_together(plans))

    assert {one["spec"]["targetRef"]["kind"]: names(one) for one in policies} == {
        "Dataplane": ["a", "b", "c"],
        "Mesh": ["d"],
    }
    assert opened(kuma.render_together(plans[::-1])) == policies


def test_what_cannot_be_rendered_stays_where_it_is_whatever_somebody_has_it_select() -> None:
    a, b = (plan_for(kuma, HUB, WEB, deployment=name, order=order) for order, name in enumerate("ab"))
    live = kuma.render_together([a, b])

    assert kuma.render_together([b], [a], live) == live
    for edited in ({"kind": "Dataplane", "labels": {"app": "other"}}, {"kind": "Mesh"}, None):
        spec = {name: value for name, value in live[0]["spec"].items() if name != "targetRef"}
        spec |= {"targetRef": edited} if edited is not None else {}  # without one it is for the whole mesh
        assert kuma.render_together([b], [a], [{**live[0], "spec": spec}]) == live


@pytest.mark.parametrize(
    ("settings", "asked", "sentence"),
    [
        ({"mesh": "A"}, {}, "mesh must be the name of an object of Kubernetes"),
        ({"select_by": "Service"}, {}, "select_by must be one of Dataplane, MeshSubset"),
        ({"envoy_version": "x"}, {}, "envoy_version must be a release such as 1.27"),
        ({}, {"origin": "ingress"}, "origin must be one of inbound, outbound, gateway"),
        ({}, {"labels": {"app": "*"}}, "there are no wildcards"),
        (
            {},
            {"mesh": "x"},
            "there is no field 'mesh' in a placement on Kuma; the fields are namespace, labels, origin",
        ),
    ],
)
def test_bad_input_is_refused_with_a_sentence(settings: dict[str, Any], asked: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadPlacement) as refused:
        kuma.read_placement(asked, kuma.read_settings(HUB | settings))

    assert sentence in str(refused.value)


def test_what_kuma_cannot_do_is_said_with_the_way_out() -> None:
    old = plan_for(kuma, HUB | {"envoy_version": "1.32"}, WEB, failure_policy="FAIL_RELOAD")
    large = plan_for(kuma, HUB, WEB, module=Module(MODULE, 40_000_000))

    assert kuma.problems(old) == [
        "FAIL_RELOAD needs Envoy 1.33, and this target runs 1.32; choose FAIL_CLOSED or FAIL_OPEN"
    ]
    assert "takes at most" in kuma.problems(large)[0]


def test_whatever_has_no_problem_is_rendered_the_same_each_time() -> None:
    dice = random.Random(1)
    for _ in range(60):
        plan = changed(dice, plan_for(kuma, HUB, WEB))
        if not kuma.problems(plan):
            (one,) = kuma.render(plan)
            assert [one] == kuma.render(plan) and (one["apiVersion"], one["kind"]) == kuma.TYPES[0][:2]
            assert len(one["metadata"]["name"]) <= 253
