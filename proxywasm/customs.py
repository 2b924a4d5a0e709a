"""Custom sections that tell where a module comes from: its name, its producers, the features it uses."""

from __future__ import annotations

from dataclasses import dataclass

from proxywasm.cursor import Cursor
from proxywasm.error import ModuleError

MODULE_NAME, FUNCTION_NAMES = 0, 1
MAX_FIELDS = 100
MAX_TEXT = 200  # characters kept of one name or version; producers write about twenty

# Envoy's own walk through a module reads numbers of at most this many bits.
ENVOY_NUMBER_BITS = 30


@dataclass(frozen=True, slots=True)
class Producer:
    """One line of the producers section: field `language`, `processed-by` or `sdk`, a tool and its version."""

    field: str
    name: str
    version: str


def read_module_name(cursor: Cursor) -> str | None:
    """The module's own name in the `name` section; None without one, or where the section is broken."""
    try:
        while cursor.at < cursor.end:
            subsection = cursor.byte("a subsection of names")
            size = cursor.u32("the size of a subsection of names")
            at = cursor.skip(size, "a subsection of names")
            if subsection == MODULE_NAME:
                return Cursor(cursor.data, at, at + size).name("the module's name")[:MAX_TEXT]
    except ModuleError:
        return None
    return None


def read_producers(cursor: Cursor) -> list[Producer]:
    """The `producers` section as far as it can be read: it is a note, and a broken one harms nobody."""
    producers: list[Producer] = []
    try:
        for _ in range(cursor.count("producer fields")):
            field = cursor.name("a producer field")[:MAX_TEXT]
            for _ in range(cursor.count("producers")):
                name = cursor.name("a producer")[:MAX_TEXT]
                version = cursor.name("a producer's version")[:MAX_TEXT]
                producers.append(Producer(field, name, version))
                if len(producers) == MAX_FIELDS:
                    return producers
    except ModuleError:
        pass
    return producers


def read_features(cursor: Cursor) -> list[str]:
    """The names in the `target_features` section that the compiler switched on, as far as they can be read."""
    features: list[str] = []
    try:
        for _ in range(cursor.count("features", MAX_FIELDS)):
            prefix = cursor.byte("a feature's prefix")
            feature = cursor.name("a feature")[:MAX_TEXT]
            if prefix == ord("+"):
                features.append(feature)
    except ModuleError:
        pass
    return features


def find_name_fault(cursor: Cursor) -> ModuleError | None:
    """The first fault of a `name` section that makes Envoy refuse the module as corrupted, else None.

    Browsers pass over a broken `name` section. Envoy reads the function names for its stack traces before
    the engine sees the module, and gives up where their subsection does not end exactly at its stated size.
    """
    try:
        while cursor.at < cursor.end:
            subsection = cursor.byte("a subsection of names")
            size = _envoy_number(cursor, "the size of a subsection of names")
            start = cursor.at
            if subsection == FUNCTION_NAMES:
                _pass_function_names(cursor)
                if cursor.at != start + size:
                    return ModuleError(start, f"the function names take {cursor.at - start} bytes and not {size}")
            else:
                cursor.skip(size, "a subsection of names")
    except ModuleError as fault:
        return fault
    return None


def _pass_function_names(cursor: Cursor) -> None:
    start = cursor.at
    count = _envoy_number(cursor, "the number of function names")
    if count > cursor.end - cursor.at:
        raise ModuleError(start, f"{count} function names are announced but only {cursor.end - cursor.at} bytes left")
    for _ in range(count):
        _envoy_number(cursor, "the index of a function name")
        size = _envoy_number(cursor, "the size of a function name")
        cursor.skip(size, "a function name")


def _envoy_number(cursor: Cursor, what: str) -> int:
    start = cursor.at
    value = cursor.u32(what)
    if value >> ENVOY_NUMBER_BITS:
        raise ModuleError(start, f"the number for {what} is larger than Envoy reads")
    return value
