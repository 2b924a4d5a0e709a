"""The allow-list that is computed from a module, on the real Envoy: a filter works with its own and no other's."""

import hashlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
import wasmtime

from deploy.targets.capabilities import NOTHING, allowed, restriction
from deploy.targets.envoy_fleet import Filter, discovery_answer
from deploy.targets.envoy_parts import cluster
from proxywasm.capabilities import PROXY, SYSTEM
from proxywasm.facts import LIST_LIMIT
from proxywasm.hooks import HOOKS, hook_types
from proxywasm.host import ABI_VERSIONS, host_functions
from proxywasm.reader import read_module
from tests.deploy.fleet import header_filter
from tests.examples.test_filters_in_envoy import SECONDS_TO_START, WORKING, addresses_of, running_envoy, wasm_filter
from tests.peers import built_filter

# A filter that says in a header what became of its call: the status as a digit, so `0` is done and `a` is refused.
FILTER = """(module
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
  (import "env" "proxy_set_effective_context" (func $become (param i32) (result i32)))
  {imported}
  (memory (export "memory") 1)
  (global $answer (mut i32) (i32.const 0)) (global $stream (mut i32) (i32.const 0))
  (data (i32.const 16) "x-filter") (data (i32.const 64) "0123456789abcdef") (data (i32.const 128) "elsewhere")
  (data (i32.const 256) "\\03\\00\\00\\00\\07\\00\\00\\00\\03\\00\\00\\00\\05\\00\\00\\00\\01\\00\\00\\00")
  (data (i32.const 276) "\\0a\\00\\00\\00\\01\\00\\00\\00:method\\00GET\\00:path\\00/\\00:authority\\00x\\00")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 4096))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {on_request})
  (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
    (drop (call $become (global.get $stream))) (drop (call $continue (i32.const 0))))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
    (drop (call $add (i32.const 2) (i32.const 16) (i32.const 8)
      (i32.add (i32.const 64) (global.get $answer)) (i32.const 1)))
    (i32.const 0)))"""
HTTP_CALL = '(import "env" "proxy_http_call" (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))'
CALLS_OUT = """(global.set $stream (local.get 0))
  (global.set $answer (call $call (i32.const 128) (i32.const 9) (i32.const 256) (i32.const 61)
  (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 5000) (i32.const 512)))
  (i32.eqz (global.get $answer))"""  # 1 is to wait: the answer resumes the request
HARMLESS = bytes(wasmtime.wat2wasm(FILTER.format(imported="", on_request="(i32.const 0)")))
CHANGED = bytes(wasmtime.wat2wasm(FILTER.format(imported=HTTP_CALL, on_request=CALLS_OUT)))


def facts_of(module: bytes) -> dict[str, Any]:
    return read_module(module).to_json()


def restricted(folder: Path, module: bytes, to: dict[str, Any]) -> dict[str, Any]:
    """The module as an HTTP filter with a restriction."""
    name = hashlib.sha256(json.dumps([module.hex(), to]).encode()).hexdigest()[:16]
    (folder / f"{name}.wasm").write_bytes(module)
    found = wasm_filter("add-header", None)
    found["typed_config"]["config"] |= to
    machine = found["typed_config"]["config"]["vm_config"]
    machine |= {"vm_id": name, "code": {"local": {"filename": str(folder / f"{name}.wasm")}}}
    return found


class Elsewhere:
    """A server that no filter has any business with; `paths` are what was asked of it."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        seen = self.paths

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stops it."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    server = Elsewhere()
    yield server
    server.close()


def ask_each(folder: Path, filters: list[dict[str, Any]], elsewhere: Elsewhere) -> list[tuple[str | None, int]]:
    """For each filter the header that it added, and how many calls had reached the server elsewhere by then."""
    found = []
    with running_envoy(folder, filters, [cluster("elsewhere", elsewhere.address)]) as envoy:
        for address in addresses_of(envoy, folder, len(filters)):
            answer = httpx.get(address, timeout=SECONDS_TO_START)
            assert answer.status_code == 200
            found.append((answer.headers.get("x-filter"), len(elsewhere.paths)))
    return found


def test_a_filter_that_was_changed_to_call_out_is_stopped(tmp_path: Path, elsewhere: Elsewhere) -> None:
    old, new = restriction(facts_of(HARMLESS)), restriction(facts_of(CHANGED))

    answers = ask_each(
        tmp_path,
        [
            restricted(tmp_path, HARMLESS, old),
            restricted(tmp_path, CHANGED, old),
            restricted(tmp_path, CHANGED, new),
            restricted(tmp_path, CHANGED, {}),
        ],
        elsewhere,
    )

    assert answers == [("0", 0), ("a", 0), ("0", 1), ("0", 2)]


def test_a_module_that_needs_nothing_gets_nothing(tmp_path: Path, elsewhere: Elsewhere) -> None:
    idle = bytes(
        wasmtime.wat2wasm(
            '(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))'
            ' (func (export "malloc") (param i32) (result i32) (i32.const 0)))'
        )
    )
    assert allowed(facts_of(idle)) == [NOTHING]

    answers = ask_each(
        tmp_path,
        [restricted(tmp_path, module, restriction(facts_of(idle))) for module in (idle, header_filter("changed"))],
        elsewhere,
    )

    assert answers == [(None, 0), (None, 0)]


@pytest.mark.parametrize(("name", "cases"), WORKING, ids=[name for name, _ in WORKING])
def test_example_filters_work_with_no_more_than_they_import(
    name: str, cases: list[tuple[str | None, str]], tmp_path: Path
) -> None:
    limits = restriction(facts_of(built_filter(name).read_bytes()))
    filters = [wasm_filter(name, configuration) for configuration, _ in cases[:1]]
    for one in filters:
        one["typed_config"]["config"] |= limits

    with running_envoy(tmp_path, filters) as envoy:
        addresses = addresses_of(envoy, tmp_path, len(filters))
        answers = [httpx.get(address, timeout=SECONDS_TO_START) for address in addresses]

    assert limits["capability_restriction_config"]["allowed_capabilities"]
    assert [each.headers.get("x-filter") for each in answers] == [cases[0][1]]


def test_the_list_is_what_the_module_imports_and_its_own_callbacks() -> None:
    assert allowed(facts_of(header_filter("x"))) == [
        "proxy_add_header_map_value",
        "proxy_on_configure",
        "proxy_on_response_headers",
    ]
    assert set(allowed(facts_of(CHANGED))) - set(allowed(facts_of(HARMLESS))) == {"proxy_http_call"}


def test_where_nothing_is_known_nothing_is_restricted() -> None:
    assert allowed({}) == [] and restriction({}) == {}
    assert restriction({"kind": "unreadable"}) == {}


def test_a_module_with_more_exports_than_are_listed_keeps_its_callbacks() -> None:
    many = "".join(f'(func (export "aa_{number:04}"))' for number in range(LIST_LIMIT + 1))
    module = wasmtime.wat2wasm(
        f'(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1")) {many}'
        ' (func (export "malloc") (param i32) (result i32) (i32.const 0))'
        ' (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (i32.const 0)))'
    )

    assert allowed(facts_of(bytes(module))) == ["proxy_on_response_headers"]


def test_every_function_and_callback_of_envoy_can_be_on_the_list() -> None:
    """The facts name what a module imports by these tables alone: what they forgot would be forbidden."""
    known = {name for capability in PROXY + SYSTEM for name in capability.functions}
    offered = {name for abi in ABI_VERSIONS for _, name in host_functions(abi)}
    hooks = {name for hook in HOOKS for name in hook.exports}

    assert offered - known == {"emscripten_notify_memory_growth", "pthread_equal"}, "which Envoy never restricts"
    assert {name for abi in ABI_VERSIONS for name in hook_types(abi)} <= hooks


def test_a_fleet_is_given_the_list_too() -> None:
    held = Filter("f", vm_id="1", capabilities=("proxy_log", "proxy_on_log"))

    head, tail = discovery_answer("edge/slot-1", "v1", held)

    plugin = json.loads(head + tail)["resources"][0]["typed_config"]["config"]
    allowed_there = plugin["capability_restriction_config"]["allowed_capabilities"]
    assert allowed_there == {"proxy_log": {}, "proxy_on_log": {}}
