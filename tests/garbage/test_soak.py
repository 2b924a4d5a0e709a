"""The soak in its short form: two hubs that collect each second, clients that check everything, and kills of hubs."""

import json
import os
import time
from pathlib import Path

import pytest

from tests.garbage.soak import soak

SECONDS = 50


def test_nothing_is_lost_beside_real_clients_and_kills(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("SEED", time.time_ns() % 10**6))
    found = soak(tmp_path, SECONDS, seed)
    with capsys.disabled():
        print(f"\nsoak: {json.dumps(found)}")
    assert found["violations"] == []
    assert found["kills"] >= 1 and found["pulls"] > 0 and found["deletes"] > 0
    assert found["collections"]["blobs"] > 0 and found["collections"]["copies"] > 0
