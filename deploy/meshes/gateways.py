"""How deployments on Envoy Gateway stand: what its controller says of their policies, and then what its Envoys say."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from auth.outgoing import OutgoingRefused
from deploy.meshes.conditions import Heard, hear, nobody
from deploy.meshes.desired import Again, Desired, Done, Observed
from deploy.meshes.kinds import pulls_images
from deploy.meshes.kubernetes import SECRET, Cluster, Refused
from deploy.meshes.lookout import AT_ONCE, EARLY, LATER, MOST_PODS, PODS, SOON, for_pods, runs, say_pull
from deploy.meshes.passing import Pass
from deploy.meshes.proxies import LONGEST_WAIT, PATH, SETTLED, Proxy, begin, follow, read_stats, settle, stand
from deploy.status import PENDING, PROGRESSING, STALLED, UNOBSERVED, WAITING
from deploy.targets.plan import Object, deployments_of
from deploy.targets.remote_filter import plugin_name
from storage.database import now
from storage.targets import TargetRow

TELLS_WITHIN = 5_000  # milliseconds in which a controller says something of what it looks after
_GATEWAY, _NAMESPACE = (f"gateway.envoyproxy.io/owning-gateway-{part}" for part in ("name", "namespace"))
Place = tuple[str, str]  # the namespace and the name of a Gateway


@dataclass
class Gateways(Again):
    """One pass's view. `before` is called before anything is applied, `after` then."""

    cluster: Cluster
    target: TargetRow
    desired: Sequence[Desired]
    _known: dict[str, dict[str, Any]] = field(default_factory=dict)  # of the proxies of each deployment
    _trouble: str | None = None

    async def before(self) -> None:
        """Sees what Envoys count before something is applied that was not yet."""
        plans = {one.row.name: one.plan for one in self.desired if one.plan is not None and not one.problems}
        self._known = {one.row.name: _known(one, plugin_name(one.plan)) for one in self.desired if one.plan}
        fresh = [name for name in plans if not self._known[name]]
        if fresh and self._watches():
            proxies = [proxy for proxy, _ in await self._placed(None)]
            for name in fresh:
                self._known[name] = begin(proxies, plugin_name(plans[name]))

    async def after(self, found: Pass) -> dict[str, Observed]:
        """How the deployments stand that were applied."""
        applied = [
            one for one in self.desired if one.plan and not one.problems and found.done[one.row.name].trouble is None
        ]
        shared = [one for key, one in found.live.items() if key[0] != SECRET]
        heard = {}
        for one in applied:
            heard[one.row.name] = hear([policy for policy in shared if one.row.name in deployments_of(policy)])
        taken = [one for one in applied if _is_taken(heard[one.row.name])]
        proxies: dict[Place, list[Proxy]] = {}
        if taken and self._watches():
            places = {word.gateway for one in taken for word in heard[one.row.name].words}
            for proxy, place in await self._placed(places):
                proxies.setdefault(place, []).append(proxy)
        new = {one.row.name: _filters(one, shared) for one in taken if self._waits(one)}
        return {
            one.row.name: self._judge(one, found.done[one.row.name], heard[one.row.name], proxies, new)
            for one in applied
        }

    def _watches(self) -> bool:
        return self.target.settings.get("observe") == "proxies"

    def _judge(
        self,
        one: Desired,
        done: Done,
        heard: Heard,
        proxies: Mapping[Place, Sequence[Proxy]],
        new: Mapping[str, int],
    ) -> Observed:
        seen, number = one.row.seen, one.row.current.number
        applied_at = seen.applied_at if seen is not None and seen.revision == number else None
        age = 0 if done.written or applied_at is None else now() - applied_at
        if heard.refusals:
            return self._refused(one, heard)
        detail = {"tries": one.tries, "proxies": self._known[one.row.name]}
        said = f"revision {number} was applied"
        if heard.unknown and age > TELLS_WITHIN:
            self.look_in(for_pods(age))
            return Observed(WAITING, nobody(heard), detail)
        if not _is_taken(heard):
            if age > LONGEST_WAIT:
                return Observed(UNOBSERVED, f"{said}; Envoy Gateway does not say whether it takes it", detail)
            self.look_in(SOON if age < EARLY else LATER)
            return Observed(PROGRESSING, f"{said}; Envoy Gateway has not yet said whether it takes it", detail)
        note = f"; {heard.overridden.rstrip('.')}" if heard.overridden else ""
        there = [proxy for place in {word.gateway for word in heard.words} for proxy in proxies.get(place, ())]
        if not self._watches() or self._trouble is not None:
            why = f"cannot be seen: {self._trouble}" if self._trouble else "was not looked at"
            text = f"{said}, and Envoy Gateway has its module; whether proxies run it {why}{note}"
            return Observed(UNOBSERVED, text, detail)
        if not there:
            self.look_in(for_pods(age))
            return Observed(WAITING, f"Envoy Gateway has the module of revision {number}; no proxy runs there", detail)
        return self._seen(one, there, new, age, note)

    def _seen(self, one: Desired, proxies: Sequence[Proxy], new: Mapping[str, int], age: int, note: str) -> Observed:
        """`new` is how many filters there are of each deployment that is waited for."""
        assert one.plan is not None
        others = sum(count for name, count in new.items() if name != one.row.name)
        known = follow(self._known[one.row.name], proxies, plugin_name(one.plan), others=others)
        if age > SETTLED:
            known = settle(known, proxies)
        found = stand(known, one.row.current.number, age=age, note=note)
        if found.status == PROGRESSING:
            self.look_in(SOON if age < EARLY else LATER)
        of_this = {uid: {**held, "revision": one.row.current.number} for uid, held in known.items()}
        return replace(found, detail={"tries": one.tries, "proxies": of_this})

    def _refused(self, one: Desired, heard: Heard) -> Observed:
        """Nobody gets anything of a policy with one filter that fails, so all that it serves are told."""
        ours, detail = "", {"tries": one.tries, "proxies": self._known[one.row.name]}
        if heard.lacks_module:
            ours = say_pull(one.pull, "its log") if pulls_images(self.target) else ""
            detail |= self.try_again(one)
        why = heard.refusal.rstrip(".")
        said = f"Envoy Gateway refused revision {one.row.current.number}: {why}{ours}"
        return Observed(STALLED, f"{said}; until then it answers requests there as failure_policy says", detail)

    def _waits(self, one: Desired) -> bool:
        """Whether it is not known of a proxy what became of a deployment."""
        return any(held["state"] == PENDING for held in self._known[one.row.name].values())

    async def _placed(self, places: Collection[Place] | None) -> list[tuple[Proxy, Place]]:
        """The running proxies of some Gateways, or of all, with their counters."""
        try:
            there = self.target.settings.get("proxies_namespace") or None
            listing = await self.cluster.list(PODS, selector=_GATEWAY, namespace=there)
        except (Refused, OutgoingRefused) as refusal:
            self._trouble = str(refusal)
            return []
        pods = [one for one in listing.objects if runs(one) and (places is None or _place(one) in places)][:MOST_PODS]
        turns = asyncio.Semaphore(AT_ONCE)

        async def ask(pod: Object) -> tuple[Proxy, Place]:
            async with turns:
                return await self._ask(pod), _place(pod)

        return list(await asyncio.gather(*map(ask, pods)))

    async def _ask(self, pod: Object) -> Proxy:
        meta, port = pod["metadata"], int(self.target.settings["stats_port"])
        name = f"{meta['namespace']}/{meta['name']}"
        try:
            text = await self.cluster.through(meta["namespace"], meta["name"], port, PATH)
        except OutgoingRefused:
            text = None
        return Proxy(meta["uid"], name, read_stats(text) if text is not None else None)


def _known(one: Desired, plugin: str) -> dict[str, Any]:
    """What was known of the proxies and of what is to run there."""
    detail = one.row.seen.detail if one.row.seen is not None else None
    held = (detail or {}).get("proxies") or {}
    return {uid: known for uid, known in held.items() if known["plugin"] == plugin}


def _is_taken(heard: Heard) -> bool:
    return bool(heard.words) and not (heard.refusals or heard.silent or heard.unknown)


def _filters(one: Desired, policies: Sequence[Object]) -> int:
    """Of how many policies a deployment is part: an Envoy runs a filter for each."""
    return sum(one.row.name in deployments_of(policy) for policy in policies)


def _place(pod: Object) -> Place:
    labels = pod["metadata"].get("labels") or {}
    return str(labels.get(_NAMESPACE)), str(labels.get(_GATEWAY))
