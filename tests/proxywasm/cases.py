"""Modules on both sides of every rule by which Envoy takes or refuses one, as rows of a table.

Each row says what the real Envoy 1.40 does with the module; one test asks the reader, another asks Envoy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wasmtime import wat2wasm

LOADS, REFUSED, CRASHES = "loads", "refused", "crashes"

MEMORY = '(memory (export "memory") 1)'
MALLOC = '(func (export "malloc") (param i32) (result i32) i32.const 16)'
BASE = MEMORY + MALLOC
ALLOCATE = '(func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 16)'
LOG = '(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))'
CALL_LOG = "(drop (call $log (i32.const 2) (i32.const 0) (i32.const 4)))"
CONFIGURE = '(func (export "proxy_on_configure") (param i32 i32) (result i32)'


@dataclass(frozen=True)
class Case:
    """A module, what Envoy does with it, and the rule that the reader gives as its reason (None: no problem)."""

    group: str
    name: str
    verdict: str
    rule: str | None
    data: bytes


def build(body: str, abi: str | None = "0_2_1") -> bytes:
    """A module of these parts of WAT, with the function that names its ABI version."""
    version = f'(func (export "proxy_abi_version_{abi}"))' if abi else ""
    return bytes(wat2wasm(f"(module {body} {version})"))


def custom(name: bytes, content: bytes) -> bytes:
    """A custom section; everything shorter than 128 bytes."""
    body = bytes([len(name)]) + name + content
    return b"\0" + bytes([len(body)]) + body


def imported(module: str, name: str, params: str = "", results: str = "") -> str:
    """An imported function in WAT."""
    return f'(import "{module}" "{name}" (func (param {params}) (result {results})))'


PLAIN = build(BASE)

# Rows of WAT: name, what Envoy does, the reader's rule, the parts of the module, and an ABI version if not 0_2_1.
Row = tuple[str, str, str | None, str] | tuple[str, str, str | None, str, str | None]

ABI: list[Row] = [
    ("0_1_0", LOADS, None, BASE, "0_1_0"),
    ("0_2_0", LOADS, None, BASE, "0_2_0"),
    ("0_2_1", LOADS, None, BASE),
    ("0_3_0", REFUSED, "abi-version", BASE, "0_3_0"),
    ("0_2_2", REFUSED, "abi-version", BASE, "0_2_2"),
    ("none", REFUSED, "abi-version", BASE, None),
    (
        "a global of that name",
        REFUSED,
        "abi-version",
        BASE + '(global (export "proxy_abi_version_0_2_1") i32 (i32.const 1))',
        None,
    ),
    ("with a parameter", LOADS, None, BASE + '(func (export "proxy_abi_version_0_2_1") (param i32))', None),
    ("two, the first counts", LOADS, None, BASE + '(func (export "proxy_abi_version_0_2_0"))', "0_1_0"),
    (
        "two, the first is the old one",
        REFUSED,
        "import",
        imported("env", "proxy_get_log_level", "i32", "i32") + BASE + '(func (export "proxy_abi_version_0_1_0"))',
        "0_2_1",
    ),
]

ALLOCATOR: list[Row] = [
    ("malloc", LOADS, None, BASE),
    ("proxy_on_memory_allocate", LOADS, None, MEMORY + ALLOCATE),
    ("none", REFUSED, "allocator", MEMORY),
    ("malloc is a global", REFUSED, "allocator", MEMORY + '(global (export "malloc") i32 (i32.const 1))'),
    (
        "malloc of another type",
        REFUSED,
        "export-type",
        MEMORY + '(func (export "malloc") (param i32 i32) (result i32) i32.const 1)',
    ),
    (
        "malloc of another type beside a good one",
        REFUSED,
        "export-type",
        MEMORY + ALLOCATE + '(func (export "malloc") (param i64) (result i32) i32.const 1)',
    ),
    (
        "malloc beside another type of the second one",
        LOADS,
        None,
        BASE + '(func (export "proxy_on_memory_allocate") (param i64) (result i32) i32.const 16)',
    ),
]

STORES: list[Row] = [
    ("memory of another name", LOADS, None, '(memory (export "other") 1)' + MALLOC),
    ("no memory, no imports", LOADS, None, MALLOC),
    ("no memory exported, and a host call", LOADS, "memory-export", LOG + "(memory 1)" + MALLOC),
    (
        "no memory exported, and the call is made",
        CRASHES,
        "memory-export",
        LOG + "(memory 1)" + MALLOC + CONFIGURE + CALL_LOG + "i32.const 1)",
    ),
    ("memory of another name, and the call is made", LOADS, None,
     LOG + '(memory (export "other") 1)' + MALLOC + CONFIGURE + CALL_LOG + "i32.const 1)"),
    ("memory of 1 GiB", LOADS, None, '(memory (export "memory") 16384)' + MALLOC),
    ("memory of 1 GiB and a page", REFUSED, "memory-size", '(memory (export "memory") 16385)' + MALLOC),
    ("memory that may grow to 4 GiB", LOADS, None, '(memory (export "memory") 1 65536)' + MALLOC),
    ("memory imported", LOADS, None, '(import "any" "thing" (memory 1))' + MALLOC),
    ("memory imported, 1 GiB", LOADS, None, '(import "any" "thing" (memory 16384))' + MALLOC),
    ("memory imported, 1 GiB and a page", REFUSED, "memory-size", '(import "any" "thing" (memory 16385))' + MALLOC),
    ("two memories imported", REFUSED, "import", '(import "a" "a" (memory 1)) (import "a" "b" (memory 1))' + MALLOC),
    ("shared memory", LOADS, None, '(memory (export "memory") 1 2 shared)' + MALLOC),
    ("shared memory imported", REFUSED, "import", '(import "env" "memory" (memory 1 2 shared))' + MALLOC),
    ("64-bit memory", LOADS, None, '(memory (export "memory") i64 1)' + MALLOC),
    ("64-bit memory imported", REFUSED, "import", '(import "env" "memory" (memory i64 1))' + MALLOC),
    ("pages of one byte", REFUSED, "memory-pages", '(memory (export "memory") 1 (pagesize 1))' + MALLOC),
    ("pages of one byte imported", REFUSED, "memory-pages",
     '(import "env" "memory" (memory 1 (pagesize 1)))' + MALLOC),
    ("two memories", LOADS, None, '(memory (export "memory") 1) (memory (export "second") 1)' + MALLOC),
    ("table of 10,000,000", LOADS, None, "(table 10000000 funcref)" + BASE),
    ("table of 10,000,001", REFUSED, "table-size", "(table 10000001 funcref)" + BASE),
    ("table of 10,000,001 imported", REFUSED, "table-size",
     '(import "env" "table" (table 10000001 funcref))' + BASE),
    ("table imported", LOADS, None, '(import "env" "table" (table 1 funcref))' + BASE),
    ("two tables imported", REFUSED, "import",
     '(import "a" "a" (table 1 funcref)) (import "a" "b" (table 1 funcref))' + BASE),
    ("64-bit table imported", REFUSED, "import", '(import "a" "a" (table i64 1 funcref))' + BASE),
    ("table imported that may grow too far", REFUSED, "import", '(import "a" "a" (table 1 10000001 funcref))' + BASE),
    ("data to the last byte", LOADS, None, BASE + '(data (i32.const 65535) "x")'),
    ("data past the last byte", REFUSED, "data-segment", BASE + '(data (i32.const 65536) "x")'),
    ("empty data at the end", LOADS, None, BASE + '(data (i32.const 65536) "")'),
    ("empty data past the end", REFUSED, "data-segment", BASE + '(data (i32.const 65537) "")'),
    ("data at a negative place", REFUSED, "data-segment", BASE + '(data (i32.const -1) "x")'),
    ("passive data", LOADS, None, BASE + '(data "x")'),
    ("elements that fit", LOADS, None, BASE + "(table 1 funcref) (func $f) (elem (i32.const 0) $f)"),
    ("elements past the end", REFUSED, "element-segment",
     BASE + "(table 1 funcref) (func $f) (elem (i32.const 1) $f)"),
    ("elements as expressions past the end", REFUSED, "element-segment",
     BASE + "(table 1 funcref) (func $f) (elem (i32.const 1) funcref (ref.func $f))"),
]  # fmt: skip

IMPORTS: list[Row] = [
    ("unknown function of env", REFUSED, "import", imported("env", "nope") + BASE),
    ("env.abort", REFUSED, "import", imported("env", "abort", "i32 i32 i32 i32") + BASE),
    ("unknown module", REFUSED, "import", imported("envx", "proxy_log", "i32 i32 i32", "i32") + BASE),
    ("empty names", REFUSED, "import", imported("", "") + BASE),
    ("a host function of a known name", LOADS, None, imported("env", "proxy_log", "i32 i32 i32", "i32") + BASE),
    ("the same twice", LOADS, None, imported("env", "proxy_log", "i32 i32 i32", "i32") * 2 + BASE),
    ("a parameter too few", REFUSED, "import-type", imported("env", "proxy_log", "i32 i32", "i32") + BASE),
    ("a parameter too many", REFUSED, "import-type", imported("env", "proxy_log", "i32 i32 i32 i32", "i32") + BASE),
    ("i64 in place of i32", REFUSED, "import-type", imported("env", "proxy_log", "i64 i32 i32", "i32") + BASE),
    ("no result", REFUSED, "import-type", imported("env", "proxy_log", "i32 i32 i32") + BASE),
    ("a result too many", REFUSED, "import-type", imported("env", "proxy_log", "i32 i32 i32", "i32 i32") + BASE),
    ("a metric's i64", LOADS, None, imported("env", "proxy_record_metric", "i32 i64", "i32") + BASE),
    ("a metric's i64 as i32", REFUSED, "import-type", imported("env", "proxy_record_metric", "i32 i32", "i32") + BASE),
    ("a type open for subtypes", REFUSED, "import-type",
     '(type $t (sub (func (param i32 i32 i32) (result i32)))) (import "env" "proxy_log" (func (type $t)))' + BASE),
    ("a type in a group", REFUSED, "import-type",
     '(rec (type $t (func (param i32 i32 i32) (result i32))) (type (func)))'
     '(import "env" "proxy_log" (func (type $t)))' + BASE),
    ("a type alone in a group", LOADS, None,
     '(rec (type $t (func (param i32 i32 i32) (result i32)))) (import "env" "proxy_log" (func (type $t)))' + BASE),
    ("a global", REFUSED, "import", '(import "env" "g" (global i32))' + BASE),
    ("envoy_resolve_dns", LOADS, None, imported("env", "envoy_resolve_dns", "i32 i32 i32", "i32") + BASE),
    ("emscripten's", LOADS, None, imported("env", "emscripten_notify_memory_growth", "i32") + BASE),
    ("pthread_equal", LOADS, None, imported("env", "pthread_equal", "i32 i32", "i32") + BASE),
    ("Higress's", REFUSED, "foreign-import", imported("env", "proxy_redis_init", "i32 i32 i32", "i32") + BASE),
    ("Higress's second", REFUSED, "foreign-import",
     imported("env", "proxy_get_upstream_hosts", "i32 i32", "i32") + BASE),
    ("a WASI function from env", REFUSED, "import", imported("env", "fd_write", "i32 i32 i32 i32", "i32") + BASE),
    ("WASI", LOADS, None, imported("wasi_snapshot_preview1", "fd_write", "i32 i32 i32 i32", "i32") + BASE),
    ("WASI by its old name", LOADS, None, imported("wasi_unstable", "fd_write", "i32 i32 i32 i32", "i32") + BASE),
    ("WASI's proc_raise", REFUSED, "import", imported("wasi_snapshot_preview1", "proc_raise", "i32", "i32") + BASE),
    ("WASI's proc_raise by its old name", REFUSED, "import",
     imported("wasi_unstable", "proc_raise", "i32", "i32") + BASE),
    ("WASI of another type", REFUSED, "import-type", imported("wasi_unstable", "fd_seek", "i32 i32 i32", "i32") + BASE),
    ("WASI 0.2", REFUSED, "import", imported("wasi:cli/stdout@0.2.0", "get-stdout", "", "i32") + BASE),
]  # fmt: skip

VERSIONED: list[Row] = [
    (f"{name} in {abi}", LOADS if abi in versions else REFUSED, None if abi in versions else "import",
     imported("env", f"proxy_{name}", params, "i32") + BASE, abi)
    for name, params, versions in (
        ("get_configuration", "i32 i32", ("0_1_0",)),
        ("continue_request", "", ("0_1_0",)),
        ("continue_response", "", ("0_1_0",)),
        ("clear_route_cache", "", ("0_1_0",)),
        ("continue_stream", "i32", ("0_2_0", "0_2_1")),
        ("close_stream", "i32", ("0_2_0", "0_2_1")),
        ("get_log_level", "i32", ("0_2_1",)),
    )
    for abi in ("0_1_0", "0_2_0", "0_2_1")
]  # fmt: skip

TWO, THREE = "(param i32 i32) (result i32) i32.const 0", "(param i32 i32 i32) (result i32) i32.const 0"
EXPORTS: list[Row] = [
    ("tick", LOADS, None, BASE + '(func (export "proxy_on_tick") (param i32))'),
    ("tick with a parameter too many", REFUSED, "export-type",
     BASE + '(func (export "proxy_on_tick") (param i32 i32))'),
    ("tick as a global", LOADS, None, BASE + '(global (export "proxy_on_tick") i32 (i32.const 1))'),
    ("done without its result", REFUSED, "export-type", BASE + '(func (export "proxy_on_done") (param i32))'),
    ("unknown hook", LOADS, None, BASE + '(func (export "proxy_on_zzz") (param i64))'),
    ("a hook of gRPC that nobody calls", LOADS, None,
     BASE + '(func (export "proxy_on_grpc_create_initial_metadata") (param i64))'),
    ("request headers, new type", LOADS, None, BASE + f'(func (export "proxy_on_request_headers") {THREE})'),
    ("request headers, old type", REFUSED, "export-type", BASE + f'(func (export "proxy_on_request_headers") {TWO})'),
    ("request headers, old type, old ABI", LOADS, None,
     BASE + f'(func (export "proxy_on_request_headers") {TWO})', "0_1_0"),
    ("request headers, new type, old ABI", REFUSED, "export-type",
     BASE + f'(func (export "proxy_on_request_headers") {THREE})', "0_1_0"),
    ("response headers, new type, 0_2_0", LOADS, None,
     BASE + f'(func (export "proxy_on_response_headers") {THREE})', "0_2_0"),
    ("foreign function, wrong type", REFUSED, "export-type",
     BASE + '(func (export "proxy_on_foreign_function") (param i32))'),
    ("foreign function, wrong type, old ABI", LOADS, None,
     BASE + '(func (export "proxy_on_foreign_function") (param i32))', "0_1_0"),
    ("statistics, wrong type", REFUSED, "export-type", BASE + '(func (export "envoy_on_stats_update") (param i32))'),
    ("DNS, wrong type", REFUSED, "export-type", BASE + '(func (export "envoy_on_resolve_dns") (param i32))'),
    ("an export that is the import", LOADS, None, LOG + '(export "again" (func $log))' + BASE),
    ("a hook that is the import, wrong type", REFUSED, "export-type",
     LOG + '(export "proxy_on_tick" (func $log))' + BASE),
]  # fmt: skip

START: list[Row] = [
    ("_initialize", LOADS, None, BASE + '(func (export "_initialize"))'),
    ("_initialize with a parameter", REFUSED, "export-type", BASE + '(func (export "_initialize") (param i32))'),
    ("_initialize that traps", REFUSED, "start-trap", BASE + '(func (export "_initialize") unreachable)'),
    ("_start", LOADS, None, BASE + '(func (export "_start"))'),
    ("_start with a result", REFUSED, "export-type", BASE + '(func (export "_start") (result i32) i32.const 1)'),
    ("_start that traps", REFUSED, "start-trap", BASE + '(func (export "_start") unreachable)'),
    ("both, and _start would trap", LOADS, None,
     BASE + '(func (export "_initialize")) (func (export "_start") unreachable)'),
    ("both, and _start has a result", LOADS, None,
     BASE + '(func (export "_initialize")) (func (export "_start") (result i32) i32.const 1)'),
    ("main", LOADS, None, BASE + f'(func (export "_initialize")) (func (export "main") {TWO})'),
    ("main of another type", REFUSED, "export-type",
     BASE + '(func (export "_initialize")) (func (export "main") (result i32) i32.const 1)'),
    ("main of another type that nobody calls", LOADS, None, BASE + '(func (export "main") (result i32) i32.const 1)'),
    ("main that traps", REFUSED, "start-trap", BASE +
     '(func (export "_initialize")) (func (export "main") (param i32 i32) (result i32) unreachable)'),
    ("__main_void of another type", REFUSED, "export-type",
     BASE + '(func (export "_initialize")) (func (export "__main_void"))'),
    ("start function", LOADS, None, BASE + "(func $s) (start $s)"),
    ("start function that traps", REFUSED, "start-trap", BASE + "(func $s unreachable) (start $s)"),
    ("start function that divides by zero", REFUSED, "start-trap",
     BASE + "(func $s (drop (i32.div_u (i32.const 1) (i32.const 0)))) (start $s)"),
    ("start function that calls the host", CRASHES, "start-host-call",
     LOG + BASE + f"(func $s {CALL_LOG}) (start $s)"),
    ("start function that calls the host in a roundabout way", CRASHES, "start-host-call",
     LOG + BASE + f"(table funcref (elem $f)) (func $f {CALL_LOG}) (func $s (call_indirect (i32.const 0))) (start $s)"),
    ("start function that calls the host, without malloc", CRASHES, "allocator",
     LOG + MEMORY + f"(func $s {CALL_LOG}) (start $s)"),
    ("start function that might call the host", LOADS, None,
     LOG + BASE + f"(func $s (if (i32.const 0) (then {CALL_LOG}))) (start $s)"),
    ("_initialize that calls the host", LOADS, None, LOG + BASE + f'(func (export "_initialize") {CALL_LOG})'),
]  # fmt: skip

FEATURES: list[Row] = [
    ("sign extension", LOADS, None, BASE + "(func (result i32) (i32.extend8_s (i32.const 1)))"),
    ("saturating conversion", LOADS, None, BASE + "(func (result i32) (i32.trunc_sat_f32_s (f32.const 1)))"),
    ("bulk memory", LOADS, None, BASE + "(func (memory.copy (i32.const 0) (i32.const 0) (i32.const 0)))"),
    ("several results", LOADS, None, BASE + "(func (result i32 i32) i32.const 1 i32.const 2)"),
    ("SIMD", LOADS, None, BASE + "(func (drop (i32x4.splat (i32.const 1))))"),
    ("relaxed SIMD", LOADS, None,
     BASE + "(func (param v128 v128) (result v128) local.get 0 local.get 1 i8x16.relaxed_swizzle)"),
    ("tail call", LOADS, None, BASE + "(func $f return_call $f)"),
    ("extended constants", LOADS, None, BASE + "(global i32 (i32.add (i32.const 1) (i32.const 2)))"),
    ("atomics", LOADS, None, BASE + "(func (result i32) (i32.atomic.load (i32.const 0)))"),
    ("typed function references", LOADS, None,
     BASE + "(type $t (func)) (func $f (param (ref $t)) local.get 0 call_ref $t)"),
    ("garbage collection", LOADS, None, BASE + "(type $s (struct (field i32))) (func (param (ref $s)))"),
    ("exceptions", LOADS, None,
     BASE + "(tag $t) (func (block $h (try_table (catch $t $h) (throw $t))))"),
    ("exceptions of the old form", LOADS, None, BASE + "(tag $t) (func try nop catch $t nop end)"),
    ("wide arithmetic", REFUSED, "bodies", BASE + "(func (result i64 i64) "
     "(i64.add128 (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1)))"),
    ("stack switching", REFUSED, "unreadable", BASE + "(type $f (func)) (type $c (cont $f)) (func $g) "
     "(elem declare func $g) (func (drop (cont.new $c (ref.func $g))))"),
]  # fmt: skip

BORDER: list[Row] = [
    ("v128 exported", CRASHES, "boundary-type", BASE + '(func (export "v") (param v128))'),
    ("v128 inside", LOADS, None, BASE + "(func (param v128))"),
    ("v128 as a result exported", CRASHES, "boundary-type", BASE + '(func (export "v") (result v128) unreachable)'),
    ("v128 global exported", CRASHES, "boundary-type",
     BASE + '(global (export "v") v128 (v128.const i64x2 0 0))'),
    ("v128 imported", CRASHES, "boundary-type", imported("env", "x", "v128") + BASE),
    ("funcref exported", LOADS, None, BASE + '(func (export "v") (param funcref))'),
    ("externref exported", LOADS, None, BASE + '(func (export "v") (param externref))'),
    ("reference that is never null exported", LOADS, None, BASE + '(func (export "v") (param (ref func)))'),
    ("anyref exported", CRASHES, "boundary-type", BASE + '(func (export "v") (param anyref))'),
    ("exnref exported", CRASHES, "boundary-type", BASE + '(func (export "v") (param exnref))'),
    ("struct exported", CRASHES, "boundary-type",
     BASE + '(type $s (struct (field i32))) (func (export "v") (param (ref $s)))'),
    ("typed function exported", CRASHES, "boundary-type",
     BASE + '(type $f (func)) (func (export "v") (param (ref null $f)))'),
    ("table of anyref exported", CRASHES, "boundary-type", BASE + '(table (export "t") 1 anyref)'),
    ("table of externref exported", LOADS, None, BASE + '(table (export "t") 1 externref)'),
    ("tag exported", CRASHES, "boundary-type", BASE + '(tag (export "t") (param i32))'),
    ("v128 exported, and an unknown import", REFUSED, "import",
     imported("env", "nope") + BASE + '(func (export "v") (param v128))'),
    ("v128 imported, and an unknown import", CRASHES, "boundary-type",
     imported("env", "nope") + imported("env", "x", "v128") + BASE),
    ("v128 exported, and no malloc", CRASHES, "boundary-type", MEMORY + '(func (export "v") (param v128))'),
    ("zero character at the end of a name", CRASHES, "export-name", BASE + '(func (export "name\\00"))'),
    ("zero character at the end of a memory's name", CRASHES, "export-name",
     '(memory (export "memory\\00") 1)' + MALLOC),
    ("zero character at the end of a global's name", LOADS, None,
     BASE + '(global (export "\\00") i32 (i32.const 0))'),
    ("zero character at the end of a name that is there without", LOADS, None,
     BASE + '(func (export "name")) (func (export "name\\00"))'),
    ("a number as a name", CRASHES, "export-name", BASE + '(func (export "0"))'),
    ("the largest number as a name", CRASHES, "export-name", BASE + '(func (export "4294967294"))'),
    ("a number too large as a name", LOADS, None, BASE + '(func (export "4294967295"))'),
    ("a number with a zero before it as a name", LOADS, None, BASE + '(func (export "00") (export "01"))'),
    ("a number of five thousand digits as a name", LOADS, None, BASE + f'(func (export "{"1" * 5000}"))'),
    ("a number as a table's name", LOADS, None, BASE + '(table (export "0") 1 funcref)'),
    ("zero character within a name", LOADS, None, BASE + '(func (export "\\00name"))'),
    ("zero character at the end of an import's name", REFUSED, "import", imported("env", "proxy_log\\00") + BASE),
    ("no name", LOADS, None, BASE + '(func (export ""))'),
    ("names of JavaScript", LOADS, None, BASE + "".join(
        f'(func (export "{name}"))' for name in ("__proto__", "length", "constructor"))),
    ("tag imported", CRASHES, "boundary-type", '(import "env" "t" (tag (param i32)))' + BASE),
]  # fmt: skip

GROUPS: dict[str, list[Row]] = {
    "ABI version": ABI,
    "allocator": ALLOCATOR,
    "memory and tables": STORES,
    "imports": IMPORTS,
    "imports by ABI version": VERSIONED,
    "exports": EXPORTS,
    "start": START,
    "features": FEATURES,
    "types at the border": BORDER,
}

# Rows of bytes: what no WAT can say.
BYTES: list[tuple[str, str, str | None, bytes]] = [
    ("empty", REFUSED, "unreadable", b""),
    ("only the magic", REFUSED, "unreadable", b"\0asm"),
    ("only the header", REFUSED, "abi-version", b"\0asm\1\0\0\0"),
    ("text", REFUSED, "unreadable", b"(module (memory 1))"),
    ("a web page", REFUSED, "unreadable", b"<html><body>not found</body></html>"),
    ("version 2", REFUSED, "unreadable", b"\0asm\2\0\0\0" + PLAIN[8:]),
    ("component", REFUSED, "component", bytes(wat2wasm("(component)"))),
    ("component with something in it", REFUSED, "component",
     bytes(wat2wasm('(component (core module (func (export "proxy_abi_version_0_2_1"))))'))),
    ("cut at the end", REFUSED, "unreadable", PLAIN[:-3]),
    ("cut in the middle", REFUSED, "unreadable", PLAIN[:20]),
    ("a byte too many", REFUSED, "unreadable", PLAIN + b"\0"),
    ("unknown section", REFUSED, "unreadable", PLAIN + b"\x0f\0"),
    ("body that leaves the wrong type", REFUSED, "bodies", PLAIN.replace(b"\x41\x10\x0b", b"\x42\x10\x0b")),
    ("body with an unknown instruction", REFUSED, "bodies", PLAIN.replace(b"\x41\x10\x0b", b"\xff\x10\x0b")),
    ("name of an export that is not UTF-8", REFUSED, "unreadable", PLAIN.replace(b"malloc", b"mall\xffc")),
    ("size of a section in five bytes", LOADS, None,
     PLAIN[:9] + bytes([PLAIN[9] | 0x80, 0x80, 0x80, 0x80, 0]) + PLAIN[10:]),
    ("names, good", LOADS, None, PLAIN + custom(b"name", b"\0\2\1a\1\4\1\0\1b")),
    ("names, of no length", LOADS, None, PLAIN + custom(b"name", b"")),
    ("names, one missing", REFUSED, "name-section", PLAIN + custom(b"name", b"\1\5\2\0\1")),
    ("names, size too long", REFUSED, "name-section", PLAIN + custom(b"name", b"\0\x7f")),
    ("names, size of functions too long", REFUSED, "name-section", PLAIN + custom(b"name", b"\1\5\1\0\1bX")),
    ("names, not UTF-8", LOADS, None, PLAIN + custom(b"name", b"\1\4\1\0\1\xff")),
    ("names, second section bad", LOADS, None, PLAIN + custom(b"name", b"") + custom(b"name", b"\0\x7f")),
    ("custom section with a name that is not UTF-8", REFUSED, "unreadable", PLAIN + custom(b"\xff\xfe", b"")),
    ("custom section without a name", REFUSED, "unreadable", PLAIN + b"\0\0"),
    ("custom section with a name too long", REFUSED, "unreadable", PLAIN + b"\0\2\5a"),
    ("producers, garbage", LOADS, None, PLAIN + custom(b"producers", b"\x7f\x7f")),
    ("features, garbage", LOADS, None, PLAIN + custom(b"target_features", b"\x7f\x7f")),
    ("precompiled code of another engine", LOADS, None, PLAIN + custom(b"precompiled_x", b"zz")),
]  # fmt: skip


def all_cases() -> list[Case]:
    """Every row as a case; names are unique within a group."""
    return list(_build_cases())


def _build_cases() -> Iterator[Case]:
    for group, rows in GROUPS.items():
        for row in rows:
            name, verdict, rule, parts = row[:4]
            yield Case(group, name, verdict, rule, build(parts, row[4] if len(row) == 5 else "0_2_1"))
    for name, verdict, rule, data in BYTES:
        yield Case("bytes", name, verdict, rule, data)
