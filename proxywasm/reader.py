"""Reads a module: from its bytes to its facts, in linear time and without running any of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from proxywasm import sections as section_ids
from proxywasm.capabilities import find_capabilities
from proxywasm.customs import read_features, read_module_name, read_producers
from proxywasm.entities import Import, Limits, Table
from proxywasm.error import ModuleError
from proxywasm.facts import ExportFact, ImportFact, ModuleFacts
from proxywasm.hooks import find_hooks
from proxywasm.host import ABI_VERSIONS, ENV, WASI, WASI_OLD, host_functions
from proxywasm.module import Module, parse_module
from proxywasm.problems import CRASHES, FOREIGN_IMPORT, REFUSED, UNSAFE, Problem
from proxywasm.releases import find_releases, oldest_envoy
from proxywasm.sdk import find_sdk
from proxywasm.sections import read_kind
from proxywasm.verdict import find_abi, find_problems

READER_VERSION = 1  # Counted up whenever facts may come out differently; the hub then reads all modules again.


def read_module(data: bytes) -> ModuleFacts:
    """The facts of the module in `data`; raises ModuleError, and nothing else, where the bytes make no module.

    Function bodies are only measured: `bodies` stays `unchecked` until an engine has validated them.
    """
    if read_kind(data) == "component":
        return ModuleFacts(READER_VERSION, "component", len(data), problems=(COMPONENT,))
    return _gather(parse_module(data))


def describe_module(data: bytes) -> ModuleFacts:
    """As `read_module`, but bytes that make no module give facts of the kind `unreadable` that say why."""
    try:
        return read_module(data)
    except ModuleError as error:
        return unreadable(len(data), error)


def unreadable(size: int, error: ModuleError) -> ModuleFacts:
    """The facts of `size` bytes that could not be read because of `error`."""
    problem = Problem("unreadable", REFUSED, "module", f"This is not a module: {error.sentence}.", error.offset)
    return ModuleFacts(READER_VERSION, "unreadable", size, problems=(problem,))


def too_costly(size: int) -> ModuleFacts:
    """The facts of `size` bytes that took more time or memory to read than a module may take."""
    sentence = "Reading this took more time or memory than a module may take, so nothing is known about it."
    problem = Problem("limits", REFUSED, "module", sentence)
    return ModuleFacts(READER_VERSION, "unreadable", size, problems=(problem,))


def with_bodies(facts: ModuleFacts, fault: str | None) -> ModuleFacts:
    """The facts after an engine has validated the bodies; `fault` is what it found wrong, if anything."""
    if facts.kind != "module":
        return facts
    if fault is None:
        return replace(facts, bodies="valid")
    problem = Problem("bodies", REFUSED, "module", f"The module is not valid WebAssembly for Envoy: {fault}.")
    # The engine stops at a body before Envoy can meet anything that would end its process.
    harmless = tuple(known for known in facts.problems if known.effect != CRASHES)
    return replace(facts, bodies="invalid", problems=(*harmless, problem), releases=())


def with_start(facts: ModuleFacts, problem: Problem | None) -> ModuleFacts:
    """The facts after the module's start was tried; `problem` is what came of it, if anything."""
    if problem is None:
        return facts
    releases = facts.releases if problem.effect == UNSAFE else ()
    return replace(facts, problems=(*facts.problems, problem), releases=releases)


COMPONENT = Problem(
    "component", REFUSED, "module",
    "This is a component (WASI 0.2), and Envoy runs core modules only; build for wasm32-wasip1 instead.",
)  # fmt: skip


def _gather(module: Module) -> ModuleFacts:
    abi = find_abi(module)
    name, producers, features = (module.custom(title) for title in ("name", "producers", "target_features"))
    makers = read_producers(producers) if producers is not None else []
    sdk = find_sdk(module, makers)
    functions = [(entry.module, entry.name) for entry in module.imports if entry.kind == "function"]
    offered = host_functions(abi or ABI_VERSIONS[-1])
    envoy = oldest_envoy(offered[pair] for pair in functions if pair in offered)
    exported = module.exported("function")
    problems = find_problems(module)
    stopped = any(problem.effect != UNSAFE and problem.rule != FOREIGN_IMPORT for problem in problems)
    return ModuleFacts(
        reader_version=READER_VERSION,
        kind="module",
        size=len(module.data),
        abi_version=abi.replace("_", ".") if abi else None,
        module_name=read_module_name(name) if name is not None else None,
        sections=tuple(module.sections),
        imports=tuple(ImportFact(entry.module, entry.name, entry.kind, _words(entry)) for entry in module.imports),
        exports=tuple(_exports(module, exported)),
        function_count=len(module.functions),
        code_size=module.size_of(section_ids.CODE),
        data_size=module.data_size,
        memories=tuple(module.all_memories()),
        tables=tuple(table.limits for table in module.all_tables()),
        start_function=module.start,
        hooks=tuple(find_hooks(frozenset(exported))),
        capabilities=tuple(find_capabilities(functions)),
        wasi=tuple(dict.fromkeys(name for space, name in functions if space in (WASI, WASI_OLD))),
        sdk=sdk,
        producers=tuple(makers),
        features=tuple(read_features(features)) if features is not None else (),
        needs_config=sdk.name == "AssemblyScript",
        envoy=envoy,
        releases=() if stopped else find_releases(abi, envoy, (name for space, name in functions if space == ENV)),
        problems=problems,
    )


def _exports(module: Module, exported: dict[str, int]) -> Iterator[ExportFact]:
    signatures = module.function_types(exported)
    for export in module.exports:
        signature = signatures.get(export.name) if export.kind == "function" else None
        yield ExportFact(export.name, export.kind, str(signature) if signature is not None else "")


def _words(entry: Import) -> str:
    if isinstance(entry.type, Limits):
        return f"{entry.type.minimum} pages"
    if isinstance(entry.type, Table):
        return f"{entry.type.limits.minimum} of {entry.type.element}"
    return str(entry.type) if entry.type is not None else ""
