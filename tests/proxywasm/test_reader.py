"""What the reader says of a module: verdicts, hooks, capabilities, marks of SDKs, and the shape of its JSON."""

from __future__ import annotations

import json
import time

import pytest

from proxywasm import LIST_LIMIT, READER_VERSION, ModuleError, ModuleFacts, describe_module, read_module
from proxywasm.host import ABI_VERSIONS, host_functions
from tests.peers import built_filter
from tests.proxywasm.cases import BASE, LOG, MALLOC, PLAIN, Case, all_cases, build, custom, imported
from tests.proxywasm.fuzz import leb

# Rules that need a look into function bodies: the worker's, not the reader's.
ENGINE_RULES = ("bodies", "start-trap", "start-host-call")


def text(value: bytes) -> bytes:
    return bytes([len(value)]) + value


def producers(*lines: tuple[bytes, bytes, bytes]) -> bytes:
    content = b"".join(text(field) + b"\1" + text(name) + text(version) for field, name, version in lines)
    return custom(b"producers", bytes([len(lines)]) + content)


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: f"{case.group}: {case.name}")
def test_verdict(case: Case) -> None:
    facts = describe_module(case.data)
    rules = [problem.rule for problem in facts.problems]
    if case.rule in ENGINE_RULES:
        assert rules == []
    else:
        assert rules[:1] == ([case.rule] if case.rule else [])
        assert facts.loads_in_envoy or case.verdict != "loads"


@pytest.mark.parametrize(
    ("data", "offset", "sentence"),
    [
        (b"", 0, "a module has at least 8 bytes and this has 0"),
        (b"hello, world", 0, "this is not WebAssembly: it does not begin with the bytes 00 61 73 6d"),
        (b"\0asm\2\0\0\0", 4, "WebAssembly version 2 is unknown, only 1 exists"),
        (PLAIN[:8] + b"\x77\0", 8, "section number 119 is unknown"),
        (PLAIN[:8] + b"\1\x7f\0", 10, "the type section is 127 bytes long but only 1 are left"),
        (PLAIN[:8] + b"\1\x80\x80\x80\x80\x80\0", 9, "the number for the size of the type section is longer than"),
        (PLAIN[:8] + b"\1\x80\x80\x80\x80\x10", 9, "the number for the size of the type section is larger than"),
        (PLAIN[:8] + b"\1\2\1\x61", 11, "a type of the unknown form 0x61"),
        (PLAIN[:8] + b"\1\1\0\1\1\0", 11, "the type section stands twice or in the wrong order"),
        (PLAIN[:8] + b"\3\1\0\1\1\0", 11, "the type section stands twice or in the wrong order"),
        (PLAIN[:8] + b"\1\2\0\0", 11, "the type section has 1 bytes too many"),
        (PLAIN[:8] + b"\2\5\1\0\0\7\0", 13, "the import . is of the unknown kind 0x07"),
        (PLAIN[:8] + b"\x07\4\1\1\xff\0", 11, "the name of an export is not valid UTF-8"),
        (PLAIN[:8] + b"\x05\3\1\x70\1", 11, "0x70 are unknown flags for the limits of a memory"),
        (PLAIN[:8] + b"\x06\5\1\x7f\0\x01\x0b", 13, "the instruction 0x01 may not stand in a constant expression"),
        (PLAIN[:8] + b"\1\5\xff\xff\xff\xff\x0f", 10, "4294967295 types are more than the 1000000"),
        (PLAIN[:8] + b"\1\2\x7f\0", 10, "127 types are announced but only 1 bytes are left"),
    ],
)
def test_unreadable(data: bytes, offset: int, sentence: str) -> None:
    with pytest.raises(ModuleError) as caught:
        read_module(data)
    assert (caught.value.offset, caught.value.sentence[: len(sentence)]) == (offset, sentence)
    facts = describe_module(data)
    assert (facts.kind, facts.loads_in_envoy, facts.problems[0].offset) == ("unreadable", False, offset)
    assert sentence in facts.problems[0].sentence


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        (imported("env", "nope") + BASE, "The import env.nope is missing in Envoy."),
        (imported("env", "abort") + BASE, "AssemblyScript wants it: build with --use abort=abort_proc_exit."),
        (imported("env", "fd_write") + BASE, "Envoy has it as wasi_snapshot_preview1.fd_write."),
        (imported("wasi_snapshot_preview1", "proc_raise") + BASE, "No Envoy release offers this function of WASI."),
        (imported("wasi:io/streams@0.2.0", "x") + BASE, "It belongs to WASI 0.2 and its components"),
        (imported("env", "proxy_redis_call") + BASE, "Only Higress offers it."),
        (
            imported("env", "proxy_continue_request", "", "i32") + BASE,
            "It belongs to ABI version 0.1.0, and the module",
        ),
        (imported("env", "proxy_done", "i64", "i32") + BASE, "as (i64) -> i32, but in Envoy it is () -> i32."),
        ('(import "env" "g" (global i32))' + BASE, "is a global, and Envoy has only functions to offer."),
        (BASE + '(func (export "proxy_on_tick"))', "proxy_on_tick is () -> nothing, but Envoy calls it as (i32)"),
        ("(memory 20000)" + MALLOC, "begins with 20000 pages of 64 KiB and Envoy allows 16384 (1 GiB)"),
        (BASE + '(data (i32.const 65530) "0123456789")', "10 bytes is to be put at 65530, outside the 65536 bytes"),
    ],
)
def test_reason_in_words(parts: str, sentence: str) -> None:
    assert sentence in read_module(build(parts)).problems[0].sentence


@pytest.mark.parametrize(
    ("exports", "hooks"),
    [
        ("", []),
        ('(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) i32.const 0)',
         ["request_headers"]),
        ('(func (export "proxy_on_response_body") (param i32 i32 i32) (result i32) i32.const 0)'
         '(func (export "proxy_on_tick") (param i32))', ["response_body", "tick"]),
        ('(func (export "proxy_on_new_connection") (param i32) (result i32) i32.const 0)'
         '(func (export "proxy_on_upstream_data") (param i32 i32 i32) (result i32) i32.const 0)', ["tcp"]),
        ('(func (export "proxy_on_grpc_close") (param i32 i32 i32))', ["grpc"]),
        ('(func (export "proxy_on_queue_ready") (param i32 i32)) (func (export "proxy_on_log") (param i32))',
         ["log", "queue"]),
        ('(global (export "proxy_on_tick") i32 (i32.const 0))', []),
    ],
)  # fmt: skip
def test_hooks(exports: str, hooks: list[str]) -> None:
    assert [hook.name for hook in read_module(build(BASE + exports)).hooks] == hooks


@pytest.mark.parametrize(
    ("imports", "capabilities"),
    [
        ("", []),
        (LOG, ["log"]),
        (imported("env", "proxy_http_call", "i32 " * 10, "i32"), ["http_calls"]),
        (imported("env", "proxy_grpc_send", "i32 " * 4, "i32") + LOG, ["grpc_calls", "log"]),
        (imported("env", "proxy_set_shared_data", "i32 " * 5, "i32"), ["shared_data"]),
        (imported("env", "proxy_send_local_response", "i32 " * 8, "i32"), ["local_responses"]),
        (imported("wasi_unstable", "random_get", "i32 i32", "i32"), ["random"]),
        (imported("wasi_snapshot_preview1", "fd_write", "i32 " * 4, "i32"), ["stdout"]),
        (imported("wasi_snapshot_preview1", "path_open", "i32 " * 5 + "i64 i64 i32 i32", "i32"), ["files"]),
        (imported("wasi_snapshot_preview1", "clock_time_get", "i32 i64 i32", "i32")
         + imported("env", "proxy_get_current_time_nanoseconds", "i32", "i32"), ["clock"]),
        (imported("elsewhere", "proxy_log", "i32 i32 i32", "i32"), []),
    ],
)  # fmt: skip
def test_capabilities(imports: str, capabilities: list[str]) -> None:
    facts = read_module(build(imports + BASE))
    assert [capability.name for capability in facts.capabilities] == capabilities
    assert all(capability.words and capability.functions for capability in facts.capabilities)


def test_every_host_function_is_a_capability() -> None:
    silent = {"pthread_equal", "emscripten_notify_memory_growth"}
    pairs = {pair for abi in ABI_VERSIONS for pair in host_functions(abi)}
    for module, name in sorted(pairs):
        facts = read_module(build(imported(module, name) + BASE))
        assert (facts.capabilities == ()) == (name in silent), name


@pytest.mark.parametrize(
    ("data", "name", "version"),
    [
        (PLAIN, "hand-written", None),
        (PLAIN + producers((b"language", b"Rust", b""), (b"processed-by", b"rustc", b"1.80.0")), "Rust", None),
        (build(BASE + '(data "x/proxy-wasm-0.2.2/src/dispatcher.rs")'), "Rust", "0.2.2"),
        (build(BASE + '(data "library/core/src/fmt.rs")'), "Rust", None),
        (PLAIN + producers((b"language", b"Go", b"go1.24.1")), "Go", "go1.24.1"),
        (PLAIN + producers((b"processed-by", b"TinyGo", b"0.33.0")), "TinyGo", "0.33.0"),
        (build(imported("env", "proxy_redis_init") + BASE) + producers((b"language", b"Go", b"go1.24")),
         "Higress Go", "go1.24"),
        (PLAIN + producers((b"processed-by", b"clang", b"18.1.3")), "C or C++", "18.1.3"),
        (build(imported("env", "emscripten_notify_memory_growth", "i32") + BASE), "C or C++", None),
        (build(BASE + '(data "~\\00l\\00i\\00b\\00/\\00r\\00t\\00/\\00")'), "AssemblyScript", None),
        (build(BASE + '(table 1 1 funcref) (global (mut i32) (i32.const 0)) (data (i32.const 1024) "x")'),
         "C, C++ or Zig", None),
        (PLAIN + producers((b"language", b"Zig", b"")), "Zig", None),
        (PLAIN + producers((b"language", b"Cobol", b"")), "unknown", None),
    ],
)  # fmt: skip
def test_sdk(data: bytes, name: str, version: str | None) -> None:
    facts = read_module(data)
    assert (facts.sdk.name, facts.sdk.version) == (name, version)
    assert (facts.sdk.marks == ()) == (name == "unknown")
    assert facts.needs_config == (name == "AssemblyScript")


@pytest.mark.parametrize(
    ("imports", "abi", "releases"),
    [
        ("", "0_2_1",
         {"Envoy": "1.17", "Istio": "1.9", "Envoy Gateway": "1.1", "Consul": "1.16", "Gloo": "1.6"}),
        (imported("wasi_unstable", "path_open", "i32 " * 5 + "i64 i64 i32 i32", "i32"), "0_1_0",
         {"Envoy": "1.21", "Istio": "1.13", "Envoy Gateway": "1.1", "Consul": "1.16"}),
        (imported("wasi_unstable", "sched_yield", "", "i32"), "0_2_0",
         {"Envoy": "1.33", "Istio": "1.25", "Envoy Gateway": "1.3", "Consul": "1.16"}),
        (imported("wasi_unstable", "fd_sync", "i32", "i32"), "0_2_0",
         {"Envoy": "1.39", "Istio": "1.31", "Envoy Gateway": "1.9", "Consul": "1.16"}),
        (imported("env", "proxy_redis_init", "i32", "i32"), "0_2_0", {"Higress": "any"}),
        (imported("env", "nope"), "0_2_1", {}),
        ("", "0_3_0", {}),
    ],
)  # fmt: skip
def test_releases(imports: str, abi: str, releases: dict[str, str]) -> None:
    facts = read_module(build(imports + BASE, abi))
    assert {release.product: release.since for release in facts.releases} == releases


def test_facts_of_one_module() -> None:
    names = custom(b"name", b"\0\6\5hello")
    features = custom(b"target_features", b"\2+" + text(b"simd128") + b"-" + text(b"atomics"))
    parts = LOG + BASE + '(func $s) (start $s) (data (i32.const 8) "abc") (table 3 7 funcref)'
    module = build(parts)
    facts = read_module(module[:8] + names + module[8:] + features)
    assert (facts.kind, facts.abi_version, facts.module_name) == ("module", "0.2.1", "hello")
    assert facts.features == ("simd128",)
    assert (facts.function_count, facts.start_function, facts.data_size) == (3, 2, 3)
    assert [(entry.module, entry.name, entry.type) for entry in facts.imports] == [
        ("env", "proxy_log", "(i32, i32, i32) -> i32")
    ]
    assert [(export.name, export.kind, export.type) for export in facts.exports] == [
        ("memory", "memory", ""),
        ("malloc", "function", "(i32) -> i32"),
        ("proxy_abi_version_0_2_1", "function", "() -> nothing"),
    ]
    assert [(memory.minimum, memory.maximum) for memory in facts.memories] == [(1, None)]
    assert [(table.minimum, table.maximum) for table in facts.tables] == [(3, 7)]
    assert [section.name for section in facts.sections][-3:] == ["data", "name", "target_features"]
    assert facts.sections[0].name == "name"
    last = facts.sections[-1]
    assert last.offset + last.size == facts.size


def test_json_has_every_field_and_is_plain() -> None:
    for case in all_cases():
        facts = describe_module(case.data)
        document = json.loads(json.dumps(facts.to_json()))
        assert document.keys() == {*ModuleFacts.__dataclass_fields__, "counts", "loads_in_envoy"}
        assert document["reader_version"] == READER_VERSION
        assert document["loads_in_envoy"] is facts.loads_in_envoy


@pytest.mark.parametrize(
    ("section", "head", "item"),
    [
        (1, b"", b"\x60\0\0"),
        (3, b"", b"\0"),
        (4, b"", b"\x70\0\0"),
        (5, b"", b"\0\0"),
        (6, b"", b"\x7f\0\x41\0\x0b"),
        (7, b"", b"\1x\4\0"),
        (9, b"\1\1\0", b"\0"),
        (9, b"", b"\1\0\0"),
        (11, b"", b"\0\x41\0\x0b\0"),
        (0, b"\4name\1\x80\x80\4", b"\0\0"),
    ],
)
def test_long_lists_take_linear_time(section: int, head: bytes, item: bytes) -> None:
    def seconds(count: int) -> float:
        content = head + leb(count) + item * count
        module = PLAIN[:8] + bytes([section]) + leb(len(content)) + content
        begun = time.process_time()
        assert describe_module(module).kind == "module"
        return time.process_time() - begun

    assert seconds(40_000) < 8 * seconds(10_000) + 0.5


def test_many_names_take_linear_time() -> None:
    def seconds(count: int) -> float:
        exports = b"".join(b"\6%06d\0\0" % number for number in range(1, count))
        content = leb(count + 1) + b"\6malloc\0\0\x17proxy_abi_version_0_2_1\0\0" + exports
        module = PLAIN[:8] + b"\1\6\1\x60\1\x7f\1\x7f\3\2\1\0\7" + leb(len(content)) + content
        begun = time.process_time()
        assert describe_module(module).loads_in_envoy
        return time.process_time() - begun

    assert seconds(40_000) < 8 * seconds(10_000) + 0.5


def test_json_of_a_module_with_many_names_is_cut() -> None:
    many = "".join(f'(export "again-{number}" (func $log))' for number in range(2000))
    wanted = "".join(imported("env", f"nope-{number}-{'x' * 3000}") for number in range(300))
    facts = read_module(build(wanted + LOG + BASE + many))
    document = facts.to_json()
    assert document["counts"] == {"sections": 7, "imports": 301, "exports": 2003, "problems": 100}
    assert len(document["imports"]) == len(document["exports"]) == LIST_LIMIT
    assert len(json.dumps(document)) < 1_500_000


@pytest.mark.parametrize(
    ("name", "sdk", "abi", "needs_config"),
    [
        ("add-header", "hand-written", "0.2.1", False),
        ("c", "C, C++ or Zig", "0.2.1", False),
        ("go", "Go", "0.2.0", False),
        ("rust", "Rust", "0.2.1", False),
        ("assemblyscript", "AssemblyScript", "0.2.0", True),
    ],
)
def test_filters_of_each_sdk(name: str, sdk: str, abi: str, needs_config: bool) -> None:
    facts = read_module(built_filter(name).read_bytes())
    assert (facts.sdk.name, facts.abi_version, facts.needs_config) == (sdk, abi, needs_config)
    assert facts.problems == ()
    assert "response_headers" in [hook.name for hook in facts.hooks]
    assert "change_headers" in [capability.name for capability in facts.capabilities]


def test_filter_with_an_unknown_import() -> None:
    facts = read_module(built_filter("unknown-import").read_bytes())
    assert [problem.sentence for problem in facts.problems] == [
        "The import env.proxy_read_the_future is missing in Envoy."
    ]
