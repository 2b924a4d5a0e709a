"""Gloo Edge Enterprise: filters in the options of its Gateway, which is somebody else's object.

Gloo's own pod pulls the image and hands the module to the proxies. Ours are merged into the Gateway's list; they are
known by their names, which begin with a mark of the hub and the target.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from deploy.targets.asked import hub_url, kube_name, kube_namespace, minor, only, version, word
from deploy.targets.merging import merged
from deploy.targets.plan import Object, Plan
from deploy.targets.remote_filter import filter_name

KIND = "gloo"
TYPES = (("gateway.solo.io/v1", "Gateway", "gateways"),)
STAGES = ("FaultStage", "CorsStage", "WafStage", "AuthNStage", "AuthZStage", "RateLimitStage", "AcceptedStage",
          "OutAuthStage", "RouteStage")  # fmt: skip
PATH = ("spec", "httpGateway", "options", "wasm", "filters")

Extension = dict[str, Any]  # a filter, and the Gateway that it is for: see `render`


def read_settings(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a target, complete. Raises BadPlacement.

    `hub`: URL of the hub as Gloo reaches it. `version`: of Gloo, such as 1.17; empty if unknown.
    """
    only(asked, "the settings of a Gloo target", "hub", "version")
    return {"hub": hub_url(asked), "version": version(asked, "version")}


def read_placement(asked: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Where a deployment goes, complete. Raises BadPlacement.

    `gateway` in `namespace`: the Gateway of Gloo. `stage`: one of STAGES, and `predicate`: whether `Before`, `During`
    or `After` it; before AcceptedStage by default.
    """
    only(asked, "a placement on Gloo", "namespace", "gateway", "stage", "predicate")
    return {
        "namespace": kube_namespace(asked, default="gloo-system"),
        "gateway": kube_name(asked, "gateway", "gateway-proxy"),
        "stage": word(asked, "stage", "AcceptedStage", STAGES),
        "predicate": word(
            asked, "predicate", "During" if "stage" in asked else "Before", ("Before", "During", "After")
        ),
    }


def problems(plan: Plan) -> list[str]:
    """Why this deployment cannot be brought to this target, each with the way out; empty if it can."""
    found, release = [], minor(plan.settings["version"])
    if plan.failure_policy == "FAIL_RELOAD":
        found.append("Gloo cannot say FAIL_RELOAD; choose FAIL_CLOSED or FAIL_OPEN")
    if plan.failure_policy == "FAIL_OPEN" and release is not None and release < 12:
        found.append(f"FAIL_OPEN needs Gloo 1.12, and this target runs 1.{release}; choose FAIL_CLOSED")
    if plan.pull_secret is not None:
        found.append("the image is private, and Gloo pulls without a password; make the repository public")
    return found


def render(plan: Plan) -> Extension:
    """The deployment's filter, for a plan without problems: `filter` as the Gateway lists it.

    `namespace` and `gateway` say which Gateway it goes into, `order` its place there.
    """
    placement = plan.placement
    held: dict[str, Any] = {
        "image": f"{plan.image}@{plan.manifest}",
        "name": filter_name(plan),
        "rootId": plan.root_id,
        "filterStage": {"stage": placement["stage"], "predicate": placement["predicate"]},
        "vmType": "V8",
        "failOpen": plan.failure_policy == "FAIL_OPEN",
    }
    if plan.config is not None:
        held["config"] = {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": plan.config}
    return {**{name: placement[name] for name in ("namespace", "gateway")}, "order": plan.order, "filter": held}


def merge(gateway: Object, wanted: Sequence[Extension], own: str) -> Object:
    """A Gateway with these filters, all that are for it, and no others that begin with the mark.

    What is others' stays as it is and where it is; without any filter left, the option for them goes.
    """
    ours = [one["filter"] for one in sorted(wanted, key=lambda one: (one["order"], one["filter"]["name"]))]
    return _put(gateway, PATH, merged(_get(gateway, PATH), ours, own, _name))


def conflicts(gateway: Object | None, wanted: Sequence[Extension]) -> list[str]:
    """Why these filters cannot go into what the cluster has of their Gateway, with the way out."""
    if not wanted:
        return []
    name = f"{wanted[0]['gateway']} in {wanted[0]['namespace']}"
    if gateway is None:
        return [f"Gloo has no Gateway {name}; name the one that takes the traffic"]
    if not isinstance((gateway.get("spec") or {}).get("httpGateway"), Mapping):
        return [f"the Gateway {name} is not for HTTP; name one that has an httpGateway"]
    return []


def _name(held: Any) -> str:
    name = held.get("name") if isinstance(held, Mapping) else None
    return name if isinstance(name, str) else ""


def _get(value: Any, path: Sequence[str]) -> list[Any]:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, list) else []


def _put(value: Mapping[str, Any], path: Sequence[str], filters: list[Any]) -> dict[str, Any]:
    """The object with a list at the end of the path; without filters nothing is added, and an emptied option goes."""
    name, rest = path[0], path[1:]
    if not rest:
        return {**value, name: filters}
    below = value.get(name)
    if not filters and not isinstance(below, Mapping):
        return dict(value)
    if not filters and len(rest) == 1 and set(below or {}) <= {rest[0]}:
        return {key: one for key, one in value.items() if key != name}
    return {**value, name: _put(below if isinstance(below, Mapping) else {}, rest, filters)}
