"""Copies of the hub's source with something changed: to show that a test notices, or to make a moment happen."""

import shutil
from pathlib import Path

from tests.hub import ROOT, HubProcess

ROOMS = ("wasmhub", "registry", "web", "deploy", "auth", "storage", "proxywasm")


def copy_source(folder: Path, *changes: tuple[str, str, str]) -> Path:
    """The source under `folder`, with each change (file, old, new) made. What is to be replaced must be there once."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room)
    for file, old, new in changes:
        path = folder / file
        text = path.read_text()
        assert text.count(old) == 1, f"{file} has changed: adapt the test that replaces {old!r}"
        path.write_text(text.replace(old, new))
    return folder


def hub_from(source: Path, data: Path, **settings: str) -> HubProcess:
    """A hub that runs from such a copy."""
    return HubProcess(data, PYTHONPATH=str(source), **settings)
