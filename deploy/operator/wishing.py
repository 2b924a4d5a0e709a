"""A FilterDeployment as the renderers are given it, and why it cannot be brought to its mesh. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from deploy.checks.rules import without_rules
from deploy.meshes.desired import Desired
from deploy.meshes.kinds import ISTIO, Mesh, pulls_images
from deploy.meshes.settings import OWN_RULES
from deploy.operator.hub import Examined
from deploy.operator.resource import HUB, PLACE, Filter
from deploy.targets.plan import BadPlacement, Module, Plan

_PULLING = {ISTIO: "WasmPlugin"}  # the form that pulls images with a secret, where it is not called Image


def settings_of(mesh: Mesh, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a mesh as that reads them, without the rules. Raises BadPlacement."""
    return mesh.read_settings(without_rules(asked, *OWN_RULES.get(mesh.kind, ())))


def desired_of(one: Filter, examined: Examined, common: Mapping[str, Any]) -> Desired:
    """It as it is to be, and why it cannot be."""
    mesh, spec = one.mesh, one.spec
    try:
        settings = settings_of(mesh, one.settings(common))
        placement = mesh.read_placement(one.placement(), settings)
    except BadPlacement as error:
        return Desired(one.row(examined.digest, examined.sha256, examined.config, {}), problems=[str(error)])
    row = one.row(examined.digest, examined.sha256, examined.config, placement)
    secret = spec.get("pullSecret")
    plan = Plan(
        hub_id=HUB,
        target=PLACE,
        deployment=one.name,
        image=f"{urlsplit(settings['hub']).netloc}/{row.current.repository}",
        manifest=examined.image or examined.digest,
        module=Module(examined.sha256, examined.size, examined.facts),
        module_url=f"{settings['hub']}/modules/{examined.sha256}.wasm",
        root_id=row.current.root_id,
        config=examined.config,
        failure_policy=row.current.failure_policy,
        order=row.current.order,
        placement=placement,
        settings=settings,
        pull_secret=str(secret["name"]) if secret else None,
    )
    problems = [*_problems(one, plan, examined), *mesh.problems(plan)]
    return Desired(row, plan, problems)


def kept_of(one: Filter, why: str, common: Mapping[str, Any]) -> Desired:
    """One of which nothing new may be brought there: what stays is found by its name, in the order that it had."""
    try:
        settings = settings_of(one.mesh, one.settings(common))
        placement = one.mesh.read_placement(one.placement(), settings)
    except BadPlacement:
        settings, placement = {}, {"namespace": one.namespace, "targets": [], "env": {}}
    row = one.row("", "", None, placement)
    plan = Plan(HUB, PLACE, one.name, "", "", Module("", 0), "", "", None, "", 0, placement, settings)
    return Desired(row, _as_before(one, plan), [why])


def held_back(one: Filter, desired: Desired) -> Desired:
    """The same with problems: where it stands among others stays as it was too."""
    if desired.plan is None:
        kept = kept_of(one, "", {}).plan
        return replace(desired, plan=kept)
    return replace(desired, plan=_as_before(one, desired.plan))


def _as_before(one: Filter, plan: Plan) -> Plan:
    return replace(plan, order=int(one.applied.get("order", one.order)))


def _problems(one: Filter, plan: Plan, examined: Examined) -> list[str]:
    """Why what the hub would do itself cannot be done here, each with the way out."""
    form, pulls = str(plan.settings["form"]), pulls_images(one.target(plan.settings))
    if pulls and examined.image is None:
        return ["the mesh cannot fetch the image as it was pushed, and the hub makes another only for who is signed in;"
                " give the operator a token"]  # fmt: skip
    if examined.public:
        return []
    other = _PULLING.get(one.mesh.kind, "Image")
    if not pulls:
        return [
            f"the repository is private, and the operator's form {form} fetches the module without a secret; make it"
            f" public, choose the form {other}, or deploy by the hub itself"
        ]
    if plan.pull_secret is None and form != "EnvoyFilter-ECDS":
        return [
            "the repository is private; name a Secret that can pull it as pullSecret, or make the repository public"
        ]
    if form == "EnvoyFilter-ECDS":
        return ["the image is private, and an EnvoyFilter-ECDS pulls without a secret; choose the form WasmPlugin"]
    return []
