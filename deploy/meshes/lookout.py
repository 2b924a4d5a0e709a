"""Which pods a target's deployments are for, and what their agents say: asked through the API server, all at once."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from auth.outgoing import OutgoingRefused
from deploy.meshes.agents import PATH, Pod, could_not_pull, follow, read_counters, stand
from deploy.meshes.desired import Again, Desired, Done, Observed, Pull
from deploy.meshes.kubernetes import Cluster, Refused
from deploy.status import PENDING, PROGRESSING, UNOBSERVED, WAITING
from deploy.targets.plan import Object
from deploy.targets.remote_filter import filter_name
from storage.database import now
from storage.targets import TargetRow

PODS = ("v1", "Pod", "pods")
AT_ONCE = 8  # agents that are asked at the same time
MOST_PODS = 500  # of one deployment that are asked
GATEWAY_LABEL = "gateway.networking.k8s.io/gateway-name"
SOON, LATER = 0.5, 3.0  # seconds until the next look at what is under way, at first and after a while
EARLY = 10_000  # milliseconds
INLINE = "EnvoyFilter"  # the form with which no agent has a part in it
FOR_PODS = 15.0  # seconds until pods are looked for again where there are none, at first
LATELY = 180_000  # milliseconds within which a sign-in counts as one for the image; it is noted once a minute


@dataclass
class Lookout(Again):
    """One pass's view of the pods. `before` is called before anything is applied, `after` then."""

    cluster: Cluster
    target: TargetRow
    desired: Sequence[Desired]
    inline = False  # whether it is for filters that stand in listeners
    known: dict[str, dict[str, Any]] = field(default_factory=dict)
    trouble: str | None = None

    async def before(self) -> None:
        """Sees what agents count before a revision is applied that was not yet."""
        for one in self.desired:
            detail = one.row.seen.detail if one.row.seen is not None else None
            self.known[one.row.name] = dict((detail or {}).get("pods") or {})
        fresh = [one for one in self.watched() if not one.is_applied]
        if fresh:
            pods = await self._pods(fresh)
            for one in fresh:
                number = one.row.current.number
                there = pods.get(one.row.name, ())
                self.known[one.row.name] = follow(self.known[one.row.name], there, _plugin(one), number)

    async def after(self, done: Mapping[str, Done]) -> dict[str, Observed]:
        """How the deployments stand that were applied."""
        watched = [one for one in self.watched() if done[one.row.name].trouble is None]
        if not watched:
            return {}
        pods = await self._pods(watched)
        if self.trouble is not None:
            return {one.row.name: self.unseen(one) for one in watched}
        waited = Counter(
            uid for one in watched for uid, known in self.known[one.row.name].items() if known["state"] == PENDING
        )
        for one in watched:
            if not one.is_applied and not done[one.row.name].written:
                self.known[one.row.name] = _carried_over(one)
        return {one.row.name: self._judge(one, pods.get(one.row.name, ()), waited) for one in watched}

    def watched(self) -> list[Desired]:
        """Those whose proxies are to be asked."""
        if self.target.settings.get("observe") != "agents" or self.inline != (self.target.settings["form"] == INLINE):
            return []
        return [one for one in self.desired if one.plan is not None and not one.problems]

    def _judge(self, one: Desired, pods: Sequence[Pod], waited: Mapping[str, int]) -> Observed:
        seen, number = one.row.seen, one.row.current.number
        applied_at = seen.applied_at if seen is not None and seen.revision == number else None
        since = applied_at if applied_at is not None else now()
        known = follow(self.known[one.row.name], pods, _plugin(one), number, applied_at=since, share=waited)
        age = now() - since
        found = stand(known, number, age=age, ours=say_pull(one.pull))
        if found.status == PROGRESSING:
            self.look_in(SOON if age < EARLY else LATER)
        elif found.status == WAITING:
            self.look_in(for_pods(age))
        tries = self.try_again(one) if could_not_pull(known) else {"tries": one.tries}
        return replace(found, detail={"pods": known, **tries})

    def unseen(self, one: Desired) -> Observed:
        """How one stands whose proxies cannot be asked."""
        said = f"revision {one.row.current.number} was applied; whether proxies run it cannot be seen: {self.trouble}"
        return Observed(UNOBSERVED, said)

    async def _pods(self, watched: Sequence[Desired]) -> dict[str, list[Pod]]:
        """The running pods of each deployment, with what their agents count."""
        told = await self.told(watched)
        return {name: [_pod(pod, text) for pod, text in pods] for name, pods in told.items()}

    async def told(self, watched: Sequence[Desired]) -> dict[str, list[tuple[Object, str | None]]]:
        """The running pods of each deployment with their metrics, None for one that does not say; none in trouble."""
        try:
            chosen = {one.row.name: await self._chosen(one) for one in watched}
        except (Refused, OutgoingRefused) as refusal:
            self.trouble = str(refusal)
            return {}
        there = {pod["metadata"]["uid"]: pod for pods in chosen.values() for pod in pods}
        turns = asyncio.Semaphore(AT_ONCE)

        async def ask(pod: Object) -> str | None:
            async with turns:
                return await self._ask(pod)

        said = dict(zip(there, await asyncio.gather(*map(ask, there.values())), strict=True))
        return {name: [(pod, said[pod["metadata"]["uid"]]) for pod in pods] for name, pods in chosen.items()}

    async def _chosen(self, one: Desired) -> list[Object]:
        """The pods that a deployment's placement means and that run."""
        assert one.plan is not None
        placement, root = one.plan.placement, self.target.settings["root_namespace"]
        namespace = None if placement["namespace"] == root and not placement["targets"] else placement["namespace"]
        selectors = [{GATEWAY_LABEL: each["name"]} for each in placement["targets"]] or [placement["labels"]]
        found: dict[str, Object] = {}
        for labels in selectors:
            selector = ",".join(f"{name}={value}" for name, value in labels.items())
            listing = await self.cluster.list(PODS, selector=selector, namespace=namespace)
            found |= {pod["metadata"]["uid"]: pod for pod in listing.objects if runs(pod)}
        return list(found.values())[:MOST_PODS]

    async def _ask(self, pod: Object) -> str | None:
        meta, port = pod["metadata"], int(self.target.settings["agent_port"])
        try:
            return await self.cluster.through(meta["namespace"], meta["name"], port, quote(PATH))
        except OutgoingRefused:
            return None


def for_pods(age: int) -> float:
    """Seconds until pods are looked for again, of which nobody tells: the later, the longer there were none."""
    return max(FOR_PODS, age / 10_000)


def say_pull(pull: Pull | None, log: str = "the agent's log") -> str:
    """What the hub knows of pulls of an image, as the end of a sentence about one that failed."""
    if pull is None:
        return ""
    if not pull.there:
        return ": it is no longer in the hub; push it again, or undeploy"
    if pull.used_at is None or pull.used_at < now() - LATELY:
        return ", and has not signed in to the hub with its secret: the hub was not reached, or the secret is another"
    return f", although it has signed in to the hub; see {log} for why"


def _carried_over(one: Desired) -> dict[str, Any]:
    """What is known of pods where a new revision changed nothing that they are told."""
    detail = (one.row.seen.detail if one.row.seen is not None else None) or {}
    return {uid: {**known, "revision": one.row.current.number} for uid, known in (detail.get("pods") or {}).items()}


def _plugin(one: Desired) -> str:
    """What Istio calls the deployment's plugin, or an EnvoyFilter what is discovered."""
    assert one.plan is not None
    if one.plan.settings["form"] == "EnvoyFilter-ECDS":
        return filter_name(one.plan)
    return f"{one.plan.placement['namespace']}.{one.plan.name}"


def runs(pod: Object) -> bool:
    """Whether a pod runs, and is not about to end."""
    return (pod.get("status") or {}).get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]


def _pod(pod: Object, text: str | None) -> Pod:
    meta, counters = pod["metadata"], read_counters(text) if text is not None else None
    return Pod(meta["uid"], f"{meta['namespace']}/{meta['name']}", started_at(pod), counters)


def started_at(pod: Object) -> int:
    """When a pod started, in milliseconds since 1970; 0 where it does not say."""
    moment = str((pod.get("status") or {}).get("startTime") or pod["metadata"].get("creationTimestamp") or "")
    try:
        return int(datetime.fromisoformat(moment).timestamp() * 1000)
    except ValueError:
        return 0
