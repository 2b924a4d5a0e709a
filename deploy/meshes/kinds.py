"""The kinds of targets that the hub writes objects to, and a deployment as their renderers are given it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import deploy.targets.consul as consul
import deploy.targets.envoy_gateway as envoy_gateway
import deploy.targets.gloo as gloo
import deploy.targets.istio as istio
import deploy.targets.kuma as kuma
from deploy.meshes.kubernetes import SECRET, Kind
from deploy.meshes.pull_secrets import Named, secret_name
from deploy.targets.plan import Module, Object, Plan
from storage.deployments import DeploymentRow
from storage.modules import Facts
from storage.pullers import PullRow
from storage.targets import TargetRow


class Render(Protocol):
    """Renders the plans of a target; of those that are `kept`, what the `live` objects say of them stays."""

    def __call__(self, plans: Sequence[Plan], kept: Sequence[Plan], live: Sequence[Object]) -> list[Object]: ...


@dataclass(frozen=True)
class Together:
    """Of a kind of target of which one object serves several deployments: what they are together."""

    problems: Callable[[Sequence[Plan]], list[str]]
    render: Render
    again: Callable[[Plan, int], Plan]  # has it tried so many times more to get the module


@dataclass(frozen=True)
class Mesh:
    """What is particular to one kind of target, from its file in `deploy/targets/`."""

    kind: str
    read_settings: Callable[[Mapping[str, Any]], dict[str, Any]]
    read_placement: Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]
    problems: Callable[[Plan], list[str]]
    render: Callable[[Plan], list[Object]] | None = None  # None: it is merged into what is others'
    types: Sequence[Kind] = ()  # of the objects that it may ever write, where the target is a Kubernetes cluster
    together: Together | None = None
    named: Named | None = None  # the pull secrets that an object names; None: no secret of the hub's making
    verbs: Sequence[str] = ("get", "list", "watch", "create", "patch", "delete")  # that the hub needs for its types

    @property
    def kinds(self) -> Sequence[Kind]:
        """The kinds of all objects that the hub may have there."""
        return (*self.types, SECRET) if self.named is not None else self.types


CONSUL, ISTIO, ENVOY_GATEWAY, KUMA, GLOO = consul.KIND, istio.KIND, envoy_gateway.KIND, kuma.KIND, gloo.KIND
MESHES: Mapping[str, Mesh] = {
    ISTIO: Mesh(
        ISTIO,
        istio.read_settings,
        istio.read_placement,
        istio.problems,
        istio.render,
        istio.TYPES,
        named=istio.pulls_with,
    ),
    CONSUL: Mesh(CONSUL, consul.read_settings, consul.read_placement, consul.problems),
    ENVOY_GATEWAY: Mesh(
        ENVOY_GATEWAY,
        envoy_gateway.read_settings,
        envoy_gateway.read_placement,
        envoy_gateway.problems,
        envoy_gateway.render,
        envoy_gateway.TYPES,
        Together(envoy_gateway.problems_together, envoy_gateway.render_together, envoy_gateway.again),
        envoy_gateway.pulls_with,
    ),
    KUMA: Mesh(
        KUMA,
        kuma.read_settings,
        kuma.read_placement,
        kuma.problems,
        kuma.render,
        kuma.TYPES,
        Together(kuma.problems_together, kuma.render_together, kuma.again),
    ),
    GLOO: Mesh(
        GLOO,
        gloo.read_settings,
        gloo.read_placement,
        gloo.problems,
        types=gloo.TYPES,
        verbs=("get", "list", "watch", "patch"),
    ),
}


def plan_of(
    target: TargetRow,
    deployment: DeploymentRow,
    facts: Facts | None,
    hub_id: str,
    secret: PullRow | None,
    *,
    public: bool,
) -> Plan:
    """A deployment's current revision as a renderer is given it; `facts` are its module's."""
    current = deployment.current
    hub = str(target.settings.get("hub") or "").rstrip("/")  # Consul's sidecars reach it by a service's name
    return Plan(
        hub_id=hub_id,
        target=target.name,
        deployment=deployment.name,
        image=f"{urlsplit(hub).netloc}/{current.repository}",
        manifest=current.image_digest or current.manifest_digest,
        module=Module(current.module_sha256, facts.size if facts else 0, facts.facts if facts else {}),
        module_url=f"{hub}/modules/{deployment.grant}/{current.module_sha256}.wasm",
        root_id=current.root_id,
        config=current.config,
        failure_policy=current.failure_policy,
        order=current.order,
        placement=current.placement or {},
        settings=target.settings,
        pull_secret=secret_name(hub_id, target.name, current.repository_id) if secret is not None else None,
        public=public,
    )


def pulls_images(target: TargetRow) -> bool:
    """Whether something there pulls images, rather than the bare module under a grant."""
    form = target.settings.get("form")
    images = (target.kind == ISTIO and form != "EnvoyFilter") or (target.kind == ENVOY_GATEWAY and form == "Image")
    return images or target.kind == GLOO


def secret_for(target: TargetRow, *, public: bool) -> bool:
    """Whether an image on the target is pulled with a secret: where one can be given always, so that it goes on when
    the repository is made private.
    """
    form = target.settings.get("form")
    if target.kind == ISTIO:
        return form in istio.PLUGIN_FORMS or (form == "EnvoyFilter-ECDS" and not public)
    return target.kind == ENVOY_GATEWAY and form == "Image"


def kind_of(mesh: Mesh, wanted: Object) -> Kind:
    """The kind of a rendered object, with the plural that its path has."""
    for one in mesh.kinds:
        if one[:2] == (wanted["apiVersion"], wanted["kind"]):
            return one
    raise LookupError(f"{wanted['kind']} is no type of {mesh.kind}")
