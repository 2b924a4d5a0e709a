"""How the commands print: tables and facts for people, JSON for programs."""

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any


def show(options: argparse.Namespace, value: Any, text: str) -> int:
    """Prints what came, as `--output` says; the exit code of success."""
    print(json.dumps(value, indent=2, ensure_ascii=False) if options.output == "json" else text, flush=True)
    return 0


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], empty: str) -> str:
    """Rows below their titles (title -> key of the row), or what to say if there are none."""
    if not rows:
        return empty
    cells = [list(columns), *([plain(row.get(key)) for key in columns.values()] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def facts(value: Mapping[str, Any]) -> str:
    """Names and values, one a line."""
    width = max(map(len, value))
    return "\n".join(f"{name.ljust(width)}  {plain(one)}" for name, one in value.items())


def plain(value: Any) -> str:
    """A value on one line. What would move a terminal's cursor becomes a question mark: proxies choose names too."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "".join(letter if letter.isprintable() else "?" for letter in str(value))


def short(digest: str) -> str:
    """A digest as far as people tell one from another by it."""
    algorithm, _, rest = digest.partition(":")
    return plain(f"{algorithm}:{rest[:12]}")
