"""Which of several operators leads: the one that holds a Lease of Kubernetes.

Clocks of machines differ, so nobody compares times that another wrote: a lease has ended when it was seen unchanged for
as long as it lasts.
"""

import asyncio
from typing import Any

from deploy.meshes.kubernetes import Cluster, Kind, Refused
from deploy.operator.resource import moment
from storage.database import now

LEASES: Kind = ("coordination.k8s.io/v1", "Lease", "leases")
NAME = "wasmhub-operator"
SECONDS = 8  # that a lease lasts
RENEW = 2.0  # seconds; both together are the longest that nobody leads after a leader was killed


class Election:
    """One operator's part; `holder` is told from all others."""

    def __init__(self, cluster: Cluster, namespace: str, holder: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._holder = holder
        self._seen: tuple[Any, float] = (None, 0.0)  # the lease's version, and when it was first seen

    async def hold(self) -> bool:
        """Takes or renews the lease; False where another holds it. Raises Refused and OutgoingRefused."""
        live = await self._cluster.get(LEASES, self._namespace, NAME)
        try:
            if live is None:
                meta = {"name": NAME, "namespace": self._namespace}
                body = {"apiVersion": LEASES[0], "kind": LEASES[1], "metadata": meta, "spec": self._spec({})}
                await self._cluster.create(LEASES, body)
                return True
            spec = live.get("spec") or {}
            if spec.get("holderIdentity") not in (None, "", self._holder) and not self._has_ended(live):
                return False
            await self._cluster.replace(LEASES, {**live, "spec": self._spec(spec)})
            return True
        except Refused as refusal:
            if refusal.status == 409:  # another was faster
                return False
            raise

    async def give_back(self) -> None:
        """Lets another lead at once. Raises Refused and OutgoingRefused."""
        live = await self._cluster.get(LEASES, self._namespace, NAME)
        if live is not None and live["spec"].get("holderIdentity") == self._holder:
            await self._cluster.replace(LEASES, {**live, "spec": {**live["spec"], "holderIdentity": ""}})

    def _has_ended(self, live: dict[str, Any]) -> bool:
        version, time = live["metadata"]["resourceVersion"], asyncio.get_running_loop().time()
        if self._seen[0] != version:
            self._seen = version, time
        return time - self._seen[1] > float(live["spec"].get("leaseDurationSeconds") or SECONDS)

    def _spec(self, before: dict[str, Any]) -> dict[str, Any]:
        moved = before.get("holderIdentity") != self._holder
        at = moment(now()).replace("Z", "000Z")  # microseconds, as the kind wants them
        return {
            "holderIdentity": self._holder,
            "leaseDurationSeconds": SECONDS,
            "renewTime": at,
            "acquireTime": at if moved else before.get("acquireTime", at),
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + (1 if moved and before else 0),
        }
