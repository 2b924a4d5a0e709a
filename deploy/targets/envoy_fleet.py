"""What an Envoy fleet is given, as pure values: the bootstrap with its ordered slots, and the answer for one slot."""

import base64
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from deploy.targets.capabilities import only_these
from deploy.targets.envoy_parts import address, cluster, file_source, join, tls

EXTENSION_TYPE = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
WASM_TYPE = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"
RBAC_TYPE = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"
MAX_MODULE_BYTES = 20 * 1024 * 1024  # Envoy buffers 32 MiB of an answer; base64 adds a third (20 MiB was loaded)

# how the Envoys of a fleet are served -> Envoy's name of that, and whether all slots share one stream
TRANSPORTS = {
    "rest": ("REST", False),
    "grpc": ("GRPC", False),
    "delta-grpc": ("DELTA_GRPC", False),
    "ads": ("GRPC", True),
    "delta-ads": ("DELTA_GRPC", True),
    "file": ("", False),
}
OVER_GRPC = tuple(name for name, (kind, _) in TRANSPORTS.items() if kind.endswith("GRPC"))
FILES = "file"  # the transport of Envoys that cannot call out: they read files that somebody fetches

_TYPE = "type.googleapis.com/envoy.extensions."
_SEAM = '"inline_bytes":"'  # quotes inside a JSON string are escaped, so a config cannot hold this
_KEY_SECRET = "fleet-key"  # noqa: S105  (a name, not a secret)


@dataclass(frozen=True)
class Fleet:
    """The settings of a fleet that its bootstrap depends on."""

    name: str
    slots: int = 8
    without_hub: str = "wait"  # what a booting Envoy does when the hub does not answer: wait | open
    refresh_seconds: float = 5.0  # over REST Envoy polls at a random moment between one and two of these
    transport: str = "rest"  # one of TRANSPORTS


@dataclass(frozen=True)
class BootstrapOptions:
    """What differs between the places that run a fleet's bootstrap. Addresses are `host:port`."""

    hub_url: str
    files: str = ""  # the folder of the slots' files, for the transport that reads them
    xds: str = ""  # the URL of its port for gRPC: for statistics, and for every transport over that
    listen: str = "0.0.0.0:10000"
    upstream: str = "127.0.0.1:8000"
    admin: str = "127.0.0.1:9901"
    node_id: str = ""  # empty: `envoy --service-node NAME` gives it, so that one file serves every Envoy of the fleet
    key_env: str = "WASMHUB_FLEET_KEY"
    key_file: str = ""  # read instead of the variable; one ending in .json is an SDS document, followed as it changes
    ca_file: str = "/etc/ssl/certs/ca-certificates.crt"
    cert_file: str = ""  # the proxy's own certificate and its key, where the hub asks for one
    cert_key_file: str = ""


@dataclass(frozen=True)
class Filter:
    """One filter as a slot runs it. `vm_id` must differ between two modules, or Envoy may run the older one."""

    name: str
    vm_id: str
    root_id: str = ""
    config: str | None = None
    failure_policy: str = "FAIL_CLOSED"  # FAIL_CLOSED | FAIL_OPEN | FAIL_RELOAD
    capabilities: tuple[str, ...] = ()  # all that the module may do; empty: whatever it likes


def slot_name(fleet: str, slot: int) -> str:
    """The ECDS resource name of a slot; slots count from 1 in the order in which requests pass them."""
    return f"{fleet}/slot-{slot}"


def parse_slot(resource: str) -> tuple[str, int] | None:
    """The fleet and the slot that a resource name means, or None for any other text."""
    fleet, separator, number = resource.rpartition("/slot-")
    if not separator or not fleet or not (number.isascii() and number.isdigit() and len(number) <= 3):
        return None
    return fleet, int(number)


def discovery_answer(resource: str, version: str, held: Filter | None) -> tuple[bytes, bytes]:
    """The DiscoveryResponse for one slot as two halves: the module in base64 goes between them.

    An empty slot (None) is an RBAC without rules, which lets everything pass; its second half is empty.
    """
    typed = {"@type": RBAC_TYPE} if held is None else {"@type": WASM_TYPE, "config": plugin(held)}
    text = json.dumps(
        {
            "version_info": version,
            "type_url": EXTENSION_TYPE,
            "resources": [{"@type": EXTENSION_TYPE, "name": resource, "typed_config": typed}],
        },
        separators=(",", ":"),
    )
    head, seam, tail = text.partition(_SEAM)
    return (head + seam).encode(), tail.encode()


def inline(module: bytes) -> bytes:
    """Bytes of a module as they stand between the halves of an answer; whole multiples of three may be chained."""
    return base64.b64encode(module)


def bootstrap(fleet: Fleet, options: BootstrapOptions) -> dict[str, Any]:
    """A whole Envoy bootstrap: one listener that passes the fleet's slots and forwards to one upstream.

    Written for Envoy 1.33 or newer. It holds no secret: the key comes from a variable or a file.
    """
    asks = fleet.transport != FILES
    hub = hub_cluster(options, over_grpc=fleet.transport in OVER_GRPC)
    static: dict[str, Any] = {
        "listeners": [_listener(fleet, options, hub["name"])],
        "clusters": [cluster("upstream", options.upstream), *([hub] if asks else [])],
    }
    told = hub_cluster(options, over_grpc=True) if asks and options.xds else None
    if told is not None and told["name"] != hub["name"]:
        static["clusters"].append(told)
    if asks and not _followed(options):
        source = {"filename": options.key_file} if options.key_file else {"environment_variable": options.key_env}
        static["secrets"] = [{"name": _KEY_SECRET, "generic_secret": {"secret": source}}]
    node = {"cluster": fleet.name} | ({"id": options.node_id} if options.node_id else {})
    made = {"node": node, "admin": {"address": address(options.admin)}, "static_resources": static}
    if told is not None:
        made |= stats_sink(told["name"])
    if TRANSPORTS[fleet.transport][1]:
        made["dynamic_resources"] = {"ads_config": _over_grpc(fleet, hub["name"])}
    return made


def http_filters(fleet: Fleet, hub: str, files: str = "") -> list[dict[str, Any]]:
    """The slots as HTTP filters, in order, to stand before the router of any listener.

    `hub` is its cluster's name; `files` the folder of those that are read instead.
    """
    return [_slot_filter(fleet, slot, hub, files) for slot in range(1, fleet.slots + 1)]


def hub_cluster(options: BootstrapOptions, *, over_grpc: bool = False) -> dict[str, Any]:
    """The cluster over which Envoy asks the hub, with the fleet's key put on each request as a bearer token.

    Envoy sends a cluster's name as the Host of its polls, so the name is the hub's own host and port.
    """
    url = urlsplit(options.xds if over_grpc else options.hub_url)
    # A hub that went without a word is noticed, although nothing is asked for on a stream that is open.
    alive = {"connection_keepalive": {"interval": "30s", "timeout": "10s"}}
    protocol = {"http2_protocol_options": alive} if over_grpc else {"http_protocol_options": {}}
    codec = _filter("upstream_codec", "filters.http.upstream_codec.v3.UpstreamCodec")
    secure, host = url.scheme == "https", url.hostname or ""
    polled = cluster(url.netloc.rpartition("@")[2], join(host, url.port or (443 if secure else 80)))
    polled["typed_extension_protocol_options"] = {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": _TYPE + "upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": protocol,
            "http_filters": [_key_filter(options), codec],
        }
    }
    if secure:
        polled["transport_socket"] = tls(host, options.ca_file, _pair(options))
    return polled


def stats_sink(hub: str) -> dict[str, Any]:
    """Has Envoy push its statistics to the hub, which reads them while a filter is rolled out; `hub` is its cluster."""
    sink = {
        "@type": "type.googleapis.com/envoy.config.metrics.v3.MetricsServiceConfig",
        "transport_api_version": "V3",
        "grpc_service": {"envoy_grpc": {"cluster_name": hub}},
        "histogram_emit_mode": "HISTOGRAM",
    }
    return {
        "stats_sinks": [{"name": "envoy.stat_sinks.metrics_service", "typed_config": sink}],
        "stats_flush_interval": "5s",
    }


def key_document(key: str) -> dict[str, Any]:
    """The SDS document of a fleet's key: in a file ending in .json, replaced by a rename, Envoy takes it up at once."""
    secret = {"name": _KEY_SECRET, "generic_secret": {"secret": {"inline_string": key}}}
    return {"resources": [{"@type": _TYPE + "transport_sockets.tls.v3.Secret", **secret}]}


def plugin(held: Filter) -> dict[str, Any]:
    """Envoy's PluginConfig of a filter, with the module's bytes left out."""
    rendered: dict[str, Any] = {
        "name": held.name,
        "root_id": held.root_id,
        "failure_policy": held.failure_policy,
        "vm_config": {
            "vm_id": held.vm_id,
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"inline_bytes": ""}},
        },
    }
    rendered |= only_these(held.capabilities)
    if held.config is not None:
        rendered["configuration"] = {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": held.config}
    return rendered


def _slot_filter(fleet: Fleet, slot: int, hub: str, files: str) -> dict[str, Any]:
    discovery: dict[str, Any] = {
        "config_source": {
            "resource_api_version": "V3",
            "initial_fetch_timeout": "0s",  # never open the listener with a filter missing, which would answer 500
            **(file_source(files, slot) if fleet.transport == FILES else _source(fleet, hub)),
        },
        "type_urls": [WASM_TYPE, RBAC_TYPE],
    }
    if fleet.without_hub == "open":
        discovery["default_config"] = {"@type": RBAC_TYPE}
        discovery["apply_default_config_without_warming"] = True
    return {"name": slot_name(fleet.name, slot), "config_discovery": discovery}


def _source(fleet: Fleet, hub: str) -> dict[str, Any]:
    """How a slot's filter is asked for."""
    if TRANSPORTS[fleet.transport][1]:
        return {"ads": {}}
    if fleet.transport != "rest":
        return {"api_config_source": _over_grpc(fleet, hub)}
    return {
        "api_config_source": {
            "api_type": "REST",
            "transport_api_version": "V3",
            "cluster_names": [hub],
            "refresh_delay": f"{fleet.refresh_seconds:g}s",
            "request_timeout": "30s",
        }
    }


def _over_grpc(fleet: Fleet, hub: str) -> dict[str, Any]:
    return {
        "api_type": TRANSPORTS[fleet.transport][0],
        "transport_api_version": "V3",
        "grpc_services": [{"envoy_grpc": {"cluster_name": hub}}],
        "set_node_on_first_message_only": True,
    }


def _listener(fleet: Fleet, options: BootstrapOptions, hub: str) -> dict[str, Any]:
    manager = {
        "@type": _TYPE + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}],
                }
            ]
        },
        "http_filters": [*http_filters(fleet, hub, options.files), _filter("router", "filters.http.router.v3.Router")],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {"name": "ingress", "address": address(options.listen), "filter_chains": [chain]}


def _key_filter(options: BootstrapOptions) -> dict[str, Any]:
    secret: dict[str, Any] = {"name": _KEY_SECRET}
    if _followed(options):
        secret["sds_config"] = {"resource_api_version": "V3", "path_config_source": {"path": options.key_file}}
    injector = _filter("credential_injector", "filters.http.credential_injector.v3.CredentialInjector")
    injector["typed_config"]["credential"] = {
        "name": "envoy.http.injected_credentials.generic",
        "typed_config": {
            "@type": _TYPE + "http.injected_credentials.generic.v3.Generic",
            "credential": secret,
            "header_value_prefix": "Bearer ",
        },
    }
    return injector


def _pair(options: BootstrapOptions) -> tuple[str, str] | None:
    return (options.cert_file, options.cert_key_file) if options.cert_file else None


def _followed(options: BootstrapOptions) -> bool:
    """Whether the key lies in a file that Envoy follows, rather than one that it reads at its start."""
    return options.key_file.endswith(".json")


def _filter(name: str, kind: str) -> dict[str, Any]:
    return {"name": f"envoy.filters.http.{name}", "typed_config": {"@type": _TYPE + kind}}
