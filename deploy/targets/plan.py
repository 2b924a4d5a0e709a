"""What the renderers of the meshes are given, as pure values, and how what they make is marked as the hub's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]  # a Kubernetes object, as JSON

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "wasmhub"  # also the field manager of server-side apply
HUB_LABEL = "wasmhub/hub"  # the id of the hub that made an object: two hubs may share a cluster
TARGET_LABEL = "wasmhub/target"
DEPLOYMENT_LABEL = "wasmhub/deployment"
DEPLOYMENTS = "wasmhub/deployments"  # an annotation: those that an object serves which is not of one alone


class BadPlacement(ValueError):
    """Settings or a placement that a target cannot take; the text is one sentence for the deployer."""


@dataclass(frozen=True)
class Module:
    """The module: sha256 (hex, of the raw bytes), bytes, and what the reader found in it."""

    sha256: str
    size: int
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """One deployment as a target is to run it.

    `image` is the repository as the mesh reaches it (`host[:port]/namespace/name`); `manifest` the digest of an image
    that the target's fetcher can read; `module_url` where the bare module lies under the deployment's grant;
    `placement` and `settings` as `read_placement` and `read_settings` of the target's kind gave them.
    """

    hub_id: str
    target: str
    deployment: str
    image: str
    manifest: str  # sha256:<hex>
    module: Module
    module_url: str
    root_id: str
    config: str | None
    failure_policy: str  # FAIL_CLOSED | FAIL_OPEN | FAIL_RELOAD
    order: int  # filters of a workload run in rising order
    placement: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    pull_secret: str | None = None  # the name of a Secret with the hub's credentials beside the objects
    public: bool = True  # whether anybody may pull the image

    @property
    def name(self) -> str:
        """The name of the deployment's objects: neither part holds a dot, so no two deployments share one."""
        return f"{self.deployment}.{self.target}"

    @property
    def labels(self) -> dict[str, str]:
        """What marks an object as this deployment's."""
        return {
            MANAGED_BY: MANAGER,
            HUB_LABEL: self.hub_id,
            TARGET_LABEL: self.target,
            DEPLOYMENT_LABEL: self.deployment,
        }


def deployments_of(live: Object) -> list[str]:
    """The names of the deployments that an object is for."""
    meta = live["metadata"]
    label = (meta.get("labels") or {}).get(DEPLOYMENT_LABEL)
    if label is not None:
        return [str(label)]
    return [name for name in str((meta.get("annotations") or {}).get(DEPLOYMENTS) or "").split(",") if name]
