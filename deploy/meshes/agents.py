"""What Istio's proxies say: agents count the modules that they could get and could not, Envoys what they took.

Only counters are to be had, and those of the agent name no module. So they are read before objects are applied and
after it, and what grew in between is the answer. Where Envoy's own counters are not among them, it is never said to run
a filter: that an agent got the module does not say so.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deploy.meshes.desired import Observed
from deploy.status import PENDING, PROGRESSING, READY, REFUSED, RUNS, STALLED, UNOBSERVED, WAITING, some_names

PATH = "/stats/prometheus"
LONGEST_WAIT = 60_000  # milliseconds after which a pod that says nothing is no longer waited for
TELLS_WITHIN = 5_000  # milliseconds in which an Envoy whose counters are to be had has counted
GOT = "got"  # the state of a pod whose agent got the module and whose Envoy does not say whether it took it
BY_ENVOY = "envoy"
_AGENT = re.compile(r'istio_agent_wasm_(config_conversion|remote_fetch)_count\{result="(\w+)"\} (\d+)')
_ENVOY = re.compile(r"envoy_extension_config_discovery_http_filter_(\w+?)_update_(success|rejected)\{[^}]*\} (\d+)")
_CHANGED = re.compile(r"[^A-Za-z0-9_]")  # what stands as _ in a metric's name
# What a result of a fetch means. One that fails by itself is not tried again by the agent until its object changes.
_FAILURES = {
    "manifest_failure": "could not pull the image",
    "download_failure": "pulled an image in which it finds no module",
    "checksum_mismatched": "got an image with another digest than was asked for",
    "fetch_failure": "had no Secret to pull the image with",
}
_HOW = "add extension_config_discovery to the mesh's defaultConfig.proxyStatsMatcher.inclusionPrefixes, and restart it"


@dataclass(frozen=True)
class Counters:
    """How often an agent handed a module to its Envoy, and could not, by the class of failure.

    `envoy` is how often Envoy took and refused the configs of each plugin, by the plugin's name in metrics; None: its
    counters are not to be had.
    """

    taken: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)
    envoy: Mapping[str, tuple[int, int]] | None = None


@dataclass(frozen=True)
class Pod:
    """A pod that a deployment is for, and what its agent counts; None: it does not say."""

    uid: str
    name: str  # namespace/name
    started_at: int  # milliseconds since 1970
    counters: Counters | None


def read_counters(text: str) -> Counters:
    """The counters of an agent's metrics, in Prometheus' text form."""
    taken, failed, fetched = 0, {}, {}
    for kind, result, count in _AGENT.findall(text):
        if kind == "remote_fetch":
            fetched[result] = int(count)
        elif result == "success":
            taken = int(count)
        elif result not in ("success", "no_remote_load"):
            failed[result] = int(count)
    envoy: dict[str, tuple[int, int]] = {}
    for plugin, what, count in _ENVOY.findall(text):
        took, refused = envoy.get(plugin, (0, 0))
        envoy[plugin] = (int(count), refused) if what == "success" else (took, int(count))
    # The class of a failed fetch says more than that there was one, and comes first.
    classes = {name: count for name, count in fetched.items() if name != "success"}
    return Counters(taken, classes | failed, envoy or None)


def follow(
    known: Mapping[str, Any],
    pods: Sequence[Pod],
    plugin: str,
    number: int,
    *,
    applied_at: int | None = None,
    share: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """What is known of each pod now, given what was known. `plugin` is the deployment's, as `namespace.name`.

    `applied_at` is when revision `number` was, None if it is about to be; `share` says for how many deployments a pod
    is still waited for, where it is for more than one. Known of a pod are its name, its state, the revision that the
    state is about, and what was counted.
    """
    found = {}
    for pod in pods:
        before = known.get(pod.uid)
        if before is None or before["revision"] != number:
            # A pod that was there before the objects may have done all that it counts for others.
            late = applied_at is not None and pod.started_at > applied_at
            counted = Counters() if late or pod.counters is None else pod.counters
            before = _note(pod, number, PENDING, None, counted, plugin)
        among = (share or {}).get(pod.uid, 1)
        found[pod.uid] = before if pod.counters is None else _grown(pod, pod.counters, before, plugin, among)
    return found


def stand(known: Mapping[str, Any], number: int, *, age: int, ours: str = "") -> Observed:
    """How a deployment stands from what is known of its pods, `age` milliseconds after it was applied.

    `ours` says what the hub itself knows of pulls of the image, as the end of a sentence about one that failed.
    """
    states = {state: [one for one in known.values() if one["state"] == state] for state in (REFUSED, PENDING, GOT)}
    runs = f"{sum(one['state'] == RUNS for one in known.values())} of {len(known)} proxies run revision {number}"
    detail = {"pods": dict(known)}
    if not known:
        return Observed(WAITING, "no pod matches the placement, or none is running", detail)
    if states[REFUSED]:
        return Observed(STALLED, _refusal(states[REFUSED], number, ours), detail)
    if states[PENDING] and age > LONGEST_WAIT:
        said = f"revision {number} was applied; {_names(states[PENDING])} has not said that it took it"
        return Observed(UNOBSERVED, said, detail)
    if states[PENDING] or (states[GOT] and age < TELLS_WITHIN):
        return Observed(PROGRESSING, runs, detail)
    if states[GOT]:
        said = f"the agent of {_names(states[GOT])} got the module; to see whether its Envoy runs it, {_HOW}"
        return Observed(UNOBSERVED, said, detail)
    return Observed(READY, runs, detail)


def could_not_pull(known: Mapping[str, Any]) -> bool:
    """Whether any pod's agent failed, which does not try again until its object changes."""
    return any(one["state"] == REFUSED and one["why"] != BY_ENVOY for one in known.values())


def _refusal(refused: Sequence[Mapping[str, Any]], number: int, ours: str) -> str:
    why = str(refused[0]["why"])
    if why == BY_ENVOY:
        return (
            f"the Envoy of {_names(refused)} refused revision {number} and runs what it ran before; see its log for why"
        )
    said = _FAILURES.get(why, f"failed ({why})")
    return f"the agent of {_names(refused)} {said}{ours}; until it can, requests are answered as failure_policy says"


def _grown(pod: Pod, counters: Counters, before: Mapping[str, Any], plugin: str, among: int) -> dict[str, Any]:
    """What is known of a pod after it counted on; one that counts less than before has begun anew."""
    took, refused = _of_plugin(counters, plugin)
    anew = counters.taken < before["taken"] or took < before["took"] or refused < before["refused"]
    start: Mapping[str, Any] = {"taken": 0, "failed": {}, "took": 0, "refused": 0} if anew else before
    failures = [name for name, count in counters.failed.items() if count > start["failed"].get(name, 0)]
    needed = among if before["state"] == PENDING else 1
    number = before["revision"]
    if failures:
        return _note(pod, number, REFUSED, failures[0], counters, plugin)
    if refused > start["refused"]:
        return _note(pod, number, REFUSED, BY_ENVOY, counters, plugin)
    if took > start["took"]:
        return _note(pod, number, RUNS, None, counters, plugin)
    if counters.envoy is None and counters.taken - start["taken"] >= needed:
        return _note(pod, number, GOT, None, counters, plugin)
    return dict(before)


def _of_plugin(counters: Counters, plugin: str) -> tuple[int, int]:
    """How often Envoy took and refused a plugin; Istio gives its configs names around the plugin's."""
    part = _CHANGED.sub("_", plugin)
    found = [counts for name, counts in (counters.envoy or {}).items() if f"_{part}_" in f"_{name}_"]
    return sum(took for took, _ in found), sum(refused for _, refused in found)


def _note(pod: Pod, number: int, state: str, why: str | None, counters: Counters, plugin: str) -> dict[str, Any]:
    took, refused = _of_plugin(counters, plugin)
    return {
        "name": pod.name,
        "revision": number,
        "state": state,
        "why": why,
        "taken": counters.taken,
        "failed": dict(counters.failed),
        "took": took,
        "refused": refused,
    }


def _names(known: Sequence[Mapping[str, Any]]) -> str:
    return some_names([str(one["name"]) for one in known])
