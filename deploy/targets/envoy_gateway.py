"""Envoy Gateway: filters as EnvoyExtensionPolicy, whose controller fetches the module and hands it to the proxies.

It takes one such policy for each thing that one can be attached to, and refuses a second. So a policy is not a
deployment's: it belongs to a target and something there, and lists the filters of all deployments that chose it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from deploy.targets.asked import (
    drift,
    environment,
    hub_url,
    kube_name,
    kube_namespace,
    minor,
    only,
    port,
    version,
    word,
)
from deploy.targets.configs import Unfaithful, config_value
from deploy.targets.plan import DEPLOYMENT_LABEL, DEPLOYMENTS, BadPlacement, Object, Plan
from deploy.targets.remote_filter import filter_name, plugin_name, split_environment

KIND = "envoy-gateway"
TYPES = (("gateway.envoyproxy.io/v1alpha1", "EnvoyExtensionPolicy", "envoyextensionpolicies"),)
FORMS = ("Image", "HTTP")
GROUP = "gateway.networking.k8s.io"
KINDS = ("Gateway", "ListenerSet", "HTTPRoute", "GRPCRoute")
SINCE = 9  # of 1.9, whose Envoy 1.39 tells VMs apart by their environment: see `_wasm`
MAX_TARGETS = 16
MAX_FILTERS = 16  # of one policy
OBSERVE = ("proxies", "nothing")
STATS_PORT = 19001  # where its Envoys have their metrics, at the pod's address


@dataclass(frozen=True, order=True)
class Place:
    """What a policy is attached to; `section` is a listener or a rule there, or empty."""

    namespace: str
    kind: str
    name: str
    section: str


def read_settings(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a target, complete. Raises BadPlacement.

    `hub`: URL of the hub as the controller reaches it. `form`: `Image`, or `HTTP` for the bare module. `version`: of
    Envoy Gateway, such as 1.9; empty if unknown. `observe`: `proxies`, or `nothing` where the hub may not ask them;
    `proxies_namespace`: where their pods are, empty: in any; `stats_port`: where they have their metrics.
    """
    names = ("hub", "form", "version", "observe", "proxies_namespace", "stats_port")
    only(asked, "the settings of an Envoy Gateway target", *names)
    there = asked.get("proxies_namespace", "")
    return {
        "hub": hub_url(asked),
        "form": word(asked, "form", FORMS[0], FORMS),
        "version": version(asked, "version"),
        "observe": word(asked, "observe", OBSERVE[0], OBSERVE),
        "proxies_namespace": kube_namespace(asked, "proxies_namespace") if there != "" else "",
        "stats_port": port(asked.get("stats_port", STATS_PORT), "stats_port"),
    }


def read_placement(asked: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Where a deployment goes, complete. Raises BadPlacement.

    `namespace`; `targets` there, [{kind, name, section}] of which `section` may be left out; `env`; `drift`, what
    becomes of edits by hand.
    """
    only(asked, "a placement on Envoy Gateway", "namespace", "targets", "env", "drift")
    value = asked.get("targets", [])
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_TARGETS:
        raise BadPlacement(f"targets must be a list of 1 to {MAX_TARGETS} objects with kind and name")
    targets: list[dict[str, str]] = []
    for one in map(_target, value):
        if one not in targets:
            targets.append(one)
    return {"namespace": kube_namespace(asked), "targets": targets, "env": environment(asked), "drift": drift(asked)}


def problems(plan: Plan) -> list[str]:
    """Why this deployment cannot be brought to this target, each with the way out; empty if it can."""
    found, release = [], minor(plan.settings["version"])
    given, _ = split_environment(plan.placement["env"])
    if plan.failure_policy == "FAIL_RELOAD":
        found.append("Envoy Gateway cannot say FAIL_RELOAD; choose FAIL_CLOSED or FAIL_OPEN")
    if given:
        found.append(
            f"Envoy Gateway gives a module variables of the proxy's own environment alone; set {', '.join(given)} to"
            " null, or put the values into the config"
        )
    if release is not None and release < SINCE:
        found.append(
            f"the Envoys of Envoy Gateway 1.{release} go on running the module that a filter had first, whatever takes"
            f" its place; update to 1.{SINCE}"
        )
    try:
        if plan.config:
            config_value(plan.config)
    except Unfaithful as reason:
        found.append(f"the config {reason}, and Envoy Gateway carries JSON; write it as a JSON value")
    return found


def problems_together(plans: Sequence[Plan]) -> list[str]:
    """Why these plans of one target cannot all be brought there, though each could."""
    return [
        f"{place.kind} {place.name} in {place.namespace} would run {len(held)} filters, and Envoy Gateway takes"
        f" {MAX_FILTERS}; undeploy some there"
        for place, held in _by_place(plans)
        if len(held) > MAX_FILTERS
    ]


def render(plan: Plan) -> list[Object]:
    """The policies of a deployment that is alone on its target: see `render_together`."""
    return render_together([plan])


def render_together(plans: Sequence[Plan], kept: Sequence[Plan] = (), live: Sequence[Object] = ()) -> list[Object]:
    """The policies of all of a target's plans: one for each place that any has chosen.

    `plans` have no problems. `kept` are others, of which stays what there is in the `live` policies.
    """
    entries: dict[Place, dict[str, tuple[int, Any]]] = {}
    for place, held in _by_place(plans):
        entries[place] = {plan.deployment: (plan.order, _wasm(plan)) for plan in held}
    made = {(place.namespace, _name(place, held[0])): place for place, held in _by_place([*plans, *kept])}
    for plan in kept:
        for place, wasm in _stands(live, filter_name(plan), made):
            entries.setdefault(place, {}).setdefault(plan.deployment, (plan.order, wasm))
    some = (*plans, *kept)
    return [_policy(some[0], place, held) for place, held in sorted(entries.items(), key=lambda item: item[0])]


def pulls_with(live: Object) -> list[tuple[str, str]]:
    """The pull Secrets that a policy names, each with the deployment whose filter it is for."""
    found = []
    for wasm in (live.get("spec") or {}).get("wasm") or []:
        image = (wasm.get("code") or {}).get("image") or {}
        name = (image.get("pullSecretRef") or {}).get("name")
        parts = str(wasm.get("name")).split("/")  # see `filter_name`
        if name:
            found.append((str(name), parts[3] if len(parts) > 3 else ""))
    return found


def again(plan: Plan, tries: int) -> Plan:
    """The plan that has the controller try to get the module once more, which it does by itself for no event.

    It looks at a policy anew only where its spec has changed, and counts what failed by the module's whole address,
    of which it gives up after ten. Where the digest says which image it is, the tag means nothing.
    """
    if not tries:
        return plan
    return replace(plan, image=f"{plan.image}:retry-{tries}", module_url=f"{plan.module_url}?retry={tries}")


def _target(asked: Any) -> dict[str, str]:
    if not isinstance(asked, Mapping):
        raise BadPlacement("each of targets must be an object with kind and name")
    only(asked, "a target of a placement", "kind", "name", "section")
    if asked.get("kind") not in KINDS:
        raise BadPlacement(f"the kind of a target must be one of {', '.join(KINDS)}")
    found = {"kind": str(asked["kind"]), "name": kube_name(asked), "section": ""}
    if asked.get("section", "") != "":
        found["section"] = kube_name(asked, "section")
    return found


def _by_place(plans: Sequence[Plan]) -> list[tuple[Place, list[Plan]]]:
    """Each place with its plans, in the order in which requests are to pass."""
    found: dict[Place, list[Plan]] = {}
    for plan in sorted(plans, key=lambda one: (one.order, one.deployment)):
        for one in plan.placement["targets"]:
            place = Place(plan.placement["namespace"], one["kind"], one["name"], one["section"])
            found.setdefault(place, []).append(plan)
    return sorted(found.items(), key=lambda item: item[0])


def _stands(live: Sequence[Object], name: str, made: Mapping[tuple[str, str], Place]) -> Iterator[tuple[Place, Any]]:
    """Where a filter of that name is, and what is said of it there. A policy that was `made` for a place is for that,
    whatever somebody has attached it to since.
    """
    for policy in live:
        namespace = str(policy["metadata"].get("namespace"))
        own = made.get((namespace, str(policy["metadata"].get("name"))))
        for place in [own] if own is not None else _attached(policy, namespace):
            for wasm in policy["spec"].get("wasm") or []:
                if str(wasm.get("name")).startswith(f"{name}/"):
                    yield place, wasm


def _attached(policy: Object, namespace: str) -> list[Place]:
    """To what a policy says that it is attached."""
    found = []
    for reference in policy["spec"].get("targetRefs") or []:
        parts = (reference.get("kind"), reference.get("name"), reference.get("sectionName") or "")
        found.append(Place(namespace, *map(str, parts)))
    return found


def _policy(first: Plan, place: Place, held: Mapping[str, tuple[int, Any]]) -> Object:
    """The policy of a place; `first` is any plan of the target."""
    reference = {"group": GROUP, "kind": place.kind, "name": place.name}
    metadata = {
        "name": _name(place, first),
        "namespace": place.namespace,
        "labels": {name: value for name, value in first.labels.items() if name != DEPLOYMENT_LABEL},
        "annotations": {DEPLOYMENTS: ",".join(sorted(held))},
    }
    spec = {
        "targetRefs": [reference | ({"sectionName": place.section} if place.section else {})],
        "wasm": [wasm for _, (_, wasm) in sorted(held.items(), key=lambda item: (item[1][0], item[0]))],
    }
    return {"apiVersion": TYPES[0][0], "kind": TYPES[0][1], "metadata": metadata, "spec": spec}


def _name(place: Place, plan: Plan) -> str:
    """What the policy of a place is called on the plan's target."""
    return f"{_short(place)}.{plan.target}"


def _short(place: Place) -> str:
    """A name for a place that no other has, of at most 100 characters and without dots."""
    digest = hashlib.sha256(json.dumps([place.kind, place.name, place.section]).encode()).hexdigest()[:10]
    return f"{place.kind.lower()}-{place.name.replace('.', '-')[:75]}-{digest}"


def _wasm(plan: Plan) -> dict[str, Any]:
    """A filter. Among its variables is one that no proxy has, named after the module.

    Envoy finds running VMs before it has fetched the code: by an id that Envoy Gateway makes of the policy's name and
    the filter's place in it, and by the environment. Without that the module that was there first would go on running.
    """
    variables = {*plan.placement["env"], f"WASMHUB_{plan.module.sha256[:16]}"}
    wasm: dict[str, Any] = {
        "name": plugin_name(plan),
        "rootID": plan.root_id,
        "code": _code(plan),
        "failOpen": plan.failure_policy == "FAIL_OPEN",
        "env": {"hostKeys": sorted(variables)},
    }
    if plan.config:
        wasm["config"] = config_value(plan.config)
    return wasm


def _code(plan: Plan) -> dict[str, Any]:
    if plan.settings["form"] == "HTTP":
        return {"type": "HTTP", "http": {"url": plan.module_url, "sha256": plan.module.sha256}}
    image: dict[str, Any] = {
        "url": f"{plan.image}@{plan.manifest}",
        "sha256": plan.manifest.removeprefix("sha256:"),
    }
    if plan.pull_secret is not None:
        image["pullSecretRef"] = {"name": plan.pull_secret}
    return {"type": "Image", "pullPolicy": "IfNotPresent", "image": image}
