"""Data and element segments: how much they hold and whether they fit where they are to be put at the start."""

from __future__ import annotations

from dataclasses import dataclass

from proxywasm.cursor import Cursor
from proxywasm.error import ModuleError
from proxywasm.expressions import skip_expression
from proxywasm.signatures import read_value

MAX_SEGMENTS = 1_000_000


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment that is copied when the module starts: `at` and `size` in bytes, or in table elements."""

    target: int
    at: int
    size: int


def read_data(cursor: Cursor) -> tuple[int, list[Segment]]:
    """The number of bytes in all data segments, and those segments whose place is a plain number."""
    total = 0
    placed = []
    for _ in range(cursor.count("data segments", MAX_SEGMENTS)):
        start = cursor.at
        form = cursor.u32("the form of a data segment")
        if form > 2:
            raise ModuleError(start, f"a data segment of the unknown form {form}")
        memory = cursor.u32("the memory of a data segment") if form == 2 else 0
        at = None if form == 1 else skip_expression(cursor)
        size = cursor.u32("the size of a data segment")
        cursor.skip(size, "a data segment")
        total += size
        if at is not None:
            placed.append(Segment(memory, at, size))
    return total, placed


def read_elements(cursor: Cursor) -> list[Segment]:
    """The element segments whose place is a plain number (core specification, 5.5.12)."""
    placed = []
    for _ in range(cursor.count("element segments", MAX_SEGMENTS)):
        start = cursor.at
        form = cursor.u32("the form of an element segment")
        if form > 7:
            raise ModuleError(start, f"an element segment of the unknown form {form}")
        passive, explicit, expressions = form & 1, form & 2, form & 4
        table = cursor.u32("the table of an element segment") if explicit and not passive else 0
        at = None if passive else skip_expression(cursor)
        if passive or explicit:
            _skip_element_kind(cursor, expressions=bool(expressions))
        size = cursor.count("elements")
        for _ in range(size):
            if expressions:
                skip_expression(cursor)
            else:
                cursor.u32("an element")
        if at is not None:
            placed.append(Segment(table, at, size))
    return placed


def _skip_element_kind(cursor: Cursor, *, expressions: bool) -> None:
    if expressions:
        read_value(cursor)
    else:
        cursor.byte("the kind of an element segment")
