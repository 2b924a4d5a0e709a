"""kill -9 of a replica at random points of pushes: what it or the other one acknowledged is there on both."""

import random
import time
from pathlib import Path

from tests.faults.figures import LONG, Figures
from tests.faults.load import Load
from tests.faults.replicas import replicas
from tests.peers import peer, postgresql_program

KILLS = 30 if LONG else 4
PUSHES = 500 if LONG else 0  # of manifests that were acknowledged, at the least


def test_kill_9_of_a_replica(tmp_path: Path) -> None:
    for name in ("minio", "redis-server"):
        peer(name)
    postgresql_program("initdb")
    figures = Figures(f"kill -9 of one of two replicas, {KILLS} times")
    with replicas(tmp_path) as stage, Load(stage.hubs, figures, pushers=4, sizes=(30, 5_000, 200_000)) as load:
        chance = random.Random(load.seed)
        kills = 0
        while kills < KILLS or load.pushed() < PUSHES:
            load.until(chance.randint(1, 60), 60)
            time.sleep(chance.uniform(0, 0.1))
            hub = chance.choice(stage.hubs)
            hub.kill()
            killed = time.monotonic()
            # The other one goes on: who asks it is answered, while half of the requests go to the dead one.
            load.until(3, 30)
            figures.recovery = max(figures.recovery, load.next_after(killed) - killed)
            hub.start()
            kills += 1
        load.stop()
        load.check()
        print(f"{kills} kills, {load.pushed()} pushes")
