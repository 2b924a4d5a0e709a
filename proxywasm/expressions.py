"""Constant expressions: how long they are and, where it is plain, which number they give."""

from __future__ import annotations

from proxywasm.cursor import Cursor
from proxywasm.error import ModuleError
from proxywasm.signatures import read_heap

END = 0x0B
I32_CONST, I64_CONST, F32_CONST, F64_CONST = 0x41, 0x42, 0x43, 0x44
GLOBAL_GET, REF_NULL, REF_FUNC = 0x23, 0xD0, 0xD2
ARITHMETIC = frozenset((0x6A, 0x6B, 0x6C, 0x7C, 0x7D, 0x7E))
VECTOR_PREFIX, VECTOR_CONST = 0xFD, 12
GC_PREFIX = 0xFB

# Instructions of the garbage collection extension that constants may hold, with their number of operands.
GC_OPERANDS = {0: 1, 1: 1, 6: 1, 7: 1, 8: 2, 26: 0, 27: 0, 28: 0}


def skip_expression(cursor: Cursor) -> int | None:
    """Passes one constant expression; gives its value when it is a single integer, else None."""
    value: int | None = None
    instructions = 0
    while True:
        start = cursor.at
        opcode = cursor.byte("a constant expression")
        if opcode == END:
            return value if instructions == 1 else None
        instructions += 1
        if opcode == I32_CONST:
            value = cursor.signed("a constant", 32) & 0xFFFFFFFF
        elif opcode == I64_CONST:
            value = cursor.signed("a constant", 64) & 0xFFFFFFFFFFFFFFFF
        else:
            value = None
            _skip_operands(cursor, opcode, start)


def _skip_operands(cursor: Cursor, opcode: int, start: int) -> None:
    if opcode in (GLOBAL_GET, REF_FUNC):
        cursor.u32("an index")
    elif opcode == F32_CONST:
        cursor.skip(4, "a constant")
    elif opcode == F64_CONST:
        cursor.skip(8, "a constant")
    elif opcode == REF_NULL:
        read_heap(cursor)
    elif opcode == VECTOR_PREFIX and cursor.u32("an instruction") == VECTOR_CONST:
        cursor.skip(16, "a constant")
    elif opcode == GC_PREFIX:
        _skip_gc_operands(cursor, start)
    elif opcode not in ARITHMETIC:
        raise ModuleError(start, f"the instruction 0x{opcode:02x} may not stand in a constant expression")


def _skip_gc_operands(cursor: Cursor, start: int) -> None:
    number = cursor.u32("an instruction")
    if number not in GC_OPERANDS:
        raise ModuleError(start, f"the instruction 0xfb {number} may not stand in a constant expression")
    for _ in range(GC_OPERANDS[number]):
        cursor.u32("an index")
