"""How filters do that stand in the listeners of Istio's Envoys (its form EnvoyFilter): what those Envoys count."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from deploy.meshes.desired import Desired, Done, Observed
from deploy.meshes.kubernetes import Cluster
from deploy.meshes.lookout import EARLY, INLINE, LATER, SOON, Lookout, for_pods, started_at
from deploy.meshes.proxies import SETTLED, Proxy, Stats, begin, follow, metric_of, note, read_stats, settle, stand
from deploy.status import PENDING, PROGRESSING, WAITING
from deploy.targets.remote_filter import plugin_name
from storage.database import now
from storage.targets import TargetRow

A_SECOND = 1_000  # milliseconds; a pod says no more exactly when it started


@dataclass
class Listeners(Lookout):
    """One pass's view of the pods. `before` is called before anything is applied, `after` then."""

    inline = True
    _started: dict[str, int] = field(default_factory=dict)  # when each pod did

    async def before(self) -> None:
        """Sees what Envoys count before a revision is applied that was not yet."""
        self.known = {one.row.name: _known(one) for one in self.watched()}
        fresh = [one for one in self.watched() if not self.known[one.row.name]]
        there = await self._proxies(fresh) if fresh else {}
        for one in fresh:
            there_before = [each for each in there.get(one.row.name, ()) if not _has(each, one)]
            self.known[one.row.name] = begin(there_before, _name(one))

    async def after(self, done: Mapping[str, Done]) -> dict[str, Observed]:
        """How the deployments stand that were applied."""
        watched = [one for one in self.watched() if done[one.row.name].trouble is None]
        there = await self._proxies(watched) if watched else {}
        if self.trouble is not None:
            kept = {one.row.name: {"proxies": self.known[one.row.name]} for one in watched}
            return {one.row.name: replace(self.unseen(one), detail=kept[one.row.name]) for one in watched}
        for one in watched:  # of a pod that came later nothing was known
            late = {each.uid: note(each, _name(one), Stats()) for each in there[one.row.name]}
            self.known[one.row.name] = late | self.known[one.row.name]
        return {one.row.name: self._seen(one, done[one.row.name], there[one.row.name], watched) for one in watched}

    def _seen(self, one: Desired, done: Done, proxies: Sequence[Proxy], watched: Sequence[Desired]) -> Observed:
        number, seen = one.row.current.number, one.row.seen
        applied_at = seen.applied_at if seen is not None and seen.revision == number and not done.written else None
        since = applied_at if applied_at is not None else now()
        age = now() - since
        if not proxies:
            self.look_in(for_pods(age))
            return Observed(WAITING, "no pod matches the placement, or none is running", {"proxies": {}})
        known: dict[str, Any] = {}
        for proxy in proxies:
            waited = [_name(each) for each in watched if self._waits(each, proxy.uid)]
            held, late = self.known[one.row.name][proxy.uid], self._started[proxy.uid] > since - A_SECOND
            if _tells_apart(proxy, held, waited, late=late):
                others = sum(name != _name(one) for name in waited)
                known |= follow(self.known[one.row.name], [proxy], _name(one), others=others)
                known = settle(known, [proxy]) if age > SETTLED else known
            else:
                known[proxy.uid] = held
        found = stand(known, number, age=age, source="the hub")
        if found.status == PROGRESSING:
            self.look_in(SOON if age < EARLY else LATER)
        return replace(found, detail={"proxies": {uid: {**held, "revision": number} for uid, held in known.items()}})

    def _waits(self, one: Desired, uid: str) -> bool:
        """Whether it is not known what became of a deployment on a pod that it is for."""
        held = self.known[one.row.name].get(uid)
        return held is not None and held["state"] == PENDING

    async def _proxies(self, watched: Sequence[Desired]) -> dict[str, list[Proxy]]:
        """The running pods of each deployment, with what their Envoys count."""
        told = await self.told(watched)
        self._started |= {pod["metadata"]["uid"]: started_at(pod) for pods in told.values() for pod, _ in pods}
        return {
            name: [
                Proxy(
                    pod["metadata"]["uid"],
                    f"{pod['metadata']['namespace']}/{pod['metadata']['name']}",
                    read_stats(text) if text is not None else None,
                )
                for pod, text in pods
            ]
            for name, pods in told.items()
        }


def lookout_of(cluster: Cluster, target: TargetRow, desired: Sequence[Desired]) -> Lookout:
    """The view that fits the form in which an Istio target is given its filters."""
    return (Listeners if target.settings["form"] == INLINE else Lookout)(cluster, target, desired)


def _known(one: Desired) -> dict[str, Any]:
    """What was known of the proxies and of what is to run there."""
    detail = one.row.seen.detail if one.row.seen is not None else None
    held = (detail or {}).get("proxies") or {}
    return {uid: known for uid, known in held.items() if known["plugin"] == _name(one)}


def _name(one: Desired) -> str:
    assert one.plan is not None
    return plugin_name(one.plan)


def _has(proxy: Proxy, one: Desired) -> bool:
    """Whether an Envoy was given what was applied before anybody looked at it."""
    return one.is_applied and proxy.stats is not None and metric_of(_name(one)) in proxy.stats.plugins


def _tells_apart(proxy: Proxy, held: Mapping[str, Any], waited: Sequence[str], *, late: bool) -> bool:
    """Whether what an Envoy has counted since is all of filters that are waited for.

    One that came later has counted all that it has; of one that was there and did not say, nobody knows.
    """
    if proxy.stats is None or held["base"]["taken"]:
        return True
    return late and set(proxy.stats.plugins) <= {metric_of(name) for name in waited}
