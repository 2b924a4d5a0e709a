"""A process of its own that checks one config against one JSON Schema and ends: patterns may run wild in it.

Reads `{"schema", "config"}` from its input, writes `{"problem": sentence or null}`.
"""

import contextlib
import json
import resource
import sys
from typing import Any

import jsonschema
import referencing

CPU_SECONDS = 2
MEMORY = 512 * 1024 * 1024


def main() -> None:
    """Limits itself, then checks."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    with contextlib.suppress(ValueError, OSError):  # not every system can limit memory
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    asked = json.load(sys.stdin)
    json.dump({"problem": find_problem(asked["schema"], asked["config"])}, sys.stdout)


def find_problem(schema: Any, config: Any) -> str | None:
    """What is wrong with the config, or with the schema; nothing is fetched from anywhere."""
    try:
        kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        kind.check_schema(schema)
        validator = kind(schema, registry=referencing.Registry())
        error = jsonschema.exceptions.best_match(validator.iter_errors(config))
    except jsonschema.SchemaError as wrong:
        return f"the schema itself is not valid: {wrong.message[:300]}"
    except referencing.exceptions.Unresolvable as wrong:
        return f"the schema refers to {str(wrong.ref)[:200]}, which it does not hold; a schema must be whole"
    except RecursionError:
        return "the schema or the config is nested too deeply"
    if error is None:
        return None
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    return f"{('at ' + place[:200] + ': ') if place else ''}{error.message[:300]}"


if __name__ == "__main__":
    main()
