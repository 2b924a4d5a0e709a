"""A filter's config against the JSON Schema that its author pushed beside it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SCHEMA_TYPE = "application/vnd.wasmhub.config-schema.v1+json"  # artifact type of the referrer that holds the schema
MAX_SCHEMA = 256 * 1024  # bytes
SECONDS = 10.0
_CHECK = Path(__file__).with_name("schema_check.py")


def config_problem(schema: bytes, config: str) -> str | None:
    """Why the config does not fit the schema, as the end of a sentence; None if it does.

    Takes a fraction of a second in a process of its own, which is ended where it takes longer than it may.
    """
    try:
        wanted: Any = json.loads(schema)
    except (ValueError, RecursionError):
        return "the schema is not JSON"
    if not isinstance(wanted, dict | bool):
        return "the schema is not a JSON object"
    try:
        given: Any = json.loads(config)
    except (ValueError, RecursionError):
        return "the config is not JSON, as its schema wants it to be"
    return _check(json.dumps({"schema": wanted, "config": given}))


def _check(asked: str) -> str | None:
    try:
        done = subprocess.run(
            [sys.executable, "-I", _CHECK], input=asked, capture_output=True, text=True, timeout=SECONDS, check=True
        )
        answer = json.loads(done.stdout)
    except (subprocess.SubprocessError, ValueError):
        return "checking it took too long or too much memory; simplify the schema's patterns"
    problem: str | None = answer["problem"]
    return problem
