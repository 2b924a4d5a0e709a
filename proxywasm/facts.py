"""What is known about a module once it has been read: frozen values, and their JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from proxywasm.capabilities import Capability
from proxywasm.customs import Producer
from proxywasm.entities import Limits
from proxywasm.hooks import Hook
from proxywasm.problems import CRASHES, REFUSED, Problem
from proxywasm.releases import Release
from proxywasm.sdk import UNKNOWN, Sdk
from proxywasm.sections import Section

LIST_LIMIT = 200  # entries of one list in the JSON; `counts` holds the whole number
TEXT_LIMIT = 2000  # characters of one name or sentence in the JSON


@dataclass(frozen=True, slots=True)
class ImportFact:
    """An import with its type in words, `(i32, i32) -> i32`, `memory` or `global i32`."""

    module: str
    name: str
    kind: str
    type: str


@dataclass(frozen=True, slots=True)
class ExportFact:
    """An export; `type` is filled for functions."""

    name: str
    kind: str
    type: str


@dataclass(frozen=True, slots=True)
class ModuleFacts:
    """Everything that a module's bytes say; sizes are bytes, memories count pages of 64 KiB.

    Worth knowing of the fields, which `to_json` gives under the same names:
    `kind` is `module`, `component` or `unreadable`; `abi_version` is `0.2.1` or None; `envoy` is the first Envoy
    release that has all that the module imports. `hooks` and `capabilities` have a `name` for machines and `words` for
    people. `bodies` says whether an engine has looked at the function bodies: `unchecked`, `valid` or `invalid`.
    `needs_config` marks modules that trap when the proxy gives them no configuration. `releases` is empty for a module
    that nobody can run. Each of `problems` has an `effect`: `refused`, `crashes` or `unsafe` (`proxywasm.problems`);
    a module with any of them should not be deployed.
    """

    reader_version: int
    kind: str
    size: int
    abi_version: str | None = None
    module_name: str | None = None
    sections: tuple[Section, ...] = ()
    imports: tuple[ImportFact, ...] = ()
    exports: tuple[ExportFact, ...] = ()
    function_count: int = 0
    code_size: int = 0
    data_size: int = 0
    memories: tuple[Limits, ...] = ()
    tables: tuple[Limits, ...] = ()
    start_function: int | None = None
    hooks: tuple[Hook, ...] = ()
    capabilities: tuple[Capability, ...] = ()
    wasi: tuple[str, ...] = ()
    sdk: Sdk = UNKNOWN
    producers: tuple[Producer, ...] = ()
    features: tuple[str, ...] = ()
    needs_config: bool = False
    bodies: str = "unchecked"
    envoy: str | None = None
    releases: tuple[Release, ...] = ()
    problems: tuple[Problem, ...] = field(default=())

    @property
    def loads_in_envoy(self) -> bool:
        """Whether Envoy takes the module; one that it takes may still be unsafe, so look at `problems` too."""
        return not any(problem.effect in (REFUSED, CRASHES) for problem in self.problems)

    def to_json(self) -> dict[str, Any]:
        """The facts as a plain dict with the fields' names, `loads_in_envoy` and `counts`.

        Lists are cut at LIST_LIMIT and texts at TEXT_LIMIT; `counts` says how long `sections`, `imports`, `exports`
        and `problems` are.
        """
        lists = ("sections", "imports", "exports", "problems")
        # Cut before copying: a hostile module may bring 100,000 names, and nobody looks at the last ones.
        short = {name: _shorten(getattr(self, name)) for name in self.__dataclass_fields__}
        short["counts"] = {name: len(getattr(self, name)) for name in lists}
        short["loads_in_envoy"] = self.loads_in_envoy
        return short


def _shorten(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_shorten(entry) for entry in value[:LIST_LIMIT]]
    if isinstance(value, str):
        return value if len(value) <= TEXT_LIMIT else value[:TEXT_LIMIT] + "…"
    if hasattr(value, "__dataclass_fields__"):
        return {name: _shorten(entry) for name, entry in asdict(value).items()}
    return value
