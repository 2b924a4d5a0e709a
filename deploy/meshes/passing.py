"""What a pass over a cluster looks for and finds, and how one object is made as it is wanted.

Nothing is remembered between passes but in the cluster itself: the hub's objects carry its labels and its field
manager, and only what carries both is ever changed or taken away.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from deploy.meshes.desired import Done
from deploy.meshes.drift import changed_by_hand, way_out
from deploy.meshes.kubernetes import SECRET, Cluster, Kind, Listing, Refused, holds, is_ours, outgrown
from deploy.targets.plan import DEPLOYMENT_LABEL, HUB_LABEL, MANAGER, TARGET_LABEL, Object

SETTLED = 0.2  # seconds after which what was deleted is gone, unless somebody's finalizer holds it
SEVERAL = 3  # objects of a kind in a namespace that are missing, from which on one list is cheaper than asking for each
Key = tuple[Kind, str, str]  # the kind, the namespace and the name of an object


@dataclass(frozen=True)
class Wanted:
    """One deployment's own objects, none if it was undeployed, and all that the last pass found, as `say` does.

    With `reports` they were all brought there before, and what somebody does to them by hand is said and stays; with
    `renews` that is asked for too, and a new revision is to be brought there first.
    """

    deployment: str
    objects: Sequence[tuple[Kind, Object]] = ()
    before: Sequence[str] = ()
    reports: bool = False
    renews: bool = False


@dataclass
class Pass:
    """What a pass has found: by deployment, and from where watches go on."""

    done: dict[str, Done] = field(default_factory=lambda: defaultdict(Done))
    versions: dict[tuple[Kind, str | None], str] = field(default_factory=dict)
    indexes: dict[tuple[str, str], str] = field(default_factory=dict)  # the same of Consul, by namespace and partition
    catalog: str | None = None  # the same of the services that Consul knows, where sidecars have to fetch modules
    written: set[str] = field(default_factory=set)  # versions of objects that this pass wrote
    live: dict[Key, Object] = field(default_factory=dict)  # the objects that are as wished, as they are now
    unseen: set[tuple[str, str]] = field(default_factory=set)  # kinds, by namespace, that the hub may not list there
    again: float | None = None  # seconds after which there is something to be seen that nobody tells


@dataclass(frozen=True)
class Scope:
    """Whose objects, of which kinds, and in which namespaces where the hub may not list them all.

    With `deployment` those of one alone. With either that or `confined` none is looked for outside of the namespaces.
    """

    hub_id: str
    target: str
    kinds: Sequence[Kind]
    namespaces: Sequence[str] = ()
    deployment: str | None = None
    confined: bool = False

    @property
    def selector(self) -> str:
        """What the labels of these objects match."""
        one = f",{DEPLOYMENT_LABEL}={self.deployment}" if self.deployment is not None else ""
        return f"{HUB_LABEL}={self.hub_id},{TARGET_LABEL}={self.target}{one}"

    def owns(self, live: Object) -> bool:
        """Whether an object is one of this target's."""
        return is_ours(live, self.hub_id, self.target)


async def owned(cluster: Cluster, scope: Scope, found: Pass) -> tuple[dict[Key, Object], set[Kind]]:
    """The hub's own objects of this target, and the kinds that the cluster does not know."""
    live: dict[Key, Object] = {}
    absent: set[Kind] = set()
    for kind in scope.kinds:
        try:
            listings = await _listings(cluster, scope, kind)
        except Refused as refusal:
            if refusal.status != 404:
                raise
            absent.add(kind)
            continue
        if None not in listings:
            found.unseen |= {(kind[1], namespace) for namespace in scope.namespaces if namespace not in listings}
        for namespace, listing in listings.items():
            found.versions[kind, namespace] = listing.version
            live |= {key_of(kind, one): one for one in listing.objects if scope.owns(one)}
    return live, absent


async def apply_ours(
    cluster: Cluster, kind: Kind, wished: Object, live: Object | None, *, dry_run: bool = False
) -> Object:
    """Applies; what was changed by hand is taken back, what another manager applies is not.

    Fields that somebody edited belong to a manager whose operation is Update.
    """
    try:
        return await cluster.apply(kind, wished, dry_run=dry_run)
    except Refused as refusal:
        if refusal.status != 409 or live is None or _appliers(live):
            raise
    return await cluster.apply(kind, wished, force=True, dry_run=dry_run)


def key_of(kind: Kind, one: Object) -> Key:
    """What an object is found by."""
    return kind, str(one["metadata"].get("namespace") or ""), str(one["metadata"]["name"])


def say(key: Key) -> str:
    """An object as sentences name it."""
    (_, kind, _), namespace, name = key
    return f"{kind} {namespace}/{name}"


def place_of(name: str) -> str:
    """The namespace of an object as `say` names it."""
    return name.rpartition(" ")[2].partition("/")[0]


def taken(key: Key) -> str:
    """What it means for a deployer that somebody else has an object of that name, with the way out."""
    return f"{say(key)} is there already and is not the hub's; rename or remove it"


def no_such_kind(kind: Kind) -> str:
    """What it means for a deployer that the cluster does not know a kind, with the way out."""
    return f"the cluster knows no {kind[1]} ({kind[0]}); install what brings it, or choose another form for the target"


def explain(refusal: Refused, key: Key) -> str:
    """What a refusal means for a deployer, with the way out."""
    what = say(key)
    if refusal.status == 403 and refusal.reason == "Forbidden" and "admission" not in str(refusal):
        if "because it is being terminated" in str(refusal):
            return f"the namespace of {what} is being deleted; undeploy, or deploy into another"
        return f"the hub may not write {what}: {refusal}; give its account that right"
    if refusal.status == 404:
        return f"{what} has no place: {refusal}; make the namespace first"
    if refusal.status == 409 and refusal.causes:
        owners = "; ".join(str(cause.get("message")) + " " + str(cause.get("field")) for cause in refusal.causes[:3])
        return f"{what} is also applied by another: {owners}; leave those fields to one of you"
    return f"the cluster refused {what}: {refusal}"


async def _listings(cluster: Cluster, scope: Scope, kind: Kind) -> dict[str | None, Listing]:
    """A kind's objects in the whole cluster, or in each namespace in use where the hub may list only there."""
    if scope.deployment is None and not scope.confined:
        try:
            return {None: await cluster.list(kind, selector=scope.selector)}
        except Refused as refusal:
            if refusal.status != 403:
                raise
    found: dict[str | None, Listing] = {}
    for namespace in scope.namespaces:
        try:
            found[namespace] = await cluster.list(kind, selector=scope.selector, namespace=namespace)
        except Refused as refusal:
            if refusal.status != 403:
                raise
    return found


async def free_names(cluster: Cluster, missing: Sequence[Key]) -> set[Key]:
    """Those of the hub's objects that are not there whose names nobody has, where one list tells of several at once."""
    places: dict[tuple[Kind, str], list[Key]] = defaultdict(list)
    for key in missing:
        places[key[0], key[1]].append(key)
    free: set[Key] = set()
    for (kind, namespace), keys in places.items():
        if len(keys) < SEVERAL:
            continue
        try:
            names = await cluster.names(kind, namespace)
        except Refused:  # then each is asked for
            continue
        free |= {key for key in keys if names is not None and key[2] not in names}
    return free


async def make(
    cluster: Cluster,
    scope: Scope,
    found: Pass,
    key: Key,
    wished: Object,
    live: Object | None,
    done: Done,
    *,
    free: bool = False,
) -> None:
    """Has one object be as wished, if it is the hub's to make; `free`: nobody has its name."""
    try:
        if live is None and not free:
            other = await cluster.get(*key)
            if other is not None and not scope.owns(other):
                done.trouble = taken(key)
                return
        elif live is not None and "deletionTimestamp" in live["metadata"]:
            done.objects.append(say(key))
            done.trouble = f"{held(key, live)}; it is made anew when it is gone"
            return
        elif live is not None and holds(live, wished) and not outgrown(live, wished):
            done.objects.append(say(key))
            found.live[key] = live
            return
        applied = await apply_ours(cluster, key[0], wished, live)
    except Refused as refusal:
        done.trouble = explain(refusal, key)
        if live is not None:
            done.objects.append(say(key))
        return
    done.objects.append(say(key))
    found.live[key] = applied
    version = applied["metadata"].get("resourceVersion")
    if live is None or version != live["metadata"].get("resourceVersion"):
        done.written = True
        found.written.add(str(version))


def drift_of(one: Wanted, key: Key, wished: Object, live: Object | None, way: str = "") -> str:
    """What somebody did to an object by hand, with the way out; empty if that is to be mended, or nobody did."""
    if not one.reports or key[0] == SECRET:
        return ""
    gone = "was deleted by hand" if live is None and say(key) in one.before else ""
    did = changed_by_hand(live, wished) if live is not None else gone
    return f"{say(key)} {did}; {way or way_out()}" if did else ""


def held(key: Key, live: Object) -> str:
    """What keeps an object that is being deleted."""
    finalizers = ", ".join(map(str, live["metadata"].get("finalizers") or ["nobody"]))
    return f"{say(key)} is being deleted and waits for {finalizers}, whose finalizer holds it"


def _appliers(live: Object) -> list[str]:
    """Other managers that apply an object, such as a GitOps controller."""
    entries = live["metadata"].get("managedFields") or []
    named = (str(one.get("manager")) for one in entries if one.get("operation") == "Apply" and one.get("manager"))
    return [name for name in named if name != MANAGER]
