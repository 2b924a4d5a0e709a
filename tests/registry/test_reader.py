"""Pushed modules are read by themselves, and who pulls a broken one is warned."""

import time
from pathlib import Path

import wasmtime

from registry.reader import CLAIM_SECONDS
from tests.hub import HubProcess
from tests.oci import Client

BROKEN = wasmtime.wat2wasm('(module (import "env" "no_such_call" (func)) (memory (export "memory") 1))')
BROKEN_TOO = [bytes(wasmtime.wat2wasm(f'(module (memory (export "m{number}") 1))')) for number in range(5)]
PLAIN = wasmtime.wat2wasm(
    """(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
    (func (export "malloc") (param i32) (result i32) (i32.const 0)))"""
)


def warning_within(admin: Client, path: str, seconds: float) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        warning = admin.ask("GET", path).headers.get("warning")
        if warning:
            return str(warning)
        time.sleep(0.05)
    return ""


def test_a_broken_module_is_warned_of(admin: Client, name: str) -> None:
    admin.push_filter(name, "v1", bytes(BROKEN))
    assert "no function that names a version" in warning_within(admin, f"/v2/{name}/manifests/v1", 5)


def test_a_good_module_is_not(admin: Client, name: str) -> None:
    admin.push_filter(name, "v1", bytes(PLAIN))
    admin.push_filter(f"{name}-broken", "v1", bytes(BROKEN))
    assert warning_within(admin, f"/v2/{name}-broken/manifests/v1", 5)
    assert "warning" not in admin.ask("GET", f"/v2/{name}/manifests/v1").headers


def test_what_waits_survives_a_crash(tmp_path: Path) -> None:
    """The reading is asked for in the push's own transaction; the hub is killed before it can have happened."""
    with HubProcess(tmp_path / "data") as hub:
        client = Client(hub.url, "admin", hub.admin_password)
        for number in range(5):
            client.push_filter("registry/crash", f"v{number}", BROKEN_TOO[number])
        hub.kill()
        client.close()
        hub.start()
        client = Client(hub.url, "admin", hub.admin_password)
        for number in range(5):
            # What the dead hub had claimed is free again when its claim ends.
            assert warning_within(client, f"/v2/registry/crash/manifests/v{number}", CLAIM_SECONDS + 30)
        client.close()
