"""Would Envoy load this module? The rules by which it refuses one, each with its reason in a sentence.

The rules follow Envoy 1.40 as it was seen to behave; a test runs every rule on both sides against the real one.
What only the bodies of functions tell is not decided here: the worker adds that.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxywasm.border import check_export_border, check_import_border
from proxywasm.customs import find_name_fault
from proxywasm.entities import PAGE
from proxywasm.hooks import ALLOCATOR_TYPE, ALLOCATORS, hook_types, start_types
from proxywasm.host import ABI_EXPORT, ABI_VERSIONS, MAX_PAGES, MAX_TABLE
from proxywasm.imports import check_imports
from proxywasm.module import Module
from proxywasm.problems import REFUSED, UNSAFE, Problem
from proxywasm.segments import Segment

MAX_PROBLEMS = 100


def find_abi(module: Module) -> str | None:
    """The ABI version of a module, `0_2_1`: Envoy takes the first exported function that names one it knows."""
    for export in module.exports:
        version = export.name.removeprefix(ABI_EXPORT)
        if export.kind == "function" and export.name.startswith(ABI_EXPORT) and version in ABI_VERSIONS:
            return version
    return None


def find_problems(module: Module) -> tuple[Problem, ...]:
    """Everything that keeps Envoy from loading the module, or that ends Envoy; at most MAX_PROBLEMS."""
    abi = find_abi(module)
    problems = [*_check_names(module), *_check_abi(module)]
    # In Envoy's order: what it refuses early cannot end its process later.
    if not problems:
        problems.extend(check_import_border(module))
    problems.extend(check_imports(module.imports, abi))
    for rule in (_check_stores, _check_segments, _check_memory):
        problems.extend(rule(module))
    if all(problem.effect != REFUSED for problem in problems):
        problems.extend(check_export_border(module))
    problems.extend(_check_exports(module, abi))
    return tuple(problems[:MAX_PROBLEMS])


def _check_names(module: Module) -> Iterator[Problem]:
    section = module.custom("name")
    fault = find_name_fault(section) if section is not None else None
    if fault is not None:
        yield Problem(
            "name-section", REFUSED, "name",
            f"The section of names is broken: {fault.sentence}. Envoy reads it first and calls the module corrupted; "
            "build again, or strip the module's names.",
            fault.offset,
        )  # fmt: skip


def _check_abi(module: Module) -> Iterator[Problem]:
    if find_abi(module) is not None:
        return
    named = [export.name for export in module.exports if export.name.startswith(ABI_EXPORT)]
    known = ", ".join(f"{ABI_EXPORT}{version}" for version in ABI_VERSIONS)
    found = f"It exports {named[0]} instead. " if named else ""
    yield Problem(
        "abi-version", REFUSED, named[0] if named else ABI_EXPORT + "*",
        f"The module exports no function that names a version of the proxy-wasm ABI. {found}Envoy knows {known}; "
        "without one of them this is not a filter for Envoy.",
    )  # fmt: skip


def _check_stores(module: Module) -> Iterator[Problem]:
    for memory in module.all_memories():
        if memory.minimum > MAX_PAGES:
            yield Problem(
                "memory-size", REFUSED, "memory",
                f"The memory begins with {memory.minimum} pages of 64 KiB and Envoy allows {MAX_PAGES} (1 GiB).",
            )  # fmt: skip
        if memory.page_size is not None:
            yield Problem(
                "memory-pages", REFUSED, "memory",
                "The memory has pages of an own size, an extension that Envoy's engine does not have.",
            )  # fmt: skip
    for table in module.all_tables():
        if table.limits.minimum > MAX_TABLE:
            yield Problem(
                "table-size", REFUSED, "table",
                f"A table begins with {table.limits.minimum} elements and Envoy's engine allows {MAX_TABLE}.",
            )  # fmt: skip


def _check_segments(module: Module) -> Iterator[Problem]:
    memories = [memory.minimum * (memory.page_size or PAGE) for memory in module.all_memories()]
    tables = [table.limits.minimum for table in module.all_tables()]
    for what, unit, segments, sizes in (
        ("data", "bytes", module.placed_data, memories),
        ("element", "elements", module.elements, tables),
    ):
        segment = _first_outside(segments, sizes)
        if segment is not None:
            yield Problem(
                f"{what}-segment", REFUSED, what,
                f"A {what} segment of {segment.size} {unit} is to be put at {segment.at}, outside the "
                f"{sizes[segment.target]} {unit} that are there when the module starts.",
            )  # fmt: skip


def _first_outside(segments: list[Segment], sizes: list[int]) -> Segment | None:
    for segment in segments:
        if segment.target < len(sizes) and segment.at + segment.size > sizes[segment.target]:
            return segment
    return None


def _check_memory(module: Module) -> Iterator[Problem]:
    if module.imported("memory") or module.exported("memory") or not module.imported("function"):
        return
    yield Problem(
        "memory-export", UNSAFE, "memory",
        "The module exports no memory. Envoy loads it, and its process ends at the first host function that the "
        "module calls; export the memory.",
    )  # fmt: skip


def _check_exports(module: Module, abi: str | None) -> Iterator[Problem]:
    exported = module.exported("function")
    wanted = dict(start_types(reactor="_initialize" in exported))
    wanted.update(hook_types(abi or ABI_VERSIONS[-1]))
    allocator = next((name for name in ALLOCATORS if name in exported), None)
    if allocator is None:
        yield Problem(
            "allocator", REFUSED, "malloc",
            "The module exports neither the function malloc nor proxy_on_memory_allocate, which Envoy needs to hand "
            "data to it; export one of them.",
        )  # fmt: skip
    else:
        wanted[allocator] = ALLOCATOR_TYPE
    present = {name: index for name, index in exported.items() if name in wanted}
    for name, signature in module.function_types(present).items():
        if signature is not None and not signature.matches(wanted[name]):
            hint = f" in ABI version {abi.replace('_', '.')}" if abi and name not in start_types(reactor=True) else ""
            yield Problem(
                "export-type", REFUSED, name,
                f"The exported function {name} is {signature}, but Envoy calls it as {wanted[name]}{hint}.",
            )  # fmt: skip
