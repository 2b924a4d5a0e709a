"""Which SDK a module was built with, guessed from the marks that compilers and SDKs leave in its bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from proxywasm.customs import Producer
from proxywasm.host import ENV, FOREIGN
from proxywasm.module import Module
from proxywasm.sections import CODE

# Paths of source files that panics mention: they survive stripping, and carry the SDK's version.
RUST_SDK = re.compile(rb"proxy-wasm-(\d+\.\d+\.\d+[0-9A-Za-z.+-]{0,20})[/\\]src")
RUST_LIBRARY = (b"library/core/src/", b"library/alloc/src/", b"library/std/src/")
# Names of files of the AssemblyScript runtime, which keeps its strings as UTF-16.
ASSEMBLYSCRIPT_RUNTIME = "~lib/rt/".encode("utf-16-le")
ASSEMBLYSCRIPT_STRINGS = "~lib/".encode("utf-16-le")
HANDMADE_CODE = 4096  # bytes of code that nobody's runtime fits into

LANGUAGES = {"Rust": "Rust", "Go": "Go", "TinyGo": "TinyGo", "C_plus_plus": "C++", "C++": "C++", "Zig": "Zig"}
TOOLS = {"rustc": "Rust", "TinyGo": "TinyGo", "Go": "Go", "Go cmd/compile": "Go", "zig": "Zig"}


@dataclass(frozen=True, slots=True)
class Sdk:
    """The SDK by name and, where it shows, version; `marks` say in words what gave it away."""

    name: str
    version: str | None
    marks: tuple[str, ...]


UNKNOWN = Sdk("unknown", None, ())


def find_sdk(module: Module, producers: list[Producer]) -> Sdk:
    """The first guess whose mark is there, from the surest to the vaguest."""
    for guess in (_rust, _tinygo_or_go, _assemblyscript, _zig, _cpp, _llvm, _handmade):
        sdk = guess(module, producers)
        if sdk is not None:
            return sdk
    return UNKNOWN


def _rust(module: Module, producers: list[Producer]) -> Sdk | None:
    marks = _producer_marks(producers, "Rust")
    path = RUST_SDK.search(module.data)
    if path:
        marks.append("source paths of the proxy-wasm crate")
    elif any(library in module.data for library in RUST_LIBRARY):
        marks.append("source paths of Rust's library")
    if not marks:
        return None
    return Sdk("Rust", path.group(1).decode() if path else None, tuple(marks))


def _tinygo_or_go(module: Module, producers: list[Producer]) -> Sdk | None:
    forked = [entry.name for entry in module.imports if entry.module == ENV and FOREIGN.get(entry.name) == "Higress"]
    extra = tuple(f"import env.{name}, which Higress added" for name in forked[:3])
    for language in ("TinyGo", "Go"):
        marks = _producer_marks(producers, language)
        if language == "Go" and module.custom("go:buildid") is not None:
            marks.append("section go:buildid")
        if language == "TinyGo" and not marks and "tinygo_getCurrentStackPointer" in module.exported("function"):
            marks.append("export tinygo_getCurrentStackPointer")
        if marks:
            version = next((p.version for p in producers if _language(p) == language), None)
            return Sdk(f"Higress {language}" if extra else language, version or None, (*marks, *extra))
    return None


def _assemblyscript(module: Module, producers: list[Producer]) -> Sdk | None:
    marks = _producer_marks(producers, "AssemblyScript")
    for text in (ASSEMBLYSCRIPT_RUNTIME, ASSEMBLYSCRIPT_STRINGS):
        if not marks and text in module.data:
            marks.append("names of AssemblyScript's library in its data")
    if {"__pin", "__unpin", "__collect"} <= module.exported("function").keys():
        marks.append("exports of AssemblyScript's garbage collector")
    return Sdk("AssemblyScript", None, tuple(marks)) if marks else None


def _zig(module: Module, producers: list[Producer]) -> Sdk | None:
    marks = _producer_marks(producers, "Zig")
    return Sdk("Zig", None, tuple(marks)) if marks else None


def _cpp(module: Module, producers: list[Producer]) -> Sdk | None:
    marks = _producer_marks(producers, "C++")
    if any(entry.name == "emscripten_notify_memory_growth" for entry in module.imports):
        marks.append("import env.emscripten_notify_memory_growth")
    clang = next((p for p in producers if p.field == "processed-by" and "clang" in p.name.lower()), None)
    if clang is not None:
        marks.append(f"processed by {clang.name}")
    return Sdk("C or C++", clang.version if clang else None, tuple(marks)) if marks else None


def _llvm(module: Module, producers: list[Producer]) -> Sdk | None:
    """LLVM's linker makes the table of functions exactly as long as it is, and its first global the stack pointer."""
    tables = [table.limits for table in module.tables if table.element == "funcref"]
    fixed = bool(tables) and tables[0].minimum == tables[0].maximum
    if not fixed or module.globals[:1] != ["i32"] or module.placed_data[:1] == []:
        return None
    return Sdk("C, C++ or Zig", None, ("laid out as LLVM's linker does",))


def _handmade(module: Module, producers: list[Producer]) -> Sdk | None:
    code = module.size_of(CODE)
    if producers or code > HANDMADE_CODE or module.custom("target_features") is not None:
        return None
    return Sdk("hand-written", None, (f"only {code} bytes of code and no toolchain named",))


def _producer_marks(producers: list[Producer], language: str) -> list[str]:
    return [f"{p.field} {p.name} {p.version}".strip() for p in producers if _language(p) == language]


def _language(producer: Producer) -> str | None:
    if producer.field == "language":
        return LANGUAGES.get(producer.name)
    return TOOLS.get(producer.name)
