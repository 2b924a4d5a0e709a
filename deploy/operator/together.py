"""All FilterDeployments of a namespace that are for a mesh of which one object serves several: made true together."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from deploy.meshes.carrying import Share, carry_out
from deploy.meshes.cluster_pass import share_of, wanted_of
from deploy.meshes.desired import Desired, Done, Observed, judge
from deploy.meshes.gateways import Gateways
from deploy.meshes.kinds import Mesh
from deploy.meshes.kubernetes import Cluster, Kind, Refused
from deploy.meshes.passing import SETTLED, Pass, Scope, Wanted
from deploy.operator.asking import Asking, Failures
from deploy.operator.hub import Examined, HubAway, HubRefused
from deploy.operator.keeping import Keeper
from deploy.operator.resource import FINALIZER, HUB, PLACE, Filter, target_of
from deploy.operator.standing import (
    going,
    look_in,
    not_rendered,
    not_resolved,
    resolved,
    stood,
    unattended,
    word_of,
)
from deploy.operator.wishing import desired_of, held_back, kept_of, settings_of
from deploy.targets.plan import Object, Plan, deployments_of

log = logging.getLogger("wasmhub.operator")


@dataclass(frozen=True)
class View:
    """One of them: as it is to be, and what the hub said of it."""

    one: Filter
    desired: Desired
    examined: Examined | None = None
    error: HubAway | HubRefused | None = None


@dataclass
class Together:
    """Makes those of one kind of mesh true, a namespace at a time."""

    mesh: Mesh
    cluster: Cluster
    keeper: Keeper
    asking: Asking
    wrote: Callable[[set[str]], None]  # is told the versions of objects that were written
    _failures: Failures = field(default_factory=Failures)

    async def run(self, namespace: str) -> float | None:
        """One pass; seconds after which another is due, None where there is nothing. Raises Refused and
        OutgoingRefused.
        """
        there = await self.keeper.all(namespace, self.mesh.kind)
        if self.mesh.kind not in self.asking.settings:
            for one in there:
                await self.keeper.write(one, unattended(one, self.asking.settings))
            return None
        views = self._fitting([view for view in await self._views(there) if view is not None])
        found, observed, again = await self._pass(namespace, views)
        waits = [again, found.again, *[await self._told(view, found, observed) for view in views]]
        return min((each for each in waits if each is not None), default=None)

    async def _views(self, there: Sequence[Filter]) -> list[View | None]:
        """Each with what the hub says; where it is away it is not asked for the next in vain."""
        views: list[View | None] = []
        away: HubAway | None = None
        for one in there:
            view = await self._view(one, away)
            if view is not None and isinstance(view.error, HubAway):
                away = view.error
            views.append(view)
        return views

    async def _view(self, one: Filter, away: HubAway | None) -> View | None:
        """None for one that is gone but for what is not the operator's."""
        common = self.asking.settings[self.mesh.kind]
        if one.deleted:
            return View(one, Desired(one.row("", "", None, {}))) if one.held else None
        if not one.held:
            try:
                one = await self.keeper.hold(one, [FINALIZER])
            except Refused as refusal:
                if refusal.status in (404, 409):
                    return None  # it went meanwhile
                said = f"the cluster does not let the operator hold it by its finalizer: {refusal}"
                return View(one, kept_of(one, said, common), error=HubRefused("NotHeld", said))
        try:
            examined = await self._examined(one, away)
        except (HubAway, HubRefused) as error:
            return View(one, kept_of(one, str(error), common), error=error)
        desired = desired_of(one, examined, common)
        return View(one, held_back(one, desired) if desired.problems else desired, examined)

    async def _examined(self, one: Filter, away: HubAway | None) -> Examined:
        """What the hub says, or has said and is not yet asked again for. Raises HubAway and HubRefused."""
        failure = self._failures.of(one)
        if failure is not None and failure.asks and not failure.wait:
            self.asking.forget(one.key)
        elif failure is not None and failure.error is not None:
            raise failure.error
        if away is not None and self.asking.known(one) is None:
            raise away
        return await self.asking.examined(one)

    def _fitting(self, views: Sequence[View]) -> list[View]:
        """The same, but those that there is no room for beside others; who was there first stays."""
        assert self.mesh.together is not None, f"{self.mesh.kind} has objects for each alone"
        problems = self.mesh.together.problems
        if not problems([view.desired.plan for view in views if view.desired.plan is not None]):
            return list(views)
        held: list[Plan] = []
        found: dict[str, View] = {}
        for view in sorted(views, key=lambda each: _age(each.one)):
            plan = view.desired.plan
            said = problems([*held, plan]) if plan is not None and not view.desired.problems else []
            if said:
                view = replace(view, desired=held_back(view.one, replace(view.desired, problems=said)))
            elif plan is not None and (view.one.applied or not view.desired.problems):
                held.append(plan)
            found[view.one.name] = view
        return [found[view.one.name] for view in views]

    async def _pass(self, namespace: str, views: Sequence[View]) -> tuple[Pass, dict[str, Observed], float | None]:
        """What is there is made as wanted, and the proxies are asked."""
        desired = [view.desired for view in views]
        untouched = frozenset(one.row.name for one in desired if one.problems)
        wanted = [_wanted(view) for view in views if not view.desired.problems]
        scope = Scope(HUB, PLACE, self.mesh.types, (namespace,), confined=True)
        target = target_of(self.mesh, settings_of(self.mesh, self.asking.settings[self.mesh.kind]))
        gateways = Gateways(self.cluster, target, desired)
        await gateways.before()
        found = await carry_out(self.cluster, scope, wanted, untouched, self._share(views))
        self.wrote(found.written)
        return found, await gateways.after(found), gateways.again

    def _share(self, views: Sequence[View]) -> Share:
        """What renders their objects, each owned by all that it serves: should nobody hold their finalizers, the
        cluster takes it away with the last of them.
        """
        assert self.mesh.together is not None, f"{self.mesh.kind} has objects for each alone"
        render = share_of(self.mesh, self.mesh.together, [view.desired for view in views])
        owners = {view.one.name: view.one.owner() for view in views}

        def share(live: Sequence[Object], in_trouble: frozenset[str]) -> list[tuple[Kind, Object]]:
            made = render(live, in_trouble)
            for _, wished in made:
                names = deployments_of(wished)
                wished["metadata"]["ownerReferences"] = [owners[name] for name in names if name in owners]
            return list(made)

        return share

    async def _told(self, view: View, found: Pass, observed: Mapping[str, Observed]) -> float | None:
        """As `_say`; one whose status the cluster does not take must not hold up the others."""
        try:
            return await self._say(view, found, observed)
        except Refused as refusal:
            log.warning("%s/%s: %s", *view.one.key, refusal)
            return self._failures.add(view.one)

    async def _say(self, view: View, found: Pass, observed: Mapping[str, Observed]) -> float | None:
        """Writes how one stands; seconds until it is due again."""
        one, desired, done = view.one, view.desired, found.done[view.one.name]
        if one.deleted:
            return await self._take_away(one, done)
        if view.error is not None:
            report = not_resolved(one, word_of(view.error), str(view.error), done.objects)
            await self.keeper.write(one, report)
            return self._failures.add(one, view.error, asks=True)
        assert view.examined is not None
        said, digest = resolved(one, view.examined), view.examined.digest
        if desired.problems:
            await self.keeper.write(one, not_rendered(one, said, digest, list(desired.problems), done.objects))
            return self._failures.add(one, asks=True)  # it may be the hub's to change
        assert desired.plan is not None
        seen = judge(desired, done, observed.get(one.name))
        image = f"{desired.plan.image}@{desired.plan.manifest}"
        await self.keeper.write(one, stood(one, said, digest, image, view.examined.sha256, seen, done.trouble))
        if done.trouble is not None:
            return self._failures.add(one)
        self._failures.forget(one.key)
        return look_in(seen.status)

    async def _take_away(self, one: Filter, done: Done) -> float | None:
        """Lets one go that nothing is left of."""
        if not done.objects and not done.trouble and not done.written:
            self.asking.forget(one.key)
            self._failures.forget(one.key)
            await self.keeper.let_go(one)
            return None
        await self.keeper.write(one, going(done.trouble, done.objects))
        return self._failures.add(one) if done.trouble is not None else SETTLED


def _wanted(view: View) -> Wanted:
    if view.one.deleted:
        return Wanted(view.one.name, (), view.one.objects)
    return wanted_of(view.one.mesh, view.desired)


def _age(one: Filter) -> tuple[bool, str, str]:
    """Less for those who have been there longer: first what was applied, then what was made."""
    return not one.applied, str(one.live["metadata"].get("creationTimestamp")), one.name
