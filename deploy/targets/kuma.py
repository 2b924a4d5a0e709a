"""A Kuma mesh: filters as modifications of MeshProxyPatch, with which Kuma changes Envoy's own configuration.

Kuma orders policies by what they select and by their names, not by any number. So a policy is not a deployment's: it
belongs to a target and a selection of proxies, and adds the filters of all deployments with that selection in order.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deploy.targets.asked import (
    drift,
    environment,
    flag,
    hub_url,
    kube_name,
    kube_namespace,
    labels,
    minor,
    only,
    text,
    word,
)
from deploy.targets.asked import version as release
from deploy.targets.plan import DEPLOYMENT_LABEL, DEPLOYMENTS, Object, Plan
from deploy.targets.remote_filter import (
    CA_FILE,
    FAILURE_POLICY_SINCE,
    filter_name,
    module_cluster,
    remote_code,
    size_problems,
    wasm_filter,
)

KIND = "kuma"
TYPES = (("kuma.io/v1alpha1", "MeshProxyPatch", "meshproxypatches"),)
ORIGINS = ("inbound", "outbound", "gateway")

_ROUTER = "envoy.filters.http.router"


def read_settings(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a target, complete. Raises BadPlacement.

    `hub`: URL of the hub as the proxies reach it. `mesh`. `system_namespace`: where Kuma itself runs. `select_by`:
    `Dataplane` with labels, or `MeshSubset` with tags for releases that know no other. `envoy_version`: of the proxies,
    such as 1.36; empty if unknown. `restrict`: whether a module is allowed no more than it imports. `ca_file`: in the
    proxy's image, with the authorities that it believes.
    """
    names = ("hub", "mesh", "system_namespace", "select_by", "envoy_version", "restrict", "ca_file")
    only(asked, "the settings of a Kuma target", *names)
    return {
        "hub": hub_url(asked),
        "mesh": kube_name(asked, "mesh", "default"),
        "system_namespace": kube_namespace(asked, "system_namespace", "kuma-system"),
        "select_by": word(asked, "select_by", "Dataplane", ("Dataplane", "MeshSubset")),
        "envoy_version": release(asked, "envoy_version"),
        "restrict": flag(asked, "restrict", True),
        "ca_file": text(asked, "ca_file", CA_FILE, longest=4096),
    }


def read_placement(asked: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Where a deployment goes, complete. Raises BadPlacement.

    `labels` of the proxies, none for the whole mesh; `namespace` of the policy: in another than Kuma's own it is for
    the proxies there alone; `origin`: one of ORIGINS; `env`; `drift`, what becomes of edits by hand.
    """
    only(asked, "a placement on Kuma", "namespace", "labels", "origin", "env", "drift")
    return {
        "namespace": kube_namespace(asked, default=settings["system_namespace"]),
        "labels": labels(asked),
        "origin": word(asked, "origin", "inbound", ORIGINS),
        "env": environment(asked),
        "drift": drift(asked),
    }


def problems(plan: Plan) -> list[str]:
    """Why this deployment cannot be brought to this target, each with the way out; empty if it can."""
    found, envoy = size_problems(plan), minor(plan.settings["envoy_version"])
    if plan.failure_policy == "FAIL_RELOAD" and envoy is not None and envoy < FAILURE_POLICY_SINCE:
        found.append(
            f"FAIL_RELOAD needs Envoy 1.{FAILURE_POLICY_SINCE}, and this target runs 1.{envoy};"
            " choose FAIL_CLOSED or FAIL_OPEN"
        )
    return found


def render(plan: Plan) -> list[Object]:
    """The policy of a deployment that is alone with its selection: see `render_together`."""
    return render_together([plan])


def render_together(plans: Sequence[Plan], kept: Sequence[Plan] = (), live: Sequence[Object] = ()) -> list[Object]:
    """The policies of all of a target's plans: one for each selection of proxies.

    `plans` have no problems. `kept` are others, of which stays what there is in the `live` policies.
    """
    held = [(plan, _place(plan), _modifications(plan)) for plan in plans]
    made = {
        (plan.placement["namespace"], _name(plan.placement["labels"], plan)): _place(plan) for plan in (*plans, *kept)
    }
    held += [(plan, place, found) for plan in kept for place, found in _stands(live, plan, made)]
    selections: dict[tuple[str, str], list[tuple[Plan, list[Any]]]] = {}
    for plan, place, modifications in sorted(held, key=lambda one: (one[0].order, one[0].deployment)):
        selections.setdefault(place, []).append((plan, modifications))
    return [_policy(namespace, json.loads(said), some) for (namespace, said), some in sorted(selections.items())]


def problems_together(plans: Sequence[Plan]) -> list[str]:
    """Why these plans of one target cannot all be brought there, though each could: they always can."""
    return []


def again(plan: Plan, tries: int) -> Plan:
    """The plan as it is: its proxies try to get the module by themselves."""
    return plan


def _place(plan: Plan) -> tuple[str, str]:
    """The namespace, and the selection of proxies as a text."""
    return plan.placement["namespace"], json.dumps(plan.placement["labels"], sort_keys=True)


def _stands(
    live: Sequence[Object], plan: Plan, made: Mapping[tuple[str, str], tuple[str, str]]
) -> Iterator[tuple[tuple[str, str], list[Any]]]:
    """What there is of a deployment: the places of policies, and its modifications in each. A policy that was `made`
    for a place is for that, whatever somebody has had it select since.
    """
    own = json.dumps(filter_name(plan))
    for policy in live:
        spec = policy.get("spec") or {}
        listed = (spec.get("default") or {}).get("appendModifications") or []
        found = [one for one in listed if any(own in str(part.get("value")) for part in one.values())]
        if found:
            reference = spec.get("targetRef") or {}  # without one it is for the whole mesh
            selected = reference.get("labels") or reference.get("tags") or {}
            there = policy["metadata"]["namespace"], json.dumps(selected, sort_keys=True)
            yield made.get((there[0], str(policy["metadata"].get("name"))), there), found


def _policy(namespace: str, selected: Mapping[str, str], held: Sequence[tuple[Plan, list[Any]]]) -> Object:
    plans = [plan for plan, _ in held]
    first = plans[0]
    own = {name: value for name, value in first.labels.items() if name != DEPLOYMENT_LABEL}
    metadata = {
        "name": _name(selected, first),
        "namespace": namespace,
        "labels": {"kuma.io/mesh": first.settings["mesh"], **own},
        "annotations": {DEPLOYMENTS: ",".join(sorted(plan.deployment for plan in plans))},
    }
    modifications = [one for _, some in held for one in some]
    spec = {
        "targetRef": _selected(selected, first.settings["select_by"]),
        "default": {"appendModifications": modifications},
    }
    return {"apiVersion": TYPES[0][0], "kind": TYPES[0][1], "metadata": metadata, "spec": spec}


def _name(selected: Mapping[str, str], plan: Plan) -> str:
    """What the policy of a selection is called on the plan's target."""
    return f"{_short(selected)}.{plan.target}"


def _short(selected: Mapping[str, str]) -> str:
    """A name for a selection that no other has."""
    digest = hashlib.sha256(json.dumps(selected, sort_keys=True).encode()).hexdigest()[:10]
    return f"selection-{digest}" if selected else "mesh"


def _selected(wanted: Mapping[str, str], kind: str) -> dict[str, Any]:
    return {"kind": kind, "labels" if kind == "Dataplane" else "tags": dict(wanted)} if wanted else {"kind": "Mesh"}


def _modifications(plan: Plan) -> list[dict[str, Any]]:
    """The cluster of the hub, and the filter right before the router: those that follow come after it."""
    code = remote_code(plan.module_url, filter_name(plan), plan.module.sha256)
    typed = wasm_filter(plan, filter_name(plan), code, plan.placement["env"], minor(plan.settings["envoy_version"]))
    cluster = module_cluster(plan, plan.settings["ca_file"])
    match = {"name": _ROUTER, "origin": plan.placement["origin"]}
    held = {"name": filter_name(plan), "typed_config": typed}
    return [
        {"cluster": {"operation": "Add", "value": _text(cluster)}},
        {"httpFilter": {"operation": "AddBefore", "match": match, "value": _text(held)}},
    ]


def _text(value: Any) -> str:
    """YAML, of which JSON is a part."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
