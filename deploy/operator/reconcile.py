"""One FilterDeployment is made true: the hub is asked, its objects applied or taken away, its status written.

Nothing is remembered that is not in the cluster too, but what the hub has said of a spec. Those of which one object
serves several are made true together (`together.py`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from deploy.meshes.carrying import carry_out
from deploy.meshes.cluster_pass import wanted_of
from deploy.meshes.desired import Desired, judge
from deploy.meshes.kinds import ENVOY_GATEWAY, MESHES
from deploy.meshes.kubernetes import Cluster
from deploy.meshes.lookout import Lookout
from deploy.meshes.passing import SETTLED, Pass, Scope, Wanted
from deploy.operator.asking import Asking
from deploy.operator.hub import Examined, Hub, HubAway, HubRefused
from deploy.operator.keeping import Keeper
from deploy.operator.resource import FINALIZER, HUB, PLACE, Filter, Key
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
from deploy.operator.together import Together
from deploy.operator.wishing import desired_of

MOST_WRITTEN = 10_000  # versions


class Again(Exception):
    """It is not as wanted, and another try may help: sooner at first, then later and later."""


class Written:
    """Versions of objects that the operator wrote itself, of which its watches need not tell."""

    def __init__(self) -> None:
        self._versions: set[str] = set()

    def add(self, versions: set[str]) -> None:
        """They were written."""
        if len(self._versions) > MOST_WRITTEN:  # watches that broke off have not told of them
            self._versions.clear()
        self._versions |= versions

    def take(self, version: str) -> bool:
        """Whether one is among them, which is told once."""
        held = version in self._versions
        self._versions.discard(version)
        return held


class Reconciler:
    """Makes FilterDeployments true, several at a time but none twice.

    `settings` are those of a target, for each kind of mesh that is looked after.
    """

    def __init__(self, cluster: Cluster, hub: Hub, settings: Mapping[str, Mapping[str, Any]]) -> None:
        self.settings = settings
        self.written = Written()
        self._cluster = cluster
        self._keeper = Keeper(cluster)
        self._asking = Asking(hub, settings)
        mesh = MESHES[ENVOY_GATEWAY]
        self._together = Together(mesh, cluster, self._keeper, self._asking, self.written.add)

    async def run(self, key: Key) -> float | None:
        """Makes one true, or those that are one work; seconds after which it is to be looked at again, None for what
        is gone.

        Raises Again, Refused and OutgoingRefused where another try may help.
        """
        namespace, name = key
        if not name:
            return await self._together.run(namespace)
        one = await self._keeper.get(key)
        if one is None or one.work != key:
            self._asking.forget(key)
            return None
        if one.mesh.kind not in self.settings:
            await self._keeper.write(one, unattended(one, self.settings))
            return None
        if one.deleted:
            return await self._take_away(one) if one.held else None
        if not one.held:
            one = await self._keeper.hold(one, [FINALIZER])
        try:
            examined = await self._asking.examined(one)
        except (HubAway, HubRefused) as error:
            found = await self._keep(one)
            report = not_resolved(one, word_of(error), str(error), found.done[one.name].objects)
            await self._keeper.write(one, report)
            raise Again(str(error)) from None
        return await self._make(one, examined)

    async def _make(self, one: Filter, examined: Examined) -> float:
        """Applies and observes."""
        said = resolved(one, examined)
        desired = desired_of(one, examined, self.settings[one.mesh.kind])
        if desired.problems:
            kept = (await self._keep(one)).done[one.name].objects
            await self._keeper.write(one, not_rendered(one, said, examined.digest, list(desired.problems), kept))
            self._asking.forget(one.key)  # it may be the hub's to change, as whether a repository is public
            raise Again("; ".join(desired.problems))
        assert desired.plan is not None
        lookout = Lookout(self._cluster, one.target(desired.plan.settings), [desired])
        await lookout.before()
        found = await self._carry_out(one, [_wanted(one, desired)])
        observed = await lookout.after(found.done)
        done = found.done[one.name]
        seen = judge(desired, done, observed.get(one.name))
        image = f"{desired.plan.image}@{desired.plan.manifest}"
        await self._keeper.write(one, stood(one, said, examined.digest, image, examined.sha256, seen, done.trouble))
        if done.trouble is not None:
            raise Again(done.trouble)
        return min(each for each in (look_in(seen.status), found.again, lookout.again) if each is not None)

    async def _take_away(self, one: Filter) -> float | None:
        """Takes its objects away, and lets it go once none is left."""
        found = await self._carry_out(one, [Wanted(one.name, (), one.objects)])
        done = found.done[one.name]
        if not done.objects and not done.trouble and not done.written:
            self._asking.forget(one.key)
            await self._keeper.let_go(one)
            return None
        await self._keeper.write(one, going(done.trouble, done.objects))
        if done.trouble is not None:
            raise Again(done.trouble)
        return SETTLED

    async def _keep(self, one: Filter) -> Pass:
        """Sees what is there, and changes nothing."""
        return await carry_out(self._cluster, _scope(one), (), frozenset({one.name}))

    async def _carry_out(self, one: Filter, wanted: Sequence[Wanted]) -> Pass:
        found = await carry_out(self._cluster, _scope(one), wanted, frozenset())
        self.written.add(found.written)
        return found


def _wanted(one: Filter, desired: Desired) -> Wanted:
    wanted = wanted_of(one.mesh, desired)
    for _, wished in wanted.objects:
        wished["metadata"]["ownerReferences"] = [one.owner()]
    return wanted


def _scope(one: Filter) -> Scope:
    return Scope(HUB, PLACE, one.mesh.types, (one.namespace,), one.name)
