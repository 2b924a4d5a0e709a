"""What a fleet is given, read as JSON and by the real Envoy's own check of a configuration."""

import base64
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.targets.envoy_fleet import (
    BootstrapOptions,
    Filter,
    Fleet,
    bootstrap,
    discovery_answer,
    inline,
    key_document,
    parse_slot,
    slot_name,
)
from tests.peers import envoy_binary

FLEET = Fleet("edge")
OPTIONS = BootstrapOptions(hub_url="http://hub.example.com:8080", node_id="edge-1")


def slot_filters(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The HTTP filters before the router."""
    manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    filters: list[dict[str, Any]] = manager["http_filters"]
    assert filters[-1]["name"] == "envoy.filters.http.router"
    return filters[:-1]


def test_slots_stand_in_order_before_the_router() -> None:
    filters = slot_filters(bootstrap(replace(FLEET, slots=3), OPTIONS))

    assert [one["name"] for one in filters] == ["edge/slot-1", "edge/slot-2", "edge/slot-3"]
    assert len(slot_filters(bootstrap(FLEET, OPTIONS))) == 8


def test_without_the_hub_an_envoy_waits_or_opens() -> None:
    waits = slot_filters(bootstrap(FLEET, OPTIONS))[0]["config_discovery"]
    opens = slot_filters(bootstrap(replace(FLEET, without_hub="open"), OPTIONS))[0]["config_discovery"]

    assert waits["config_source"]["initial_fetch_timeout"] == "0s" and "default_config" not in waits
    assert opens["default_config"]["@type"].endswith("RBAC") and opens["apply_default_config_without_warming"] is True


def test_the_hub_sees_its_own_host() -> None:
    clusters = bootstrap(FLEET, OPTIONS)["static_resources"]["clusters"]

    assert clusters[1]["name"] == "hub.example.com:8080"


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"hub_url": "https://hub.example.com"},
        {"hub_url": "https://10.0.0.1:8443"},
        {"hub_url": "http://[::1]:8080"},
        {"key_file": "{folder}/fleet.key"},
        {"key_file": "{folder}/fleet-key.json"},
        {"xds": "http://hub.example.com:18000"},
        {"xds": "https://hub.example.com:18000"},
        {"listen": "[::1]:8081", "admin": "127.0.0.1:0", "upstream": "web.example.com:80"},
    ],
    ids=lambda change: ",".join(f"{name}={value}" for name, value in change.items()) or "as it is",
)
@pytest.mark.parametrize("without_hub", ["wait", "open"])
def test_envoy_takes_the_bootstrap(tmp_path: Path, change: dict[str, str], without_hub: str) -> None:
    (tmp_path / "fleet.key").write_text("whf_secret\n")
    (tmp_path / "fleet-key.json").write_text(json.dumps(key_document("whf_secret")))
    change = {name: value.format(folder=tmp_path) for name, value in change.items()}
    authorities = tmp_path / "ca.pem"
    authorities.write_text(CERTIFICATE)
    options = replace(OPTIONS, ca_file=str(authorities), **change)
    config = json.dumps(bootstrap(replace(FLEET, without_hub=without_hub), options))
    assert "whf_secret" not in config
    (tmp_path / "bootstrap.json").write_text(config)

    checked = subprocess.run(
        [envoy_binary(), "--mode", "validate", "-c", tmp_path / "bootstrap.json", "--log-level", "error"],
        env={**os.environ, "WASMHUB_FLEET_KEY": "whf_secret"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("transport", ["rest", "grpc", "delta-ads"])
def test_statistics_go_where_the_hub_serves_grpc(transport: str) -> None:
    fleet = replace(FLEET, transport=transport)
    told = bootstrap(fleet, replace(OPTIONS, xds="http://hub.example.com:18000"))

    (sink,) = told["stats_sinks"]
    assert sink["typed_config"]["grpc_service"] == {"envoy_grpc": {"cluster_name": "hub.example.com:18000"}}
    names = [one["name"] for one in told["static_resources"]["clusters"]]
    assert names.count("hub.example.com:18000") == 1 and len(names) == (3 if transport == "rest" else 2)
    assert "stats_sinks" not in bootstrap(FLEET, OPTIONS)


def test_an_answer_holds_the_module_between_its_halves() -> None:
    held = Filter("limits", vm_id="1-abc", root_id="limit", config='{"per": "second"}')

    head, tail = discovery_answer("edge/slot-2", "d1.r1.abc.a1", held)
    answer = json.loads(head + inline(b"\0asm") + tail)

    (resource,) = answer["resources"]
    assert answer["version_info"] == "d1.r1.abc.a1"
    assert resource["name"] == "edge/slot-2"
    assert resource["typed_config"]["config"] == {
        "name": "limits",
        "root_id": "limit",
        "failure_policy": "FAIL_CLOSED",
        "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": '{"per": "second"}'},
        "vm_config": {
            "vm_id": "1-abc",
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"inline_bytes": base64.b64encode(b"\0asm").decode()}},
        },
    }


def test_a_config_cannot_pose_as_the_module() -> None:
    trick = '"inline_bytes":"'
    held = Filter(trick, vm_id=trick, root_id=trick, config=trick)

    head, tail = discovery_answer("edge/slot-1", trick, held)

    config = json.loads(head + b"QQ==" + tail)["resources"][0]["typed_config"]["config"]
    assert config["vm_config"]["code"]["local"]["inline_bytes"] == "QQ=="
    assert config["configuration"]["value"] == trick


def test_an_empty_slot_lets_everything_pass() -> None:
    head, tail = discovery_answer("edge/slot-1", "empty", None)

    assert tail == b""
    assert json.loads(head)["resources"][0]["typed_config"] == {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"
    }


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (slot_name("edge", 3), ("edge", 3)),
        ("team/edge/slot-12", ("team/edge", 12)),
        ("edge/slot-", None),
        ("/slot-1", None),
        ("edge/slot-1x", None),
        ("edge/slot-²", None),
        ("edge/slot-" + "9" * 5000, None),
        ("", None),
    ],
)
def test_slot_names(resource: str, expected: tuple[str, int] | None) -> None:
    assert parse_slot(resource) == expected


# Self-signed, for no host; its key was thrown away.
CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBejCCAR+gAwIBAgIUU75HXZZL12P2rOya/tWSlL78nWMwCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGbm9ib2R5MCAXDTI2MTEyMTAzMDExMVoYDzIxMjYxMDI4MDMw
MTExWjARMQ8wDQYDVQQDDAZub2JvZHkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AARd1QLYnUSac7fcXTqgnkGhE4Mt/tfj2YswcIA2bU0rL3GmeMoZhTeEjYaYeGOY
eOj6HjdCjHJb3nYLTHMZ45D/o1MwUTAdBgNVHQ4EFgQULu/W4/tjLUhLrQ6z0dQ+
WedPPtYwHwYDVR0jBBgwFoAULu/W4/tjLUhLrQ6z0dQ+WedPPtYwDwYDVR0TAQH/
BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEAgEdMlMyyoBc53qrmeQ9UrpdKRR1Z
iwN8XVy9HYiUBCcCIQDPx8qgu/r6pwtNGIod1fONV7pMhASLOIHsemK/xE2FVg==
-----END CERTIFICATE-----
"""
