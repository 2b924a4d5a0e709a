"""The rules for imports: what Envoy has to offer, and what to say about an import that it does not have."""

from __future__ import annotations

from collections.abc import Iterator

from proxywasm.entities import Import, Limits, Table
from proxywasm.host import (
    ABI_VERSIONS,
    ENV,
    FOREIGN,
    MAX_TABLE,
    WASI,
    WASI_OLD,
    abi_versions_of,
    host_functions,
)
from proxywasm.problems import FOREIGN_IMPORT, REFUSED, Problem
from proxywasm.signatures import Signature

ADVICE = {
    (ENV, "abort"): "AssemblyScript wants it: build with --use abort=abort_proc_exit.",
    (WASI, "proc_raise"): "No Envoy release offers this function of WASI.",
    (WASI_OLD, "proc_raise"): "No Envoy release offers this function of WASI.",
}


def check_imports(imports: list[Import], abi: str | None) -> Iterator[Problem]:
    """A problem for each import that Envoy does not have, or has as something else.

    Without a known ABI version the newest one is taken, so that authors learn about all their imports at once.
    """
    seen = {"memory": 0, "table": 0}
    for entry in imports:
        if entry.kind == "function":
            yield from _check_function(entry, abi or ABI_VERSIONS[-1])
        elif entry.kind == "global":
            yield _problem(entry, "is a global, and Envoy has only functions to offer.")
        elif entry.kind in seen:
            seen[entry.kind] += 1
            if seen[entry.kind] == 2:
                yield _problem(entry, f"is the second {entry.kind} that the module imports; Envoy gives one.")
            yield from _check_store(entry)


def _check_function(entry: Import, abi: str) -> Iterator[Problem]:
    offered = host_functions(abi).get((entry.module, entry.name))
    if not isinstance(entry.type, Signature):
        yield Problem(
            "import-type", REFUSED, entry.full_name, f"The import {entry.full_name} names a type that is no function."
        )
    elif offered is None and entry.module == ENV and entry.name in FOREIGN:
        sentence = f"The import {entry.full_name} is missing in Envoy. Only {FOREIGN[entry.name]} offers it."
        yield Problem(FOREIGN_IMPORT, REFUSED, entry.full_name, sentence)
    elif offered is None:
        yield _problem(entry, f"is missing in Envoy. {_explain(entry, abi)}".rstrip())
    elif not entry.type.matches(offered.signature):
        yield Problem(
            "import-type", REFUSED, entry.full_name,
            f"The module imports {entry.full_name} as {entry.type}, but in Envoy it is {offered.signature}.",
        )  # fmt: skip
    elif not entry.type.plain:
        yield Problem(
            "import-type", REFUSED, entry.full_name,
            f"The import {entry.full_name} has a type that is open for subtypes or defined together with others; "
            "Envoy's function has a plain one.",
        )  # fmt: skip


def _explain(entry: Import, abi: str) -> str:
    advice = ADVICE.get((entry.module, entry.name))
    if advice is not None:
        return advice
    versions = abi_versions_of(entry.name) if entry.module == ENV else ()
    if versions:
        known = " and ".join(version.replace("_", ".") for version in versions)
        return f"It belongs to ABI version {known}, and the module says {abi.replace('_', '.')}."
    for module in (ENV, WASI):
        if module != entry.module and (module, entry.name) in host_functions(abi):
            return f"Envoy has it as {module}.{entry.name}."
    if entry.module.startswith("wasi:"):
        return "It belongs to WASI 0.2 and its components, which Envoy does not run."
    return ""


def _check_store(entry: Import) -> Iterator[Problem]:
    limits = entry.type.limits if isinstance(entry.type, Table) else entry.type
    if not isinstance(limits, Limits):
        return
    if limits.wide:
        yield _problem(entry, f"is a {entry.kind} addressed with 64 bits; Envoy gives one with 32.")
    if limits.shared:
        yield _problem(entry, f"is a {entry.kind} shared between threads; Envoy gives a plain one.")
    if entry.kind == "table" and limits.maximum is not None and limits.maximum > MAX_TABLE:
        yield _problem(entry, f"is a table of up to {limits.maximum} elements; Envoy's engine allows {MAX_TABLE}.")


def _problem(entry: Import, sentence: str) -> Problem:
    return Problem("import", REFUSED, entry.full_name, f"The import {entry.full_name} {sentence}")
