"""The search finds no order of things in which something is lost."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.hub import ROOT

SECONDS = int(os.environ.get("WASMHUB_GC_SEARCH_SECONDS", "50"))
PROCESSES = 2


def start() -> "subprocess.Popen[str]":
    """A search in a process of its own."""
    command = [sys.executable, "-m", "tests.garbage.search", "--seconds", str(SECONDS)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def ended(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """What it found."""
    out, _ = process.communicate(timeout=SECONDS + 120)
    assert out, "the search itself failed; see stderr"
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.mark.usefixtures("embedded")
def test_no_order_of_things_loses_anything(capsys: pytest.CaptureFixture[str]) -> None:
    searches = [start() for _ in range(PROCESSES)]
    found = [ended(one) for one in searches]
    with capsys.disabled():
        print(f"\nsearch over interleavings: {json.dumps(found)}")
    assert not [one for one in found if "violation" in one]
