"""Ways to bring a module into a Consul sidecar on Kubernetes by the annotations of its pod.

The annotation of 2020 was read by one fork of Consul alone; today's sidecars mount volumes, and `builtin/wasm` runs the
file (`consul.py`, placements with a `code`).
"""

import base64
import json
import re
from collections.abc import Sequence
from typing import Any

from deploy.targets.plan import Object, Plan

PREFIX = "consul.hashicorp.com/"
FOLDER = "/filters"
MAX_CONFIG_MAP_BYTES = 1024 * 1024  # what Kubernetes takes in one ConfigMap
OLD_ABI = "0.1.0"  # the Envoy of the fork is a preview from the spring of 2020

_OLD_FILTER = "connect-wasm-filter-"
_ROOT_ID = re.compile(r"[A-Za-z0-9_.-]*[A-Za-z0-9]")
_LONGEST_ROOT_ID = 63 - len(_OLD_FILTER)


def module_path(plan: Plan) -> str:
    """Where a sidecar finds the module: another one has another path, because a changed file is not read again."""
    return f"{FOLDER}/{plan.module.sha256}.wasm"


def fork_annotations(plans: Sequence[Plan], image: str) -> dict[str, str]:
    """Annotations of a pod whose sidecar is the fork of 2020 and runs these filters; `image` is the sidecar's.

    Plans must be without `fork_problems`. Nothing says in which order several filters run.
    """
    filters = {f"{PREFIX}{_OLD_FILTER}{plan.root_id}": module_path(plan) for plan in plans}
    return {
        f"{PREFIX}connect-inject": "true",
        f"{PREFIX}connect-service-protocol": "http",
        f"{PREFIX}connect-inject-image": image,
        **dict(sorted(filters.items())),
    }


def fork_dockerfile(plans: Sequence[Plan], base: str) -> str:
    """A Dockerfile of that sidecar's image, to be built beside the modules, each named by its sha256."""
    modules = sorted({plan.module.sha256 for plan in plans})
    copies = [f"COPY {sha256}.wasm {FOLDER}/{sha256}.wasm" for sha256 in modules]
    return "\n".join([f"FROM {base}", *copies]) + "\n"


def fork_problems(plans: Sequence[Plan]) -> list[str]:
    """Why the fork of 2020 could not run these filters in one pod, each with the way out."""
    found = [problem for plan in plans for problem in _fork_problems(plan)]
    root_ids = [plan.root_id for plan in plans]
    found += [
        f"two filters have the root id {twice!r}, which names the annotation; deploy one of them"
        for twice in sorted({one for one in root_ids if root_ids.count(one) > 1})
    ]
    return found


def volume_annotations(config_map: str) -> dict[str, str]:
    """Annotations that mount a ConfigMap of modules into a pod's sidecar, for consul-k8s 0.46 or newer."""
    volume = {"name": "wasmhub-filters", "configMap": {"name": config_map}}
    mount = {"name": "wasmhub-filters", "mountPath": FOLDER, "readOnly": True}
    return {
        f"{PREFIX}consul-sidecar-user-volume": json.dumps([volume]),
        f"{PREFIX}consul-sidecar-user-volume-mount": json.dumps([mount]),
    }


def config_map(plan: Plan, module: bytes, *, namespace: str) -> Object:
    """The ConfigMap that holds the module, for a plan without `volume_problems`."""
    metadata: dict[str, Any] = {"name": plan.name, "namespace": namespace, "labels": plan.labels}
    data = {f"{plan.module.sha256}.wasm": base64.b64encode(module).decode()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "binaryData": data}


def volume_problems(plan: Plan) -> list[str]:
    """Why the module cannot be brought by a ConfigMap, with the way out."""
    if plan.module.size <= MAX_CONFIG_MAP_BYTES:
        return []
    return [
        f"the module has {plan.module.size} bytes, and a ConfigMap holds {MAX_CONFIG_MAP_BYTES};"
        " let the sidecar fetch it, or mount a volume that an init container fills"
    ]


def _fork_problems(plan: Plan) -> list[str]:
    found = []
    if len(plan.root_id) > _LONGEST_ROOT_ID or not _ROOT_ID.fullmatch(plan.root_id):
        found.append(
            f"the root id {plan.root_id[:100]!r} cannot end the name of an annotation; build the filter with one of at"
            f" most {_LONGEST_ROOT_ID} letters, digits, dashes, dots and underscores"
        )
    if plan.config:
        found.append("the fork of 2020 gives filters no config; leave it out, or use a Consul of today")
    if plan.failure_policy != "FAIL_CLOSED":
        found.append(f"the fork of 2020 cannot say {plan.failure_policy}; choose FAIL_CLOSED")
    abi = plan.module.facts.get("abi_version")
    if abi is not None and abi != OLD_ABI:
        found.append(
            f"the module wants ABI version {abi}, and the fork's Envoy has {OLD_ABI};"
            " build it with an SDK of that time, or use a Consul of today"
        )
    return found
