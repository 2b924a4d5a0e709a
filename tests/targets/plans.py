"""Plans to render, golden files to compare with, and a real Envoy's opinion of a piece of its configuration."""

import hashlib
import json
import random
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from deploy.targets.plan import Module, Plan
from proxywasm.reader import read_module
from tests.deploy.fleet import header_filter
from tests.peers import envoy_binary

GOLDEN = Path(__file__).parent / "golden"
MODULE = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
MANIFEST = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
POLICIES = ("FAIL_CLOSED", "FAIL_OPEN", "FAIL_RELOAD")
CONFIGS = (
    None,
    "",
    "{}",
    '{"requests_per_unit":10}',
    '{"a":{"b":[1,2.5,"ü",null]}}',
    "per second",
    "[1]",
    '{"a":1e999}',
)


@cache
def facts() -> dict[str, Any]:
    """What the reader says of a small filter: it adds a header, and takes any config."""
    return read_module(header_filter("x")).to_json()


def plan_for(kind: ModuleType, settings: Mapping[str, Any], placement: Mapping[str, Any], **change: Any) -> Plan:
    """The example deployment on a target of this kind, as its own functions read settings and placement."""
    read = kind.read_settings(settings)
    example = Plan(
        hub_id="h1",
        target="mesh",
        deployment="rate-limit",
        image="hub.example.com/filters/rate-limit",
        manifest=f"sha256:{MANIFEST}",
        module=Module(MODULE, 4096, facts()),
        module_url=f"https://hub.example.com/modules/GRANT/{MODULE}.wasm",
        root_id="rate_limit",
        config='{"requests_per_unit":10}',
        failure_policy="FAIL_CLOSED",
        order=10,
        placement=kind.read_placement(placement, read),
        settings=read,
    )
    return replace(example, **change)


def golden(kind: str, name: str) -> list[Any]:
    """The documents of a golden file."""
    return list(yaml.safe_load_all((GOLDEN / kind / f"{name}.yaml").read_text()))


def changed(dice: random.Random, plan: Plan) -> Plan:
    """The plan with what a deployer may change, at random."""
    names = ["a", "a1", "x" * 63, "rate-limit", "a--b"]
    sha256 = hashlib.sha256(dice.randbytes(8)).hexdigest()
    return replace(
        plan,
        target=dice.choice(names),
        deployment=dice.choice(names),
        module=Module(sha256, dice.choice([1, 10**6, 10**8]), dice.choice([{}, facts()])),
        module_url=f"{dice.choice(['http://hub:8080', 'https://hub.example.com'])}/modules/g/{sha256}.wasm",
        root_id=dice.choice(["", "root"]),
        config=dice.choice(CONFIGS),
        failure_policy=dice.choice(POLICIES),
        order=dice.randint(1, 1000),
        pull_secret=dice.choice([None, "pull"]),
    )


def envoy_refuses(folder: Path, filters: list[dict[str, Any]], clusters: list[dict[str, Any]]) -> str:
    """What the real Envoy's check says of a configuration with these HTTP filters and clusters; empty: nothing."""
    extensions = "type.googleapis.com/envoy.extensions.filters."
    router = {"name": "router", "typed_config": {"@type": extensions + "http.router.v3.Router"}}
    manager = {
        "@type": extensions + "network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "test",
        "route_config": {},
        "http_filters": [*filters, router],
    }
    listener = {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    path = folder / "bootstrap.json"
    path.write_text(json.dumps({"static_resources": {"listeners": [listener], "clusters": clusters}}))
    checked = subprocess.run(
        [envoy_binary(), "--mode", "validate", "-c", path, "--log-level", "warning"],
        capture_output=True,
        text=True,
        check=False,
    )
    return checked.stderr if checked.returncode else ""
