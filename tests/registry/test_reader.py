"""Pushed modules are read by themselves, and who pulls a broken one is warned."""

import time

import wasmtime

from tests.oci import Client

BROKEN = wasmtime.wat2wasm('(module (import "env" "no_such_call" (func)) (memory (export "memory") 1))')
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
