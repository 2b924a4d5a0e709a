"""Gloo Edge Enterprise: filters in the options of its Gateway, which is somebody else's object.

Gloo's own pod pulls the image and hands the module to the proxies. Ours are merged into the Gateway's list; they are
known by their names, which begin with a mark of the hub and the target.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.targets.asked import drift, hub_url, kube_name, kube_namespace, minor, only, version, word
from deploy.targets.merging import merged
from deploy.targets.plan import MANAGER, BadPlacement, Object, Plan
from deploy.targets.remote_filter import filter_name
from proxywasm.digest_tags import tag_of

KIND = "gloo"
TYPES = (("gateway.solo.io/v1", "Gateway", "gateways"),)
STAGES = ("FaultStage", "CorsStage", "WafStage", "AuthNStage", "AuthZStage", "RateLimitStage", "AcceptedStage",
          "OutAuthStage", "RouteStage")  # fmt: skip
PREDICATES = ("Before", "During", "After")
PATH = ("spec", "httpGateway", "options", "wasm", "filters")

ACCEPTED, REJECTED, WARNING = "Accepted", "Rejected", "Warning"
_STATES: Mapping[Any, str] = {
    0: "Pending",
    1: ACCEPTED,
    2: REJECTED,
    3: WARNING,
}  # Gloo writes a state as a word or as its number
_WORST = (REJECTED, WARNING, "Pending", ACCEPTED)

Extension = dict[str, Any]  # a filter, and the Gateway that it is for: see `render`


@dataclass(frozen=True)
class Said:
    """Gloo's last word on a Gateway, and why; `state` is empty where it has said none."""

    state: str = ""
    why: str = ""


def read_settings(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a target, complete. Raises BadPlacement.

    `hub`: https URL of the hub as Gloo reaches it. `version`: of Gloo, such as 1.17; empty if unknown.
    """
    only(asked, "the settings of a Gloo target", "hub", "version")
    hub = hub_url(asked)
    if not hub.startswith("https://"):
        raise BadPlacement("hub must be an https URL: Gloo pulls images over nothing else")
    return {"hub": hub, "version": version(asked, "version")}


def read_placement(asked: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Where a deployment goes, complete. Raises BadPlacement.

    `gateway` in `namespace`: the Gateway of Gloo. `stage`: one of STAGES, and `predicate`: whether `Before`, `During`
    or `After` it; before AcceptedStage by default. `drift`: what becomes of edits by hand.
    """
    only(asked, "a placement on Gloo", "namespace", "gateway", "stage", "predicate", "drift")
    return {
        "namespace": kube_namespace(asked, default="gloo-system"),
        "gateway": kube_name(asked, "gateway", "gateway-proxy"),
        "stage": word(asked, "stage", "AcceptedStage", STAGES),
        "predicate": word(asked, "predicate", "During" if "stage" in asked else "Before", PREDICATES),
        "drift": drift(asked),
    }


def problems(plan: Plan) -> list[str]:
    """Why this deployment cannot be brought to this target, each with the way out; empty if it can."""
    found, release = [], minor(plan.settings["version"])
    if plan.failure_policy == "FAIL_RELOAD":
        found.append("Gloo cannot say FAIL_RELOAD; choose FAIL_CLOSED or FAIL_OPEN")
    if plan.failure_policy == "FAIL_OPEN" and release is not None and release < 12:
        found.append(f"FAIL_OPEN needs Gloo 1.12, and this target runs 1.{release}; choose FAIL_CLOSED")
    if not plan.public:
        found.append("the image is private, and Gloo pulls without a password; make the repository public")
    return found


def render(plan: Plan) -> Extension:
    """The deployment's filter, for a plan without problems: `filter` as the Gateway lists it.

    `namespace` and `gateway` say which Gateway it goes into, `order` its place there.
    """
    placement = plan.placement
    held: dict[str, Any] = {
        "image": f"{plan.image}:{tag_of(plan.manifest)}",  # Gloo would drop a digest and pull what is latest
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


def patch(gateway: Object, wanted: Object) -> list[dict[str, Any]]:
    """What makes the Gateway, of which `wanted` is a `merge`, be as wanted, as a JSON patch; empty if it is.

    It names the version that was read, and touches nothing but what holds the filters. (A merge patch would take away
    what is null in filters of others.)
    """
    before, after, path = gateway, wanted, ""
    for name in PATH:
        path += f"/{name}"
        if isinstance(before.get(name), Mapping) and isinstance(after.get(name), Mapping):
            before, after = before[name], after[name]
        elif before.get(name) != after.get(name):
            version = {"op": "replace", "path": "/metadata/resourceVersion"}
            change = (
                {"op": "add", "path": path, "value": after[name]} if name in after else {"op": "remove", "path": path}
            )
            return [version | {"value": gateway["metadata"]["resourceVersion"]}, change]
        else:
            break
    return []


def part(gateway: Object) -> Object:
    """What of a Gateway holds filters, and its name."""
    meta = {name: gateway["metadata"][name] for name in ("name", "namespace")}
    spec = {"httpGateway": {"options": {"wasm": {"filters": filters_of(gateway)}}}}
    return {"apiVersion": TYPES[0][0], "kind": TYPES[0][1], "metadata": meta, "spec": spec}


def filters_of(gateway: Object) -> list[Any]:
    """The filters that a Gateway lists, whosesoever."""
    return _get(gateway, PATH)


def ours(gateway: Object, own: str) -> dict[str, dict[str, Any]]:
    """The filters of a Gateway whose names begin with the mark, by the deployments that they are of."""
    return {_name(one).removeprefix(own): one for one in _get(gateway, PATH) if _name(one).startswith(own)}


def applied_by(gateway: Object) -> str:
    """Who else applies the whole list of filters, such as a GitOps controller; empty if nobody does."""
    for entry in gateway["metadata"].get("managedFields") or []:
        fields: Any = entry.get("fieldsV1")
        for name in PATH:
            fields = fields.get(f"f:{name}") if isinstance(fields, Mapping) else None
        if fields is not None and entry.get("operation") == "Apply" and entry.get("manager") != MANAGER:
            return str(entry.get("manager"))
    return ""


def applied_too(what: str, other: str) -> str:
    """What it means for a deployer that another applies the whole list, with the way out."""
    return f"the filters of {what} are applied as a whole list by {other}; leave that list to one of you"


def said(gateway: Object) -> Said:
    """What Gloo says of a Gateway and of the proxies that it is for: the worst of it."""
    found = [Said(state, why) for state, why in _statuses(gateway.get("status")) if state in _WORST]
    return min(found, key=lambda one: _WORST.index(one.state), default=Said())


def _statuses(status: Any) -> Iterator[tuple[str, str]]:
    """Each state with its reason: of the Gateway, for each Gloo that looks at it, and of what was made of it."""
    if not isinstance(status, Mapping):
        return
    state = status.get("state")
    yield (
        str(_STATES.get(state, state) if isinstance(state, int | str) else ""),
        str(status.get("reason") or "").strip(),
    )
    for name in ("statuses", "subresourceStatuses"):
        below = status.get(name)
        for one in below.values() if isinstance(below, Mapping) else ():
            yield from _statuses(one)


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
