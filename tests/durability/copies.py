"""Copies of the hub's source with one thing changed: to show that a test notices, or to make a moment happen."""

import shutil
from pathlib import Path

from tests.hub import ROOT, HubProcess

ROOMS = ("wasmhub", "registry", "web", "deploy", "auth", "storage", "proxywasm")


def copy_source(folder: Path, file: str, old: str, new: str) -> Path:
    """The source under `folder`, with `old` replaced in one file. What is to be replaced must be there once."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / file
    text = path.read_text()
    assert text.count(old) == 1, f"{file} has changed: adapt the test that replaces {old!r}"
    path.write_text(text.replace(old, new))
    return folder


def hub_from(source: Path, data: Path, **settings: str) -> HubProcess:
    """A hub that runs from such a copy."""
    return HubProcess(data, PYTHONPATH=str(source), **settings)
