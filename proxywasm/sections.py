"""The sections of a module: where each begins, how long it is, and what it is called."""

from __future__ import annotations

from dataclasses import dataclass

from proxywasm.cursor import Cursor
from proxywasm.error import ModuleError

MAGIC = b"\0asm"
CORE_VERSION = b"\x01\0\0\0"
COMPONENT_LAYER = b"\x01\0"

CUSTOM, TYPE, IMPORT, FUNCTION, TABLE, MEMORY, GLOBAL, EXPORT, START, ELEMENT, CODE, DATA, DATA_COUNT, TAG = range(14)

NAMES = {
    CUSTOM: "custom", TYPE: "type", IMPORT: "import", FUNCTION: "function", TABLE: "table", MEMORY: "memory",
    GLOBAL: "global", EXPORT: "export", START: "start", ELEMENT: "element", CODE: "code", DATA: "data",
    DATA_COUNT: "data count", TAG: "tag",
}  # fmt: skip

# The order in which the core specification (5.5.2) wants the sections; custom ones may stand anywhere.
ORDER = (TYPE, IMPORT, FUNCTION, TABLE, MEMORY, TAG, GLOBAL, EXPORT, START, ELEMENT, DATA_COUNT, CODE, DATA)
RANK = {section: rank for rank, section in enumerate(ORDER)}


@dataclass(frozen=True, slots=True)
class Section:
    """One section: `offset` and `size` are those of its content, in bytes from the start of the module."""

    id: int
    name: str
    offset: int
    size: int


def read_kind(data: bytes) -> str:
    """`module` (core, version 1) or `component`; raises ModuleError when the bytes are neither."""
    if len(data) < 8:
        raise ModuleError(len(data), f"a module has at least 8 bytes and this has {len(data)}")
    if data[:4] != MAGIC:
        raise ModuleError(0, "this is not WebAssembly: it does not begin with the bytes 00 61 73 6d")
    if data[4:8] == CORE_VERSION:
        return "module"
    if data[6:8] == COMPONENT_LAYER:
        return "component"
    raise ModuleError(4, f"WebAssembly version {int.from_bytes(data[4:8], 'little')} is unknown, only 1 exists")


def read_sections(data: bytes) -> list[Section]:
    """All sections of a core module in their order; raises ModuleError where their frame is broken."""
    cursor = Cursor(data, 8, len(data))
    sections: list[Section] = []
    rank = -1
    while cursor.at < cursor.end:
        start = cursor.at
        section = _read_section(cursor)
        if section.id != CUSTOM:
            if RANK[section.id] <= rank:
                raise ModuleError(start, f"the {section.name} section stands twice or in the wrong order")
            rank = RANK[section.id]
        sections.append(section)
    return sections


def _read_section(cursor: Cursor) -> Section:
    start = cursor.at
    number = cursor.byte("a section's number")
    if number not in NAMES:
        raise ModuleError(start, f"section number {number} is unknown")
    size = cursor.u32(f"the size of the {NAMES[number]} section")
    offset = cursor.skip(size, f"the {NAMES[number]} section")
    if number != CUSTOM:
        return Section(number, NAMES[number], offset, size)
    content = Cursor(cursor.data, offset, offset + size)
    name = content.name("the name of a custom section")
    return Section(CUSTOM, name, content.at, offset + size - content.at)
