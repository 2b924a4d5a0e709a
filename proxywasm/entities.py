"""What a module brings in, defines and gives out: imports, exports, functions, memories, tables, globals."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from proxywasm.cursor import Cursor
from proxywasm.error import ModuleError
from proxywasm.expressions import skip_expression
from proxywasm.signatures import Signature, read_value

KINDS = ("function", "table", "memory", "global", "tag")
PAGE = 65536

HAS_MAXIMUM, SHARED, WIDE, CUSTOM_PAGE = 1, 2, 4, 8
TABLE_WITH_VALUE = b"\x40\x00"

# A filter has some hundred of these at most; the reader keeps each by name, so it takes no endless lists.
MAX_NAMES = 100_000


@dataclass(frozen=True, slots=True)
class Limits:
    """The size of a memory in pages of 64 KiB, or of a table in elements."""

    minimum: int
    maximum: int | None
    shared: bool = False
    wide: bool = False
    page_size: int | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table of references of the type `element`."""

    element: str
    limits: Limits


@dataclass(frozen=True, slots=True)
class Import:
    """Something the module wants from its host; `type` is None for a function without a valid type."""

    module: str
    name: str
    kind: str
    type: Signature | Limits | Table | str | None

    @property
    def full_name(self) -> str:
        """Both names as Envoy writes them in its log, `env.proxy_log`."""
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True)
class Export:
    """Something the module offers; `index` counts within its kind, imports first."""

    name: str
    kind: str
    index: int


def read_imports(cursor: Cursor, types: list[Signature | None]) -> list[Import]:
    """The import section (core specification, 5.5.5)."""
    return [_read_import(cursor, types) for _ in range(cursor.count("imports", MAX_NAMES))]


def _read_import(cursor: Cursor, types: list[Signature | None]) -> Import:
    module = cursor.name("the module name of an import")
    name = cursor.name("the name of an import")
    start = cursor.at
    number = cursor.byte("the kind of an import")
    if number >= len(KINDS):
        raise ModuleError(start, f"the import {module}.{name} is of the unknown kind 0x{number:02x}")
    kind = KINDS[number]
    if kind == "function":
        return Import(module, name, kind, signature_at(types, cursor.u32("the type of an imported function")))
    if kind == "table":
        return Import(module, name, kind, _read_table_type(cursor))
    if kind == "memory":
        return Import(module, name, kind, read_limits(cursor, "memory"))
    if kind == "global":
        return Import(module, name, kind, _read_global_type(cursor))
    return Import(module, name, kind, _read_tag(cursor, types))


def read_exports(cursor: Cursor) -> list[Export]:
    """The export section (core specification, 5.5.10)."""
    exports = []
    for _ in range(cursor.count("exports", MAX_NAMES)):
        name = cursor.name("the name of an export")
        start = cursor.at
        number = cursor.byte("the kind of an export")
        if number >= len(KINDS):
            raise ModuleError(start, f"the export {name} is of the unknown kind 0x{number:02x}")
        exports.append(Export(name, KINDS[number], cursor.u32("the index of an export")))
    return exports


def read_functions(cursor: Cursor) -> array[int]:
    """The type index of each function that the module defines itself."""
    count = cursor.count("functions")
    return array("Q", [cursor.u32("the type of a function") for _ in range(count)])


def read_memories(cursor: Cursor) -> list[Limits]:
    """The memory section."""
    return [read_limits(cursor, "memory") for _ in range(cursor.count("memories", MAX_NAMES))]


def read_tables(cursor: Cursor) -> list[Table]:
    """The table section; a table may carry an expression for its first value."""
    tables = []
    for _ in range(cursor.count("tables", MAX_NAMES)):
        valued = cursor.data[cursor.at : cursor.at + 2] == TABLE_WITH_VALUE and cursor.at + 2 <= cursor.end
        cursor.at += 2 if valued else 0
        tables.append(_read_table_type(cursor))
        if valued:
            skip_expression(cursor)
    return tables


def read_globals(cursor: Cursor) -> list[str]:
    """The types of the globals that the module defines itself."""
    types = []
    for _ in range(cursor.count("globals")):
        types.append(_read_global_type(cursor))
        skip_expression(cursor)
    return types


def read_tags(cursor: Cursor, types: list[Signature | None]) -> list[Signature | None]:
    """The tag section of modules that throw exceptions."""
    return [_read_tag(cursor, types) for _ in range(cursor.count("tags"))]


def read_limits(cursor: Cursor, what: str) -> Limits:
    """The limits of a memory or a table with the flags of the threads and memory64 extensions."""
    start = cursor.at
    flags = cursor.byte(f"the limits of a {what}")
    if flags & ~(HAS_MAXIMUM | SHARED | WIDE | CUSTOM_PAGE):
        raise ModuleError(start, f"0x{flags:02x} are unknown flags for the limits of a {what}")
    read = cursor.u64 if flags & WIDE else cursor.u32
    minimum = read(f"the minimum of a {what}")
    maximum = read(f"the maximum of a {what}") if flags & HAS_MAXIMUM else None
    page_size = None
    if flags & CUSTOM_PAGE:
        page_size = 1 << min(cursor.u32("the page size of a memory"), 64)
    return Limits(minimum, maximum, bool(flags & SHARED), bool(flags & WIDE), page_size)


def signature_at(types: list[Signature | None], index: int) -> Signature | None:
    """The function type with this index; None where there is none."""
    return types[index] if index < len(types) else None


def _read_table_type(cursor: Cursor) -> Table:
    element = read_value(cursor)
    return Table(element, read_limits(cursor, "table"))


def _read_global_type(cursor: Cursor) -> str:
    value = read_value(cursor)
    cursor.byte("the mutability of a global")
    return value


def _read_tag(cursor: Cursor, types: list[Signature | None]) -> Signature | None:
    cursor.byte("the attribute of a tag")
    return signature_at(types, cursor.u32("the type of a tag"))
