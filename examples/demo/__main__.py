"""The demo's story: pushed, deployed, changed, refused by the hub, refused by the proxy."""

import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import httpx

from examples.demo.saying import DemoFailed, step, tell
from examples.demo.story import Story

TERMINATED = 130  # the exit code after Ctrl-C


def main() -> int:
    """Tells the story; the exit code is 0, 1 if something was not as described, 130 after Ctrl-C."""
    keep = os.environ.get("KEEP", "") not in ("", "0", "no")
    began = time.monotonic()
    _listen_to(_interrupt)
    try:
        with _stage(keep) as story:
            story.tell()
        print(f"\nDone in {time.monotonic() - began:.0f} s.")
        _end(story, keep)
    except (DemoFailed, httpx.HTTPError, OSError, subprocess.SubprocessError) as failure:
        print(f"\nThe demo failed: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; nothing is left running.", file=sys.stderr)
        return TERMINATED
    return 0


@contextmanager
def _stage(keep: bool) -> Iterator[Story]:
    """A temporary folder with everything in it; unless it is kept after the end, nothing of it is left."""
    folder = Path(tempfile.mkdtemp(prefix="wasmhub-demo-"))
    story = Story(folder, secrets.token_urlsafe(9))
    told = False
    try:
        yield story
        told = True
    finally:
        _listen_to(signal.SIG_IGN)
        if not (keep and told):
            story.processes.stop()
            shutil.rmtree(folder, ignore_errors=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Ends the story; what comes in a second time must not leave half of it running."""
    _listen_to(signal.SIG_IGN)
    raise KeyboardInterrupt


def _listen_to(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _end(story: Story, keep: bool) -> None:
    print(f"The page to open: {story.page}")
    if not keep:
        print("Nothing is left running now; `make demo KEEP=1` leaves it all there to look at.")
        return
    step("Left running")
    tell(f"Sign in at {story.hub}/sign-in as admin with the password {story.password}. For your own commands:")
    print(f"    export WASMHUB_URL={story.hub} WASMHUB_TOKEN={story.environment['WASMHUB_TOKEN']}")
    print("  To end it:")
    ids = [str(process.pid) for process in reversed(story.processes.running.values())]
    print(f"    kill {' '.join(ids)}; rm -r {shlex.quote(str(story.processes.folder))}")


if __name__ == "__main__":
    sys.exit(main())
