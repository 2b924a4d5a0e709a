"""The worker process: what it finds, what it costs, and that no module gets the better of it."""

from __future__ import annotations

import gzip
import hashlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from wasmtime import wat2wasm

from proxywasm.inspector import Bounds, Inspection, Inspector, InspectorClosed
from tests.peers import built_filter
from tests.proxywasm.cases import BASE, LOG, MEMORY, PLAIN, Case, all_cases, build
from tests.proxywasm.test_unpacking import header, tar


@pytest.fixture
def inspector() -> Iterator[Inspector]:
    with Inspector() as running:
        yield running


@pytest.fixture(scope="module")
def shared() -> Iterator[Inspector]:
    with Inspector() as running:
        yield running


def rules(inspection: Inspection) -> list[str]:
    assert inspection.facts is not None
    return [problem["rule"] for problem in inspection.facts["problems"]]


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: f"{case.group}: {case.name}")
def test_rule(case: Case, shared: Inspector) -> None:
    found = shared.inspect_bytes(case.data)
    assert rules(found)[:1] == ([case.rule] if case.rule else [])
    if found.sha256 is not None:
        assert (found.sha256, found.size) == (hashlib.sha256(case.data).hexdigest(), len(case.data))


@pytest.mark.parametrize(
    ("parts", "bodies", "sentence"),
    [
        (BASE, "valid", None),
        (BASE + "(func (result i64 i64) (i64.mul_wide_s (i64.const 1) (i64.const 1)))", "invalid",
         "is not valid WebAssembly for Envoy: wide arithmetic support is not enabled"),
        (BASE + "(tag $t) (func try nop catch $t nop end)", "unchecked", None),
        (BASE + "(func $s unreachable) (start $s)", "valid",
         "The module's start function traps before it has asked Envoy for anything: wasm `unreachable` instruction"),
        (BASE + '(func (export "_initialize") (drop (i32.load (i32.const -1))))', "valid",
         "The module's _initialize traps before it has asked Envoy for anything: out of bounds memory access"),
        (BASE + "(func $s (loop $l (br $l))) (start $s)", "valid", "start function has not ended after"),
        (BASE + "(func $s call $s) (start $s)", "valid", None),
        (LOG + BASE + "(func $s (drop (call $log (i32.const 0) (i32.const 0) (i32.const 0)))) (start $s)", "valid",
         "start function calls a host function. Envoy is not ready"),
        (LOG + BASE + '(func (export "_initialize") (drop (call $log (i32.const 0) (i32.const 0) (i32.const 0))) '
         "unreachable)", "valid", None),
        (MEMORY + '(func (export "_start") unreachable)', "valid", "exports neither the function malloc"),
    ],
)  # fmt: skip
def test_bodies_and_start(parts: str, bodies: str, sentence: str | None, shared: Inspector) -> None:
    facts = shared.inspect_bytes(build(parts)).facts
    assert facts is not None
    assert facts["bodies"] == bodies
    sentences = [problem["sentence"] for problem in facts["problems"]]
    assert sentences == [] if sentence is None else sentence in sentences[0]


def test_module_in_a_layer(shared: Inspector) -> None:
    packed = gzip.compress(tar(("plugin.wasm", PLAIN)))
    found = shared.inspect_bytes(packed, "tar+gzip")
    assert (found.sha256, found.size) == (hashlib.sha256(PLAIN).hexdigest(), len(PLAIN))
    assert found.facts is not None
    assert found.facts["loads_in_envoy"] is True


def test_layer_without_a_module_is_no_filter(shared: Inspector) -> None:
    assert shared.inspect_bytes(tar(("etc/passwd", b"")), "tar") == Inspection(None, None, None)


def test_broken_layer_says_why(shared: Inspector) -> None:
    found = shared.inspect_bytes(b"nonsense", "tar+gzip")
    assert (found.sha256, rules(found)) == (None, ["unreadable"])


def test_missing_file_is_an_error_of_the_caller(shared: Inspector, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        shared.inspect(tmp_path / "nothing")


def test_too_large_a_module_is_named(tmp_path: Path) -> None:
    with Inspector(Bounds(module=50)) as small:
        found = small.inspect_bytes(PLAIN)
    assert found.facts is not None
    assert "larger than the 50 bytes that are read" in found.facts["problems"][0]["sentence"]


def test_worker_starts_when_needed_stays_and_goes_when_idle() -> None:
    with Inspector(Bounds(idle=0.5)) as inspector:
        assert inspector.pid is None
        inspector.inspect_bytes(PLAIN)
        first = inspector.pid
        inspector.inspect_bytes(PLAIN)
        assert inspector.pid == first
        deadline = time.monotonic() + 20
        while inspector.pid is not None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert rules(inspector.inspect_bytes(PLAIN)) == []
        assert inspector.pid not in (None, first)


def test_worker_that_dies_is_replaced(inspector: Inspector) -> None:
    inspector.inspect_bytes(PLAIN)
    first = inspector.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert rules(inspector.inspect_bytes(PLAIN)) == []
    assert inspector.pid != first


def test_worker_that_hangs_is_ended_and_the_next_module_is_read() -> None:
    with Inspector(Bounds(seconds=1.0)) as inspector:
        inspector.inspect_bytes(PLAIN)
        first = inspector.pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        begun = time.monotonic()
        found = inspector.inspect_bytes(PLAIN)
        assert time.monotonic() - begun < 5
        assert rules(found) == ["limits"]
        assert inspector.pid is None
    with Inspector() as inspector:
        assert rules(inspector.inspect_bytes(PLAIN)) == []


def test_worker_that_computes_too_long_is_ended() -> None:
    """A layer with a million names to look at, which takes longer than the second that is allowed here."""
    layer = gzip.compress(header(b"x", b"0") * 2048) * 510
    with Inspector(Bounds(processor_seconds=0)) as inspector:
        found = inspector.inspect_bytes(layer, "tar+gzip")
        assert rules(found) == ["limits"]
        assert rules(inspector.inspect_bytes(PLAIN)) == []


def test_worker_that_wants_too_much_memory_is_ended_and_the_next_module_is_read() -> None:
    with Inspector(Bounds(memory=500 << 20, module=1 << 30)) as inspector:
        inspector.inspect_bytes(PLAIN)
        found = inspector.inspect_bytes(b"\0asm\1\0\0\0" + bytes(300 << 20))
        assert rules(found) == ["limits"]
        assert rules(inspector.inspect_bytes(PLAIN)) == []


def test_closing_ends_an_inspection_under_way() -> None:
    inspector = Inspector()
    inspector.inspect_bytes(PLAIN)
    assert inspector.pid is not None
    os.kill(inspector.pid, signal.SIGSTOP)
    outcome: list[str] = []

    def ask() -> None:
        try:
            inspector.inspect_bytes(PLAIN)
        except InspectorClosed:
            outcome.append("closed")

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.2)
    inspector.close()
    asking.join(5)
    assert outcome == ["closed"]
    assert inspector.pid is None
    with pytest.raises(InspectorClosed):
        inspector.inspect_bytes(PLAIN)


def test_many_threads_share_one_worker(inspector: Inspector) -> None:
    found: list[list[str]] = []
    modules = [PLAIN, build(MEMORY)] * 10

    def ask(data: bytes) -> None:
        found.append(rules(inspector.inspect_bytes(data)))

    threads = [threading.Thread(target=ask, args=(data,)) for data in modules]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [[]] * 10 + [["allocator"]] * 10


def test_worker_sees_nothing_of_our_environment(inspector: Inspector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WASMHUB_SECRET_KEY", "do-not-tell")
    inspector.inspect_bytes(PLAIN)
    assert b"do-not-tell" not in Path(f"/proc/{inspector.pid}/environ").read_bytes()


@pytest.mark.parametrize("name", ["add-header", "c", "go", "rust", "assemblyscript"])
def test_real_filters_are_valid_and_quick(name: str, shared: Inspector) -> None:
    shared.inspect_bytes(PLAIN)
    begun = time.monotonic()
    found = shared.inspect(built_filter(name))
    assert time.monotonic() - begun < 10
    assert found.facts is not None
    assert (found.facts["bodies"], found.facts["problems"]) == ("valid", [])


def test_wat_of_a_component_is_not_run(shared: Inspector) -> None:
    assert rules(shared.inspect_bytes(bytes(wat2wasm("(component)")))) == ["component"]
