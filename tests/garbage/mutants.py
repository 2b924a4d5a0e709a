"""The hub with a rule left out, in this process: a changed source takes effect where the modules are in use already."""

import importlib
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

Change = tuple[str, str, str]  # module, what is there once, what is to be there


@contextmanager
def changed(*changes: Change) -> Iterator[None]:
    """Everybody has the modules with the changes made, also who imported from them before; then again without."""
    before: list[tuple[FunctionType, CodeType]] = []
    kept: list[tuple[ModuleType, dict[str, Any]]] = []
    try:
        for name in dict.fromkeys(change[0] for change in changes):
            module = importlib.import_module(name)
            new = _executed(module, [change[1:] for change in changes if change[0] == name])
            constants = {key: value for key, value in new.items() if _is_constant(key, value)}
            kept.append((module, {key: vars(module)[key] for key in constants}))
            vars(module).update(constants)
            theirs = _functions(new, name)
            for path, function in _functions(vars(module), name).items():
                before.append((function, function.__code__))
                function.__code__ = theirs[path].__code__
        yield
    finally:
        for function, code in before:
            function.__code__ = code
        for module, constants in kept:
            vars(module).update(constants)


def _executed(module: ModuleType, changes: list[tuple[str, ...]]) -> dict[str, Any]:
    """What a module holds when its source is changed so."""
    source = Path(str(module.__file__)).read_text()
    for old, new in changes:
        assert source.count(old) == 1, f"{module.__name__} has changed: adapt the test that replaces {old!r}"
        source = source.replace(old, new)
    found = {"__name__": module.__name__, "__file__": module.__file__}
    exec(compile(source, str(module.__file__), "exec"), found)
    return found


def _is_constant(key: str, value: object) -> bool:
    return not (key.startswith("__") or isinstance(value, type | ModuleType) or inspect.isroutine(value))


def _functions(found: dict[str, Any], module: str) -> dict[str, FunctionType]:
    """The functions and methods that a module defines itself."""
    mine = {name: value for name, value in found.items() if getattr(value, "__module__", None) == module}
    methods = {
        f"{name}.{key}": value
        for name, one in mine.items()
        if isinstance(one, type)
        for key, value in vars(one).items()
        if isinstance(value, FunctionType) and value.__code__.co_filename == inspect.getfile(one)
    }
    return methods | {name: inspect.unwrap(value) for name, value in mine.items() if isinstance(value, FunctionType)}
