"""Value types and function signatures, as the type section spells them and as people write them."""

from __future__ import annotations

from dataclasses import dataclass

from proxywasm.cursor import Cursor
from proxywasm.error import ModuleError

NUMBERS = {0x7F: "i32", 0x7E: "i64", 0x7D: "f32", 0x7C: "f64", 0x7B: "v128"}
HEAPS = {
    0x70: "func", 0x6F: "extern", 0x6E: "any", 0x6D: "eq", 0x6C: "i31", 0x6B: "struct", 0x6A: "array", 0x69: "exn",
    0x74: "noexn", 0x73: "nofunc", 0x72: "noextern", 0x71: "none",
}  # fmt: skip
REFERENCES = {byte: {"func": "funcref", "extern": "externref"}.get(heap, f"(ref null {heap})")
              for byte, heap in HEAPS.items()}  # fmt: skip
SHORTHANDS = NUMBERS | REFERENCES
PACKED = {0x78: "i8", 0x77: "i16"}

FUNC, STRUCT, ARRAY = 0x60, 0x5F, 0x5E
SUB_FINAL, SUB, REC = 0x4F, 0x50, 0x4E
REF, REF_NULL = 0x64, 0x63

MAX_ARITY = 1000  # V8 and every other engine refuse more parameters or results than this.


@dataclass(frozen=True, slots=True)
class Signature:
    """A function's type; `plain` is false when it is open to subtypes or shares a recursive group."""

    params: tuple[str, ...]
    results: tuple[str, ...]
    plain: bool = True

    def __str__(self) -> str:
        return f"({', '.join(self.params)}) -> {' '.join(self.results) or 'nothing'}"

    def matches(self, other: Signature) -> bool:
        """Whether both take and give the same values."""
        return self.params == other.params and self.results == other.results


def read_types(cursor: Cursor) -> list[Signature | None]:
    """The types by index; None stands for a struct or an array, which no function has."""
    types: list[Signature | None] = []
    seen: dict[Signature, Signature] = {}
    for _ in range(cursor.count("types")):
        members = 1
        if cursor.at < cursor.end and cursor.data[cursor.at] == REC:
            cursor.at += 1
            members = cursor.count("types of a recursive group")
        for _ in range(members):
            signature = _read_subtype(cursor, alone=members == 1)
            # Equal signatures are kept once, so that a million of them cost a million pointers.
            types.append(signature and seen.setdefault(signature, signature))
    return types


def _read_subtype(cursor: Cursor, *, alone: bool) -> Signature | None:
    start = cursor.at
    form = cursor.byte("a type")
    plain = alone
    if form in (SUB, SUB_FINAL):
        supertypes = cursor.count("supertypes")
        for _ in range(supertypes):
            cursor.u32("a supertype")
        plain = alone and form == SUB_FINAL and not supertypes
        form = cursor.byte("a type")
    if form == FUNC:
        return Signature(_read_values(cursor, "parameters"), _read_values(cursor, "results"), plain)
    if form == STRUCT:
        for _ in range(cursor.count("fields")):
            _skip_field(cursor)
    elif form == ARRAY:
        _skip_field(cursor)
    else:
        raise ModuleError(start, f"a type of the unknown form 0x{form:02x}")
    return None


def _read_values(cursor: Cursor, what: str) -> tuple[str, ...]:
    start = cursor.at
    count = cursor.count(what)
    if count > MAX_ARITY:
        raise ModuleError(start, f"a function type has {count} {what} and no engine takes more than {MAX_ARITY}")
    return tuple([read_value(cursor) for _ in range(count)])


def _skip_field(cursor: Cursor) -> None:
    if cursor.at < cursor.end and cursor.data[cursor.at] in PACKED:
        cursor.at += 1
    else:
        read_value(cursor)
    cursor.byte("a field's mutability")


def read_value(cursor: Cursor) -> str:
    """One value type in its text form, `i32` or `(ref null 4)`."""
    start = cursor.at
    form = cursor.byte("a value type")
    shorthand = SHORTHANDS.get(form)
    if shorthand is not None:
        return shorthand
    if form not in (REF, REF_NULL):
        raise ModuleError(start, f"0x{form:02x} is not a value type")
    heap = read_heap(cursor)
    if form == REF:
        return f"(ref {heap})"
    return {"func": "funcref", "extern": "externref"}.get(heap, f"(ref null {heap})")


def read_heap(cursor: Cursor) -> str:
    """A heap type: one of the abstract ones by name, or the index of a defined type."""
    start = cursor.at
    number = cursor.signed("a heap type", 33)
    if number >= 0:
        return str(number)
    heap = HEAPS.get(number & 0x7F)
    if heap is None or number < -64:
        raise ModuleError(start, f"{number} is not a heap type")
    return heap
