"""The worker process: reads modules that nobody trusts, with an engine that looks into their function bodies.

`python -m proxywasm.worker` says in a first line that it is ready, then takes a JSON object a line on its standard
input and answers each with one on its standard output; `proxywasm.inspector` is the other end. A hostile module may
make an engine use time and memory without end, so the process limits itself, and is thrown away when it overruns.
"""

from __future__ import annotations

import hashlib
import json
import resource
import select
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import wasmtime

from proxywasm.error import ModuleError
from proxywasm.facts import ModuleFacts
from proxywasm.problems import CRASHES, REFUSED, UNSAFE, Problem
from proxywasm.reader import describe_module, unreadable, with_bodies, with_start
from proxywasm.unpacking import extract_module

# What Envoy's V8 takes beyond WebAssembly 2.0, and what it does not, as seen on Envoy 1.40.
TAKEN = "tail_call", "threads", "multi_memory", "memory64", "function_references", "gc", "exceptions", "relaxed_simd"
NOT_TAKEN = "custom_page_sizes", "wide_arithmetic", "stack_switching"

# Envoy's engine still takes the first form of exceptions, which this engine has never had.
ONLY_ENVOY = "legacy exceptions", "legacy_exceptions"

# Envoy finds these faults only once the module has started, and the start may be worse.
AFTER_START = ("allocator", "export-type", "memory-export")

MAX_TRIED_CODE = 256 * 1024  # bytes: what is compiled in well under a second
FUEL = 100_000_000  # instructions: far more than a language runtime needs to start
MAX_TRIED_MEMORY = 256 * 1024 * 1024  # bytes


class _HostCalled(Exception):
    """The module called a host function: from here on only the real host knows what happens."""


class Engine:
    """Two engines with the same features: one validates, the other one counts instructions while it runs."""

    def __init__(self) -> None:
        self._validating = wasmtime.Engine(_config())
        counting = _config()
        counting.consume_fuel = True
        counting.cranelift_opt_level = "none"
        # Without these the engine reserves gigabytes of address space for each memory.
        counting.memory_reservation = 0
        counting.memory_guard_size = 0
        counting.memory_reservation_for_growth = 0
        counting.parallel_compilation = False
        self._counting = wasmtime.Engine(counting)

    def find_fault(self, data: bytes) -> str | None:
        """What makes the module invalid, as one sentence without a full stop; None for a valid one."""
        try:
            wasmtime.Module.validate(self._validating, data)
        except wasmtime.WasmtimeError as error:
            return str(error).strip().rsplit("\n", 1)[-1].strip()
        return None

    def try_start(self, data: bytes, facts: ModuleFacts) -> Problem | None:
        """Starts the module as Envoy does, up to its first call of a host function.

        Until then nothing depends on the host, so a trap here is a trap in Envoy. None also where it cannot be known.
        """
        names = {export.name for export in facts.exports if export.kind == "function"}
        starts = _entry_points(names)
        if facts.code_size > MAX_TRIED_CODE or (facts.start_function is None and not starts):
            return None
        store = wasmtime.Store(self._counting)
        store.set_fuel(FUEL)
        store.set_limits(memory_size=MAX_TRIED_MEMORY)
        try:
            module = wasmtime.Module(self._counting, data)
            imports = [_stand_in(store, entry.type) for entry in module.imports]
        except (wasmtime.WasmtimeError, NotImplementedError, ValueError):
            return None
        return _run(store, module, imports, starts)


def is_unknown_here(fault: str) -> bool:
    """Whether the fault is about something that Envoy's engine takes and this one cannot judge."""
    return any(words in fault for words in ONLY_ENVOY)


def _config() -> wasmtime.Config:
    config = wasmtime.Config()
    for feature in TAKEN:
        setattr(config, f"wasm_{feature}", True)
    for feature in NOT_TAKEN:
        setattr(config, f"wasm_{feature}", False)
    return config


def _entry_points(names: set[str]) -> list[str]:
    if "_initialize" not in names:
        return ["_start"] if "_start" in names else []
    main = "main" if "main" in names else "__main_void"
    return ["_initialize", main] if main in names else ["_initialize"]


def _stand_in(store: wasmtime.Store, kind: object) -> wasmtime.Func | wasmtime.Memory | wasmtime.Table:
    """Something of the imported type: functions end the trial when they are called."""
    if isinstance(kind, wasmtime.FuncType):
        return wasmtime.Func(store, kind, _refuse_call)
    if isinstance(kind, wasmtime.MemoryType):
        return wasmtime.Memory(store, kind)
    if isinstance(kind, wasmtime.TableType):
        return wasmtime.Table(store, kind, None)
    raise NotImplementedError


def _refuse_call(*_: object) -> None:
    raise _HostCalled


def _run(
    store: wasmtime.Store, module: wasmtime.Module, imports: Sequence[object], starts: list[str]
) -> Problem | None:
    step = "start function"
    try:
        instance = wasmtime.Instance(store, module, imports)  # type: ignore[arg-type]
        for step in starts:
            function = instance.exports(store)[step]
            assert isinstance(function, wasmtime.Func)
            function(store, *([0, 0] if step == "main" else []))
    except _HostCalled:
        return _host_called() if step == "start function" else None
    except wasmtime.Trap as trap:
        return _trapped(step, trap)
    except (wasmtime.WasmtimeError, TypeError):
        return None
    return None


def _host_called() -> Problem:
    return Problem(
        "start-host-call", CRASHES, "start function",
        "The module's start function calls a host function. Envoy is not ready for calls that early and its process "
        "ends; do the work in _initialize, _start or proxy_on_vm_start.",
    )  # fmt: skip


def _trapped(step: str, trap: wasmtime.Trap) -> Problem | None:
    code = trap.trap_code
    if code == wasmtime.TrapCode.OUT_OF_FUEL:
        return Problem(
            "start-endless", UNSAFE, step,
            f"The module's {step} has not ended after {FUEL} instructions; Envoy would wait for it and serve nobody.",
        )  # fmt: skip
    if code == wasmtime.TrapCode.STACK_OVERFLOW:
        return None  # Engines differ in how deep a stack may be.
    reason = trap.message.rstrip().rpartition("\n")[2].strip().removeprefix("wasm trap: ")
    return Problem(
        "start-trap", REFUSED, step,
        f"The module's {step} traps before it has asked Envoy for anything: {reason}.",
    )  # fmt: skip


def inspect_file(engine: Engine, request: dict[str, Any]) -> dict[str, Any]:
    """The answer to one request: the module's sha256, size and facts; all None where the layer holds no module.

    A request names a file in `path`, its `wrapping`, and in `limit` the largest module in bytes.
    """
    path = Path(request["path"])
    try:
        with path.open("rb") as stream:
            data = extract_module(stream, request["wrapping"], request["limit"])
    except ModuleError as error:
        return {"sha256": None, "size": None, "facts": unreadable(path.stat().st_size, error).to_json()}
    if data is None:
        return {"sha256": None, "size": None, "facts": None}
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "facts": look(engine, data).to_json()}


def look(engine: Engine, data: bytes) -> ModuleFacts:
    """Everything that is known about a module: what its bytes say, whether it is valid, how it starts."""
    facts = describe_module(data)
    if facts.kind != "module":
        return facts
    fault = engine.find_fault(data)
    if fault is not None:
        return facts if is_unknown_here(fault) else with_bodies(facts, fault)
    facts = with_bodies(facts, None)
    if any(problem.rule not in AFTER_START for problem in facts.problems):
        return facts
    return with_start(facts, engine.try_start(data, facts))


def serve(*, memory: int, seconds: int, idle: float) -> None:
    """Answers requests until the other end hangs up or nothing has come for `idle` seconds.

    `memory` bounds the address space in bytes, `seconds` the processor time of one request.
    """
    engine = Engine()
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _write({"ready": True})
    while select.select([sys.stdin], [], [], idle)[0]:
        line = sys.stdin.buffer.readline()
        if not line:
            return
        used = resource.getrusage(resource.RUSAGE_SELF)
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        # The limit counts from the start of the process, so it moves with each request.
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 1 + seconds, hard))
        _write(inspect_file(engine, json.loads(line)))


def _write(answer: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    serve(memory=int(sys.argv[1]), seconds=int(sys.argv[2]), idle=float(sys.argv[3]))
