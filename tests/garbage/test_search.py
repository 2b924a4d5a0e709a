"""The search finds nothing, and does find what each of these changes to the collector would lose."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.durability.copies import copy_source
from tests.hub import ROOT

SECONDS = int(os.environ.get("WASMHUB_GC_SEARCH_SECONDS", "25"))
PROCESSES = 2
SECONDS_FOR_ONE = 150  # to find what a change loses; most take a few
# What is changed, and how: the seed and the round from which the search looks (a few rounds before the first that finds
# it now, so that it is soon found; elsewhere it is found too, but later), the file, what is there, what replaces it.
CHANGES = {
    "unlinking does not look at manifests again": (
        (1, 65),
        "storage/garbage.py",
        'b.leased_until < {READING} AND NOT {_NAMED})"\n)\n_HELD = ',
        'b.leased_until < {READING})"\n)\n_HELD = ',
    ),
    "HEAD does not renew": (
        (2, 45),
        "registry/reading.py",
        'pushes = found is not None and entry.covers(name, "push")',
        "pushes = False",
    ),
    "pushes and mounts do not renew": (
        (2, 8),
        "storage/uploads.py",
        '    _LEASE.run(session, {"id": blob_id})\n',
        "",
    ),
}


def start(seconds: int, *more: str, source: Path = ROOT) -> "subprocess.Popen[str]":
    """A search in a process of its own, over the hub's source or a changed copy of it."""
    command = [sys.executable, "-m", "tests.garbage.search", "--seconds", str(seconds)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([*command, *more], cwd=source, env=environment, stdout=subprocess.PIPE, text=True)


def ended(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """What it found."""
    out, _ = process.communicate(timeout=max(SECONDS, SECONDS_FOR_ONE) + 120)
    assert out, "the search itself failed; see stderr"
    found: dict[str, Any] = json.loads(out)
    return found


def test_no_order_of_things_loses_anything(capsys: pytest.CaptureFixture[str]) -> None:
    searches = [start(SECONDS) for _ in range(PROCESSES)]
    found = [ended(one) for one in searches]
    with capsys.disabled():
        print(f"\nsearch over interleavings: {json.dumps(found)}")
    assert not [one for one in found if "violation" in one]


@pytest.mark.parametrize("change", CHANGES)
def test_a_collector_that_is_changed_for_the_worse_is_found_out(change: str, tmp_path: Path) -> None:
    (seed, first), *changed = CHANGES[change]
    source = copy_source(tmp_path / "source", (changed[0], changed[1], changed[2]))
    found = ended(start(SECONDS_FOR_ONE, "--seed", str(seed), "--first", str(first), source=source))
    assert "violation" in found, found
