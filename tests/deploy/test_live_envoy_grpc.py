"""The whole way with a real hub and a real Envoy over gRPC, in each of its dialects."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.fleet import REFUSES, Envoy, Fleet, Load, Upstream, header_filter, xds_of
from tests.hub import HubProcess
from tests.peers import built_filter

TRANSPORTS = ["grpc", "delta-grpc", "ads", "delta-ads"]


@pytest.fixture(scope="module")
def grpc_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    with HubProcess(tmp_path_factory.mktemp("grpc") / "data", WASMHUB_XDS_LISTEN="127.0.0.1:0") as hub:
        yield hub
        hub.check_log()


@pytest.fixture(params=TRANSPORTS)
def fleet(grpc_hub: HubProcess, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    with Fleet(grpc_hub, f"{request.param}-{secrets.token_hex(4)}", transport=request.param) as made:
        yield made


@pytest.fixture
def envoy(fleet: Fleet, tmp_path: Path, upstream: Upstream) -> Iterator[Envoy]:
    key = fleet.new_key()["key"]
    with Envoy(fleet, tmp_path / "envoy", upstream, key=key, xds=xds_of(fleet.hub)) as running:
        yield running


def test_what_is_deployed_is_pushed_swapped_refused_and_taken_away(fleet: Fleet, envoy: Envoy) -> None:
    one = fleet.push("pushed", "1", header_filter("one"))
    two = fleet.push("pushed", "2", header_filter("two"))
    bad = fleet.push("pushed", "3", header_filter("bad", REFUSES))
    assert envoy.marks() == []

    fleet.deploy("marks", one)
    envoy.shows("one")
    with Load(envoy.listening()) as load:
        for reference, mark in ((two, "two"), (one, "one")):
            fleet.deploy("marks", reference)
            envoy.shows(mark)
        fleet.becomes("marks", "ready")
        load.look_anew()
        fleet.deploy("marks", bad)
        stalled = fleet.becomes("marks", "stalled")
        assert load.seen == {("one",)}
        fleet.undeploy("marks")
        envoy.shows()

    assert load.failed == []
    assert stalled["message"].startswith("node edge-1 refused revision 4: "), stalled["message"]
    assert "wasm" in stalled["message"].lower()
    assert stalled["nodes"][0]["why"] in stalled["message"]
    # On the one stream of ADS Envoy counts a refusal for all slots.
    assert envoy.counter("update_rejected") == (8 if "ads" in fleet.name else 1)


def test_a_secret_that_a_config_names_is_pushed_as_it_changes(fleet: Fleet, envoy: Envoy) -> None:
    reference = fleet.push("shows-config", "1", built_filter("add-header").read_bytes())
    for value, status in (("one", 201), ("two", 200)):
        assert fleet.http.put(f"{fleet.path}/secrets/mark", json={"value": value}).status_code == status
        if status == 201:
            fleet.deploy("marks", reference, config={"$secret": "mark"})
        envoy.shows(f'"{value}"')
    assert fleet.becomes("marks", "ready")["revision"]["number"] == 1


def test_filters_are_moved_without_one_being_absent(fleet: Fleet, envoy: Envoy) -> None:
    for name in ("a", "b"):
        fleet.push(f"moved-{name}", "1", header_filter(name))
        fleet.deploy(name, f"admin/moved-{name}:1")
    envoy.shows("b", "a")

    with Load(envoy.listening()) as load:
        assert fleet.put("a", order=3).status_code == 200
        envoy.shows("a", "b")
        assert load.seen <= {("b", "a"), ("a", "b", "a"), ("a", "b")}

    assert load.failed == []
    fleet.becomes("a", "ready")
    fleet.becomes("b", "ready")
