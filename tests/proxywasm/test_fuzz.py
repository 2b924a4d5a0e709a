"""A hundred thousand mutated modules: no crash, no hang, memory bounded, and no error but ModuleError."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

MODULES = 100_000
SEEDS = (20_260_101, 20_260_102)  # one process each
ROOT = Path(__file__).resolve().parents[2]


def test_mutated_modules(capsys: pytest.CaptureFixture[str]) -> None:
    count = str(MODULES // len(SEEDS))
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.proxywasm.fuzz", str(seed), count],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in SEEDS
    ]
    found = []
    for run in runs:
        output, errors = run.communicate(timeout=600)
        assert run.returncode == 0, errors[-5000:]
        found.append(json.loads(output))
    with capsys.disabled():
        print(f"\n{MODULES} mutated modules: {found}")
    assert sum(result["unreadable"] + result["loads"] + result["refused"] for result in found) == MODULES
    # A mutation that nothing could come of would prove nothing.
    assert all(min(result["unreadable"], result["loads"], result["refused"]) > 1000 for result in found)
    assert all(result["slowest_seconds"] < 1 for result in found)
    assert all(result["grown_kib"] < 32 * 1024 for result in found)
