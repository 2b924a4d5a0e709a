"""For which workloads a deployment is, as a form asks for it: the fields of a placement on each kind of target.

What a field is, `is` says: `text`, `choice` (of `words`), `map` (of names and texts), `places` (kind and name of
objects), `ports`, `env`, or `json` for what no form has. The readers in `deploy/targets/` judge what was typed.
"""

from collections.abc import Mapping
from typing import Any

from deploy.meshes.kinds import CONSUL, GLOO, ISTIO, MESHES
from deploy.targets import envoy_gateway, gloo
from deploy.targets.asked import MEND, REPORT
from deploy.targets.istio import PLUGIN_FORMS

PlacementField = dict[str, Any]


def placement_fields(kind: str, settings: Mapping[str, Any]) -> list[PlacementField]:
    """The fields; none where a deployment is for all proxies of its target."""
    if kind == ISTIO:
        return _istio(settings)
    if kind == CONSUL:
        return _consul(settings)
    if kind == envoy_gateway.KIND:
        targets = _field("targets", "Attached to", "places", True, hint="One a line, such as Gateway/edge.")
        return [_namespace(), targets, _env(), _drift()]
    if kind == GLOO:
        return _gloo()
    if kind in MESHES:
        return [_field("", "Placement", "json", True, hint="A JSON object, as the API takes it.")]
    return []


def _istio(settings: Mapping[str, Any]) -> list[PlacementField]:
    plugin = settings.get("form") in PLUGIN_FORMS
    labels = _field(
        "labels", "Workloads with the labels", "map", hint="One a line, such as app=shop. Without any: all there."
    )
    targets = _field(
        "targets", "Or attached to", "places", hint="One a line, such as Gateway/edge, in the place of labels."
    )
    if plugin:
        phases, modes = ("AUTHN", "AUTHZ", "STATS"), ("CLIENT", "SERVER", "CLIENT_AND_SERVER")
        own = [_field("phase", "Phase", "choice", words=phases), _field("mode", "Traffic as", "choice", words=modes)]
    else:
        contexts = ("SIDECAR_INBOUND", "SIDECAR_OUTBOUND", "GATEWAY", "ANY")
        own = [_field("context", "Context", "choice", words=contexts)]
    ports = _field("ports", "Ports", "ports", hint="Such as 80, 8080. Left empty: all.")
    return [_namespace(), labels, targets, ports, *own, _env(), _drift()]


def _consul(settings: Mapping[str, Any]) -> list[PlacementField]:
    file = _field("code", "File in the sidecar", "json", hint='For a module that lies there: {"file": "/path"}.')
    return [
        _field("service", "Service", "text", True),
        _field("namespace", "Namespace", "text", hint="Consul Enterprise has them."),
        _field("partition", "Partition", "text", hint="Consul Enterprise has them."),
        _field("listener", "Listener", "choice", words=("inbound", "outbound")),
        _field("protocol", "Protocol of the service", "choice", words=("http", "tcp")),
        file,
        _env(),
        _drift(),
    ]


def _gloo() -> list[PlacementField]:
    return [
        _field("namespace", "Namespace", "text", hint="Where the Gateway is; left empty: gloo-system."),
        _field("gateway", "Gateway", "text", hint="Left empty: gateway-proxy."),
        _field("stage", "Stage", "choice", words=gloo.STAGES),
        _field("predicate", "Before, during or after it", "choice", words=gloo.PREDICATES),
        _drift(),
    ]


def _namespace() -> PlacementField:
    return _field("namespace", "Namespace", "text", True)


def _env() -> PlacementField:
    hint = "One a line, such as LEVEL=debug; a name alone is taken from the proxy's own environment."
    return _field("env", "Environment of the module", "env", hint=hint)


def _drift() -> PlacementField:
    return _field("drift", "What is edited by hand", "choice", words=(MEND, REPORT))


def _field(
    name: str, label: str, what: str, required: bool = False, *, words: tuple[str, ...] = (), hint: str = ""
) -> PlacementField:
    return {"name": name, "label": label, "is": what, "required": required, "words": words, "hint": hint}
