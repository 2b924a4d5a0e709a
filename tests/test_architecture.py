"""The shape of the project: who may import whom, which library lives in which room, how long things may grow."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOORS = ("registry", "web", "deploy")
# room -> the rooms that it may import, besides itself
BELOW = {
    "wasmhub": {*DOORS, "auth", "storage", "proxywasm"},
    **{door: {"auth", "storage", "proxywasm"} for door in DOORS},
    "auth": {"storage", "proxywasm"},
    "storage": {"proxywasm"},
    "proxywasm": set(),
}
# library -> where it may be imported: rooms, folders or files
HOMES = {
    **dict.fromkeys(
        ("sqlmodel", "sqlalchemy", "alembic", "psycopg", "sqlite3", "boto3", "botocore", "redis"), ("storage/",)
    ),
    **dict.fromkeys(("authlib", "joserfc", "argon2", "cryptography", "httpcore", "webauthn"), ("auth/",)),
    **dict.fromkeys(("jinja2", "markupsafe", "markdown_it", "segno"), ("web/",)),
    **dict.fromkeys(("jsonschema", "referencing"), ("deploy/",)),
    "yaml": ("deploy/", "wasmhub/cli/"),
    **dict.fromkeys(("grpc", "envoy", "google"), ("deploy/",)),
    **dict.fromkeys(("oras", "httpx"), ("wasmhub/cli/",)),
    "uvicorn": ("wasmhub/",),
    "wasmtime": ("proxywasm/worker.py",),
    "starlette": ("registry/", "web/", "deploy/", "auth/", "wasmhub/"),
    "anyio": ("registry/", "web/", "deploy/", "auth/", "wasmhub/"),
}
# A session is handed from room to room and only ever passed on outside of storage/: its type may be named anywhere.
NAMED_ANYWHERE = {("sqlalchemy.orm", "Session")}
APP_IMPORTER = "wasmhub/cli/serve.py"
LONGEST_FILE = 400
LONGEST_FUNCTION = 50

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def sources() -> dict[str, ast.Module]:
    """Every Python file of the rooms, by its path from the root."""
    return {path: tree for path, tree in everything().items() if path.partition("/")[0] in BELOW}


@cache
def everything() -> dict[str, ast.Module]:
    """Every Python file of the project, tests, examples and benchmarks too."""
    folders = [*BELOW, "tests", "examples", "benchmarks"]
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in files}


def imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Module and name of everything that is imported; the name is empty for `import module`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((item.name, "") for item in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from ((node.module or "", item.name) for item in node.names)


def functions(tree: ast.AST) -> Iterator[tuple[str, Function]]:
    """Functions of a file and methods of its classes, with their dotted names; nested ones belong to their parent."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Function):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{name}", found) for name, found in functions(node))


def length(node: Function) -> int:
    """Lines from the first decorator to the end."""
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return (node.end_lineno or first) - first + 1


def module_of(path: str) -> str:
    """The dotted name of a file."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def test_rooms_import_only_what_lies_below_them() -> None:
    offenders = [
        f"{path} imports {module}"
        for path, tree in sources().items()
        for module, _ in imports(tree)
        if (room := module.partition(".")[0]) in BELOW
        and room != path.partition("/")[0]
        and room not in BELOW[path.partition("/")[0]]
    ]
    assert not offenders


def test_nothing_in_the_rooms_imports_tests_or_examples() -> None:
    outside = {"tests", "examples", "benchmarks"}
    offenders = [
        f"{path} imports {module}"
        for path, tree in sources().items()
        for module, _ in imports(tree)
        if module.partition(".")[0] in outside
    ]
    assert not offenders


def test_only_the_server_imports_the_composition_root() -> None:
    importers = {path for path, tree in everything().items() if "wasmhub.app" in {name for name, _ in imports(tree)}}
    assert importers == {APP_IMPORTER}


def test_each_library_lives_in_one_room() -> None:
    offenders = [
        f"{path} imports {module}"
        for path, tree in sources().items()
        for module, name in imports(tree)
        if (library := module.partition(".")[0]) in HOMES
        and not path.startswith(HOMES[library])
        and (module, name) not in NAMED_ANYWHERE
    ]
    assert not offenders


def test_every_library_has_a_home() -> None:
    known = {*BELOW, *HOMES, *sys.stdlib_module_names}
    strangers = {
        f"{path} imports {module}"
        for path, tree in sources().items()
        for module, _ in imports(tree)
        if module.partition(".")[0] not in known
    }
    assert not strangers


def test_the_module_reader_needs_the_standard_library_alone() -> None:
    foreign = {
        (path, module)
        for path, tree in sources().items()
        if path.startswith("proxywasm/")
        for module, _ in imports(tree)
        if module.partition(".")[0] not in {"proxywasm", *sys.stdlib_module_names}
    }
    assert foreign == {("proxywasm/worker.py", "wasmtime")}


def test_no_import_goes_in_a_circle() -> None:
    modules = {module_of(path): tree for path, tree in sources().items()}
    edges: dict[str, set[str]] = {}
    for module, tree in modules.items():
        named = {(f"{where}.{name}" if f"{where}.{name}" in modules else where) for where, name in imports(tree)}
        edges[module] = (named & modules.keys()) - {module}
    done: set[str] = set()

    def visit(module: str, trail: list[str]) -> None:
        if module in trail:
            pytest.fail("imports go in a circle: " + " -> ".join([*trail[trail.index(module) :], module]))
        if module in done:
            return
        for other in sorted(edges[module]):
            visit(other, [*trail, module])
        done.add(module)

    for module in sorted(edges):
        visit(module, [])


def test_nothing_is_imported_inside_a_function() -> None:
    offenders = [
        f"{path}:{node.lineno}"
        for path, tree in everything().items()
        for _, function in functions(tree)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert not offenders


def test_every_file_says_what_lives_in_it() -> None:
    silent = [path for path, tree in everything().items() if not ast.get_docstring(tree)]
    assert not silent


def test_every_public_function_has_a_docstring() -> None:
    silent = [
        f"{path}: {name}"
        for path, tree in sources().items()
        if not path.startswith("storage/migrations/")
        for name, function in functions(tree)
        if not any(part.startswith("_") for part in name.split("."))
        if not ast.get_docstring(function)
    ]
    assert not silent


def test_every_argument_and_answer_has_a_type() -> None:
    bare = [
        f"{path}: {name}"
        for path, tree in sources().items()
        if not path.startswith("storage/migrations/")
        for name, function in functions(tree)
        if function.returns is None
    ]
    assert not bare


def test_no_file_and_no_function_grows_too_long() -> None:
    offenders = [
        f"{path} has {count} lines"
        for path in everything()
        if (count := len((ROOT / path).read_text().splitlines())) > LONGEST_FILE
    ]
    offenders += [
        f"{path}: {name} has {length(function)} lines"
        for path, tree in everything().items()
        if not path.startswith("storage/migrations/")
        for name, function in functions(tree)
        if length(function) > LONGEST_FUNCTION
    ]
    assert not offenders
