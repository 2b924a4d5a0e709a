"""The example filters meet a real Envoy: each is loaded from its file, configured, and seen in a response's headers."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.peers import built_filter, envoy_binary

SECONDS_TO_START = 60  # Envoy itself needs one; V8 compiles a module of the Go compiler for some more on a busy machine
GOOGLE = "type.googleapis.com/"
EXTENSIONS = GOOGLE + "envoy.extensions.filters."

WORKING = [
    ("add-header", [(None, "wat"), ("from the configuration", "from the configuration")]),
    ("c", [(None, "c"), ("from the configuration", "from the configuration")]),
    ("go", [(None, "go"), ("from the configuration", "from the configuration")]),
    ("rust", [(None, "rust"), ("from the configuration", "from the configuration")]),
    ("assemblyscript", [(None, "assemblyscript"), ("from the configuration", "from the configuration")]),
]
REFUSED = [
    ("unknown-import", "env.proxy_read_the_future"),
    ("refuses-config", "Unable to create Wasm plugin refuses-config"),
]


def wasm_filter(name: str, configuration: str | None) -> dict[str, Any]:
    config: dict[str, Any] = {
        "name": name,
        "vm_config": {
            "vm_id": f"{name}-{configuration}",
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"filename": str(built_filter(name))}},
        },
    }
    if configuration is not None:
        config["configuration"] = {"@type": GOOGLE + "google.protobuf.StringValue", "value": configuration}
    return {"name": name, "typed_config": {"@type": EXTENSIONS + "http.wasm.v3.Wasm", "config": config}}


def listener(number: int, http_filter: dict[str, Any]) -> dict[str, Any]:
    """A listener on a free port that answers every request itself, through the filter."""
    router = {"name": "router", "typed_config": {"@type": EXTENSIONS + "http.router.v3.Router"}}
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "hello"}}}
    manager = {
        "@type": EXTENSIONS + "network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": f"listener-{number}",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [answer]}]},
        "http_filters": [http_filter, router],
    }
    return {
        "name": f"listener-{number}",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


@contextmanager
def running_envoy(
    folder: Path, filters: list[dict[str, Any]], clusters: list[dict[str, Any]] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    listeners = [listener(number, each) for number, each in enumerate(filters)]
    bootstrap = {
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "static_resources": {"listeners": listeners, "clusters": clusters or []},
    }
    (folder / "bootstrap.json").write_text(json.dumps(bootstrap))
    arguments = ["-c", "bootstrap.json", "--admin-address-path", "admin", "--use-dynamic-base-id", "--concurrency", "1"]
    with (folder / "log").open("wb") as log:
        envoy = subprocess.Popen([envoy_binary(), *arguments], cwd=folder, stdout=log, stderr=log)
    try:
        yield envoy
    finally:
        envoy.kill()
        envoy.wait()


def addresses_of(envoy: subprocess.Popen[bytes], folder: Path, count: int) -> list[str]:
    """The addresses of the listeners in their order, once Envoy is ready to serve."""
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline and envoy.poll() is None:
        admin = folder / "admin"
        if (
            admin.exists()
            and httpx.get(f"http://{admin.read_text()}/ready", timeout=SECONDS_TO_START).status_code == 200
        ):
            found = httpx.get(
                f"http://{admin.read_text()}/listeners", params={"format": "json"}, timeout=SECONDS_TO_START
            ).json()
            ports = {each["name"]: each["local_address"]["socket_address"] for each in found["listener_statuses"]}
            sockets = [ports[f"listener-{number}"] for number in range(count)]
            return [f"http://{each['address']}:{each['port_value']}" for each in sockets]
        time.sleep(0.1)
    pytest.fail(f"Envoy did not start:\n{(folder / 'log').read_text()[-4000:]}")


@pytest.mark.parametrize(("name", "cases"), WORKING, ids=[name for name, _ in WORKING])
def test_filter_adds_its_header(name: str, cases: list[tuple[str | None, str]], tmp_path: Path) -> None:
    filters = [wasm_filter(name, configuration) for configuration, _ in cases]

    with running_envoy(tmp_path, filters) as envoy:
        answers = [
            httpx.get(address, timeout=SECONDS_TO_START) for address in addresses_of(envoy, tmp_path, len(filters))
        ]

    assert [(each.status_code, each.text) for each in answers] == [(200, "hello")] * len(cases)
    assert [each.headers["x-filter"] for each in answers] == [value for _, value in cases]


@pytest.mark.parametrize(("name", "reason"), REFUSED, ids=[name for name, _ in REFUSED])
def test_envoy_refuses_filter(name: str, reason: str, tmp_path: Path) -> None:
    with running_envoy(tmp_path, [wasm_filter(name, None)]) as envoy:
        assert envoy.wait(SECONDS_TO_START) == 1

    assert reason in (tmp_path / "log").read_text()


def test_hand_written_filter_is_small() -> None:
    assert built_filter("add-header").stat().st_size < 1024
