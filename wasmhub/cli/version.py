"""`wasmhub --version`."""

import importlib.metadata


def main(arguments: list[str]) -> int:
    """Prints the version of what is installed."""
    print(f"wasmhub {importlib.metadata.version('wasmhub')}")
    return 0
