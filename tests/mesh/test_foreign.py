"""Whatever is deployed, changed and undeployed in a cluster: nothing there that is not the target's own is touched."""

import base64
import random
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.deploy.fleet import header_filter, until
from tests.hub import HubProcess
from tests.mesh.kubernetes import Cluster, ControlPlane, Object
from tests.mesh.target import FILTER, PLUGIN, SECRET, Target
from tests.oci import Client

APPLIED = "applied-not-observed"
NAMES = ("marks", "limits", "signs")
CONFIGS: tuple[Any, ...] = (None, {"a": 1}, {"a": 1, "b": {"c": [1, 2], "d": "e"}}, {"b": {"c": [1]}})
STEPS = 24
FOREIGN = 40
SPECS: dict[tuple[str, str], Object] = {
    PLUGIN: {"spec": {"url": "oci://elsewhere.example/x:1"}},
    FILTER: {"spec": {"priority": 3}},
    SECRET: {"data": {"a": base64.b64encode(b"b").decode()}},
}


@dataclass
class Ours:
    """What of a target is deployed: by name, in which namespace and with which config."""

    target: Target
    wanted: dict[str, tuple[str, Any]] = field(default_factory=dict)


@pytest.fixture
def places(cluster: ControlPlane) -> list[str]:
    """Namespaces of the test's own."""
    return [cluster.namespace(f"foreign-{secrets.token_hex(4)}") for _ in range(3)]


@pytest.fixture
def two(cluster: ControlPlane, mesh_hub: HubProcess, places: list[str]) -> Iterator[list[Ours]]:
    """Two targets on that cluster, which write different kinds."""
    with ExitStack() as stack:
        forms = ("WasmPlugin", "EnvoyFilter")
        made = [Target(mesh_hub, cluster.admin, places[0], observe="nothing", form=form) for form in forms]
        yield [Ours(stack.enter_context(one)) for one in made]


@pytest.mark.parametrize("seed", [1, 2])
def test_random_deployments_leave_random_objects_of_others_as_they_are(
    seed: int, cluster: ControlPlane, two: list[Ours], places: list[str], oci: Client
) -> None:
    chance = random.Random(seed)
    for tag in ("1", "2"):
        oci.push_filter("admin/foreign", tag, header_filter(tag))
    hub_id, pulls = _hub_id_and_pulls(two[0].target)
    foreign = dict(_foreign(cluster.admin, chance, two, places, hub_id, pulls) for _ in range(FOREIGN))
    taken = set(foreign)

    for _ in range(STEPS):
        _step(chance, chance.choice(two), places)
    for one in two:
        for name, (place, config) in one.wanted.items():
            kind = PLUGIN if one.target.settings["form"] == "WasmPlugin" else FILTER
            mine = (kind, place, f"{name}.{one.target.name}")
            secret = (SECRET, place, f"{pulls}.{one.target.name}")
            if mine in taken or (kind == PLUGIN and secret in taken):
                assert "is not the hub's" in one.target.becomes(name, "stalled")["message"]
            else:
                one.target.becomes(name, APPLIED)
                _has(cluster.admin, mine, config)
    assert _versions(cluster.admin, foreign) == foreign

    for one in two:
        for name in list(one.wanted):
            one.target.undeploy(name)
        for name in NAMES:
            one.target.becomes(name, 404)
    assert _versions(cluster.admin, foreign) == foreign
    assert [found for found in _all(cluster.admin, places) if found not in foreign] == []


def _step(chance: random.Random, one: Ours, places: list[str]) -> None:
    name = chance.choice(NAMES)
    if name in one.wanted and chance.random() < 0.3:
        one.target.undeploy(name)
        del one.wanted[name]
        return
    place, config = chance.choice(places), chance.choice(CONFIGS)
    placement = {"namespace": place, "labels": {"app": "gw"}}
    reference = f"admin/foreign:{chance.choice('12')}"
    one.target.deploy(name, reference, placement=placement, config=config)
    one.wanted[name] = (place, config)


def _foreign(
    cluster: Cluster, chance: random.Random, two: list[Ours], places: list[str], hub_id: str, pulls: str
) -> tuple[tuple[tuple[str, str], str, str], str]:
    """Makes an object of somebody else, as alike the hub's as it may get, and tells its key and its version."""
    kind, target, deployment = chance.choice([*SPECS]), chance.choice(two).target.name, chance.choice(NAMES)
    ours = f"{pulls if kind == SECRET else deployment}.{target}"
    # Names of the hub's own objects are rare where those would be, else nothing could be deployed.
    name = ours if chance.random() < 0.2 else f"{ours}-{secrets.token_hex(2)}"
    key = (kind, chance.choice(places), name)
    whose = chance.choice(["nobody", "copied", "another hub's", "another hub's"])
    labels = {
        "app.kubernetes.io/managed-by": "wasmhub",
        "wasmhub/hub": hub_id if whose == "copied" else "another-hub",
        "wasmhub/target": target,
        "wasmhub/deployment": deployment,
    }
    meta = {"name": name, "namespace": key[1], "labels": {} if whose == "nobody" else labels}
    item = {"apiVersion": kind[0], "kind": kind[1], "metadata": meta, **SPECS[kind]}
    if cluster.get(*kind, name, key[1]) is None:
        cluster.apply(item, manager="wasmhub" if whose == "another hub's" else "tests")
    return key, _version(cluster, key)


def _hub_id_and_pulls(target: Target) -> tuple[str, str]:
    """What the hub writes into its labels, and what its Secrets are called before the target's name."""
    target.deploy("first", "admin/foreign:1")
    found = until(lambda: target.object(PLUGIN, f"first.{target.name}"), "it is applied")
    target.undeploy("first")
    target.becomes("first", 404)
    return str(found["metadata"]["labels"]["wasmhub/hub"]), str(found["spec"]["imagePullSecret"]).partition(".")[0]


def _has(cluster: Cluster, key: tuple[tuple[str, str], str, str], config: Any) -> None:
    found = cluster.get(*key[0], key[2], key[1])
    assert found is not None, key
    if key[0] == PLUGIN:
        assert found["spec"].get("pluginConfig") == config, key


def _version(cluster: Cluster, key: tuple[tuple[str, str], str, str]) -> str:
    kind, place, name = key
    found = cluster.get(*kind, name, place)
    return found["metadata"]["resourceVersion"] if found is not None else "gone"


def _versions(cluster: Cluster, keys: Mapping[tuple[tuple[str, str], str, str], str]) -> dict[Any, str]:
    return {key: _version(cluster, key) for key in keys}


def _all(cluster: Cluster, places: list[str]) -> Iterator[tuple[tuple[str, str], str, str]]:
    for kind in SPECS:
        for place in places:
            for one in cluster.all(*kind, place):
                yield kind, place, one["metadata"]["name"]
