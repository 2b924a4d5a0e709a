"""Passes over a Consul: the hub's extensions are merged into service-defaults, and nothing of others is lost.

Every write names the version that was read (check-and-set), so what somebody else writes meanwhile is read again and
merged with, never replaced.
"""

import asyncio
import contextlib
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from anyio.to_thread import run_sync

import deploy.targets.consul as consul
from auth.control_plane import ControlPlane
from auth.outgoing import Outgoing, OutgoingRefused
from deploy.meshes.desired import Desired, Desires
from deploy.meshes.drift import changed_parts, way_out
from deploy.meshes.passing import Pass
from deploy.meshes.sidecars import Sidecars, vm_of
from deploy.targets.merging import mark
from deploy.targets.remote_filter import filter_name
from storage.targets import TargetRow

ENTRIES = "/v1/config/service-defaults"
SERVICES = "/v1/catalog/services"
RARELY = 5.0  # seconds after a pass in which nobody looks whether another sidecar was registered
TRIES = 3  # of a write that somebody else was before
LONGEST_WATCH = 300  # seconds
BUSY = 2.0  # seconds until the next try where all were lost
Service = tuple[str, str, str]  # name, namespace, partition; the last two are empty in most Consuls


class ConsulRefused(Exception):
    """Consul's own refusal, in a sentence."""


@dataclass(frozen=True)
class ConsulPass:
    """What passes over Consuls work with."""

    desires: Desires
    outgoing: Outgoing

    async def run(self, plane: ControlPlane, target: TargetRow) -> Pass:
        """One pass. Raises OutgoingRefused, ConsulRefused and StorageError where it could not be whole."""
        sidecars = Sidecars(plane, self.outgoing, target)
        found, wished = Pass(), await run_sync(self.desires.read, target)
        if any(one.plan is not None and not one.plan.placement["code"] for one in wished):
            found.catalog = await _catalog(plane, target)
        desired = await sidecars.find(wished)
        await sidecars.before(desired)
        own = mark(self.desires.hub_id, target.name)
        wanted = _by_service(desired)
        entries = await _entries(plane, {(*service[1:],) for service in wanted} | {_usual(target)}, found)
        services = set(wanted) | {service for service, entry in entries.items() if _holds(entry, own)}
        for service in sorted(services):
            await _bring(plane, found, service, entries.get(service), wanted.get(service, ()), own, self._touched)
        for one in desired:
            if one.reports:
                found.done[one.row.name].wrote = self._mark(_rendered(one)["extension"])
        observed = await sidecars.look(desired, found.done)
        await run_sync(self.desires.write_down, target, desired, found.done, observed)
        if sidecars.again is not None:
            found.again = min(found.again or sidecars.again, sidecars.again)
        return found

    def _touched(self, one: Desired, stands: Any) -> bool:
        return self.desires.touched(one, stands and consul.said_of(stands))

    def _mark(self, extension: Mapping[str, Any]) -> str:
        return self.desires.mark(consul.said_of(extension))

    async def watch(self, plane: ControlPlane, target: TargetRow, found: Pass, news: asyncio.Event) -> None:
        """Sets `news` once any service-defaults change, or a sidecar is registered otherwise."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_wait(plane, ENTRIES, target, found.indexes.get(_usual(target), "0"), news))
            if found.catalog is not None:
                tasks.create_task(_wait_for_services(plane, target, found.catalog, news))


async def try_consul(plane: ControlPlane) -> dict[str, Any]:
    """What the hub meets there: Consul's version, and whether the token may read what the hub merges with.

    Raises OutgoingRefused and ConsulRefused.
    """
    await _ask(plane, "GET", "/v1/status/leader", {})
    rights = []
    for what, path, otherwise in (
        ("read service-defaults", ENTRIES, "deployments there are stalled"),
        ("read the catalog", "/v1/catalog/services", "sidecars cannot be observed"),
    ):
        try:
            await _ask(plane, "GET", path, {})
            rights.append({"may": what, "allowed": True, "else": otherwise})
        except ConsulRefused:
            rights.append({"may": what, "allowed": False, "else": otherwise})
    answer = await plane.ask("GET", "/v1/agent/self")
    config = answer.body.get("Config") if isinstance(answer.body, dict) else None
    return {"version": str((config or {}).get("Version") or ""), "rights": rights}


async def _wait(plane: ControlPlane, path: str, target: TargetRow, index: str, news: asyncio.Event) -> None:
    """Sets `news` once Consul has another index there."""
    query = {"index": index, "wait": f"{LONGEST_WATCH}s"}
    with contextlib.suppress(OutgoingRefused, ConsulRefused):
        await _ask(plane, "GET", path, _place(*_usual(target)) | query, patience=LONGEST_WATCH * 1.2)
        news.set()
        return
    await asyncio.sleep(random.uniform(5, 15))  # noqa: S311  (one that does not answer is not asked at once)
    news.set()


async def _wait_for_services(plane: ControlPlane, target: TargetRow, index: str, news: asyncio.Event) -> None:
    """Sets `news` once any service is registered otherwise; in a busy Consul that is all the time."""
    await asyncio.sleep(RARELY)
    await _wait(plane, SERVICES, target, index, news)


async def _catalog(plane: ControlPlane, target: TargetRow) -> str | None:
    """The index of all services; None where the hub may not look, or they are more than it takes."""
    with contextlib.suppress(ConsulRefused, OutgoingRefused):
        return (await _ask(plane, "GET", SERVICES, _place(*_usual(target))))[1]
    return None


async def _entries(plane: ControlPlane, places: set[tuple[str, str]], found: Pass) -> dict[Service, Mapping[str, Any]]:
    """All service-defaults of some namespaces and partitions."""
    entries: dict[Service, Mapping[str, Any]] = {}
    for namespace, partition in places:
        listed, index = await _ask(plane, "GET", ENTRIES, _place(namespace, partition))
        found.indexes[namespace, partition] = index
        entries |= {(str(one.get("Name")), namespace, partition): one for one in listed or []}
    return entries


async def _bring(
    plane: ControlPlane,
    found: Pass,
    service: Service,
    entry: Mapping[str, Any] | None,
    wanted: Sequence[Desired],
    own: str,
    touched: Callable[[Desired, Any], bool],
) -> None:
    """Has one service's entry hold what is wanted of the hub's; what becomes of it is said of all deployments there.

    An extension that somebody has `touched` by hand stays as it is, and that is said.
    """
    written, troubles, by_hand = False, [], dict[str, str]()
    for _ in range(TRIES):
        by_hand = {one.row.name: _by_hand(one, entry) for one in wanted if touched(one, _standing(one, entry))}
        extensions = [_extension(one, entry, stays=bool(by_hand.get(one.row.name))) for one in wanted]
        there = [one for one in extensions if one is not None]
        troubles = consul.conflicts(entry, there)
        merged = consul.merge(entry, there, own)
        if consul.same(entry, merged):
            break
        try:
            written = await _write(plane, service, entry, merged)
        except ConsulRefused as refusal:
            troubles = [f"Consul refused the service-defaults of {service[0]}: {refusal}"]
            break
        if written:
            break
        entry = await _entry(plane, service)
    else:
        troubles = [f"somebody else changes the service-defaults of {service[0]} all the time; the hub tries again"]
        found.again = BUSY
    stay = {name for one in (entry or {}).get("EnvoyExtensions") or [] if (name := consul.plugin_name(one))}
    left = () if written else (name.removeprefix(own) for name in stay if name.startswith(own))
    for name in {*left, *(one.row.name for one in wanted)}:  # what was undeployed and could not be taken away, too
        done = found.done[name]
        done.objects.append(f"service-defaults {service[0]}")
        done.written = done.written or written
        done.trouble = done.trouble or by_hand.get(name) or ". ".join(troubles) or None


def _extension(one: Desired, entry: Mapping[str, Any] | None, *, stays: bool) -> dict[str, Any] | None:
    """A deployment's extension; what stands there already where that `stays`, or it cannot be rendered as it is now."""
    assert one.plan is not None
    if not one.problems and not stays:
        return _rendered(one)
    held = _standing(one, entry)
    if held is None:
        return None
    places = {part: one.plan.placement[part] for part in ("service", "namespace", "partition", "protocol")}
    return {**places, "order": one.plan.order, "extension": held}


def _rendered(one: Desired) -> dict[str, Any]:
    assert one.plan is not None
    rendered = consul.render(one.plan)
    if one.tries:
        rendered["extension"]["Arguments"]["PluginConfig"]["VmConfig"]["VmID"] = vm_of(one.plan, one.tries)
    return rendered


def _standing(one: Desired, entry: Mapping[str, Any] | None) -> Any:
    """A deployment's extension as it stands in an entry; None where it does not."""
    assert one.plan is not None
    name = filter_name(one.plan)
    held = (entry or {}).get("EnvoyExtensions") or []
    return next((extension for extension in held if consul.plugin_name(extension) == name), None)


def _by_hand(one: Desired, entry: Mapping[str, Any] | None) -> str:
    """What somebody did to an extension by hand, with the way out; empty if nobody did."""
    assert one.plan is not None
    stands = _standing(one, entry)
    what, way = f"service-defaults {one.plan.placement['service']}", f"Consul does not say by whom; {way_out()}"
    if stands is None:
        return f"the extension of {one.row.name} was taken out of {what} by hand; {way}"
    parts = changed_parts(consul.said_of(stands), consul.said_of(_rendered(one)["extension"]))
    said = f"the extension of {one.row.name} in {what} was changed by hand and differs in {parts}; {way}"
    return said if parts else ""


async def _write(
    plane: ControlPlane, service: Service, entry: Mapping[str, Any] | None, merged: Mapping[str, Any] | None
) -> bool:
    """Writes an entry, or takes it away; False where it is another by now than was read."""
    version = {"cas": str((entry or {}).get("ModifyIndex", 0))}
    place = _place(*service[1:])
    if merged is None:
        path = f"{ENTRIES}/{quote(service[0], safe='')}"
        taken, _ = await _ask(plane, "DELETE", path, place | version)
    else:
        taken, _ = await _ask(plane, "PUT", "/v1/config", place | version, merged)
    return bool(taken)


async def _entry(plane: ControlPlane, service: Service) -> Mapping[str, Any] | None:
    path = f"{ENTRIES}/{quote(service[0], safe='')}"
    found, _ = await _ask(plane, "GET", path, _place(*service[1:]), missing=True)
    return found if isinstance(found, dict) else None


async def _ask(
    plane: ControlPlane,
    method: str,
    path: str,
    query: Mapping[str, str],
    body: Any = None,
    *,
    missing: bool = False,
    patience: float = 10.0,
) -> tuple[Any, str]:
    """The answer's JSON and its index. Raises ConsulRefused; with `missing` a 404 is None."""
    asked = f"{path}?{urlencode(query)}" if query else path
    answer = await plane.ask(method, asked, body, patience=patience)
    if answer.status == 404 and missing:
        return None, "0"
    if answer.status == 403:
        raise ConsulRefused(f"the hub's token may not do that ({answer.text.strip()[:300]}); give it service:write")
    if answer.status >= 400:
        raise ConsulRefused(answer.text.strip()[:500] or f"status {answer.status}")
    return answer.body, answer.headers.get("x-consul-index", "0")


def _by_service(desired: Sequence[Desired]) -> dict[Service, list[Desired]]:
    found: dict[Service, list[Desired]] = defaultdict(list)
    for one in desired:
        if one.plan is not None:
            placement = one.plan.placement
            service = (placement["service"], placement["namespace"], placement["partition"])
            found[service].append(one)
    return found


def _holds(entry: Mapping[str, Any], own: str) -> bool:
    extensions = entry.get("EnvoyExtensions") or []
    return any(consul.plugin_name(one).startswith(own) for one in extensions)


def _usual(target: TargetRow) -> tuple[str, str]:
    return target.settings["namespace"], target.settings["partition"]


def _place(namespace: str, partition: str) -> dict[str, str]:
    return ({"ns": namespace} if namespace else {}) | ({"partition": partition} if partition else {})
