"""`make demo-istio` and `make demo-consul`: a mesh from nothing, a hub, a filter deployed, changed and taken away."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import pytest

from examples.demo.saying import DemoFailed, step, tell
from examples.meshes.story import CONSUL, ISTIO, Mesh, Story
from tests.mesh.world import consul_world, istio_world

MESHES: dict[str, tuple[Mesh, Callable[[Path], AbstractContextManager[Any]]]] = {
    "istio": (ISTIO, istio_world),
    "consul": (CONSUL, consul_world),
}
ROOT = Path(__file__).resolve().parents[2]
TERMINATED = 130  # the exit code after Ctrl-C


def main() -> int:
    """Tells the story; the exit code is 0, 1 if something was not as described, 130 after Ctrl-C."""
    if sys.argv[1:2] == [] or sys.argv[1] not in MESHES:
        print(f"usage: python -m examples.meshes {'|'.join(MESHES)}", file=sys.stderr)
        return 2
    mesh, world = MESHES[sys.argv[1]]
    keep = os.environ.get("KEEP", "") not in ("", "0", "no")
    began = time.monotonic()
    _listen_to(_interrupt)
    folder = Path(tempfile.mkdtemp(prefix="wasmhub-demo-"))
    try:
        _prepare(mesh)
        step(f"1. Start {mesh.name}, from nothing", mesh.begins)
        with world(folder) as made:
            Story(mesh, made, folder).tell()
            print(f"\nDone in {time.monotonic() - began:.0f} s.")
            if keep:
                _wait(mesh, made)
            _listen_to(signal.SIG_IGN)  # what was begun to be ended is ended whole
        print("Nothing is left running now.")
    except pytest.skip.Exception as missing:
        print(f"\nThe demo cannot run here: {missing}", file=sys.stderr)
        return 1
    except (DemoFailed, AssertionError, RuntimeError, httpx.HTTPError, OSError, subprocess.SubprocessError) as failure:
        print(f"\nThe demo failed: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; nothing is left running.", file=sys.stderr)
        return TERMINATED
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _prepare(mesh: Mesh) -> None:
    """What it stands on. Raises DemoFailed where this machine cannot have it, before anything is built."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        raise DemoFailed(
            f"each proxy of {mesh.name} runs in a network namespace of its own, as a pod does, and only root on Linux"
            f" can make these: start it as root (sudo make demo-{mesh.word})"
        )
    missing = [program for program in mesh.programs if not Path(_said("path", f"mesh/{program}")).is_dir()]
    if missing:
        step(
            "0. Build what it is made of",
            f"{' and '.join(missing)} are built from source once, which takes half an hour.",
        )
        subprocess.run(["bash", ROOT / ".ci" / "peers", "mesh"], check=True)


def _said(*words: str) -> str:
    done = subprocess.run(["bash", ROOT / ".ci" / "peers", *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _wait(mesh: Mesh, world: Any) -> None:
    step("Left running")
    tell(f"Sign in at {world.hub.url}/sign-in as admin with the password {world.hub.admin_password}.")
    tell("It all runs until you press Ctrl-C here.")
    signal.pause()


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Ends the story; what comes in a second time must not leave half of it running."""
    _listen_to(signal.SIG_IGN)
    raise KeyboardInterrupt


def _listen_to(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
