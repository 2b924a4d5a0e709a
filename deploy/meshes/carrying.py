"""One pass over a cluster: what is there is compared with what is wanted, and made equal to it.

What objects name is made before them, and goes only once they name it no more.
"""

from collections.abc import Callable, Sequence

from deploy.meshes.desired import Done
from deploy.meshes.drift import way_out
from deploy.meshes.kubernetes import SECRET, Cluster, Kind
from deploy.meshes.passing import (
    Key,
    Pass,
    Scope,
    Wanted,
    drift_of,
    free_names,
    key_of,
    make,
    no_such_kind,
    owned,
    place_of,
    say,
)
from deploy.meshes.pruning import Pruning, prune
from deploy.meshes.pull_secrets import NO_PULLS, Pulls
from deploy.targets.plan import Object, deployments_of

# Objects that each serve several deployments, given those that are there and the deployments that are in trouble.
Share = Callable[[Sequence[Object], frozenset[str]], Sequence[tuple[Kind, Object]]]


async def carry_out(
    cluster: Cluster,
    scope: Scope,
    wanted: Sequence[Wanted],
    untouched: frozenset[str],
    share: Share | None = None,
    pulls: Pulls = NO_PULLS,
) -> Pass:
    """Makes the cluster hold what is wanted and nothing else of this target's.

    The own objects of `untouched` deployments stay as they are, whatever they are; what is in those that they `share`
    is for that to say. Raises OutgoingRefused where the cluster does not answer, and Refused where it refuses what
    every pass needs.
    """
    found = Pass()
    live, absent = await owned(cluster, scope, found)
    missing = dict.fromkeys(key_of(*each) for one in wanted for each in one.objects)
    free = await free_names(cluster, [key for key in missing if key not in live and key[0] not in absent])
    kept: set[Key] = set()
    secrets: dict[Key, Done] = {}  # what became of each, which several deployments may want
    for one in wanted:
        done = found.done[one.deployment]
        for kind, wished in one.objects:
            key = key_of(kind, wished)
            kept.add(key)
            if kind in absent:
                done.trouble = done.trouble or no_such_kind(kind)
            elif drift := drift_of(one, key, wished, live.get(key)):
                done.trouble = done.trouble or drift
                done.objects.append(say(key))  # also where it was deleted: so the next pass knows that it was there
            elif kind == SECRET:
                if key not in secrets:
                    secrets[key] = made = Done()
                    await make(cluster, scope, found, key, wished, live.get(key), made, free=key in free)
                _tell(secrets[key], done)
            elif done.trouble is None:
                await make(cluster, scope, found, key, wished, live.get(key), done, free=key in free)
            elif key in live:  # what stands on something that is not there is worse than what there was
                done.objects.append(say(key))
    if share is not None:
        kept |= await _share(cluster, scope, found, (live, absent), wanted, share)
    for one in wanted:
        _say_left(found, one, found.done[one.deployment])
    there = {key[0] for key in (*live, *kept)}  # of what there is none, nobody else can make one of the hub's
    found.versions = {place: version for place, version in found.versions.items() if place[0] in there}
    await prune(Pruning(cluster, scope, found, live, kept, untouched, wanted, pulls))
    return found


def _tell(made: Done, done: Done) -> None:
    """Says of a deployment what became of an object that serves several."""
    done.objects += made.objects
    done.written = done.written or made.written
    done.trouble = done.trouble or made.trouble


async def _share(
    cluster: Cluster,
    scope: Scope,
    found: Pass,
    there: tuple[dict[Key, Object], set[Kind]],
    wanted: Sequence[Wanted],
    share: Share,
) -> set[Key]:
    """Makes the objects that serve several deployments; what becomes of one is said of all of these."""
    kept, (live, absent) = set(), there
    in_trouble = frozenset(name for name, done in found.done.items() if done.trouble)
    shared = [one for key, one in live.items() if key[0] != SECRET]
    for kind, wished in share(shared, in_trouble):
        key, made = key_of(kind, wished), Done()
        kept.add(key)
        if kind in absent:
            made.trouble = no_such_kind(kind)
        elif (kind[1], key[1]) in found.unseen:  # it would not be known what of others it holds
            made.trouble = f"the hub may not list {kind[1]} in {key[1]}; give its account that right"
        elif drift := _shared_drift(wanted, key, wished, live.get(key)):
            made.trouble, made.objects = drift, [say(key)]
        else:
            await make(cluster, scope, found, key, wished, live.get(key), made)
        served = deployments_of(wished)
        if made.trouble is not None and key in live:  # what is to go from it is there still
            served += [name for name in deployments_of(live[key]) if name not in served]
        for name in served:
            _tell(made, found.done[name])
    return kept


def _shared_drift(wanted: Sequence[Wanted], key: Key, wished: Object, live: Object | None) -> str:
    """What somebody did by hand to an object that serves several, if one of them asks; to deploy one that does puts it
    right.
    """
    served = set(deployments_of(wished))
    some = [one for one in wanted if one.deployment in served]
    asking = [one for one in some if one.reports]
    if any(one.renews for one in some):
        return ""
    way = way_out([one.deployment for one in asking])
    return next((said for one in asking if (said := drift_of(one, key, wished, live, way))), "")


def _say_left(found: Pass, one: Wanted, done: Done) -> None:
    """Keeps in mind what was there and cannot be looked for: it is not gone because nobody sees it."""
    wished = {say(key_of(*wished)) for wished in one.objects}
    for name in one.before:
        kind, place = name.partition(" ")[0], place_of(name)
        if name in wished or name in done.objects or (kind, place) not in found.unseen:
            continue
        done.objects.append(name)
        said = f"the hub may not list {kind} in {place}, so it cannot take {name} away; give its account that right"
        done.trouble = done.trouble or said
