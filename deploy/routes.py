"""The paths of this door, and which of the hub's paths are this door's."""

from starlette.routing import Route

from deploy.api.deployments import (
    delete_deployment,
    get_deployment,
    list_deployments,
    post_preview,
    post_rollback,
    put_deployment,
)
from deploy.api.examinations import post_examination
from deploy.api.fleets import get_bootstrap, list_keys, list_nodes, post_key, remove_key
from deploy.api.rollouts import (
    follow_rollout,
    get_rollout,
    list_rollouts,
    post_abort,
    post_pause,
    post_resume,
)
from deploy.api.secrets import list_secrets, put_secret, remove_secret
from deploy.api.sets import (
    delete_set,
    follow_set,
    get_set,
    list_all,
    post_set_abort,
    post_set_pause,
    post_set_resume,
    post_set_rollback,
    put_set,
)
from deploy.api.targets import (
    get_target,
    list_targets,
    patch_target,
    post_reach,
    post_target,
    remove_target,
)
from deploy.api.watching import watch_deployment
from deploy.fleets.envoy_door import get_granted_module, poll_slot
from deploy.fleets.files_door import get_files

_TARGETS = "/api/v1/targets"
_TARGET = _TARGETS + "/{target}"
_DEPLOYMENT = _TARGET + "/deployments/{deployment}"
_ROLLOUTS = "/api/v1/rollouts"
_ROLLOUT = _ROLLOUTS + "/{rollout}"
_SETS = "/api/v1/sets"
_SET = _SETS + "/{namespace}/{set}"

ROUTES = [
    Route("/v3/discovery:extension_configs", poll_slot, methods=["POST"]),
    Route("/modules/{grant}/{file}", get_granted_module, methods=["GET"]),
    Route(_TARGETS, list_targets, methods=["GET"]),
    Route(_TARGETS, post_target, methods=["POST"]),
    Route(_TARGET, get_target, methods=["GET"]),
    Route(_TARGET, patch_target, methods=["PATCH"]),
    Route(_TARGET, remove_target, methods=["DELETE"]),
    Route(_TARGET + "/bootstrap", get_bootstrap, methods=["GET"]),
    Route(_TARGET + "/files", get_files, methods=["GET"]),
    Route(_TARGET + "/keys", list_keys, methods=["GET"]),
    Route(_TARGET + "/keys", post_key, methods=["POST"]),
    Route(_TARGET + "/keys/{key}", remove_key, methods=["DELETE"]),
    Route(_TARGET + "/secrets", list_secrets, methods=["GET"]),
    Route(_TARGET + "/secrets/{secret}", put_secret, methods=["PUT"]),
    Route(_TARGET + "/secrets/{secret}", remove_secret, methods=["DELETE"]),
    Route(_TARGET + "/reach", post_reach, methods=["POST"]),
    Route(_TARGET + "/nodes", list_nodes, methods=["GET"]),
    Route("/api/v1/examinations", post_examination, methods=["POST"]),
    Route("/api/v1/deployments", list_deployments, methods=["GET"]),
    Route(_DEPLOYMENT, get_deployment, methods=["GET"]),
    Route(_DEPLOYMENT, put_deployment, methods=["PUT"]),
    Route(_DEPLOYMENT, delete_deployment, methods=["DELETE"]),
    Route(_DEPLOYMENT + "/events", watch_deployment, methods=["GET"]),
    Route(_DEPLOYMENT + "/preview", post_preview, methods=["POST"]),
    Route(_DEPLOYMENT + "/rollback", post_rollback, methods=["POST"]),
    Route(_ROLLOUTS, list_rollouts, methods=["GET"]),
    Route(_ROLLOUT, get_rollout, methods=["GET"]),
    Route(_ROLLOUT + "/events", follow_rollout, methods=["GET"]),
    Route(_ROLLOUT + "/pause", post_pause, methods=["POST"]),
    Route(_ROLLOUT + "/resume", post_resume, methods=["POST"]),
    Route(_ROLLOUT + "/abort", post_abort, methods=["POST"]),
    Route(_SETS, list_all, methods=["GET"]),
    Route(_SET, get_set, methods=["GET"]),
    Route(_SET, put_set, methods=["PUT"]),
    Route(_SET, delete_set, methods=["DELETE"]),
    Route(_SET + "/events", follow_set, methods=["GET"]),
    Route(_SET + "/pause", post_set_pause, methods=["POST"]),
    Route(_SET + "/resume", post_set_resume, methods=["POST"]),
    Route(_SET + "/abort", post_set_abort, methods=["POST"]),
    Route(_SET + "/rollback", post_set_rollback, methods=["POST"]),
]

_LISTS = (_TARGETS, "/api/v1/deployments", _ROLLOUTS, _SETS, "/api/v1/examinations")
_BELOW = ("/v3/", f"{_TARGETS}/", f"{_ROLLOUTS}/", f"{_SETS}/")


def is_deploy_path(path: str) -> bool:
    """Whether a path of the hub belongs to this door. `/modules/<sha256>.wasm`, without a grant, does not."""
    if path.startswith("/modules/"):
        return path.count("/") == 3
    return path.startswith(_BELOW) or path in _LISTS
