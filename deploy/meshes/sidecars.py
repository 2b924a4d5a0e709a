"""Which sidecars a Consul's deployments are for, and what each says that it runs where its admin port may be asked."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode

from auth.control_plane import Access, ControlPlane
from auth.outgoing import Outgoing, OutgoingRefused
from deploy.meshes.desired import Again, Desired, Done, Observed
from deploy.status import PENDING, PROGRESSING, READY, REFUSED, RUNS, STALLED, UNOBSERVED, WAITING, some_names
from deploy.targets.plan import Plan
from deploy.targets.remote_filter import filter_name, vm_id
from storage.database import now
from storage.targets import TargetRow

AT_ONCE = 8  # sidecars that are asked at the same time
PATIENCE = 3.0  # seconds for one
SOON, LATER = 0.5, 3.0  # seconds until the next look at what is under way, at first and after a while
EARLY, LONGEST_WAIT = 10_000, 60_000  # milliseconds after which looks are rarer, and nothing is waited for
FAILURES = "wasm.remote_load_fetch_failures"  # Envoy's own counter
UNFETCHED = "could not fetch the module from the hub"


@dataclass(frozen=True)
class Sidecar:
    """A sidecar as the catalog knows it."""

    name: str  # its id
    address: str
    upstreams: frozenset[str]  # the services that it leads to


@dataclass(frozen=True)
class Said:
    """What a sidecar's Envoy says: its listeners, with what is warming and what was refused, and how many modules it
    could not fetch since it began.
    """

    listeners: Sequence[Any] = ()
    failures: int = 0


@dataclass
class Sidecars(Again):
    """One pass's view of the sidecars: found first, asked before anything is written and then."""

    plane: ControlPlane
    outgoing: Outgoing
    target: TargetRow
    _places: dict[str, list[Sidecar]] = field(default_factory=dict)  # by deployment
    _baselines: dict[str, dict[str, int]] = field(default_factory=dict)  # failures before this try, by deployment

    async def find(self, desired: Sequence[Desired]) -> list[Desired]:
        """The deployments, with a problem more for those whose sidecars could not fetch the module.

        Consul breaks off all that it tells a sidecar if an extension names a service that is no upstream of it.
        """
        for one in desired:
            if one.plan is not None:
                self._places[one.row.name] = await self._of_service(one.plan)
        return [self._with_upstream(one) for one in desired]

    async def before(self, desired: Sequence[Desired]) -> None:
        """Sees what sidecars could not fetch before a revision is written, or tried again."""
        fresh = []
        for one in self._watched(desired):
            if one.attempt == one.tried:
                self._baselines[one.row.name] = dict(one.baseline)
            else:
                fresh.append(one)
        said = await self._ask(fresh)
        for one in fresh:
            self._baselines[one.row.name] = {each.name: said[each].failures for each in self._places[one.row.name]}

    async def look(self, desired: Sequence[Desired], done: Mapping[str, Done]) -> dict[str, Observed]:
        """How the deployments stand that were applied."""
        watched = [one for one in self._watched(desired) if done[one.row.name].trouble is None]
        said = await self._ask(watched)
        return {one.row.name: self._judge(one, said) for one in watched}

    def _watched(self, desired: Sequence[Desired]) -> list[Desired]:
        if not self.target.settings["admin_port"]:
            return []
        return [one for one in desired if one.plan is not None and not one.problems]

    def _with_upstream(self, one: Desired) -> Desired:
        if one.plan is None or one.plan.placement["code"]:
            return one
        hub = self.target.settings["hub_service"]
        lacking = [each.name for each in self._places[one.row.name] if hub not in each.upstreams]
        if not lacking:
            return one
        there = one.row.seen is not None and one.row.seen.objects  # a filter, of this revision or of another
        untold = ", and Consul tells it nothing until it can" if there else ""
        way = f"add {hub} to its upstreams, or say with code where it lies"
        said = f"{some_names(lacking)} cannot fetch the module{untold}: {way}"
        return replace(one, problems=[*one.problems, said])

    async def _of_service(self, plan: Plan) -> list[Sidecar]:
        query = {name: plan.placement[name] for name in ("partition",) if plan.placement[name]}
        query |= {"ns": plan.placement["namespace"]} if plan.placement["namespace"] else {}
        path = f"/v1/health/connect/{quote(plan.placement['service'], safe='')}"
        answer = await self.plane.ask("GET", f"{path}?{urlencode(query)}" if query else path)
        entries = answer.body if isinstance(answer.body, list) else []
        return [_sidecar(entry) for entry in entries if isinstance(entry, dict)]

    async def _ask(self, watched: Sequence[Desired]) -> dict[Sidecar, Said]:
        """What all sidecars of these deployments say, each asked once."""
        there = {sidecar for one in watched for sidecar in self._places[one.row.name]}
        turns = asyncio.Semaphore(AT_ONCE)

        async def ask(sidecar: Sidecar) -> Said:
            async with turns:
                return await self._said_by(sidecar)

        return dict(zip(there, await asyncio.gather(*map(ask, there)), strict=True))

    async def _said_by(self, sidecar: Sidecar) -> Said:
        host = f"[{sidecar.address}]" if ":" in sidecar.address else sidecar.address
        try:
            admin = ControlPlane(self.outgoing, Access(f"http://{host}:{self.target.settings['admin_port']}"))
        except (OutgoingRefused, ValueError):
            return Said()
        try:
            dump = await admin.ask("GET", "/config_dump?resource=dynamic_listeners", patience=PATIENCE)
            stats = await admin.ask("GET", f"/stats?filter={FAILURES}&format=json", patience=PATIENCE)
        except OutgoingRefused:
            return Said()
        finally:
            await admin.close()
        configs = dump.body.get("configs") if isinstance(dump.body, dict) else None
        counted = stats.body.get("stats") if isinstance(stats.body, dict) else None
        values = [one.get("value") for one in counted or () if isinstance(one, dict) and one.get("name") == FAILURES]
        return Said(configs or (), next((value for value in values if isinstance(value, int)), 0))

    def _judge(self, one: Desired, said: Mapping[Sidecar, Said]) -> Observed:
        seen, number = one.row.seen, one.row.current.number
        applied_at = seen.applied_at if seen is not None and seen.revision == number else None
        age = now() - applied_at if applied_at is not None else 0
        assert one.plan is not None
        baseline = self._baselines.get(one.row.name, {})
        settled = (
            {each["name"] for each in one.sidecars if each["state"] == RUNS} if one.attempt == one.tried else set()
        )
        known = []
        for sidecar in self._places[one.row.name]:
            state = _state(sidecar, said[sidecar], one.plan, one.tries)
            missed = said[sidecar].failures > baseline.get(sidecar.name, 0)
            if state["state"] == RUNS and missed and not one.plan.placement["code"] and sidecar.name not in settled:
                state |= {"state": REFUSED, "why": UNFETCHED}
            known.append(state)
        found = stand(known, number, age=age)
        tries = self.try_again(one) if any(each["why"] == UNFETCHED for each in known) else {}
        if found.status == PROGRESSING:
            self.look_in(SOON if age < EARLY else LATER)
        kept = {"sidecars": known, "attempt": one.attempt, "baseline": baseline, "tries": one.tries, **tries}
        return replace(found, detail=kept)


def vm_of(plan: Plan, tries: int) -> str:
    """The id of the VM of a try: Envoy fetches what it could not only for another one."""
    return f"{vm_id(plan)}-{tries}" if tries else vm_id(plan)


def stand(known: Sequence[Mapping[str, Any]], number: int, *, age: int) -> Observed:
    """How a deployment stands from the states of its sidecars, `age` milliseconds after it was applied."""
    detail = {"sidecars": list(known)}
    if not known:
        return Observed(WAITING, "no sidecar of the service is in Consul's catalog", detail)
    refused = [one for one in known if one["state"] == REFUSED]
    if refused:
        names, why = some_names([one["name"] for one in refused]), refused[0]["why"]
        said = f"the Envoy of {names} refused revision {number}: {why}"
        if why == UNFETCHED:
            said = f"the Envoy of {names} {UNFETCHED}; until it can, requests are answered as failure_policy says"
        return Observed(STALLED, said, detail)
    late = [one for one in known if one["state"] != RUNS]
    if not late:
        return Observed(READY, f"{len(known)} of {len(known)} sidecars run revision {number}", detail)
    if age > LONGEST_WAIT:
        said = (
            f"revision {number} was applied; {some_names([one['name'] for one in late])} does not say that it runs it"
        )
        return Observed(UNOBSERVED, said, detail)
    return Observed(PROGRESSING, f"{len(known) - len(late)} of {len(known)} sidecars run revision {number}", detail)


def _sidecar(entry: Mapping[str, Any]) -> Sidecar:
    service, node = entry.get("Service") or {}, entry.get("Node") or {}
    upstreams = (service.get("Proxy") or {}).get("Upstreams") or ()
    names = frozenset(str(one.get("DestinationName")) for one in upstreams)
    return Sidecar(str(service.get("ID")), str(service.get("Address") or node.get("Address")), names)


def _state(sidecar: Sidecar, said: Said, plan: Plan, tries: int) -> dict[str, Any]:
    """What a sidecar makes of a deployment: by the name, the VM and the config that its plugin was given."""
    known = {"name": sidecar.name, "state": PENDING, "why": None}
    for listener in said.listeners:
        if _has(listener.get("active_state"), "listener", plan, tries):
            known["state"] = RUNS
        # An error stays until the listener is next changed, also when what it runs is what is wanted again.
        elif _has(error := listener.get("error_state"), "failed_configuration", plan, tries):
            return known | {"state": REFUSED, "why": str(error.get("details") or "it does not say why")[:500]}
    return known


def _has(state: Any, part: str, plan: Plan, tries: int) -> bool:
    """Whether that state of a listener is one with the deployment's filter, as it is wanted now."""
    for config in _plugins((state or {}).get(part) or {}):
        runs = (config.get("vm_config") or {}).get("vm_id"), (config.get("configuration") or {}).get("value") or ""
        if config.get("name") == filter_name(plan) and runs == (vm_of(plan, tries), plan.config or ""):
            return True
    return False


def _plugins(listener: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The configs of all wasm filters of a listener, of HTTP and of TCP."""
    for chain in listener.get("filter_chains") or ():
        for each in chain.get("filters") or ():
            typed = each.get("typed_config") or {}
            for one in (each, *(typed.get("http_filters") or ())):
                config = (one.get("typed_config") or {}).get("config")
                if isinstance(config, Mapping):
                    yield config
