"""What Envoys say that fetch modules themselves, as those of Envoy Gateway and of Istio's form EnvoyFilter: counters,
from which follows whether one runs what it was given last.

Each module and config has a name of its own there, so a counter with that name tells that Envoy has a listener with
it. Where Envoy had the module already, it has also tried it out: it takes no listener with a filter that does not
start, and keeps the one before. A module that it has to fetch it tries out only then, for each place that asked for it.
It makes two machines to try it and, if it starts, keeps one of them, and makes one more for each worker and one for the
main thread, which all places share.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from deploy.meshes.desired import Observed
from deploy.status import PENDING, PROGRESSING, READY, REFUSED, RUNS, STALLED, UNOBSERVED, some_names

PATH = "/stats/prometheus"
SETTLED = 2_000  # milliseconds after which a machine has started that will
LONGEST_WAIT = 60_000  # milliseconds after which a proxy that says nothing is no longer waited for
TO_TRY = 2  # machines that are made of a module that does not start
HELD, FAILS, FETCHING = "held", "fails", "fetching"  # why a proxy does not run a revision
_PLUGIN = re.compile(r"^envoy_wasm_(\w+)_vm_reload\{", re.MULTILINE)
_CHANGED = re.compile(r"[^A-Za-z0-9_]")  # what stands as _ in a metric's name
_COUNTED = {
    "workers": "server_concurrency",
    "active": "wasm_envoy_wasm_runtime_v8_active",
    "created": "wasm_envoy_wasm_runtime_v8_created",
    "hits": "wasm_remote_load_cache_hits",
    "missed": "wasm_remote_load_cache_misses",
    "fetched": "wasm_remote_load_fetch_successes",
    "unfetched": "wasm_remote_load_fetch_failures",
    "taken": "listener_manager_lds_update_success",
    "rejected": "listener_manager_lds_update_rejected",
}
_OF_MODULES, _OF_LISTENERS = ("created", "hits", "missed", "fetched", "unfetched"), ("taken", "rejected")
FORGOTTEN = ("active", "hits")  # by the status of a FilterDeployment, whose definition is older
WHY = {
    HELD: "refused revision {number} and runs what it ran before",
    FAILS: "could not start revision {number}, and answers requests there as failure_policy says",
    FETCHING: "could not get the module of revision {number} from {source}",
}


@dataclass(frozen=True)
class Stats:
    """What an Envoy has counted: machines made, modules that it had, had to fetch, got and did not, listeners' updates.

    `active` is how many machines there are now; None where somebody has forgotten it.
    """

    workers: int = 1
    active: int | None = 0
    created: int = 0
    hits: int = 0
    missed: int = 0
    fetched: int = 0
    unfetched: int = 0
    taken: int = 0
    rejected: int = 0
    plugins: tuple[str, ...] = ()  # as metrics name them

    @property
    def tried(self) -> int:
        """How often modules came that had to be fetched; one whose fetch failed before is not missed once more."""
        return max(self.missed, self.fetched)

    @property
    def threads(self) -> int:
        """That each have a machine of their own for what runs there."""
        return self.workers + 1


@dataclass(frozen=True)
class Proxy:
    """A pod of a Gateway, and what its Envoy counts; None: it does not say."""

    uid: str
    name: str  # namespace/name
    stats: Stats | None


def read_stats(text: str) -> Stats:
    """The counters of an Envoy, in Prometheus' text form."""
    found = {}
    for name, metric in _COUNTED.items():
        counted = re.search(rf"^envoy_{metric}(?:\{{\}})? (\d+)", text, re.MULTILINE)
        if counted:
            found[name] = int(counted[1])
    return Stats(**found, plugins=tuple(sorted(set(_PLUGIN.findall(text)))))


def begin(proxies: Sequence[Proxy], plugin: str) -> dict[str, Any]:
    """What is known of each proxy before it is given something: its name, its state, and what it has counted.

    `plugin` is what the deployment's filter will be called.
    """
    return {one.uid: note(one, plugin, one.stats or Stats()) for one in proxies}


def follow(known: Mapping[str, Any], proxies: Sequence[Proxy], plugin: str, *, others: int = 0) -> dict[str, Any]:
    """What is known of each proxy now, given what was known; of one that was not there before it has counted nothing.

    `others` is how many filters of other deployments are waited for at the same time.
    """
    found = {}
    for one in proxies:
        held = known.get(one.uid) or note(one, plugin, Stats())
        if one.stats is not None and (held["state"] == PENDING or held["why"] in (HELD, FETCHING)):
            base = stats_of(held)
            grown = since(one.stats, base)
            state, why = _judge(one.stats, base, grown, metric_of(plugin), others)
            if (grown.active or 0) > 0:
                held = {**held, "grew": True}
            if why in (HELD, FETCHING):  # what it takes after that counts
                held = {**held, "base": asdict(one.stats)}
            if state != PENDING:
                held = {**held, "state": state, "why": why}
        found[one.uid] = held
    return found


def base_of(held: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a proxy had counted, as far as a later look at it needs that, and a status can hold it."""
    if held["state"] != PENDING and held["why"] not in (HELD, FETCHING):
        return None
    own = metric_of(held["plugin"])
    counted = {name: value for name, value in held["base"].items() if value and name not in FORGOTTEN}
    return counted | {"plugins": [name for name in held["base"]["plugins"] if name == own]}


def settle(known: Mapping[str, Any], proxies: Sequence[Proxy]) -> dict[str, Any]:
    """The same after the time in which a machine would have started."""
    found = dict(known)
    for one in proxies:
        held = found[one.uid]
        if held["state"] != PENDING or one.stats is None:
            continue
        grown = since(one.stats, stats_of(held))
        has = metric_of(held["plugin"]) in one.stats.plugins
        stayed = (grown.active or 0) > 0 or held.get("grew")
        as_one = grown.active is None and grown.created == TO_TRY + one.stats.threads  # that has started
        none_started = grown.created == TO_TRY * grown.tried and not stayed and not as_one
        if has and grown.tried and grown.fetched >= grown.missed and none_started:
            found[one.uid] = {**held, "state": REFUSED, "why": FAILS}
    return found


def stand(
    known: Mapping[str, Any], number: int, *, age: int, note: str = "", source: str = "Envoy Gateway"
) -> Observed:
    """How a deployment stands from what is known of its proxies, `age` milliseconds after it was applied.

    `note` is what else there is to know, as the end of a sentence; `source` is where they fetch modules.
    """
    waits = [one["name"] for one in known.values() if one["state"] == PENDING]
    refused = [one for one in known.values() if one["state"] == REFUSED]
    runs = f"{len(known) - len(waits) - len(refused)} of {len(known)} proxies run revision {number}{note}"
    if refused:
        same = [one["name"] for one in refused if one["why"] == refused[0]["why"]]
        why = WHY[refused[0]["why"]].format(number=number, source=source)
        return Observed(STALLED, f"the Envoy of {some_names(same)} {why}; see its log for why")
    if waits and age > LONGEST_WAIT:
        said = f"{source} has the module of revision {number}; {some_names(waits)} does not tell that it runs it"
        return Observed(UNOBSERVED, said)
    return Observed(PROGRESSING, runs) if waits else Observed(READY, runs)


def _judge(now: Stats, base: Stats, grown: Stats, metric: str, others: int) -> tuple[str, str | None]:
    """The state of a proxy that was not known to be in any other."""
    if grown.rejected:
        return REFUSED, HELD
    if grown.unfetched:
        return REFUSED, FETCHING
    if metric not in now.plugins:
        return PENDING, None
    if not grown.tried:  # it had the module, so what it took has started; one that it could not get, it asks for anew
        had = grown.hits or not base.unfetched
        return (RUNS, None) if had and (metric not in base.plugins or grown.taken) else (PENDING, None)
    if grown.active is not None and grown.active >= (now.threads + 1) * (others + 1):
        return RUNS, None
    at_most = TO_TRY * grown.tried + (TO_TRY + now.threads) * others  # if it did not start
    return (RUNS, None) if grown.created > at_most else (PENDING, None)


def since(now: Stats, base: Stats) -> Stats:
    """How much was counted; `active` is how many machines there are more.

    What counts less than before has begun anew: all of it with Envoy, or what it counts of modules when the last
    listener that has one ends.
    """
    anew = any(getattr(now, name) < getattr(base, name) for name in _OF_LISTENERS)
    modules_anew = anew or any(getattr(now, name) < getattr(base, name) for name in _OF_MODULES)
    grown = {name: getattr(now, name) - (0 if modules_anew else getattr(base, name)) for name in _OF_MODULES}
    grown |= {name: getattr(now, name) - (0 if anew else getattr(base, name)) for name in _OF_LISTENERS}
    before = 0 if modules_anew else base.active
    more = now.active - before if now.active is not None and before is not None else None
    return Stats(workers=now.workers, active=more, **grown)


def note(one: Proxy, plugin: str, base: Stats) -> dict[str, Any]:
    """What is known of a proxy of which nothing has been heard since it had counted that."""
    return {"name": one.name, "plugin": plugin, "state": PENDING, "why": None, "base": asdict(base)}


def stats_of(held: Mapping[str, Any]) -> Stats:
    """What a proxy had counted before."""
    return Stats(**{"active": None, **held["base"], "plugins": tuple(held["base"]["plugins"])})


def metric_of(plugin: str) -> str:
    """What metrics call a plugin."""
    return _CHANGED.sub("_", plugin)
