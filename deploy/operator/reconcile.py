"""One FilterDeployment is made true: the hub is asked, its objects applied or taken away, its status written.

Nothing is remembered that is not in the cluster too, but what the hub has said of a spec.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from deploy.checks.rules import without_rules
from deploy.meshes.carrying import carry_out
from deploy.meshes.cluster_pass import wanted_of
from deploy.meshes.desired import Desired, judge
from deploy.meshes.kinds import pulls_images
from deploy.meshes.kubernetes import Cluster, Refused
from deploy.meshes.lookout import Lookout
from deploy.meshes.passing import SETTLED, Pass, Scope, Wanted
from deploy.meshes.settings import OWN_RULES
from deploy.operator.hub import Examined, Hub, HubAway, HubRefused
from deploy.operator.resource import FILTERS, FINALIZER, HUB, PLACE, Filter
from deploy.operator.standing import (
    AWAY,
    RESOLVED,
    TRUE,
    Report,
    Said,
    going,
    not_rendered,
    not_resolved,
    status_of,
    stood,
)
from deploy.status import WAITING
from deploy.targets.plan import BadPlacement, Module, Plan
from storage.database import now

log = logging.getLogger("wasmhub.operator")
FOR_PODS = 15.0  # the same where there are no pods yet, which are not watched
MOST_WRITTEN = 10_000  # versions
AGAIN = 300.0  # seconds after which it is looked at although nothing is known to have changed
Key = tuple[str, str]  # namespace and name


class Again(Exception):
    """It is not as wanted, and another try may help: sooner at first, then later and later."""


@dataclass
class Reconciler:
    """Makes FilterDeployments true, several at a time but none twice. `settings` are those of a target."""

    cluster: Cluster
    hub: Hub
    settings: Mapping[str, Any]
    written: set[str] = field(default_factory=set)  # versions of objects that it wrote itself
    _said: dict[Key, tuple[str, int, Examined]] = field(default_factory=dict)  # by what the hub said it of

    async def run(self, key: Key) -> float | None:
        """Makes one true; seconds after which it is to be looked at again, None for one that is gone.

        Raises Again, Refused and OutgoingRefused where another try may help.
        """
        live = await self.cluster.get(FILTERS, *key)
        if live is None:
            self._said.pop(key, None)
            return None
        one = Filter(live)
        if one.deleted:
            return await self._take_away(key, one) if one.held else None
        if not one.held:
            one = Filter(await self._hold(one, [FINALIZER]))
        try:
            examined = await self._examined(key, one)
        except (HubAway, HubRefused) as error:
            found = await self._keep(one)
            word = error.word if isinstance(error, HubRefused) else AWAY
            await self._write(one, not_resolved(one, word, str(error), found.done[one.name].objects))
            raise Again(str(error)) from None
        return await self._make(one, examined)

    async def _examined(self, key: Key, one: Filter) -> Examined:
        """What the hub says of a spec; asked once. Raises HubAway and HubRefused."""
        known = self._said.get(key)
        if known is not None and known[:2] == (one.uid, one.generation):
            return known[2]
        config, kind = one.spec.get("config"), one.mesh.kind
        found = await self.hub.examine(kind, one.settings(self.settings), one.reference, config, one.placement())
        self._said[key] = (one.uid, one.generation, found)
        return found

    async def _make(self, one: Filter, examined: Examined) -> float:
        """Applies and observes."""
        said = f"{one.image} is {examined.digest}"
        resolved = Said(TRUE, RESOLVED, "; ".join([said, *(f"warning: {each}" for each in examined.warnings)]))
        desired = self._desired(one, examined)
        if desired.problems:
            kept = (await self._keep(one)).done[one.name].objects
            await self._write(one, not_rendered(one, resolved, examined.digest, list(desired.problems), kept))
            del self._said[one.namespace, one.name]  # it may be the hub's to change, as whether a repository is public
            raise Again("; ".join(desired.problems))
        assert desired.plan is not None
        lookout = Lookout(self.cluster, one.target(desired.plan.settings), [desired])
        await lookout.before()
        wanted = wanted_of(one.mesh, desired)
        for _, wished in wanted.objects:
            wished["metadata"]["ownerReferences"] = [one.owner()]
        found = await self._carry_out(one, [wanted])
        observed = await lookout.after(found.done)
        done = found.done[one.name]
        seen = judge(desired, done, observed.get(one.name))
        image = f"{desired.plan.image}@{desired.plan.manifest}"
        await self._write(one, stood(one, resolved, examined.digest, image, examined.sha256, seen, done.trouble))
        if done.trouble is not None:
            raise Again(done.trouble)
        patience = FOR_PODS if seen.status == WAITING else AGAIN
        return min(each for each in (patience, found.again, lookout.again) if each is not None)

    def _desired(self, one: Filter, examined: Examined) -> Desired:
        """It as the renderers are given it, and why it cannot be."""
        mesh, spec = one.mesh, one.spec
        try:
            own = without_rules(one.settings(self.settings), *OWN_RULES.get(mesh.kind, ()))
            settings = mesh.read_settings(own)
            placement = mesh.read_placement(one.placement(), settings)
        except BadPlacement as error:
            return Desired(one.row(examined.digest, examined.sha256, examined.config, {}), problems=[str(error)])
        row = one.row(examined.digest, examined.sha256, examined.config, placement)
        secret = spec.get("pullSecret")
        plan = Plan(
            hub_id=HUB,
            target=PLACE,
            deployment=one.name,
            image=f"{urlsplit(settings['hub']).netloc}/{row.current.repository}",
            manifest=examined.image or examined.digest,
            module=Module(examined.sha256, examined.size, examined.facts),
            module_url=f"{settings['hub']}/modules/{examined.sha256}.wasm",
            root_id=row.current.root_id,
            config=examined.config,
            failure_policy=row.current.failure_policy,
            order=row.current.order,
            placement=placement,
            settings=settings,
            pull_secret=str(secret["name"]) if secret else None,
        )
        problems = [*_problems(one, plan, examined), *mesh.problems(plan)]
        return Desired(row, plan, problems)

    async def _take_away(self, key: Key, one: Filter) -> float | None:
        """Takes its objects away, and lets it go once none is left."""
        found = await self._carry_out(one, [Wanted(one.name, (), one.objects)])
        done = found.done[one.name]
        if not done.objects and not done.trouble and not done.written:
            self._said.pop(key, None)
            try:
                await self._hold(one, [])
            except Refused as refusal:
                if refusal.status != 404:
                    raise
            return None
        await self._write(one, going(done.trouble, done.objects))
        if done.trouble is not None:
            raise Again(done.trouble)
        return SETTLED

    async def _keep(self, one: Filter) -> Pass:
        """Sees what is there, and changes nothing."""
        return await carry_out(self.cluster, _scope(one), (), frozenset({one.name}))

    async def _carry_out(self, one: Filter, wanted: Sequence[Wanted]) -> Pass:
        found = await carry_out(self.cluster, _scope(one), wanted, frozenset())
        if len(self.written) > MOST_WRITTEN:  # watches that broke off have not told of them
            self.written.clear()
        self.written |= found.written
        return found

    async def _hold(self, one: Filter, finalizers: list[str]) -> Any:
        """Sets the operator's own finalizers of this very object, and nothing else of it."""
        meta = {"name": one.name, "namespace": one.namespace, "uid": one.uid, "finalizers": finalizers}
        return await self.cluster.apply(FILTERS, {"apiVersion": FILTERS[0], "kind": FILTERS[1], "metadata": meta})

    async def _write(self, one: Filter, report: Report) -> None:
        """Writes the status where it says something new."""
        status = status_of(one, report, now())
        if status == one.status:
            return
        meta = {"name": one.name, "namespace": one.namespace}
        wanted = {"apiVersion": FILTERS[0], "kind": FILTERS[1], "metadata": meta, "status": status}
        try:
            await self.cluster.apply(FILTERS, wanted, force=True, part="status")
        except Refused as refusal:
            if refusal.status != 404:  # it went meanwhile
                raise


def _scope(one: Filter) -> Scope:
    return Scope(HUB, PLACE, one.mesh.types, (one.namespace,), one.name)


def _problems(one: Filter, plan: Plan, examined: Examined) -> list[str]:
    """Why what the hub would do itself cannot be done here, each with the way out."""
    pulls = pulls_images(one.target(plan.settings))
    if pulls and examined.image is None:
        return ["the mesh cannot fetch the image as it was pushed, and the hub makes another only for who is signed in;"
                " give the operator a token"]  # fmt: skip
    if examined.public:
        return []
    if not pulls:
        return [
            "the repository is private, and an EnvoyFilter of the operator's fetches the module without a secret; make"
            " it public, choose the form WasmPlugin, or deploy by the hub itself"
        ]
    if plan.pull_secret is None and plan.settings["form"] != "EnvoyFilter-ECDS":
        return [
            "the repository is private; name a Secret that can pull it as pullSecret, or make the repository public"
        ]
    if plan.settings["form"] == "EnvoyFilter-ECDS":
        return ["the image is private, and an EnvoyFilter-ECDS pulls without a secret; choose the form WasmPlugin"]
    return []
