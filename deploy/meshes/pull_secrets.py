"""The Secrets that a target's proxies pull images with: one for each repository in each namespace, for all deployments
there that pull it.
"""

import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from deploy.meshes.kubernetes import SECRET
from deploy.targets.plan import DEPLOYMENT_LABEL, Object, Plan

REPOSITORY = "wasmhub/repository"  # an annotation, for people: what a Secret reads
Place = tuple[str, str]  # the namespace and the name of a Secret
Named = Callable[[Object], Iterable[tuple[str, str]]]  # the Secrets that an object names, each with the deployment


@dataclass(frozen=True)
class Pulls:
    """How a target's objects name Secrets, how the Secret of a name is wanted to be, in whichever namespace, and all
    objects that the last pass found.
    """

    named: Named
    secret: Callable[[str], Object | None] = lambda _: None
    seen: Collection[str] = ()


NO_PULLS = Pulls(lambda _: ())  # of what pulls no images, or with what others made


def secret_name(hub_id: str, target: str, repository_id: int) -> str:
    """What a target's Secrets for a repository are called, whatever that comes to be called itself."""
    digest = hashlib.sha256(json.dumps([hub_id, repository_id]).encode()).hexdigest()[:10]
    return f"pull-{digest}.{target}"


def former_name(plan: Plan) -> str:
    """What the Secret of that deployment alone was called, when each had one."""
    return f"{plan.name}.pull"


def pull_secret(plan: Plan, login: str, secret: str) -> Object:
    """The Secret with which a deployment's image is pulled, as Docker's own config file has it."""
    host, _, repository = plan.image.partition("/")
    auth = base64.b64encode(f"{login}:{secret}".encode()).decode()
    config = {"auths": {host: {"username": login, "password": secret, "auth": auth}}}
    data = base64.b64encode(json.dumps(config).encode()).decode()
    return {
        "apiVersion": SECRET[0],
        "kind": SECRET[1],
        "metadata": {
            "name": plan.pull_secret,
            "namespace": plan.placement["namespace"],
            "labels": {name: value for name, value in plan.labels.items() if name != DEPLOYMENT_LABEL},
            "annotations": {REPOSITORY: repository},
        },
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": data},
    }


def renewed(live: Object, secret: Object) -> Object:
    """A Secret that is there and no more wanted, with what another is wanted to hold."""
    place = {name: live["metadata"][name] for name in ("name", "namespace")}
    labels = {**secret["metadata"]["labels"]}
    if DEPLOYMENT_LABEL in (live["metadata"].get("labels") or {}):
        labels[DEPLOYMENT_LABEL] = live["metadata"]["labels"][DEPLOYMENT_LABEL]
    return {**secret, "metadata": {**secret["metadata"], **place, "labels": labels}}


def users_of(live: Iterable[Object], named: Named) -> dict[Place, set[str]]:
    """The Secrets that objects name, with the deployments that pull with each."""
    found: dict[Place, set[str]] = defaultdict(set)
    for one in live:
        for name, deployment in named(one):
            found[str(one["metadata"].get("namespace") or ""), name].add(deployment)
    return dict(found)
