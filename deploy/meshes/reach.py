"""How the hub gets into a target now, and what it may do there: asked with the access that is kept."""

from typing import Any

from auth.door import ApiError
from auth.identity import Identity
from deploy.means import Means, allow
from deploy.meshes.kinds import MESHES
from deploy.meshes.kubeconfig import access_of
from deploy.meshes.settings import Asked, try_out
from storage.targets import TargetRow


async def reach(means: Means, identity: Identity, name: str) -> dict[str, Any]:
    """The server's `version` and each of the hub's `rights`, or the `problem` why it cannot be reached."""
    target = await means.database.look(_find, means, identity, name)
    if target.sealed_access is None:
        raise ApiError(409, "conflict", f"{name} is an Envoy fleet: its Envoys ask the hub, which calls none of them")
    access = access_of(means.gate.secret_key.unseal(target.sealed_access))
    try:
        met = await try_out(means.outgoing, Asked(MESHES[target.kind], target.settings, access))
    except ApiError as refusal:
        return {"version": "", "rights": [], "problem": refusal.message}
    return {"version": "", "rights": [], **met, "problem": ""}


def _find(means: Means, identity: Identity, name: str) -> TargetRow:
    with means.database.read() as session:
        return allow(session, identity, "configure", name)
