"""An Istio mesh: filters as WasmPlugin, as TrafficExtension, or as EnvoyFilter in two forms.

In the forms WasmPlugin, TrafficExtension and EnvoyFilter-ECDS Istio's agent pulls the image and its digest counts; in
the form EnvoyFilter the proxy fetches the module and the sha256 of its bytes counts.
"""

from collections.abc import Mapping
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
    port,
    ports,
    text,
    version,
    word,
)
from deploy.targets.configs import Unfaithful, config_object
from deploy.targets.envoy_fleet import RBAC_TYPE, WASM_TYPE
from deploy.targets.plan import BadPlacement, Object, Plan, deployments_of
from deploy.targets.remote_filter import (
    CA_FILE,
    filter_name,
    module_cluster,
    plugin_name,
    remote_code,
    size_problems,
    wasm_filter,
)

KIND = "istio"
TYPES = (
    ("extensions.istio.io/v1alpha1", "WasmPlugin", "wasmplugins"),
    ("extensions.istio.io/v1alpha1", "TrafficExtension", "trafficextensions"),
    ("networking.istio.io/v1alpha3", "EnvoyFilter", "envoyfilters"),
)
FORMS = ("WasmPlugin", "TrafficExtension", "EnvoyFilter", "EnvoyFilter-ECDS")
PLUGIN_FORMS = FORMS[:2]
GROUPS = {  # kinds that a plugin can be attached to, with their API groups
    "Gateway": "gateway.networking.k8s.io",
    "GatewayClass": "gateway.networking.k8s.io",
    "Service": "",
    "ServiceEntry": "networking.istio.io",
}
FILTER_TARGETS = ("Gateway", "GatewayClass")  # EnvoyFilters do nothing in waypoints
MAX_TARGETS = 16
ENVOY_AHEAD = 8  # Istio 1.25 comes with Envoy 1.33, and so on

_FAIL = {"FAIL_CLOSED": "FAIL_CLOSE", "FAIL_OPEN": "FAIL_OPEN", "FAIL_RELOAD": "FAIL_RELOAD"}
_ROUTER = {
    "name": "envoy.filters.network.http_connection_manager",
    "subFilter": {"name": "envoy.filters.http.router"},
}


def read_settings(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a target, complete. Raises BadPlacement.

    `hub`: URL of the hub as the mesh's proxies reach it. `form`: one of FORMS. `istio_version`: such as 1.27; empty if
    unknown. `root_namespace`: what lies there is for the whole mesh. `observe`: `agents` or `nothing`, with
    `agent_port`. `restrict`: whether EnvoyFilters allow a module no more than it imports. `ca_file`: in the proxy's
    image, with the authorities that an EnvoyFilter believes.
    """
    names = ("hub", "form", "istio_version", "root_namespace", "observe", "agent_port", "restrict", "ca_file")
    only(asked, "the settings of an Istio target", *names)
    settings: dict[str, Any] = {
        "hub": hub_url(asked),
        "form": word(asked, "form", FORMS[0], FORMS),
        "istio_version": version(asked, "istio_version"),
        "root_namespace": kube_namespace(asked, "root_namespace", "istio-system"),
        "observe": word(asked, "observe", "agents", ("agents", "nothing")),
        "agent_port": port(asked.get("agent_port", 15020), "agent_port"),
        "restrict": flag(asked, "restrict", True),
        "ca_file": text(asked, "ca_file", CA_FILE, longest=4096),
    }
    release = minor(settings["istio_version"])
    if settings["form"] == "TrafficExtension" and release is not None and release < 30:
        raise BadPlacement("TrafficExtension needs Istio 1.30; set form to WasmPlugin, or istio_version to what runs")
    return settings


def read_placement(asked: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Where a deployment goes, complete. Raises BadPlacement.

    `namespace`; `labels` of the workloads, or `targets` [{kind, name}], or neither for all of the namespace; `ports`;
    `env`; `drift`, what becomes of edits by hand. With the plugin forms `phase` and `mode`, with the others `context`.
    """
    form = settings["form"]
    plugin = form in PLUGIN_FORMS
    _explain_other_form(asked, plugin)
    own = ("phase", "mode") if plugin else ("context",)
    only(asked, f"a placement by {form}", "namespace", "labels", "targets", "ports", "env", "drift", *own)
    placement: dict[str, Any] = {
        "namespace": kube_namespace(asked),
        "labels": labels(asked),
        "targets": _targets(asked, tuple(GROUPS) if plugin else FILTER_TARGETS, form),
        "ports": ports(asked),
        "env": environment(asked),
        "drift": drift(asked),
    }
    if plugin:
        placement["phase"] = word(asked, "phase", "", ("AUTHN", "AUTHZ", "STATS"))
        placement["mode"] = word(asked, "mode", "", ("CLIENT", "SERVER", "CLIENT_AND_SERVER"))
    else:
        contexts = ("SIDECAR_INBOUND", "SIDECAR_OUTBOUND", "GATEWAY", "ANY")
        placement["context"] = word(asked, "context", "GATEWAY" if placement["targets"] else contexts[0], contexts)
    if placement["labels"] and placement["targets"]:
        raise BadPlacement("a placement has either labels or targets; leave one of them out")
    classes = any(one["kind"] == "GatewayClass" for one in placement["targets"])
    if classes and placement["namespace"] != settings["root_namespace"]:
        raise BadPlacement(f"a GatewayClass can be chosen only in the namespace {settings['root_namespace']}")
    return placement


def problems(plan: Plan) -> list[str]:
    """Why this deployment cannot be brought to this target, each with the way out; empty if it can."""
    form = plan.settings["form"]
    found = _too_old(plan, minor(plan.settings["istio_version"]))
    if form in PLUGIN_FORMS:
        found += _config_problems(plan)
    elif form == "EnvoyFilter":
        found += size_problems(plan)
    elif plan.pull_secret is not None:
        found.append(
            "the image is private, and an EnvoyFilter-ECDS would have to hold the password for anybody who may read it;"
            " make the repository public, or set the target's form to WasmPlugin"
        )
    return found


def render(plan: Plan) -> list[Object]:
    """The deployment's one object, for a plan without problems."""
    form = plan.settings["form"]
    if form == "WasmPlugin":
        return [_object(plan, TYPES[0], _place(plan, "selector", "matchLabels") | _order(plan) | _module(plan))]
    if form == "TrafficExtension":
        spec = _place(plan, "selector", "matchLabels") | _order(plan) | {"wasm": _module(plan)}
        return [_object(plan, TYPES[1], spec)]
    patches = _inline_patches(plan) if form == "EnvoyFilter" else _discovery_patches(plan)
    # Each is put right before the router in turn, and lower priorities come first: so they run in rising order.
    spec = _place(plan, "workloadSelector", "labels") | {"priority": plan.order, "configPatches": patches}
    return [_object(plan, TYPES[2], spec)]


def pulls_with(live: Object) -> list[tuple[str, str]]:
    """The pull Secret that an object names, with the deployment that it is for."""
    spec = live.get("spec") or {}
    named = [one.get("imagePullSecret") for one in (spec, spec.get("wasm")) if isinstance(one, Mapping)]
    return [(str(name), deployment) for name in named if name for deployment in deployments_of(live)]


def _explain_other_form(asked: Mapping[str, Any], plugin: bool) -> None:
    if plugin and "context" in asked:
        raise BadPlacement("context belongs to the form EnvoyFilter; with this one choose mode, phase or ports")
    if not plugin and ("phase" in asked or "mode" in asked):
        raise BadPlacement("phase and mode belong to the form WasmPlugin; with an EnvoyFilter choose a context")


def _targets(asked: Mapping[str, Any], kinds: tuple[str, ...], form: str) -> list[dict[str, str]]:
    value = asked.get("targets", [])
    if not isinstance(value, list) or len(value) > MAX_TARGETS:
        raise BadPlacement(f"targets must be a list of at most {MAX_TARGETS} objects with kind and name")
    found: list[dict[str, str]] = []
    for one in value:
        if not isinstance(one, Mapping):
            raise BadPlacement("each of targets must be an object with kind and name")
        only(one, "a target of a placement", "kind", "name")
        if one.get("kind") not in kinds:
            raise BadPlacement(f"the kind of a target must be one of {', '.join(kinds)} for the form {form}")
        target = {"kind": one["kind"], "name": kube_name(one)}
        if target not in found:
            found.append(target)
    return found


def _too_old(plan: Plan, release: int | None) -> list[str]:
    """What this release of Istio would drop or misread without a word."""
    plugin = plan.settings["form"] in PLUGIN_FORMS
    needs = [
        (plugin and plan.failure_policy == "FAIL_OPEN", 19, "FAIL_OPEN", "choose FAIL_CLOSED"),
        (plan.failure_policy == "FAIL_RELOAD", 27 if plugin else 25, "FAIL_RELOAD", "choose FAIL_CLOSED or FAIL_OPEN"),
        (bool(plan.placement["targets"]), 22, "choosing by targets", "choose workloads by labels"),
        (plugin and bool(plan.placement["env"]), 14, "env", "leave env out"),
        (
            plugin and bool(plan.placement["ports"] or plan.placement["mode"]),
            16,
            "choosing mode or ports",
            "leave both out",
        ),
        (plugin and plan.pull_secret is not None, 14, "pulling a private image", "make the repository public"),
        (plugin, 12, "WasmPlugin", "set the target's form to EnvoyFilter"),
    ]
    return [
        f"{what} needs Istio 1.{since}, and this target runs 1.{release}; {way_out}"
        for needed, since, what, way_out in needs
        if needed and release is not None and release < since
    ]


def _config_problems(plan: Plan) -> list[str]:
    try:
        if plan.config:
            config_object(plan.config)
    except Unfaithful as reason:
        form = plan.settings["form"]
        return [f"the config {reason}, and a {form} carries JSON objects; write it as one, or set the target's form to"
                " EnvoyFilter"]  # fmt: skip
    return []


def _object(plan: Plan, kind: tuple[str, str, str], spec: dict[str, Any]) -> Object:
    metadata = {"name": plan.name, "namespace": plan.placement["namespace"], "labels": plan.labels}
    return {"apiVersion": kind[0], "kind": kind[1], "metadata": metadata, "spec": spec}


def _place(plan: Plan, selector: str, field: str) -> dict[str, Any]:
    """For which workloads; nothing for all of the namespace."""
    if plan.placement["targets"]:
        return {"targetRefs": [{"group": GROUPS[one["kind"]], **one} for one in plan.placement["targets"]]}
    return {selector: {field: dict(plan.placement["labels"])}} if plan.placement["labels"] else {}


def _order(plan: Plan) -> dict[str, Any]:
    """Where among the filters, and for which traffic. Priorities of plugins run downwards."""
    placement, spec = plan.placement, {"priority": -plan.order}
    match = {"mode": placement["mode"]} if placement["mode"] else {}
    if placement["ports"]:
        match["ports"] = [{"number": number} for number in placement["ports"]]
    return spec | ({"phase": placement["phase"]} if placement["phase"] else {}) | ({"match": [match]} if match else {})


def _module(plan: Plan) -> dict[str, Any]:
    """What to run, as both plugin forms say it."""
    digest = plan.manifest.removeprefix("sha256:")
    spec: dict[str, Any] = {
        "url": f"oci://{plan.image}@{plan.manifest}",
        "sha256": digest,
        "imagePullPolicy": "IfNotPresent",
        "failStrategy": _FAIL[plan.failure_policy],
        "type": "HTTP",
    }
    if plan.pull_secret is not None:
        spec["imagePullSecret"] = plan.pull_secret
    if plan.root_id:
        spec["pluginName"] = plan.root_id
    if plan.config:
        spec["pluginConfig"] = config_object(plan.config)
    if plan.placement["env"]:
        spec["vmConfig"] = {"env": [_variable(name, value) for name, value in sorted(plan.placement["env"].items())]}
    return spec


def _variable(name: str, value: str | None) -> dict[str, str]:
    return {"name": name, "valueFrom": "HOST"} if value is None else {"name": name, "value": value}


def _inline_patches(plan: Plan) -> list[dict[str, Any]]:
    """The proxy fetches the module itself, over a cluster that the same object adds."""
    code = remote_code(plan.module_url, filter_name(plan), plan.module.sha256)
    held = {"name": filter_name(plan), "typed_config": _typed(plan, plugin_name(plan), code, plan.placement["env"])}
    fetched = _patch(plan, "CLUSTER", "ADD", module_cluster(plan, plan.settings["ca_file"]))
    return [fetched, *_insertions(plan, held)]


def _discovery_patches(plan: Plan) -> list[dict[str, Any]]:
    """The agent pulls the image and hands the proxy a file, or an RBAC filter where it cannot."""
    code = remote_code(f"oci://{plan.image}@{plan.manifest}", "_", plan.manifest.removeprefix("sha256:"))
    env = plan.placement["env"] | {"ISTIO_META_WASM_IMAGE_PULL_POLICY": "IfNotPresent"}
    found = {"name": filter_name(plan), "typed_config": _typed(plan, filter_name(plan), code, env)}
    source = {"ads": {}, "initial_fetch_timeout": "0s"}
    discovery = {"config_source": source, "type_urls": [WASM_TYPE, RBAC_TYPE]}
    held = {"name": filter_name(plan), "config_discovery": discovery}
    return [_patch(plan, "EXTENSION_CONFIG", "ADD", found), *_insertions(plan, held)]


def _typed(plan: Plan, name: str, code: dict[str, Any], env: Mapping[str, str | None]) -> dict[str, Any]:
    release = minor(plan.settings["istio_version"])
    return wasm_filter(plan, name, code, env, None if release is None else release + ENVOY_AHEAD)


def _insertions(plan: Plan, held: dict[str, Any]) -> list[dict[str, Any]]:
    """The filter before the router, once for each port that is named, or once for all."""
    found = []
    for number in plan.placement["ports"] or [None]:
        listener = {"filterChain": {"filter": _ROUTER}} | ({} if number is None else {"portNumber": number})
        found.append(_patch(plan, "HTTP_FILTER", "INSERT_BEFORE", held, {"listener": listener}))
    return found


def _patch(
    plan: Plan, place: str, operation: str, value: dict[str, Any], match: dict[str, Any] | None = None
) -> dict[str, Any]:
    where = {"context": plan.placement["context"]} | (match or {})
    return {"applyTo": place, "match": where, "patch": {"operation": operation, "value": value}}
