"""What a module and its image say about themselves: bytes in, facts out. Pure, the standard library only.

`read_module(data)` gives ModuleFacts or raises ModuleError; `describe_module(data)` gives facts of unreadable bytes
too. A module that is not trusted belongs into `proxywasm.inspector`, which reads it in a process of its own.
`proxywasm.images` finds the module in an image. `READER_VERSION` changes whenever facts may come out differently.
"""

from proxywasm.error import ModuleError
from proxywasm.facts import LIST_LIMIT, ExportFact, ImportFact, ModuleFacts
from proxywasm.problems import CRASHES, REFUSED, UNSAFE, Problem
from proxywasm.reader import READER_VERSION, describe_module, read_module

__all__ = [
    "CRASHES",
    "LIST_LIMIT",
    "READER_VERSION",
    "REFUSED",
    "UNSAFE",
    "ExportFact",
    "ImportFact",
    "ModuleError",
    "ModuleFacts",
    "Problem",
    "describe_module",
    "read_module",
]
