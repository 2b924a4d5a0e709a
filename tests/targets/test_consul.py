"""What a Consul mesh is given, and that nothing of others is lost when ours goes into an entry that is theirs."""

import copy
import random
from typing import Any

import pytest

from deploy.targets import consul
from deploy.targets.merging import mark
from deploy.targets.plan import BadPlacement, Module, Plan
from tests.targets.plans import MODULE, changed, golden, plan_for

CONSUL = {"address": "http://127.0.0.1:8500"}
WEB = {"service": "web"}
OWN = mark("h1", "mesh")
THEIRS: dict[str, Any] = {"Name": "builtin/lua", "Required": False, "Arguments": {"Script": "function ..."}}
THEIR_WASM: dict[str, Any] = {
    "Name": "builtin/wasm",
    "Arguments": {"Protocol": "http", "PluginConfig": {"Name": "wasmhub/h1/mesh-2/rate-limit"}},
}
ENTRY: dict[str, Any] = {
    "Kind": "service-defaults",
    "Name": "web",
    "Protocol": "http",
    "TransparentProxy": {},
    "MeshGateway": {"Mode": "local"},
    "Meta": {"owner": "shop"},
    "MaxInboundConnections": 7,
}


def a_plan(name: str = "rate-limit", order: int = 10, **placement: Any) -> Plan:
    return plan_for(consul, CONSUL, WEB | placement, deployment=name, order=order)


def names(entry: dict[str, Any] | None) -> list[str]:
    """The plugins of an entry's extensions, in order; of others the extension's own name."""
    assert entry is not None
    plugins = [(one, one.get("Arguments", {}).get("PluginConfig", {})) for one in entry.get("EnvoyExtensions", [])]
    return [plugin.get("Name", one["Name"]).rpartition("/")[2] for one, plugin in plugins]


def answered(entry: dict[str, Any] | None, index: int = 5) -> dict[str, Any] | None:
    """What Consul answers after an entry was written."""
    if entry is None:
        return None
    found = copy.deepcopy(entry) | {"CreateIndex": 1, "ModifyIndex": index, "Hash": 77, "Expose": {}}
    for one in found.get("EnvoyExtensions", []):
        one.update({"ConsulVersion": "", "EnvoyVersion": ""})
    return found


def test_extensions_are_as_written_by_hand() -> None:
    remote = plan_for(consul, CONSUL, WEB, pull_secret="hub-pull")
    local = plan_for(
        consul,
        CONSUL | {"namespace": "shop", "partition": "default", "restrict": False},
        {
            "service": "ledger",
            "partition": "eu",
            "listener": "outbound",
            "protocol": "tcp",
            "code": {"file": "/filters/rate-limit.wasm"},
            "env": {"LEVEL": "info", "POD_NAME": None},
        },
        failure_policy="FAIL_OPEN",
        root_id="",
        config=None,
    )

    assert consul.problems(remote) == consul.problems(local) == []
    assert [consul.render(remote)] == golden("consul", "remote")
    assert [consul.render(local)] == golden("consul", "local")


def test_the_hub_may_be_a_service_of_another_place() -> None:
    settings = {"hub_service": "hub", "hub_namespace": "infra", "hub_partition": "core"}
    plan = plan_for(consul, CONSUL | settings, WEB)

    remote = consul.render(plan)["extension"]["Arguments"]["PluginConfig"]["VmConfig"]["Code"]["Remote"]

    assert remote["HttpURI"]["Service"] == {"Name": "hub", "Namespace": "infra", "Partition": "core"}
    assert remote["HttpURI"]["URI"] == f"http://hub/modules/GRANT/{MODULE}.wasm"


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({}, "the field address is missing"),
        ({"address": "consul:8500"}, "address must be the URL of Consul's API without a path"),
        ({"address": "http://consul:8500/v1"}, "address must be the URL of Consul's API without a path"),
        (CONSUL | {"token": "s3cret"}, "there is no field 'token' in the settings of a Consul target; the fields are"),
        (CONSUL | {"hub_service": "a b"}, "hub_service must be a name in Consul: letters, digits, dots, dashes"),
        (CONSUL | {"hub_service": ""}, "hub_service must be a name in Consul"),
        (CONSUL | {"restrict": 1}, "restrict must be true or false"),
    ],
)
def test_settings_are_refused_with_a_sentence(asked: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadPlacement) as refused:
        consul.read_settings(asked)

    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({}, "the field service is missing"),
        ({"service": ""}, "service must be a name in Consul"),
        ({"service": "a/b"}, "service must be a name in Consul"),
        ({"service": "w" * 129}, "service must be a printable text of at most 128 characters"),
        (WEB | {"listener": "both"}, "listener must be one of inbound, outbound"),
        (WEB | {"protocol": "grpc"}, "protocol must be one of http, tcp"),
        (WEB | {"code": "/x.wasm"}, 'code must be an object such as {"file": "/filters/limits.wasm"}'),
        (WEB | {"code": {"url": "x"}}, "there is no field 'url' in the code of a placement; the fields are file"),
        (WEB | {"code": {"file": "x.wasm"}}, "the file of code must be a path from the root"),
        (WEB | {"env": {"A": 7}}, "the variable A in env must be a printable text"),
        (WEB | {"labels": {}}, "there is no field 'labels' in a placement on Consul; the fields are service"),
    ],
)
def test_placements_are_refused_with_a_sentence(asked: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadPlacement) as refused:
        consul.read_placement(asked, consul.read_settings(CONSUL))

    assert sentence in str(refused.value)


def test_what_consul_cannot_do_is_said_with_the_way_out() -> None:
    large = Module(MODULE, 40_000_000)
    assert consul.problems(plan_for(consul, CONSUL, WEB, failure_policy="FAIL_RELOAD")) == [
        "Consul cannot say FAIL_RELOAD; choose FAIL_CLOSED or FAIL_OPEN"
    ]
    assert "takes at most" in consul.problems(plan_for(consul, CONSUL, WEB, module=large))[0]
    assert consul.problems(plan_for(consul, CONSUL, WEB | {"code": {"file": "/f.wasm"}}, module=large)) == []


def test_an_entry_is_made_and_goes_with_the_last_of_ours() -> None:
    made = consul.merge(None, [consul.render(a_plan())], OWN)

    assert made is not None and made.pop("EnvoyExtensions") == [golden("consul", "remote")[0]["extension"]]
    assert made == {
        "Kind": "service-defaults",
        "Name": "web",
        "Protocol": "http",
        "Meta": {"created-by": "wasmhub/h1", "created-for-protocol": "http"},
    }
    assert consul.merge(None, [], OWN) is None
    assert consul.merge(answered(made), [], OWN) is None
    away = consul.render(a_plan(namespace="shop", partition="eu"))
    elsewhere = consul.merge(None, [away], OWN)
    assert elsewhere is not None and (elsewhere["Namespace"], elsewhere["Partition"]) == ("shop", "eu")


@pytest.mark.parametrize(
    "touched",
    [
        {"Protocol": "grpc"},
        {"Meta": {"created-by": "wasmhub/h1", "created-for-protocol": "http", "owner": "shop"}},
        {"Meta": {"created-by": "wasmhub/h2", "created-for-protocol": "http"}},
        {"MaxInboundConnections": 7},
        {"EnvoyExtensions": [THEIRS]},
        {"EnvoyExtensions": [THEIR_WASM]},
    ],
)
def test_an_entry_that_somebody_else_wrote_into_stays(touched: dict[str, Any]) -> None:
    made = consul.merge(None, [consul.render(a_plan())], OWN)
    assert made is not None

    assert consul.merge(answered(made | touched), [], OWN) is not None


def test_ours_are_put_in_order_between_those_of_others() -> None:
    wanted = [consul.render(a_plan(name, order)) for name, order in (("c", 3), ("a", 1), ("b", 3))]
    first = consul.merge(ENTRY | {"EnvoyExtensions": [THEIRS]}, wanted, OWN)
    assert names(first) == ["lua", "a", "b", "c"]

    theirs_moved = (first or {}) | {"EnvoyExtensions": [*(first or {})["EnvoyExtensions"], THEIR_WASM]}
    second = consul.merge(theirs_moved, wanted[:2], OWN)
    assert names(second) == ["lua", "a", "c", "rate-limit"]
    assert names(consul.merge(second, [], OWN)) == ["lua", "rate-limit"]


def test_ours_are_known_in_any_spelling_of_the_keys() -> None:
    lower = {"name": "builtin/wasm", "arguments": {"pluginConfig": {"name": OWN + "old"}}}

    assert consul.merge(ENTRY | {"EnvoyExtensions": [lower]}, [], OWN) == ENTRY


@pytest.mark.parametrize("seed", range(20))
def test_nothing_of_others_is_ever_changed(seed: int) -> None:
    dice = random.Random(seed)
    strange: list[Any] = [
        THEIRS,
        THEIR_WASM,
        {},
        None,
        "text",
        {"Arguments": None},
        {"Arguments": {"PluginConfig": []}},
    ]
    others = [dice.choice(strange) for _ in range(dice.randint(0, 5))]
    entry: dict[str, Any] | None = copy.deepcopy(ENTRY) | ({"EnvoyExtensions": others} if others else {})
    for _ in range(15):
        wanted = [consul.render(a_plan(name, dice.randint(1, 5))) for name in dice.sample("abcdef", dice.randint(0, 4))]
        before = copy.deepcopy(entry)
        entry = consul.merge(answered(entry) if not others else entry, wanted, OWN)
        assert entry is not None
        kept = [one for one in entry.get("EnvoyExtensions", []) if one not in [each["extension"] for each in wanted]]
        assert kept == others
        assert {name: entry[name] for name in ENTRY} == ENTRY
        assert consul.same(before, before) and consul.same(entry, consul.merge(entry, wanted, OWN))
        if dice.random() < 0.3 and entry.get("EnvoyExtensions"):
            others = [*others, THEIRS]
            entry["EnvoyExtensions"] = [*entry["EnvoyExtensions"], THEIRS]


def test_an_answer_of_consul_says_the_same_as_what_was_written() -> None:
    wanted = [consul.render(a_plan())]
    entry = consul.merge(ENTRY | {"EnvoyExtensions": [THEIRS]}, wanted, OWN)

    assert consul.same(answered(entry), consul.merge(answered(entry), wanted, OWN))
    assert not consul.same(answered(entry), consul.merge(answered(entry), [], OWN))
    assert consul.same(None, None) and not consul.same(entry, None) and not consul.same(None, entry)


def test_an_entry_in_which_ours_would_do_nothing_is_said() -> None:
    wanted = [consul.render(a_plan())]

    assert consul.conflicts(None, wanted) == consul.conflicts(ENTRY, wanted) == []
    assert consul.conflicts(ENTRY | {"Protocol": "grpc"}, wanted) == [
        "the service web speaks grpc, and Consul skips extensions for http; set Protocol in its service-defaults, or"
        " the placement's protocol"
    ]
    assert "speaks tcp" in consul.conflicts(ENTRY | {"Protocol": ""}, wanted)[0]
    assert consul.conflicts(ENTRY | {"Protocol": ""}, wanted, "http") == []
    kept = consul.conflicts(ENTRY | {"Meta": {"external-source": "kubernetes"}}, wanted)
    assert "put the extension into its ServiceDefaults resource" in kept[0]
    assert consul.conflicts(ENTRY | {"Protocol": "grpc"}, []) == []


def test_the_resource_of_kubernetes_is_kept_alike() -> None:
    wanted = [consul.render(a_plan())]
    made = consul.service_defaults(None, wanted, OWN, namespace="shop")
    assert [made] == golden("consul", "service-defaults") and made is not None

    assert consul.service_defaults(None, [], OWN, namespace="shop") is None
    assert consul.service_defaults(made, wanted, OWN, namespace="shop") == made
    assert consul.service_defaults(made, [], OWN, namespace="shop") is None
    theirs = copy.deepcopy(made)
    del theirs["metadata"]["labels"]
    theirs["spec"]["envoyExtensions"].insert(0, {"name": "builtin/lua"})
    kept = consul.service_defaults(theirs, [], OWN, namespace="shop")
    assert kept is not None and kept["spec"] == {"protocol": "http", "envoyExtensions": [{"name": "builtin/lua"}]}
    theirs["spec"]["envoyExtensions"] = made["spec"]["envoyExtensions"]
    bare = consul.service_defaults(theirs, [], OWN, namespace="shop")
    assert bare is not None and bare["spec"] == {"protocol": "http"}


@pytest.mark.parametrize("seed", range(5))
def test_whatever_has_no_problem_is_rendered_the_same_each_time(seed: int) -> None:
    dice, rendered = random.Random(seed), 0
    for _ in range(60):
        plan = changed(dice, plan_for(consul, CONSUL, WEB))
        if not consul.problems(plan):
            rendered += 1
            assert consul.render(plan) == consul.render(copy.deepcopy(plan))
    assert rendered > 5
