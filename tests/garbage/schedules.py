"""Orders of things, written down: each is one that some rule of the collector is there for, and loses nothing by it.

`test_schedules.py` runs them as the hub is, and says which of them loses what when a rule is left out.
"""

import random
from collections.abc import Callable

from registry.garbage import Sweep
from storage.errors import Gone
from storage.garbage import UPLOAD_LIFE
from tests.garbage.acts import REFUSED, Acts
from tests.garbage.turns import Turn
from tests.garbage.world import PERIODS, Violation, World
from tests.oci import digest_of

CONTENT = b"what is pushed, collected and pushed again"
ONE = "one/a", digest_of(CONTENT), CONTENT
OTHER = "one/b", digest_of(CONTENT), CONTENT
LEASE_IS_OVER = (PERIODS.lease + 2 * PERIODS.step) / 1000 + 1
GRACE_IS_OVER = (PERIODS.grace + 2 * PERIODS.step) / 1000 + 1
ORPHAN_IS_OVER = (PERIODS.orphan + 2 * PERIODS.step) / 1000 + 1
ROWS = ("links", "blobs")  # the phases that make what is unused a doomed copy


class Stage:
    """What a schedule says: who goes on, how far, and how much time passes. After each turn the world is looked at."""

    def __init__(self, world: World) -> None:
        world.begin()
        world.known.contents[ONE[1]] = CONTENT
        self.world = world
        self._turns: list[Turn] = []

    def turn(self, act: Callable[[Acts], object]) -> Turn:
        """A client who is about to do something."""

        def acts(turn: Turn) -> None:
            one = Acts(self.world, random.Random(1), turn)
            try:
                act(one)
            finally:
                one.close()

        return self._begun(Turn("a client", acts))

    def collector(self, *phases: str) -> Turn:
        """A collector that is about to do one step of each phase."""

        def steps(turn: Turn) -> None:
            means = self.world.means(turn)
            sweep = Sweep(means.database, means.blobs, PERIODS)
            for phase in phases:
                sweep.step(phase, [], False)

        return self._begun(Turn("the collector", steps))

    def until(self, one: Turn, before: str = "a transaction") -> Turn:
        """Lets it go on, to where it stands before that."""
        self._go_on(one)
        while one.before != before and not one.done:
            self._go_on(one)
        assert not one.done, f"{one.name} was to stand before {before}, and came to its end: {one.error!r}"
        return one

    def end(self, one: Turn) -> BaseException | None:
        """Lets it go on to its end; how the hub refused what was asked, if it did."""
        while not one.done:
            self._go_on(one)
        return one.error

    def do(self, act: Callable[[Acts], object]) -> BaseException | None:
        """A client does something, and nobody else anything meanwhile; how the hub refused it, if it did."""
        return self.end(self.turn(act))

    def collect(self, *phases: str) -> None:
        """A collector does one step of each phase, and nobody else anything meanwhile."""
        self.end(self.collector(*phases))

    def wait(self, seconds: float, every: float = PERIODS.step / 1000) -> None:
        """True time passes, in which both replicas look at the hub's clock as often as that."""
        self.world.pass_time(seconds, every=every)
        self.world.check()

    def close(self) -> None:
        """Ends whoever is still under way."""
        for one in self._turns:
            one.crash()

    def _begun(self, one: Turn) -> Turn:
        self._turns.append(one)
        return one

    def _go_on(self, one: Turn) -> None:
        one.go_on()
        if isinstance(one.error, Violation):
            raise one.error
        if one.error is not None and (not isinstance(one.error, REFUSED) or isinstance(one.error, Gone)):
            raise Violation(f"{one.name} failed: {one.error!r}")
        self.world.check()


def lease_is_renewed_after_the_look(stage: Stage) -> None:
    """Somebody is told that a blob is there when the collector has found that its lease is over."""
    stage.do(lambda client: client.push_whole(ONE))
    stage.wait(LEASE_IS_OVER)
    collector = stage.until(stage.collector("links"))
    stage.do(lambda client: client.look(ONE))
    stage.end(collector)


def manifest_comes_after_the_look(stage: Stage) -> None:
    """A manifest is pushed when the collector has found that none names the blob."""
    stage.do(lambda client: client.push_whole(ONE))
    stage.wait(LEASE_IS_OVER)
    collector = stage.until(stage.collector("links"))
    stage.do(lambda client: client.push_manifest((ONE, ONE)))
    stage.end(collector)


def push_comes_after_the_look_and_the_collector_sleeps(stage: Stage) -> None:
    """A blob is held again when the collector has found that nobody holds it, and then the new lease ends too."""
    stage.do(lambda client: client.push_whole(ONE))
    stage.wait(LEASE_IS_OVER)
    stage.collect("links")
    collector = stage.until(stage.collector("blobs"))
    stage.do(lambda client: client.push_whole(OTHER))
    stage.do(lambda client: client.push_manifest((OTHER, OTHER)))
    stage.wait(LEASE_IS_OVER)
    stage.end(collector)


def layer_of_a_deployment_is_taken_out(stage: Stage) -> None:
    """A deployment runs what DELETE has taken out of its repository."""
    stage.do(lambda client: client.push_whole(ONE))
    stage.do(lambda client: client.push_manifest((ONE, ONE)))
    stage.do(Acts.deploy)
    stage.do(lambda client: client.delete_blob(ONE))
    stage.wait(LEASE_IS_OVER)
    stage.collect(*ROWS)
    stage.wait(GRACE_IS_OVER)
    stage.collect("copies")


def deployment_comes_after_the_look(stage: Stage) -> None:
    """A deployment is made when the collector has found that none runs the blob."""
    stage.do(lambda client: client.push_whole(ONE))
    stage.do(lambda client: client.push_manifest((ONE, ONE)))
    stage.do(lambda client: client.delete_blob(ONE))
    stage.wait(LEASE_IS_OVER)
    collector = stage.until(stage.collector("blobs"))
    stage.do(Acts.deploy)
    stage.end(collector)


def deployment_comes_too_late(stage: Stage) -> None:
    """A deployment is asked for of a module whose bytes went."""
    stage.do(lambda client: client.push_whole(ONE))
    stage.do(lambda client: client.push_manifest((ONE, ONE)))
    stage.do(lambda client: client.delete_blob(ONE))
    stage.wait(LEASE_IS_OVER)
    stage.collect(*ROWS)
    stage.do(Acts.deploy)


def reader_has_found_the_key(stage: Stage) -> None:
    """Somebody who keeps nothing has found a blob's key, and opens its bytes when its row is gone."""
    stage.do(lambda client: client.push_whole(ONE))
    stage.wait(LEASE_IS_OVER)
    reader = stage.until(stage.turn(lambda client: client.pull(ONE)), "bytes")
    stage.collect(*ROWS, "copies")
    stage.end(reader)


def push_in_one_request_takes_its_time(stage: Stage) -> None:
    """A push has written its bytes, and commits their row when what is doomed now has gone."""
    push = stage.until(stage.turn(lambda client: client.push_whole(ONE)))
    stage.collect("orphans")
    stage.wait(GRACE_IS_OVER)
    stage.collect("copies")
    stage.end(push)


def push_is_taken_for_left_behind(stage: Stage) -> None:
    """A push commits its row when the collector has doomed its bytes."""
    push = stage.until(stage.turn(lambda client: client.push_whole(ONE)))
    stage.collect("orphans")
    stage.end(push)
    stage.do(lambda client: client.push_manifest((ONE, ONE)))
    stage.wait(ORPHAN_IS_OVER)
    stage.collect("copies")


def push_commits_before_it_is_doomed(stage: Stage) -> None:
    """A push commits its row when the collector has found that no row names its bytes."""
    push = stage.until(stage.turn(lambda client: client.push_whole(ONE)))
    collector = stage.until(stage.collector("orphans"))
    stage.end(push)
    stage.end(collector)
    stage.do(lambda client: client.push_manifest((ONE, ONE)))
    stage.wait(ORPHAN_IS_OVER)
    stage.collect("copies")


def pushed_again_before_the_removal(stage: Stage) -> None:
    """The bytes of a blob that went are pushed again when the collector is about to remove its copy."""
    stage.do(lambda client: client.push_whole(ONE))
    stage.wait(LEASE_IS_OVER)
    stage.collect(*ROWS)
    stage.wait(GRACE_IS_OVER)
    collector = stage.until(stage.collector("copies"), "a removal")
    stage.do(lambda client: client.push_whole(ONE))
    stage.end(collector)


def taken_out_before_the_renewal(stage: Stage) -> None:
    """A blob is taken out of its repository when a HEAD has found it and is about to renew its lease."""
    stage.do(lambda client: client.push_whole(ONE))
    stage.wait(LEASE_IS_OVER)
    look = stage.until(stage.turn(lambda client: client.look(ONE)))
    stage.collect("links")
    stage.end(look)


def looked_at_late(stage: Stage) -> None:
    """A blob is shown, again and again by the same process, to somebody who may push and then waits."""
    stage.do(lambda client: client.push_whole(ONE))
    client = stage.until(stage.turn(lambda client: [client.look(ONE) for _ in range(10)]), "a look")
    for _ in range(9):
        stage.wait(1.5)
        stage.until(client, "a look")  # the next one
        stage.collect(*ROWS)
    stage.wait(PERIODS.lease / 2000 - 0.5)
    stage.collect(*ROWS)


def remembered_for_long(stage: Stage) -> None:
    """A blob is shown twice by the same process, the second time when its lease is nearly over."""
    stage.do(lambda client: client.push_whole(ONE))
    client = stage.until(stage.turn(lambda client: [client.look(ONE) for _ in range(3)]), "a look")
    stage.until(client, "a look")
    stage.wait(PERIODS.lease / 1000 - 1)
    stage.until(client, "a look")
    stage.wait(PERIODS.lease / 2000 - 0.5)
    stage.collect(*ROWS)


def pushed_again_late(stage: Stage) -> None:
    """A blob whose lease is over is pushed again."""
    stage.do(lambda client: client.push_whole(ONE))
    stage.wait(LEASE_IS_OVER)
    stage.do(lambda client: client.push_whole(ONE))
    stage.collect(*ROWS)


def mounted_late(stage: Stage) -> None:
    """A blob whose lease is over, and that a manifest keeps, is mounted elsewhere."""
    stage.do(lambda client: client.push_whole(ONE))
    stage.do(lambda client: client.push_manifest((ONE, ONE)))
    stage.wait(LEASE_IS_OVER)
    stage.do(lambda client: client.mount(OTHER))
    stage.collect(*ROWS)


def lease_lasts_in_true_time(stage: Stage) -> None:
    """Two replicas move the clock on for nearly a lease, as often as they look at it."""
    stage.do(lambda client: client.push_whole(ONE))
    stage.wait(PERIODS.lease / 1000 - 0.5, every=PERIODS.step / 4000)
    stage.collect(*ROWS)


def upload_is_touched_after_the_look(stage: Stage) -> None:
    """A chunk comes when the collector has found that an upload was not touched for a week."""
    push = stage.until(stage.turn(lambda client: client.push_chunks(ONE)))  # the upload's row
    stage.until(push)  # that of its first chunk
    stage.world.jump(UPLOAD_LIFE + PERIODS.step)
    collector = stage.until(stage.collector("uploads"))
    stage.until(push)  # that of the blob
    stage.end(collector)
    refused = stage.end(push)
    if refused is not None:
        raise Violation(f"an upload that was touched was ended: {refused}")


SCHEDULES: dict[str, Callable[[Stage], None]] = {
    one.__name__: one
    for one in (
        lease_is_renewed_after_the_look,
        manifest_comes_after_the_look,
        push_comes_after_the_look_and_the_collector_sleeps,
        layer_of_a_deployment_is_taken_out,
        deployment_comes_after_the_look,
        deployment_comes_too_late,
        reader_has_found_the_key,
        push_in_one_request_takes_its_time,
        push_is_taken_for_left_behind,
        push_commits_before_it_is_doomed,
        pushed_again_before_the_removal,
        taken_out_before_the_renewal,
        looked_at_late,
        remembered_for_long,
        pushed_again_late,
        mounted_late,
        lease_lasts_in_true_time,
        upload_is_touched_after_the_look,
    )
}


def run(world: World, schedule: str) -> None:
    """Runs one; then all is deleted and must go. Raises Violation."""
    stage = Stage(world)
    try:
        SCHEDULES[schedule](stage)
    finally:
        stage.close()
    world.end()
