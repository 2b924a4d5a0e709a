"""Takes rollouts on: one process in the world looks at each that is under way, and does what is next."""

import logging

from deploy.checks.windows import closed
from deploy.leading import Leader
from deploy.rollouts.health import Health, judge_health
from deploy.rollouts.waves import Step, next_step
from deploy.views.deployments import live_for
from storage.database import Conflict, Database, now
from storage.events import SYSTEM
from storage.nodes import nodes, slot_nodes
from storage.rollout_rows import HALTED, RolloutRow, any_watched, find_rollout, rollout_figures, watched_rollouts
from storage.rollouts import finish_rollout, move_rollout, take_back_rollout
from storage.targets import find_target

log = logging.getLogger("wasmhub.deploy")
LONGEST_GAP = 15_000  # milliseconds between two looks beyond which nobody can have asked meanwhile


class Conductor(Leader):
    """Looks after rollouts. Two at once would do no harm: every step says what it expects to find."""

    lease = "rollouts"

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._began = now()  # since when nodes could ask without a break, as far as this process knows
        self._looked = now()

    def any(self) -> bool:
        """Whether a rollout is under way."""
        if now() - self._looked > LONGEST_GAP:  # the process, or its machine, stood still
            self._began = now()
        self._looked = now()
        with self._database.read() as session:
            return any_watched(session)

    def missed(self) -> None:
        """Nodes had no answer either."""
        self._began = now()

    def look(self) -> None:
        """Takes each rollout that is under way a step on."""
        with self._database.read() as session:
            found = watched_rollouts(session)
        for one in found:
            try:
                self._take_on(one.id)
            except Conflict as conflict:  # a person was faster; the next look sees it
                log.info("rollout %d: %s", one.id, conflict)
            except Exception:  # a mistake with one is not to hold up the others
                log.exception("rollout %d of %s/%s cannot be looked after", one.id, one.target, one.deployment)

    def _take_on(self, rollout_id: int) -> None:
        found = stand_of(self._database, rollout_id, watched=now() - self._began)
        if found is None:
            return
        rollout, step = found
        if step.do == "move":
            move_rollout(
                self._database,
                rollout,
                wave=step.wave,
                cut=step.cut,
                baking_since=step.baking_since,
                lines=step.lines,
            )
        elif step.do == "halt":
            figures = step.health.figures if step.health is not None else None
            made = take_back_rollout(self._database, SYSTEM, rollout.id, step.message, figures)
            log.warning("rollout %d of %s/%s: %s", made.id, made.target, made.deployment, step.message)
        elif step.do == "finish":
            finish_rollout(self._database, rollout, step.message, step.lines)


def stand_of(database: Database, rollout_id: int, *, watched: int | None = None) -> tuple[RolloutRow, Step] | None:
    """A rollout and what is next with it; None if it is gone. `watched` is how long nodes could ask without a break."""
    with database.read() as session:
        rollout = find_rollout(session, rollout_id)
        if rollout is None:
            return None
        target = find_target(session, rollout.target)
        if rollout.state == HALTED and not rollout.from_revision:  # it has lost its slot, or has got another
            proxies = nodes(session, rollout.target_id)
        else:
            proxies = slot_nodes(session, rollout.target_id, rollout.slot or 0)
        counted = rollout_figures(session, rollout.id)
    if target is None:
        return None
    health: Health = judge_health(counted, rollout.wave, rollout.limits)
    live = live_for(target)
    shut = closed(target.settings, now())
    step = next_step(
        rollout,
        proxies,
        health,
        at=now(),
        live=live,
        watched=live if watched is None else watched,
        closed=f"{target.name} {shut.message}" if shut is not None else "",
    )
    return rollout, step
