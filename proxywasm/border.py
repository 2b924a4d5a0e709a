"""The border of a module: imports and exports that Envoy's engine cannot describe to Envoy, which ends the process."""

from __future__ import annotations

from collections.abc import Iterator

from proxywasm.entities import Limits, Table
from proxywasm.module import Module
from proxywasm.problems import CRASHES, Problem
from proxywasm.signatures import Signature

# Values that the engine's C interface has a word for.
PORTABLE = frozenset(("i32", "i64", "f32", "f64", "funcref", "externref", "(ref func)", "(ref extern)"))

LOOKED_UP = ("function", "memory")  # the exports that Envoy asks its engine for
MAX_PLACE = 2**32 - 1  # JavaScript's lists have fewer places than this
DIGITS = len(str(MAX_PLACE))


def check_import_border(module: Module) -> Iterator[Problem]:
    """Envoy's engine describes every import to Envoy, and ends the process over types that it has no word for."""
    for entry in module.imports:
        if entry.kind == "tag" or not _portable(entry.type):
            yield _unportable(f"import {entry.full_name}", entry.kind)


def check_export_border(module: Module) -> Iterator[Problem]:
    """As for imports; besides, there are names by which the engine does not find its own exports."""
    globals_ = module.all_globals()
    tables = module.all_tables()
    names = {kind: module.exported(kind) for kind in LOOKED_UP}
    signatures = module.function_types(names["function"])
    for export in module.exports:
        kind: Signature | Table | str | None = None
        if export.kind == "function":
            kind = signatures[export.name]
        elif export.kind == "global" and export.index < len(globals_):
            kind = globals_[export.index]
        elif export.kind == "table" and export.index < len(tables):
            kind = tables[export.index]
        if export.kind == "tag" or not _portable(kind):
            yield _unportable(f"export {export.name}", export.kind)
        elif export.kind in names and _lost(export.name, names[export.kind]):
            yield Problem(
                "export-name", CRASHES, export.name,
                f"The {export.kind} is exported by the name {export.name!r}: Envoy's engine cannot find names that are "
                "plain numbers or end with a zero character, and Envoy's process ends.",
            )  # fmt: skip


def _lost(name: str, names: dict[str, int]) -> bool:
    """The engine looks exports up as JavaScript would: numbers are places in a list, and it drops a last zero."""
    if name.endswith("\0"):
        return name[:-1] not in names
    return len(name) <= DIGITS and name.isascii() and name.isdigit() and _is_place(int(name), name)


def _is_place(number: int, name: str) -> bool:
    return number < MAX_PLACE and str(number) == name


def _portable(kind: Signature | Limits | Table | str | None) -> bool:
    if isinstance(kind, Signature):
        return PORTABLE.issuperset(kind.params) and PORTABLE.issuperset(kind.results)
    if isinstance(kind, Table):
        return kind.element in PORTABLE
    return kind in PORTABLE if isinstance(kind, str) else True


def _unportable(subject: str, kind: str) -> Problem:
    what = "is an exception tag" if kind == "tag" else f"is a {kind} with a vector or a garbage-collected type"
    return Problem(
        "boundary-type", CRASHES, subject,
        f"The {subject} {what}: Envoy's process ends when it meets one at the border of a module. "
        "Inside the module such types are no harm.",
    )  # fmt: skip
