"""A deployment to Consul as objects of Kubernetes, for repositories that another tool applies; the hub applies none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from deploy.fields import bad, only, text_field, word_field
from deploy.targets import consul, consul_sidecars
from deploy.targets.asked import kube_name, kube_namespace
from deploy.targets.merging import mark
from deploy.targets.plan import BadPlacement, Object, Plan

DEFAULTS, VOLUME, FORK = "service-defaults", "volume", "fork"
_SAID = (
    "nobody tells the hub what becomes of these objects; apply the patch of the Deployment on the server's side, as"
    " `kubectl apply --server-side --field-manager=wasmhub`, and once more without its annotations to take them away"
)


@dataclass(frozen=True)
class Form:
    """What is to be rendered, and for which Deployment of Kubernetes."""

    name: str
    namespace: str
    workload: str = ""
    image: str = ""  # of the fork: the sidecar's image that holds the modules, and what it is built on
    base: str = ""


def read_form(query: Mapping[str, str]) -> Form | None:
    """The form that a query asks for, None for the usual one. Raises ApiError."""
    given = dict(query)
    only(given, "form", "kube_namespace", "workload", "sidecar_image", "sidecar_base")
    if "form" not in given:
        return None
    name = word_field(given, "form", DEFAULTS, (DEFAULTS, VOLUME, FORK))
    try:
        namespace = kube_namespace(given, "kube_namespace")
        workload = kube_name(given, "workload") if name != DEFAULTS else ""
    except BadPlacement as error:
        raise bad(str(error)) from None
    if name != FORK:
        return Form(name, namespace, workload)
    return Form(name, namespace, workload, text_field(given, "sidecar_image"), text_field(given, "sidecar_base"))


def form_problems(form: Form, plan: Plan, beside: Sequence[Plan]) -> list[str]:
    """Why the plan cannot have this form, each with the way out."""
    if form.name == FORK:
        return consul_sidecars.fork_problems([*beside, plan])
    return consul_sidecars.volume_problems(plan) if form.name == VOLUME else []


def form_objects(form: Form, plan: Plan, beside: Sequence[Plan], module: bytes) -> tuple[list[Object], list[str]]:
    """The objects, for a plan without problems, and notes. `beside` is what else is on the same service."""
    if form.name == FORK:
        plans = [*beside, plan]
        build = consul_sidecars.fork_dockerfile(plans, form.base)
        image = f"the image {form.image} is to be built beside the modules by this Dockerfile: {build}"
        return [_patch(form, consul_sidecars.fork_annotations(plans, form.image))], [_SAID, image]
    own = mark(plan.hub_id, plan.target)
    made: list[Object] = []
    if form.name == VOLUME:
        code = {"file": consul_sidecars.module_path(plan)}
        plan = replace(plan, placement={**plan.placement, "code": code})
        made = [consul_sidecars.config_map(plan, module, namespace=form.namespace)]
        made.append(_patch(form, consul_sidecars.volume_annotations(plan.name)))
    wanted = [consul.render(one) for one in (*beside, plan)]
    defaults = consul.service_defaults(None, wanted, own, namespace=form.namespace)
    assert defaults is not None, "it holds an extension"
    return [*made, defaults], [_SAID]


def _patch(form: Form, annotations: dict[str, str]) -> Object:
    """The annotations of a Deployment's pods, and nothing else of it."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": form.workload, "namespace": form.namespace},
        "spec": {"template": {"metadata": {"annotations": annotations}}},
    }
