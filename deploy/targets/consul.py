"""A Consul mesh: filters as `builtin/wasm` extensions in the service-defaults of the service whose sidecars run them.

An entry of service-defaults belongs to whoever runs the service, so ours are merged into it. They are known by the name
of their plugin, which begins with a mark of the hub and the target.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from deploy.targets.asked import drift, environment, flag, only, port, text, url, word
from deploy.targets.capabilities import allowed
from deploy.targets.merging import merged
from deploy.targets.plan import HUB_LABEL, MANAGED_BY, MANAGER, BadPlacement, Object, Plan
from deploy.targets.remote_filter import FETCH_SECONDS, filter_name, size_problems, split_environment, vm_id

KIND = "consul"
TYPES = (("consul.hashicorp.com/v1alpha1", "ServiceDefaults", "servicedefaults"),)
WASM = "builtin/wasm"
# What Meta of an entry says that was made for our extensions alone, and with which protocol.
CREATED_BY = "created-by"
CREATED_FOR = "created-for-protocol"

Extension = dict[str, Any]  # an extension, and the service it is for: see `render`

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,126}[A-Za-z0-9])?")
_COUNTED = ("CreateIndex", "ModifyIndex", "Hash")  # what Consul says of an entry and nobody writes


def read_settings(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a target, complete. Raises BadPlacement.

    `address`: URL of Consul's HTTP API. `hub_service`: the service by which sidecars fetch modules, an upstream of
    every sidecar that is to run a filter; with `hub_namespace` and `hub_partition`. `namespace` and `partition`: those
    of placements that name none. `restrict`: whether a module is allowed no more than it imports. `admin_port`: where
    the hub may ask each sidecar's Envoy what it runs; 0: nowhere.
    """
    places = ("namespace", "partition", "hub_namespace", "hub_partition")
    only(asked, "the settings of a Consul target", "address", "hub_service", *places, "restrict", "admin_port")
    return {
        "address": url(asked, "address", "Consul's API"),
        "hub_service": _name(asked, "hub_service", "wasmhub"),
        "restrict": flag(asked, "restrict", True),
        "admin_port": port(asked["admin_port"], "admin_port") if asked.get("admin_port") else 0,
        **{place: _name(asked, place, "") for place in places},
    }


def read_placement(asked: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Where a deployment goes, complete. Raises BadPlacement.

    `service`, with `namespace` and `partition`; `listener`: `inbound` or `outbound`; `protocol`: the service's own,
    `http` or `tcp`; `code`: {"file": path in the sidecar} for a module that lies there already; `env`; `drift`,
    what becomes of edits by hand.
    """
    names = ("service", "namespace", "partition", "listener", "protocol", "code", "env", "drift")
    only(asked, "a placement on Consul", *names)
    return {
        "service": _name(asked, "service", None),
        "namespace": _name(asked, "namespace", settings["namespace"]),
        "partition": _name(asked, "partition", settings["partition"]),
        "listener": word(asked, "listener", "inbound", ("inbound", "outbound")),
        "protocol": word(asked, "protocol", "http", ("http", "tcp")),
        "code": _code(asked.get("code")),
        "env": environment(asked),
        "drift": drift(asked),
    }


def problems(plan: Plan) -> list[str]:
    """Why this deployment cannot be brought to this target, each with the way out; empty if it can."""
    found = [] if plan.placement["code"] else size_problems(plan)
    if plan.failure_policy == "FAIL_RELOAD":
        found.append("Consul cannot say FAIL_RELOAD; choose FAIL_CLOSED or FAIL_OPEN")
    return found


def render(plan: Plan) -> Extension:
    """The deployment's extension, for a plan without problems.

    `extension` is as EnvoyExtensions hold it; `service`, `namespace`, `partition` (empty where not named) and
    `protocol` say which entry it goes into, `order` its place there.
    """
    placement = plan.placement
    # Without `Required` Consul has Envoy pass requests by a filter that fails.
    required = plan.failure_policy != "FAIL_OPEN"
    arguments = {
        "Protocol": placement["protocol"],
        "ListenerType": placement["listener"],
        "ProxyType": "connect-proxy",
        "PluginConfig": _plugin(plan),
    }
    return {
        **{name: placement[name] for name in ("service", "namespace", "partition", "protocol")},
        "order": plan.order,
        "extension": {"Name": WASM, "Required": required, "Arguments": arguments},
    }


def merge(entry: Mapping[str, Any] | None, wanted: Sequence[Extension], own: str) -> dict[str, Any] | None:
    """An entry of service-defaults with these extensions, all of its service, and no others that begin with the mark.

    `entry` is as Consul answered it, None where there is none. What is others' stays as it is and where it is. None:
    there is to be no entry, because it held nothing but ours and was made for them.
    """
    if entry is None:
        return _new_entry(wanted, own) if wanted else None
    found = {name: value for name, value in entry.items() if name not in _COUNTED}
    extensions = merged(found.pop("EnvoyExtensions", None) or [], _sorted(wanted), own, plugin_name)
    if extensions:
        return found | {"EnvoyExtensions": extensions}
    return None if _only_ours(found, own) else found


def same(entry: Mapping[str, Any] | None, merged: Mapping[str, Any] | None) -> bool:
    """Whether an entry, as Consul answered it, says what the merged one says, so that nothing is to be written."""
    if entry is None or merged is None:
        return entry is merged
    return _said(entry) == _said(merged)


def said_of(extension: Mapping[str, Any]) -> dict[str, Any]:
    """An extension without the empty fields that Consul answers."""
    return {name: value for name, value in extension.items() if value}


def conflicts(entry: Mapping[str, Any] | None, wanted: Sequence[Extension], usual: str = "tcp") -> list[str]:
    """Why these extensions would do no good in an entry that others keep, each with the way out.

    `usual` is the protocol of proxy-defaults, which services have that name none.
    """
    if entry is None or not wanted:
        return []
    service, found = entry.get("Name"), []
    if (entry.get("Meta") or {}).get("external-source") == "kubernetes":
        found.append(
            f"the service-defaults of {service} are kept by Kubernetes, which would undo what is written to Consul;"
            " put the extension into its ServiceDefaults resource"
        )
    protocol = entry.get("Protocol") or usual
    found += [
        f"the service {service} speaks {protocol}, and Consul skips extensions for {other}; set Protocol in its"
        " service-defaults, or the placement's protocol"
        for other in sorted({one["protocol"] for one in wanted} - {protocol})
    ]
    return found


def service_defaults(
    existing: Object | None, wanted: Sequence[Extension], own: str, *, namespace: str
) -> Object | None:
    """The same as `merge` for the ServiceDefaults resource, which lies in a namespace of Kubernetes."""
    extensions = [{name.lower(): value for name, value in one.items()} for one in _sorted(wanted)]
    if existing is None:
        if not wanted:
            return None
        metadata = {"name": wanted[0]["service"], "namespace": namespace, "labels": _labels(own)}
        spec = {"protocol": wanted[0]["protocol"], "envoyExtensions": extensions}
        return {"apiVersion": TYPES[0][0], "kind": TYPES[0][1], "metadata": metadata, "spec": spec}
    spec = dict(existing.get("spec") or {})
    kept = merged(spec.pop("envoyExtensions", None) or [], extensions, own, plugin_name)
    if kept:
        return {**existing, "spec": spec | {"envoyExtensions": kept}}
    labelled = (existing.get("metadata") or {}).get("labels") or {}
    made = labelled | _labels(own) == labelled and not {name for name, value in spec.items() if value} - {"protocol"}
    return None if made else {**existing, "spec": spec}


def _name(asked: Mapping[str, Any], name: str, default: str | None) -> str:
    value = text(asked, name, default, longest=128)
    if value != default and not _NAME.fullmatch(value):
        raise BadPlacement(f"{name} must be a name in Consul: letters, digits, dots, dashes and underscores")
    return value


def _code(value: Any) -> dict[str, str]:
    """Where the module lies in the sidecar; empty where it is to be fetched."""
    if value is None or value == {}:
        return {}
    if not isinstance(value, Mapping):
        raise BadPlacement('code must be an object such as {"file": "/filters/limits.wasm"}')
    only(value, "the code of a placement", "file")
    path = text(value, "file", longest=4096)
    if not path.startswith("/"):
        raise BadPlacement("the file of code must be a path from the root, such as /filters/limits.wasm")
    return {"file": path}


def _plugin(plan: Plan) -> dict[str, Any]:
    machine: dict[str, Any] = {"VmID": vm_id(plan), "Runtime": "v8", "Code": _source(plan)}
    given, from_host = split_environment(plan.placement["env"])
    variables = ({"KeyValues": given} if given else {}) | ({"HostEnvKeys": from_host} if from_host else {})
    if variables:
        machine["EnvironmentVariables"] = variables
    plugin: dict[str, Any] = {"Name": filter_name(plan), "RootID": plan.root_id, "VmConfig": machine}
    if plan.config:
        plugin["Configuration"] = plan.config
    names = allowed(plan.module.facts) if plan.settings["restrict"] else []
    if names:
        plugin["CapabilityRestrictionConfiguration"] = {"AllowedCapabilities": {name: {} for name in names}}
    return plugin


def _source(plan: Plan) -> dict[str, Any]:
    if plan.placement["code"]:
        return {"Local": {"Filename": plan.placement["code"]["file"]}}
    settings = plan.settings
    service = {"Name": settings["hub_service"], "Namespace": settings["hub_namespace"]}
    service |= {"Partition": settings["hub_partition"]}
    uri = f"http://{settings['hub_service']}{urlsplit(plan.module_url).path}"
    return {
        "Remote": {
            "HttpURI": {
                "Service": {name: value for name, value in service.items() if value},
                "URI": uri,
                "Timeout": f"{FETCH_SECONDS}s",
            },
            "SHA256": plan.module.sha256,
            "RetryPolicy": {"NumRetries": 3, "RetryBackOff": {"BaseInterval": "1s", "MaxInterval": "10s"}},
        }
    }


def _new_entry(wanted: Sequence[Extension], own: str) -> dict[str, Any]:
    first = wanted[0]
    places = {"Namespace": first["namespace"], "Partition": first["partition"]}
    return {
        "Kind": "service-defaults",
        "Name": first["service"],
        **{name: value for name, value in places.items() if value},
        "Protocol": first["protocol"],
        "Meta": _meta(own, first["protocol"]),
        "EnvoyExtensions": _sorted(wanted),
    }


def _meta(own: str, protocol: Any) -> dict[str, Any]:
    return {CREATED_BY: _hub(own), CREATED_FOR: protocol}


def _labels(own: str) -> dict[str, str]:
    return {MANAGED_BY: MANAGER, HUB_LABEL: _hub(own).partition("/")[2]}


def _hub(own: str) -> str:
    """The mark without the target: whichever target of the hub comes last may take an entry away."""
    return own.rstrip("/").rpartition("/")[0]


def _sorted(wanted: Sequence[Extension]) -> list[dict[str, Any]]:
    """In the order in which requests are to pass: Consul puts each right before the router in turn."""
    extensions = sorted(wanted, key=lambda one: (one["order"], plugin_name(one["extension"])))
    return [one["extension"] for one in extensions]


def plugin_name(extension: Any) -> str:
    """The name of an extension's plugin; empty for any other extension. Consul does not look at the case of keys."""
    found = extension
    for name in ("arguments", "pluginconfig", "name"):
        held = found.items() if isinstance(found, Mapping) else ()
        found = next((value for key, value in held if str(key).lower() == name), None)
    return found if isinstance(found, str) else ""


def _only_ours(entry: Mapping[str, Any], own: str) -> bool:
    """Whether we made an entry and nobody has written anything into it since."""
    written = {name for name, value in entry.items() if value}
    known = {"Kind", "Name", "Namespace", "Partition", "Protocol", "Meta"}
    return entry.get("Meta") == _meta(own, entry.get("Protocol")) and written <= known


def _said(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry without its counts, and without the empty fields that Consul answers."""
    said = {name: value for name, value in entry.items() if value and name not in _COUNTED}
    held = said.get("EnvoyExtensions") or []
    listed = [said_of(one) if isinstance(one, Mapping) else one for one in held]
    return said | ({"EnvoyExtensions": listed} if listed else {})
