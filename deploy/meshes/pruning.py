"""What is the hub's in a cluster and no more wanted is taken away, a Secret last of all."""

from collections.abc import Sequence
from dataclasses import dataclass

from deploy.meshes.desired import Done
from deploy.meshes.kubernetes import SECRET, Cluster, Refused
from deploy.meshes.passing import SETTLED, Key, Pass, Scope, Wanted, explain, held, make, place_of, say
from deploy.meshes.pull_secrets import Pulls, renewed, users_of
from deploy.targets.plan import DEPLOYMENT_LABEL, Object, deployments_of

MOVED = 2.0  # seconds in which whoever reads objects and Secrets sees that an object has moved from one to another


@dataclass(frozen=True)
class Pruning:
    """A pass that has made what is wanted: what was `live` before it, and what of that is `kept`."""

    cluster: Cluster
    scope: Scope
    found: Pass
    live: dict[Key, Object]
    kept: set[Key]
    untouched: frozenset[str]
    wanted: Sequence[Wanted]
    pulls: Pulls

    def is_untouched(self, key: Key) -> bool:
        """Whether it is the own object of a deployment that is to stay as it is."""
        return self.live[key]["metadata"]["labels"].get(DEPLOYMENT_LABEL) in self.untouched


async def prune(of: Pruning) -> None:
    """Takes away what is the hub's and no more wanted.

    A Secret stays while an object names it, and until the next pass when this one has taken away its name: who reads
    both may hear of the Secret first.
    """
    there = of.live | of.found.live
    left = of.live.keys() - of.kept
    for key in (key for key in left if key[0] != SECRET):
        if await _take_away(of, key, deployments_of(of.live[key])):
            del there[key]
            for name in deployments_of(of.live[key]):
                of.found.done[name].written = True
    before, now = users_of(of.live.values(), of.pulls.named), users_of(there.values(), of.pulls.named)
    for key in (key for key in left if key[0] == SECRET):
        await _prune_secret(of, key, before.get(key[1:], set()), now.get(key[1:], set()))


async def _prune_secret(of: Pruning, key: Key, before: set[str], now: set[str]) -> None:
    """`before` and `now` are the deployments whose objects named it when the pass began, and name it now."""
    name = say(key)
    users = before | now | {*deployments_of(of.live[key])} | {one.deployment for one in of.wanted if name in one.before}
    there = ((one.partition(" ")[0], place_of(one)) for one in of.pulls.seen)
    hidden = any(one[1] == key[1] and one in of.found.unseen for one in there)  # what nobody may list may name it
    if not (before or now or hidden):
        if await _take_away(of, key, sorted(users)):
            for one in of.wanted:
                if one.deployment in users and not one.objects:  # it is gone once a pass finds nothing of it
                    of.found.done[one.deployment].written = True
        return
    if before and not now:
        of.found.again = min(of.found.again or MOVED, MOVED)
    elif now and (secret := of.pulls.secret(key[2])) is not None:
        await make(of.cluster, of.scope, of.found, key, renewed(of.live[key], secret), of.live[key], Done())
    for user in now or users:  # it is nobody's any more who does not name it while others do
        of.found.done[user].objects.append(name)


async def _take_away(of: Pruning, key: Key, served: Sequence[str]) -> bool:
    """Whether it was taken away; if not, those that it served are told why."""
    trouble, live = None, of.live[key]
    if "deletionTimestamp" in live["metadata"]:
        trouble = held(key, live)
    elif not of.is_untouched(key):
        try:
            await of.cluster.delete(key[0], live)
            of.found.again = SETTLED
            return True
        except Refused as refusal:
            trouble = explain(refusal, key)
    for done in (of.found.done[name] for name in served):
        done.trouble = done.trouble or trouble
        done.objects.append(say(key))
    return False
