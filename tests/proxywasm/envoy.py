"""Asks the real Envoy about many modules at once: one process, one filter for each, all configured from files."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.peers import envoy_binary

GOOGLE = "type.googleapis.com/"
FILTERS = GOOGLE + "envoy.extensions.filters."
WASM = FILTERS + "http.wasm.v3.Wasm"
SECONDS = 60

REASON = re.compile(r"Wasm VM failed |Failed to |Function: |Bad function signature|Missing or unknown")
REJECTED = re.compile(r"update rejected: Unable to create Wasm plugin (\S+)")


@dataclass(frozen=True)
class Answer:
    """What Envoy did with a module, and the lines of its log about it."""

    verdict: str
    reason: str


def ask_envoy(folder: Path, modules: dict[str, bytes]) -> dict[str, Answer]:
    """Envoy's answer to each module by its name: `loads`, `refused` or `crashes`.

    When the process ends, each half of the modules is asked about again, down to the one that ended it.
    """
    answers = _ask_at_once(folder, modules)
    if answers is not None:
        return answers
    names = list(modules)
    if len(names) == 1:
        return {names[0]: Answer("crashes", "")}
    half = len(names) // 2
    parts = ((folder / "a", names[:half]), (folder / "b", names[half:]))
    return {
        name: answer
        for below, part in parts
        for name, answer in ask_envoy(below, {name: modules[name] for name in part}).items()
    }


def _ask_at_once(folder: Path, modules: dict[str, bytes]) -> dict[str, Answer] | None:
    folder.mkdir()
    filters = [_filter(folder, name, data) for name, data in modules.items()]
    (folder / "bootstrap.json").write_text(json.dumps(_bootstrap(filters)))
    arguments = ["--service-node", "test", "--service-cluster", "test", "--use-dynamic-base-id", "--concurrency", "1"]
    start: list[str | Path] = [envoy_binary(), "-c", "bootstrap.json", "--admin-address-path", "admin", *arguments]
    with (folder / "log").open("wb") as log:
        # Some modules end Envoy on purpose: no core file for them.
        envoy = subprocess.Popen(
            ["sh", "-c", 'ulimit -c 0; exec "$@"', "sh", *start], cwd=folder, stdout=log, stderr=log
        )
    try:
        counters = _wait(envoy, folder, len(modules))
    finally:
        envoy.kill()
        envoy.wait()
    log_text = (folder / "log").read_text(errors="replace")
    if counters is None:
        return None
    reasons = _reasons(log_text)
    return {name: _answer(counters, name, reasons) for name in modules}


def _wait(envoy: subprocess.Popen[bytes], folder: Path, expected: int) -> str | None:
    deadline = time.monotonic() + SECONDS
    while envoy.poll() is None:
        assert time.monotonic() < deadline, f"Envoy has not answered:\n{(folder / 'log').read_text()[-3000:]}"
        if (folder / "admin").exists() and "starting main dispatch loop" in (folder / "log").read_text(
            errors="replace"
        ):
            counters = _counters((folder / "admin").read_text())
            if sum(int(count) for count in re.findall(r"\.update_(?:success|rejected): (\d+)", counters)) >= expected:
                return counters
        time.sleep(0.05)
    return None


def _counters(address: str) -> str:
    url = f"http://{address}/stats?filter=extension_config_discovery"
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def _reasons(log: str) -> dict[str, str]:
    """The lines about each refused module: they stand before the line that names it."""
    reasons: dict[str, str] = {}
    lines: list[str] = []
    for line in log.splitlines():
        named = REJECTED.search(line)
        if named:
            reasons[named.group(1)] = " / ".join(lines)
            lines = []
        elif REASON.search(line):
            lines.append(line.partition("] [")[2].partition("] ")[2].removeprefix("Wasm VM failed "))
    return reasons


def _answer(counters: str, name: str, reasons: dict[str, str]) -> Answer:
    rejected = re.search(rf"\.{name}\.update_rejected: (\d+)", counters)
    succeeded = re.search(rf"\.{name}\.update_success: (\d+)", counters)
    assert rejected and succeeded
    if int(rejected.group(1)):
        return Answer("refused", reasons.get(name, ""))
    assert int(succeeded.group(1)) == 1
    return Answer("loads", "")


def _filter(folder: Path, name: str, data: bytes) -> dict[str, Any]:
    (folder / f"{name}.wasm").write_bytes(data)
    config = {
        "name": name,
        # Modules of one VM id and equal bytes would share a VM.
        "vm_config": {
            "vm_id": name,
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"filename": str(folder / f"{name}.wasm")}},
        },
        "configuration": {"@type": GOOGLE + "google.protobuf.StringValue", "value": "{}"},
    }
    resource = {
        "@type": GOOGLE + "envoy.config.core.v3.TypedExtensionConfig",
        "name": name,
        "typed_config": {"@type": WASM, "config": config},
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"version_info": "1", "resources": [resource]}))
    source = {
        "resource_api_version": "V3",
        "initial_fetch_timeout": "0.1s",
        "path_config_source": {"path": str(path)},
    }
    return {"name": name, "config_discovery": {"config_source": source, "type_urls": [WASM]}}


def _bootstrap(filters: Iterable[dict[str, Any]]) -> dict[str, Any]:
    router = {"name": "router", "typed_config": {"@type": FILTERS + "http.router.v3.Router"}}
    manager = {
        "@type": FILTERS + "network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "test",
        "route_config": {},
        "http_filters": [*filters, router],
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    listener = {
        "name": "test",
        "address": address,
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return {"admin": {"address": address}, "static_resources": {"listeners": [listener]}}
