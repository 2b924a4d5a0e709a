"""Real hubs that collect garbage each second, beside clients that push, pull, mount and delete, and kills of hubs.

`python -m tests.garbage.soak --minutes 30 --seed 1` runs it on the engines that WASMHUB_TEST_ENGINES names, and prints
its figures as JSON; the exit code is 1 if anything was lost or was not as some client had been told.
"""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.engines import chosen, settings_of
from tests.garbage.pusher import LEASE, Pusher, Shared
from tests.garbage.yard import Yard, until
from tests.hub import HubProcess

SETTINGS = {
    "WASMHUB_GC_INTERVAL": "1",
    "WASMHUB_GC_LEASE": str(LEASE),
    "WASMHUB_GC_GRACE": "1",
    "WASMHUB_GC_ORPHANS": "20",
    "WASMHUB_SECRET_KEY": "the key of both hubs",
}
HUBS = 2
PUSHERS = 4
SECONDS_BETWEEN_KILLS = (6.0, 15.0)


@dataclass
class Figures:
    """What garbage collection did, run by run."""

    runs: dict[int, dict[str, Any]] = field(default_factory=dict)

    def look(self, hub: HubProcess) -> None:
        """Notes the runs that have ended; a hub that was killed is asked the next time."""
        try:
            answer = httpx.get(
                f"{hub.url}/api/v1/garbage-collections",
                auth=("admin", hub.admin_password),
                timeout=20,
                trust_env=False,
            )
            for run in answer.json()["garbage_collections"]:
                if run["state"] in ("finished", "failed"):
                    self.runs[run["id"]] = run
        except (httpx.TransportError, KeyError, ValueError):
            return

    def totals(self) -> dict[str, int]:
        """All runs together."""
        total: Counter[str] = Counter()
        for run in self.runs.values():
            total.update(run["figures"])
            total["failed" if run["state"] == "failed" else "finished"] += 1
        return dict(total)


def start_hubs(folder: Path) -> list[HubProcess]:
    """Two hubs over one database and one blob store."""
    first = HubProcess(folder / "hub-0", **SETTINGS)
    shared = settings_of(first.data)
    shared.setdefault("WASMHUB_DATABASE_URL", f"sqlite:///{folder / 'hub.db'}")
    shared.setdefault("WASMHUB_BLOBS", str(folder / "blobs"))
    first.settings = shared | SETTINGS
    hubs = [first, *(HubProcess(folder / f"hub-{number}", **first.settings) for number in range(1, HUBS))]
    for hub in hubs:
        hub.start()
    return hubs


def soak(folder: Path, seconds: float, seed: int) -> dict[str, Any]:
    """Runs it for that long, and says what happened."""
    dice = random.Random(seed)
    hubs = start_hubs(folder)
    shared, figures = Shared([hub.url for hub in hubs], hubs[0].admin_password), Figures()
    pushers = [Pusher(shared, f"soak/p{number}", seed * 1000 + number) for number in range(PUSHERS)]
    threads = [threading.Thread(target=act, daemon=True) for one in pushers for act in (one.push, one.pull)]
    for thread in threads:
        thread.start()
    kills, end, began = 0, time.monotonic() + seconds, time.monotonic()
    next_kill = began + dice.uniform(*SECONDS_BETWEEN_KILLS)
    while time.monotonic() < end and not shared.violations:
        time.sleep(1)
        figures.look(dice.choice(hubs))
        if time.monotonic() > next_kill:
            kills += 1
            _kill(dice.choice(hubs), shared)
            next_kill = time.monotonic() + dice.uniform(*SECONDS_BETWEEN_KILLS)
    shared.ending.set()
    for thread in threads:
        thread.join(timeout=120)
    for one in pushers:
        one.check_all()
    left = _empty(hubs[0], pushers, shared) if not shared.violations else -1
    figures.look(hubs[0])
    for one in pushers:
        one.close()
    for hub in hubs:
        if "Traceback" in hub.log():
            shared.violate(f"a hub's log holds a traceback: {hub.log()[-2000:]}")
        if hub.process is not None and hub.process.poll() is None:
            hub.stop()
    return {
        "engines": chosen(),
        "seed": seed,
        "seconds": round(time.monotonic() - began),
        "kills": kills,
        **shared.counts,
        "collections": figures.totals(),
        "left": left,
        "violations": shared.violations,
    }


def _kill(hub: HubProcess, shared: Shared) -> None:
    """Kills a hub and starts it again. If it does not come back, the soak ends, and its figures are told."""
    hub.kill()
    try:
        hub.start()
    except RuntimeError as error:
        shared.violate(str(error))


def _empty(hub: HubProcess, pushers: list[Pusher], shared: Shared) -> int:
    """Deletes all manifests and waits until all bytes have gone; how much has not."""
    for one in pushers:
        one.delete_all()
    yard = Yard(hub)
    try:
        until(lambda: not _left(yard), "an empty blob store", seconds=120, pause=1)
    except AssertionError as error:
        shared.violate(str(error))
    left = len(_left(yard))
    yard.close()
    return left


def _left(yard: Yard) -> set[str]:
    """What lies in the blob store, but for uploads that were broken off: they may go on for a week."""
    database = yard.hub.open_database()
    try:
        with database.read() as session:
            uploads = {row[0] for row in session.connection().exec_driver_sql("SELECT key FROM uploads")}
    finally:
        database.close()
    return {key for key in yard.stored() if key.partition(".")[0] not in uploads}


def main() -> int:
    """Soaks as told."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = soak(Path(folder), options.minutes * 60, options.seed)
    print(json.dumps(found, indent=1), flush=True)
    return 1 if found["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
