"""Pieces of Envoy's own configuration that several kinds of targets are given: clusters, and a module as a filter."""

from typing import Any

EXTENSIONS = "type.googleapis.com/envoy.extensions."


def tls(host: str, ca_file: str, own: tuple[str, str] | None = None) -> dict[str, Any]:
    """A transport socket that believes only a certificate of these authorities for this host.

    `own` are the files of the certificate and the key that it shows of itself.
    """
    by_address = ":" in host or host.replace(".", "").isdigit()
    name = {"san_type": "IP_ADDRESS" if by_address else "DNS", "matcher": {"exact": host}}
    validation = {"trusted_ca": {"filename": ca_file}, "match_typed_subject_alt_names": [name]}
    common: dict[str, Any] = {"validation_context": validation}
    if own is not None:
        chain, key = own
        common["tls_certificates"] = [{"certificate_chain": {"filename": chain}, "private_key": {"filename": key}}]
    context: dict[str, Any] = {
        "@type": EXTENSIONS + "transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": common,
    }
    if not by_address:
        context["sni"] = host
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def cluster(name: str, endpoint: str) -> dict[str, Any]:
    """A cluster with one endpoint, `host:port`, looked up in the DNS."""
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address(endpoint)}}]}]
    return {
        "name": name,
        "type": "STRICT_DNS",
        "connect_timeout": "5s",
        "dns_lookup_family": "V4_PREFERRED",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
    }


def address(text: str) -> dict[str, Any]:
    """`host:port` as Envoy writes it."""
    host, _, port = text.rpartition(":")
    return {"socket_address": {"address": host.strip("[]"), "port_value": int(port)}}


def join(host: str, port: int) -> str:
    """`host:port`, also for an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def file_name(slot: int) -> str:
    """The name of a slot's file in the folder of the fleet."""
    return f"slot-{slot}.json"


def file_source(folder: str, slot: int) -> dict[str, Any]:
    """Where an Envoy reads that slot. It looks again when anything in the folder is replaced by a rename."""
    path = f"{folder}/{file_name(slot)}"
    return {"path_config_source": {"path": path, "watched_directory": {"path": folder}}}
