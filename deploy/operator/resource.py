"""A FilterDeployment as it stands in a cluster, and what the renderers and checks are given of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from deploy.meshes.kinds import ENVOY_GATEWAY, MESHES, Mesh
from deploy.meshes.kubernetes import Kind
from deploy.meshes.proxies import WHY, Stats, base_of
from deploy.status import PENDING, REFUSED, RUNS
from deploy.targets.plan import Object
from storage.database import now
from storage.deployments import DeploymentRow, DeploymentSeen, RevisionRow
from storage.targets import TargetRow

FILTERS: Kind = ("wasmhub.io/v1alpha1", "FilterDeployment", "filterdeployments")
FINALIZER = "wasmhub.io/objects"
HUB = "operator"  # in the place of a hub's id: what a hub has made in the same cluster is not the operator's
PLACE = "filterdeployment"  # in the place of a target's name
Key = tuple[str, str]  # a namespace, and a name there; an empty one: all there that are worked on together
_AS_THEY_ARE = ("labels", "targets", "ports", "phase", "mode", "context")


@dataclass(frozen=True)
class Filter:
    """One FilterDeployment as the API server gave it."""

    live: Object

    @property
    def namespace(self) -> str:
        """Where it is, and all that is made of it."""
        return str(self.live["metadata"]["namespace"])

    @property
    def name(self) -> str:
        """Its name, which is one label."""
        return str(self.live["metadata"]["name"])

    @property
    def key(self) -> Key:
        """What it is found by."""
        return self.namespace, self.name

    @property
    def work(self) -> Key:
        """What is worked on for it: of some meshes an object serves several filters, so that these are one work."""
        return (self.namespace, "") if self.mesh.together is not None else self.key

    @property
    def uid(self) -> str:
        """What tells it from another that had its name."""
        return str(self.live["metadata"]["uid"])

    @property
    def generation(self) -> int:
        """The number of its spec, which rises with every change of it."""
        return int(self.live["metadata"]["generation"])

    @property
    def deleted(self) -> bool:
        """Whether somebody has deleted it, so that it only waits for its finalizers."""
        return "deletionTimestamp" in self.live["metadata"]

    @property
    def held(self) -> bool:
        """Whether it has the operator's finalizer."""
        return FINALIZER in (self.live["metadata"].get("finalizers") or [])

    @property
    def spec(self) -> Mapping[str, Any]:
        """What somebody wants."""
        found: Mapping[str, Any] = self.live["spec"]
        return found

    @property
    def status(self) -> Mapping[str, Any]:
        """What the operator has written."""
        return self.live.get("status") or {}

    @property
    def mesh(self) -> Mesh:
        """The kind of mesh that it is for."""
        return MESHES[str((self.spec.get("mesh") or {}).get("kind", "istio"))]

    @property
    def image(self) -> str:
        """The image as it is named, for people and for the hub."""
        image = self.spec["image"]
        return (
            f"{image['repository']}@{image['digest']}" if "digest" in image else f"{image['repository']}:{image['tag']}"
        )

    @property
    def reference(self) -> str:
        """The image to ask the hub for: a tag that this very spec was resolved by is not resolved again."""
        resolved = self.status.get("resolved") or {}
        if resolved.get("generation") == self.generation and resolved.get("digest"):
            return f"{self.spec['image']['repository']}@{resolved['digest']}"
        return self.image

    @property
    def order(self) -> int:
        """Where it is among the filters of a workload."""
        return int(self.spec.get("order") or 0)

    @property
    def objects(self) -> list[str]:
        """What was last seen to be there of it."""
        return [str(one) for one in self.status.get("objects") or ()]

    @property
    def applied(self) -> Mapping[str, Any]:
        """What was applied last."""
        return self.status.get("applied") or {}

    def settings(self, common: Mapping[str, Any]) -> dict[str, Any]:
        """The mesh's settings, with the form that this one asks for."""
        form = (self.spec.get("mesh") or {}).get("form")
        return {**common, **({"form": form} if form else {})}

    def placement(self) -> dict[str, Any]:
        """For which workloads, as a deployment on such a target says it; never those of another namespace."""
        asked = self.spec.get("placement") or {}
        found: dict[str, Any] = {"namespace": self.namespace}
        found |= {name: asked[name] for name in _AS_THEY_ARE if name in asked}
        if "env" in asked:
            found["env"] = {one["name"]: one.get("value") for one in asked["env"]}
        return found

    def owner(self) -> dict[str, Any]:
        """What names it as the owner of its objects: should nobody hold its finalizer, the cluster takes them away."""
        return {"apiVersion": FILTERS[0], "kind": FILTERS[1], "name": self.name, "uid": self.uid}

    def target(self, settings: Mapping[str, Any]) -> TargetRow:
        """The cluster as the observers know a target."""
        return target_of(self.mesh, settings)

    def row(self, digest: str, module: str, config: str | None, placement: Mapping[str, Any]) -> DeploymentRow:
        """It as the observers and judges know a deployment; its generation is its revision."""
        current = RevisionRow(
            number=self.generation,
            repository_id=0,
            reference=self.image,
            manifest_digest=digest,
            module_sha256=module,
            config=config,
            root_id=str(self.spec.get("rootID") or ""),
            failure_policy=str(self.spec.get("failurePolicy") or "FAIL_CLOSED"),
            order=self.order,
            action="deploy",
            created_at=0,
            repository=str(self.spec["image"]["repository"]),
            created_by=None,
            placement=dict(placement),
        )
        return DeploymentRow(0, 0, PLACE, self.name, None, "", 0, None, self._seen(), current)

    def _seen(self) -> DeploymentSeen | None:
        applied = self.applied
        if not applied.get("generation"):
            return None
        counts = self.mesh.kind == ENVOY_GATEWAY
        there = [one for one in self.status.get("proxies") or () if _is_whole(one, counts)]
        detail: dict[str, Any] = {"proxies" if counts else "pods": {one["uid"]: _known(one) for one in there}}
        detail |= {"tries": applied.get("tries", 0), "tried_at": milliseconds(applied.get("triedAt"))}
        return DeploymentSeen(
            revision=int(applied["generation"]),
            status="",
            message="",
            detail=detail,
            objects=self.objects,
            applied_at=milliseconds(applied.get("at")),
            changed_at=now(),
        )


def target_of(mesh: Mesh, settings: Mapping[str, Any]) -> TargetRow:
    """The cluster as the observers of a mesh know a target."""
    return TargetRow(0, PLACE, mesh.kind, dict(settings), 0, "", None, None)


def _is_whole(proxy: Mapping[str, Any], counts: bool) -> bool:
    """Whether something a status says of a pod is what the operator writes there; anybody may have written it."""
    needed = {"uid", "name", "state", "plugin"} if counts else {"uid", "name", "state", "generation"}
    if not needed <= proxy.keys() or not counts:
        return needed <= proxy.keys()
    return proxy["state"] in (PENDING, RUNS, REFUSED) and (proxy["state"] == REFUSED) == (proxy.get("why") in WHY)


def _known(proxy: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a pod, as its observers have it."""
    same = {
        "name": proxy["name"],
        "state": proxy["state"],
        "why": proxy.get("why"),
        "revision": proxy.get("generation"),
    }
    if "plugin" in proxy:
        base = asdict(Stats(active=None)) | (proxy.get("base") or {})
        return {**same, "plugin": proxy["plugin"], "base": base}
    counted = {name: proxy.get(name, 0) for name in ("taken", "took", "refused")}
    return {**same, "failed": proxy.get("failed") or {}, **counted}


def proxies_of(pods: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is known of pods, as a status says it: no more than the next look has to know."""
    found = []
    for uid, known in pods.items():
        one = {**known, "uid": uid, "generation": known.get("revision")}
        one.pop("revision", None)
        one.pop("grew", None)
        if "base" in one:
            one["base"] = base_of(known)
        found.append({name: value for name, value in one.items() if value is not None})
    return sorted(found, key=lambda one: str(one["name"]))


def moment(at: int) -> str:
    """Milliseconds since 1970 as Kubernetes writes a time."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds(text: Any) -> int | None:
    """A time of Kubernetes as milliseconds since 1970; None where there is none."""
    try:
        return round(datetime.fromisoformat(str(text)).timestamp() * 1000) if text else None
    except ValueError:
        return None
