"""A deployment as Envoy's own filter, with its module fetched from elsewhere: for meshes that pass such pieces on."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from deploy.targets.capabilities import restriction
from deploy.targets.envoy_fleet import WASM_TYPE
from deploy.targets.envoy_parts import cluster, join, tls
from deploy.targets.plan import Plan

FAILURE_POLICY_SINCE = 33  # Envoy 1.33: `failure_policy`, and with it FAIL_RELOAD
MAX_REMOTE_BYTES = 31 * 1024 * 1024  # Envoy buffers 32 MiB of an answer: 31.5 MiB were loaded
FETCH_SECONDS = 30
# Names the CA file of the proxy images of Istio and Kuma.
CA_FILE = "/etc/ssl/certs/ca-certificates.crt"


def filter_name(plan: Plan) -> str:
    """A name of the deployment's filter, cluster or extension that no other hub gives."""
    return f"wasmhub/{plan.hub_id}/{plan.target}/{plan.deployment}"


def plugin_name(plan: Plan) -> str:
    """What the filter is called where it runs: another name whenever anything of it is another, so that Envoy's metrics
    tell what it was given last.
    """
    placement = {name: value for name, value in plan.placement.items() if name != "drift"}
    said = [plan.module.sha256, plan.config, plan.root_id, plan.failure_policy, plan.order, placement]
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:8]
    return f"{filter_name(plan)}/{digest}"


def vm_id(plan: Plan) -> str:
    """Differs between two modules, and where one module is given another environment.

    Envoy finds a running VM by the VM's id before it has fetched the code, and forgets what else differs: with equal
    ids the older module would go on running.
    """
    env = plan.placement.get("env") or {}
    if not env and plan.settings.get("restrict", True):
        return plan.module.sha256
    differs = json.dumps([env, plan.settings.get("restrict", True)], sort_keys=True)
    return f"{plan.module.sha256}-{hashlib.sha256(differs.encode()).hexdigest()[:8]}"


def wasm_filter(
    plan: Plan, name: str, code: Mapping[str, Any], env: Mapping[str, str | None], envoy: int | None
) -> dict[str, Any]:
    """The typed config of an HTTP filter. `name` is what logs and metrics call it; `envoy` is the minor release that
    runs it (33 for 1.33), None if unknown.
    """
    machine: dict[str, Any] = {"vm_id": vm_id(plan), "runtime": "envoy.wasm.runtime.v8", "code": code}
    given, from_host = split_environment(env)
    variables = ({"key_values": given} if given else {}) | ({"host_env_keys": from_host} if from_host else {})
    if variables:
        machine["environment_variables"] = variables
    plugin: dict[str, Any] = {"name": name, "root_id": plan.root_id, "vm_config": machine}
    plugin |= _failure(plan.failure_policy, envoy)
    if plan.config is not None:
        plugin["configuration"] = {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": plan.config}
    if plan.settings.get("restrict", True):
        plugin |= restriction(plan.module.facts)
    return {"@type": WASM_TYPE, "config": plugin}


def remote_code(uri: str, cluster_name: str, sha256: str) -> dict[str, Any]:
    """Code that is fetched; what `sha256` is of depends on who fetches."""
    timeout = f"{FETCH_SECONDS}s"
    return {"remote": {"http_uri": {"uri": uri, "cluster": cluster_name, "timeout": timeout}, "sha256": sha256}}


def module_cluster(plan: Plan, ca_file: str) -> dict[str, Any]:
    """The cluster over which a proxy fetches the module. Each deployment has its own: they come and go alone."""
    url = urlsplit(plan.module_url)
    host = url.hostname or ""
    found = cluster(filter_name(plan), join(host, url.port or (443 if url.scheme == "https" else 80)))
    if url.scheme == "https":
        found["transport_socket"] = tls(host, ca_file)
    return found


def split_environment(env: Mapping[str, str | None]) -> tuple[dict[str, str], list[str]]:
    """Variables with their values, and the names of those that the proxy's own environment has."""
    given = {name: value for name, value in sorted(env.items()) if value is not None}
    return given, sorted(name for name, value in env.items() if value is None)


def size_problems(plan: Plan) -> list[str]:
    """Why an Envoy could not fetch the module itself."""
    if plan.module.size <= MAX_REMOTE_BYTES:
        return []
    return [
        f"the module has {plan.module.size} bytes, and an Envoy that fetches it itself takes at most"
        f" {MAX_REMOTE_BYTES}; make it smaller, or choose a target whose agent pulls the image"
    ]


def _failure(policy: str, envoy: int | None) -> dict[str, Any]:
    """Envoy refuses both fields at once, and an old one does not know the newer; closed is the default of each."""
    if envoy is not None and envoy >= FAILURE_POLICY_SINCE:
        return {"failure_policy": policy}
    if policy == "FAIL_RELOAD":
        return {"failure_policy": policy}
    return {"fail_open": True} if policy == "FAIL_OPEN" else {}
