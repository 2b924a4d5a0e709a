"""Annotations that bring a module into a Consul sidecar: the fork's of 2020, and a volume's of today."""

from typing import Any

import pytest

from deploy.targets import consul, consul_sidecars
from deploy.targets.plan import Module, Plan
from tests.targets.plans import MODULE, golden, plan_for

OLD = Module(MODULE, 8, {"abi_version": "0.1.0"})


def old_plan(**change: Any) -> Plan:
    settings = {"address": "http://consul:8500"}
    return plan_for(
        consul, settings, {"service": "web"}, **({"module": OLD, "root_id": "add_header", "config": None} | change)
    )


def test_annotations_are_as_written_by_hand() -> None:
    plan = old_plan()
    assert consul_sidecars.fork_problems([plan]) == consul_sidecars.volume_problems(plan) == []

    assert [
        consul_sidecars.fork_annotations([plan], "hub.example.com/sidecars/web:1"),
        consul_sidecars.volume_annotations(plan.name),
        consul_sidecars.config_map(plan, b"\0asm\1\0\0\0", namespace="shop"),
    ] == golden("consul", "sidecars")


def test_the_sidecars_image_holds_each_module_once() -> None:
    other = old_plan(module=Module("0" * 64, 8), root_id="b")

    assert consul_sidecars.fork_dockerfile([old_plan(), other, old_plan(root_id="c")], "envoy:1") == (
        f"FROM envoy:1\nCOPY {'0' * 64}.wasm /filters/{'0' * 64}.wasm\nCOPY {MODULE}.wasm /filters/{MODULE}.wasm\n"
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"root_id": ""}, "the root id '' cannot end the name of an annotation"),
        ({"root_id": "a b"}, "the root id 'a b' cannot end the name of an annotation"),
        ({"root_id": "a" * 44}, "at most 43 letters, digits, dashes, dots and underscores"),
        ({"config": "{}"}, "the fork of 2020 gives filters no config; leave it out, or use a Consul of today"),
        ({"failure_policy": "FAIL_OPEN"}, "the fork of 2020 cannot say FAIL_OPEN; choose FAIL_CLOSED"),
        ({"module": Module(MODULE, 8, {"abi_version": "0.2.1"})}, "the module wants ABI version 0.2.1, and the fork's"),
    ],
)
def test_what_the_fork_cannot_do_is_said_with_the_way_out(change: dict[str, Any], sentence: str) -> None:
    (found,) = consul_sidecars.fork_problems([old_plan(**change)])

    assert sentence in found


def test_two_filters_of_one_root_id_cannot_share_a_pod() -> None:
    (found,) = consul_sidecars.fork_problems([old_plan(), old_plan(deployment="other")])

    assert found == "two filters have the root id 'add_header', which names the annotation; deploy one of them"


def test_a_large_module_fits_no_config_map() -> None:
    (found,) = consul_sidecars.volume_problems(old_plan(module=Module(MODULE, 2**20 + 1)))

    assert "let the sidecar fetch it, or mount a volume that an init container fills" in found
