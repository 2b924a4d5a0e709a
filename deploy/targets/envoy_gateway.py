"""Envoy Gateway: filters as EnvoyExtensionPolicy, whose controller fetches the module and hands it to the proxies.

It takes one such policy for each thing that one can be attached to, and refuses a second. So a policy is not a
deployment's: it belongs to a target and something there, and lists the filters of all deployments that chose it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.targets.asked import environment, hub_url, kube_name, kube_namespace, minor, only, version, word
from deploy.targets.configs import Unfaithful, config_value
from deploy.targets.plan import DEPLOYMENT_LABEL, BadPlacement, Object, Plan
from deploy.targets.remote_filter import filter_name, split_environment

KIND = "envoy-gateway"
TYPES = (("gateway.envoyproxy.io/v1alpha1", "EnvoyExtensionPolicy", "envoyextensionpolicies"),)
FORMS = ("Image", "HTTP")
GROUP = "gateway.networking.k8s.io"
KINDS = ("Gateway", "ListenerSet", "HTTPRoute", "GRPCRoute")
MAX_TARGETS = 16
MAX_FILTERS = 16  # of one policy
DEPLOYMENTS = "wasmhub/deployments"  # an annotation, for people: the deployments that a policy serves


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
    Envoy Gateway, such as 1.9; empty if unknown.
    """
    only(asked, "the settings of an Envoy Gateway target", "hub", "form", "version")
    return {
        "hub": hub_url(asked),
        "form": word(asked, "form", FORMS[0], FORMS),
        "version": version(asked, "version"),
    }


def read_placement(asked: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Where a deployment goes, complete. Raises BadPlacement.

    `namespace`; `targets` there, [{kind, name, section}] of which `section` may be left out; `env`.
    """
    only(asked, "a placement on Envoy Gateway", "namespace", "targets", "env")
    value = asked.get("targets", [])
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_TARGETS:
        raise BadPlacement(f"targets must be a list of 1 to {MAX_TARGETS} objects with kind and name")
    targets: list[dict[str, str]] = []
    for one in map(_target, value):
        if one not in targets:
            targets.append(one)
    return {"namespace": kube_namespace(asked), "targets": targets, "env": environment(asked)}


def problems(plan: Plan) -> list[str]:
    """Why this deployment cannot be brought to this target, each with the way out; empty if it can."""
    found, release = [], minor(plan.settings["version"])
    given, from_host = split_environment(plan.placement["env"])
    if plan.failure_policy == "FAIL_RELOAD":
        found.append("Envoy Gateway cannot say FAIL_RELOAD; choose FAIL_CLOSED or FAIL_OPEN")
    if given:
        found.append(
            f"Envoy Gateway gives a module variables of the proxy's own environment alone; set {', '.join(given)} to"
            " null, or put the values into the config"
        )
    kinds = {one["kind"] for one in plan.placement["targets"]}
    needs = [
        (True, 1, "running filters", "update it"),
        (bool(from_host), 3, "env", "leave env out"),
        ("ListenerSet" in kinds, 9, "choosing a ListenerSet", "choose a Gateway"),
    ]
    found += [
        f"{what} needs Envoy Gateway 1.{since}, and this target runs 1.{release}; {way_out}"
        for needed, since, what, way_out in needs
        if needed and release is not None and release < since
    ]
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


def render_together(plans: Sequence[Plan]) -> list[Object]:
    """The policies of all of a target's plans, of which none has problems: one for each place that any has chosen."""
    return [_policy(place, held) for place, held in _by_place(plans)]


def _target(asked: Any) -> dict[str, str]:
    if not isinstance(asked, Mapping):
        raise BadPlacement("each of targets must be an object with kind and name")
    only(asked, "a target of a placement", "kind", "name", "section")
    if asked.get("kind") not in KINDS:
        raise BadPlacement(f"the kind of a target must be one of {', '.join(KINDS)}")
    found = {"kind": str(asked["kind"]), "name": kube_name(asked), "section": ""}
    if "section" in asked:
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


def _policy(place: Place, plans: Sequence[Plan]) -> Object:
    first = plans[0]
    reference = {"group": GROUP, "kind": place.kind, "name": place.name}
    metadata = {
        "name": f"{_short(place)}.{first.target}",
        "namespace": place.namespace,
        "labels": {name: value for name, value in first.labels.items() if name != DEPLOYMENT_LABEL},
        "annotations": {DEPLOYMENTS: ",".join(sorted(plan.deployment for plan in plans))},
    }
    spec = {
        "targetRefs": [reference | ({"sectionName": place.section} if place.section else {})],
        "wasm": [_wasm(plan) for plan in plans],
    }
    return {"apiVersion": TYPES[0][0], "kind": TYPES[0][1], "metadata": metadata, "spec": spec}


def _short(place: Place) -> str:
    """A name for a place that no other has, of at most 100 characters and without dots."""
    digest = hashlib.sha256(json.dumps([place.kind, place.name, place.section]).encode()).hexdigest()[:10]
    return f"{place.kind.lower()}-{place.name.replace('.', '-')[:75]}-{digest}"


def _wasm(plan: Plan) -> dict[str, Any]:
    wasm: dict[str, Any] = {
        "name": filter_name(plan),
        "rootID": plan.root_id,
        "code": _code(plan),
        "failOpen": plan.failure_policy == "FAIL_OPEN",
    }
    if plan.config:
        wasm["config"] = config_value(plan.config)
    if plan.placement["env"]:
        wasm["env"] = {"hostKeys": sorted(plan.placement["env"])}
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
