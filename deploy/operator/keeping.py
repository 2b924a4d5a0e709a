"""FilterDeployments as the operator reads and marks them: its finalizer and their status are all that it writes."""

from dataclasses import dataclass

from deploy.meshes.kubernetes import Cluster, Refused
from deploy.operator.resource import FILTERS, Filter, Key
from deploy.operator.standing import Report, status_of
from storage.database import now


@dataclass(frozen=True)
class Keeper:
    """Those of one cluster. Everything raises Refused and OutgoingRefused."""

    cluster: Cluster

    async def get(self, key: Key) -> Filter | None:
        """One as it is now; None where there is none."""
        live = await self.cluster.get(FILTERS, *key)
        return Filter(live) if live is not None else None

    async def all(self, namespace: str, kind: str) -> list[Filter]:
        """Those of a namespace that are for one kind of mesh."""
        found = map(Filter, (await self.cluster.list(FILTERS, namespace=namespace)).objects)
        return [one for one in found if one.mesh.kind == kind]

    async def hold(self, one: Filter, finalizers: list[str]) -> Filter:
        """Sets the operator's own finalizers of this very object, and nothing else of it."""
        meta = {"name": one.name, "namespace": one.namespace, "uid": one.uid, "finalizers": finalizers}
        wanted = {"apiVersion": FILTERS[0], "kind": FILTERS[1], "metadata": meta}
        return Filter(await self.cluster.apply(FILTERS, wanted))

    async def let_go(self, one: Filter) -> None:
        """Takes the finalizer away; one that is gone is well."""
        try:
            await self.hold(one, [])
        except Refused as refusal:
            if refusal.status != 404:
                raise

    async def write(self, one: Filter, report: Report) -> None:
        """Writes the status where it says something new."""
        status = status_of(one, report, now())
        if status == one.status:
            return
        meta = {"name": one.name, "namespace": one.namespace}
        wanted = {"apiVersion": FILTERS[0], "kind": FILTERS[1], "metadata": meta, "status": status}
        try:
            await self.cluster.apply(FILTERS, wanted, force=True, part="status")
        except Refused as refusal:
            if refusal.status != 404:  # it went meanwhile
                raise
