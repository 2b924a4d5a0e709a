"""A core module taken apart: everything that the reader's questions need, nothing of the function bodies."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from proxywasm import sections as section_ids
from proxywasm.cursor import Cursor
from proxywasm.entities import (
    Export,
    Import,
    Limits,
    Table,
    read_exports,
    read_functions,
    read_globals,
    read_imports,
    read_memories,
    read_tables,
    read_tags,
    signature_at,
)
from proxywasm.error import ModuleError
from proxywasm.sections import CUSTOM, Section, read_sections
from proxywasm.segments import Segment, read_data, read_elements
from proxywasm.signatures import Signature, read_types


@dataclass(slots=True)
class Module:
    """The parts of a core module; memories, tables and globals are those of its own, without imported ones."""

    data: bytes
    sections: list[Section]
    types: list[Signature | None] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    functions: array[int] = field(default_factory=lambda: array("Q"))
    tables: list[Table] = field(default_factory=list)
    memories: list[Limits] = field(default_factory=list)
    globals: list[str] = field(default_factory=list)
    tags: list[Signature | None] = field(default_factory=list)
    exports: list[Export] = field(default_factory=list)
    start: int | None = None
    elements: list[Segment] = field(default_factory=list)
    data_size: int = 0
    placed_data: list[Segment] = field(default_factory=list)

    def imported(self, kind: str) -> list[Import]:
        """The imports of one kind, in the order that gives them their indices."""
        return [entry for entry in self.imports if entry.kind == kind]

    def custom(self, name: str) -> Cursor | None:
        """A cursor over the first custom section of this name."""
        for section in self.sections:
            if section.id == CUSTOM and section.name == name:
                return Cursor(self.data, section.offset, section.offset + section.size)
        return None

    def size_of(self, number: int) -> int:
        """The bytes in all sections of this number."""
        return sum(section.size for section in self.sections if section.id == number)

    def exported(self, kind: str) -> dict[str, int]:
        """The exports of one kind: their index by name."""
        return {export.name: export.index for export in self.exports if export.kind == kind}

    def all_memories(self) -> list[Limits]:
        """Imported and own memories by index."""
        return [entry.type for entry in self.imports if isinstance(entry.type, Limits)] + self.memories

    def all_tables(self) -> list[Table]:
        """Imported and own tables by index."""
        return [entry.type for entry in self.imports if isinstance(entry.type, Table)] + self.tables

    def all_globals(self) -> list[str]:
        """The types of imported and own globals by index."""
        return [entry.type for entry in self.imports if isinstance(entry.type, str)] + self.globals

    def function_types(self, exports: dict[str, int]) -> dict[str, Signature | None]:
        """The signature of each of these exported functions; None where its index leads nowhere."""
        imported = self.imported("function")
        signatures: dict[str, Signature | None] = {}
        for name, index in exports.items():
            own = index - len(imported)
            if own < 0:
                kind = imported[index].type
                signatures[name] = kind if isinstance(kind, Signature) else None
            else:
                signatures[name] = signature_at(self.types, self.functions[own]) if own < len(self.functions) else None
        return signatures


def parse_module(data: bytes) -> Module:
    """Takes a core module apart; raises ModuleError at the first byte that cannot be read."""
    module = Module(data, read_sections(data))
    for section in module.sections:
        if section.id in (CUSTOM, section_ids.CODE, section_ids.DATA_COUNT):
            continue
        cursor = Cursor(data, section.offset, section.offset + section.size)
        _fill(module, section.id, cursor)
        if cursor.at != cursor.end:
            raise ModuleError(cursor.at, f"the {section.name} section has {cursor.end - cursor.at} bytes too many")
    return module


def _fill(module: Module, number: int, cursor: Cursor) -> None:
    if number == section_ids.TYPE:
        module.types = read_types(cursor)
    elif number == section_ids.IMPORT:
        module.imports = read_imports(cursor, module.types)
    elif number == section_ids.FUNCTION:
        module.functions = read_functions(cursor)
    elif number == section_ids.EXPORT:
        module.exports = read_exports(cursor)
    elif number == section_ids.START:
        module.start = cursor.u32("the start function")
    elif number == section_ids.ELEMENT:
        module.elements = read_elements(cursor)
    elif number == section_ids.DATA:
        module.data_size, module.placed_data = read_data(cursor)
    else:
        _fill_stores(module, number, cursor)


def _fill_stores(module: Module, number: int, cursor: Cursor) -> None:
    if number == section_ids.TABLE:
        module.tables = read_tables(cursor)
    elif number == section_ids.MEMORY:
        module.memories = read_memories(cursor)
    elif number == section_ids.GLOBAL:
        module.globals = read_globals(cursor)
    else:
        module.tags = read_tags(cursor, module.types)
