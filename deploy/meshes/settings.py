"""Targets that the hub reaches out to, as they are asked for: their settings and access read, and tried out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from auth.control_plane import Access, ControlPlane
from auth.door import ApiError
from auth.outgoing import Outgoing, OutgoingRefused
from deploy.checks.rules import read_rules, without_rules
from deploy.fields import bad, only, text_field
from deploy.meshes.consul_pass import ConsulRefused, try_consul
from deploy.meshes.kinds import CONSUL, ISTIO, KUMA, MESHES, Mesh
from deploy.meshes.kubeconfig import LONGEST, read_kubeconfig
from deploy.meshes.kubernetes import SECRET, Cluster, Refused
from deploy.targets.plan import BadPlacement

OWN_RULES = {
    ISTIO: ("istio_version",),
    KUMA: ("envoy_version",),
}  # of all targets' rules those that a kind knows as a setting of its own
PODS = ("v1", "Pod", "pods")


@dataclass(frozen=True)
class Asked:
    """A target's settings as its kind reads them, and its access as it was given; None: as it was."""

    mesh: Mesh
    settings: dict[str, Any]
    access: Access | None


def read_mesh_target(kind: str, settings: Any, body: Mapping[str, Any]) -> Asked:
    """What a body asks for. Raises ApiError."""
    mesh = MESHES[kind]
    if not isinstance(settings, dict):
        raise bad("settings must be a JSON object")
    own = without_rules(settings, *OWN_RULES.get(kind, ()))
    rules = read_rules({name: value for name, value in settings.items() if name not in own})
    try:
        read = {**mesh.read_settings(own), **rules}
        access = _read_consul(read, body) if kind == CONSUL else _read_cluster(body)
    except BadPlacement as error:
        raise bad(str(error)) from None
    return Asked(mesh, read, access)


def access_fields(kind: str) -> tuple[str, ...]:
    """The fields of a body by which the hub is told how to get into a target of that kind."""
    if kind == CONSUL:
        return ("token", "ca")
    return ("kubeconfig",) if kind in MESHES else ()


def _read_cluster(body: Mapping[str, Any]) -> Access | None:
    if body.get("kubeconfig") is None:
        return None
    return read_kubeconfig(text_field(body, "kubeconfig", longest=LONGEST))


def _read_consul(settings: Mapping[str, Any], body: Mapping[str, Any]) -> Access | None:
    """A Consul's address is a setting; an empty token is the anonymous one's."""
    if body.get("token") is None:
        return None
    token, ca = text_field(body, "token", longest=512), text_field(body, "ca", "", longest=LONGEST)
    return Access(settings["address"], ca=ca or None, token=token or None, token_header="X-Consul-Token")  # noqa: S106  (a header's name)


def read_placement(kind: str, asked: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """For which workloads a deployment is. Raises ApiError."""
    if not isinstance(asked, dict):
        raise bad("placement must be a JSON object")
    if kind not in MESHES:
        only(asked)
        return {}
    try:
        return MESHES[kind].read_placement(asked, settings)
    except BadPlacement as error:
        raise bad(str(error)) from None


async def try_out(outgoing: Outgoing, asked: Asked) -> dict[str, Any]:
    """What the hub meets with that access: the server's version, and each right that it needs or would use.

    Raises ApiError where the server cannot be reached, or does not know who the hub is.
    """
    assert asked.access is not None
    try:
        plane = ControlPlane(outgoing, asked.access)
    except (ValueError, OSError):
        raise bad("the certificates of the access cannot be read; they must be PEM") from None
    try:
        if asked.mesh.kind == CONSUL:
            return await try_consul(plane)
        cluster = Cluster(plane)
        return {"version": await cluster.version(), "rights": await _rights(cluster, asked)}
    except OutgoingRefused as error:
        raise ApiError(422, "refused", f"the target cannot be reached: {error}") from None
    except ConsulRefused as refusal:
        raise ApiError(422, "refused", f"Consul refused the hub: {refusal}") from None
    except Refused as refusal:
        who = "does not know the hub: the token or certificate is wrong or has ended"
        said = who if refusal.status == 401 else f"refused the hub: {refusal}"
        raise ApiError(422, "refused", f"the cluster {said}") from None
    finally:
        await plane.close()


async def _rights(cluster: Cluster, asked: Asked) -> list[dict[str, Any]]:
    """What the hub may do there, each as a sentence that says what it is for."""
    found = []
    for kind in (*_written(asked), *([SECRET] if asked.mesh.named is not None else [])):
        for verb in asked.mesh.verbs:
            allowed = await cluster.may(verb, kind)
            found.append({"may": f"{verb} {kind[2]}", "allowed": allowed, "else": "deployments there are stalled"})
    if asked.settings.get("observe") in ("agents", "proxies"):
        place = asked.settings.get("proxies_namespace") or None
        for verb, kind, part in (("list", PODS, ""), ("get", PODS, "proxy")):
            allowed = await cluster.may(verb, kind, place, subresource=part)
            name = f"{verb} {kind[2]}/{part}" if part else f"{verb} {kind[2]}"
            found.append({"may": name, "allowed": allowed, "else": "proxies cannot be observed"})
    return found


def _written(asked: Asked) -> list[tuple[str, str, str]]:
    """The kinds of objects that the target's form writes."""
    form = str(asked.settings.get("form", "")).partition("-")[0]
    return [kind for kind in asked.mesh.types if kind[1] == form] or list(asked.mesh.types)
