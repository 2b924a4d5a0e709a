"""How long a deploy takes until proxies serve it: plain Envoy over REST and gRPC, and meshes where they are here."""

import http.client
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.fleet import Envoy, Fleet, Upstream, header_filter, xds_of
from tests.hub import HubProcess
from tests.mesh.target import HUB, PLUGIN, ConsulTarget, GatewayTarget, MeshTarget
from tests.mesh.world import NAMESPACE, consul_world, gateway_world, istio_world
from tests.oci import Client

FLEETS = {"rest": 2000.0, "grpc": 300.0}  # transport -> the most that p95 may be, in ms
OURS = 500.0  # the same of the hub's share, on meshes
REFRESH = 1.0  # seconds; over REST a proxy asks after one to two of these
SLOWEST = 30.0  # seconds for one deploy
EVERY = 0.002  # seconds between two looks


@dataclass
class Deploys:
    """One kind of target: milliseconds from the PUT that was sent until something was so."""

    name: str
    aim: float  # of p95; of the hub's share where that is measured
    served: list[float] = field(default_factory=list)  # a response shows it
    written: list[float] = field(default_factory=list)  # the mesh's object says it
    load: float = 0.0  # of the machine, while it was measured

    @property
    def judged(self) -> list[float]:
        """The times that the aim is for."""
        return self.written or self.served


def measure_deploys(folder: Path, runs: int, say: Callable[[str], None]) -> list[Deploys]:
    """Each kind in turn."""
    found = []
    for transport in FLEETS:
        say(f"deploys: a fleet over {transport}, {runs} deploys")
        found.append(_fleet(folder / transport, transport, runs))
    for name, measure in (("Istio", _istio), ("Consul", _consul), ("Envoy Gateway", _envoy_gateway)):
        say(f"deploys: {name}, {runs} deploys")
        try:
            found.append(measure(folder / name, runs))
        except pytest.skip.Exception as missing:  # what is not here
            say(f"{name} is not measured: {missing}")
    return found


def report(found: Sequence[Deploys]) -> str:
    """A table for people."""
    titles = ("p50", "p95", "hub p50", "hub p95", "mesh p50", "mesh p95")
    lines = ["deploy -> serving, ms".ljust(24) + "".join(title.rjust(10) for title in titles)]
    for one in found:
        rest = [served - written for served, written in zip(one.served, one.written, strict=False)]
        parts = [one.served, one.written, rest]
        shown = [f"{percentile(part, share):.0f}" if part else "-" for part in parts for share in (0.5, 0.95)]
        figures = "".join(text.rjust(10) for text in shown)
        reached = percentile(one.judged, 0.95)
        verdict = "met" if reached <= one.aim else "NOT MET"
        said = f"p95 {reached:.0f} (aim <= {one.aim:.0f}): {verdict}; load {one.load:.1f}"
        lines.append(f"{one.name:<24}{figures}   {said}")
    return "\n".join(lines)


def percentile(times: Sequence[float], part: float) -> float:
    """Of single times."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def _fleet(folder: Path, transport: str, runs: int) -> Deploys:
    folder.mkdir(parents=True)
    listen = {} if transport == "rest" else {"WASMHUB_XDS_LISTEN": "127.0.0.1:0"}
    found = Deploys(f"Envoy, {transport}", FLEETS[transport])
    with ExitStack() as stack:
        hub = stack.enter_context(HubProcess(folder / "data", **listen))
        fleet = stack.enter_context(Fleet(hub, "edge", transport=transport, refresh_seconds=REFRESH))
        upstream = Upstream()
        stack.callback(upstream.close)
        where = {} if transport == "rest" else {"xds": xds_of(hub)}
        key = fleet.new_key()["key"]
        envoy = stack.enter_context(Envoy(fleet, folder / "envoy", upstream, key=key, **where))
        for tag in ("one", "two"):
            fleet.push("measured", tag, header_filter(tag))
        front = envoy.listening()
        _repeat(found, front, runs, lambda tag: fleet.put("marks", reference=f"admin/measured:{tag}"), None)
    return found


def _istio(folder: Path, runs: int) -> Deploys:
    folder.mkdir(parents=True)
    found = Deploys("Istio, WasmPlugin", OURS)
    with ExitStack() as stack:
        world = stack.enter_context(istio_world(folder))
        settings = {"hub": f"http://{HUB}:{world.hub.url.rpartition(':')[2]}"}
        body = {"kind": "istio", "settings": settings, "kubeconfig": world.control.admin.kubeconfig()}
        target = _registered(stack, MeshTarget(world.hub, body), world.hub)
        name = f"marks.{target.name}"
        places = {"namespace": NAMESPACE, "labels": {"app": "gw"}}

        def written() -> Any:
            """What the plugin names: another digest for each version."""
            there = world.control.admin.get(*PLUGIN, name, NAMESPACE)
            return there and there["spec"]["url"]

        _repeat(found, world.front, runs, lambda tag: _put(target, tag, places), written)
    return found


def _consul(folder: Path, runs: int) -> Deploys:
    folder.mkdir(parents=True)
    found = Deploys("Consul, builtin/wasm", OURS)
    with ExitStack() as stack:
        world = stack.enter_context(consul_world(folder))
        target = _registered(stack, ConsulTarget(world.hub, world.consul.url, world.token), world.hub)

        def written() -> Any:
            """The module that the extension names."""
            return world.consul.ask("GET", "/v1/config/service-defaults/web").get("EnvoyExtensions")

        _repeat(found, world.front, runs, lambda tag: _put(target, tag, {"service": "web"}), written)
    return found


def _envoy_gateway(folder: Path, runs: int) -> Deploys:
    folder.mkdir(parents=True)
    found = Deploys("Envoy Gateway, image", OURS)
    with ExitStack() as stack:
        world = stack.enter_context(gateway_world(folder))
        made = GatewayTarget(world.hub, world.control.admin, NAMESPACE, world.url)
        target = _registered(stack, made, world.hub)
        places = {"namespace": NAMESPACE, "targets": [{"kind": "HTTPRoute", "name": "gw"}]}

        def written() -> Any:
            """What the policy names: another digest for each version."""
            return [one["spec"] for one in made.policies()] or None

        _repeat(found, world.front, runs, lambda tag: _put(target, tag, places), written)
    return found


def _registered(stack: ExitStack, target: Any, hub: HubProcess) -> Any:
    stack.callback(target.http.close)
    made = target.register()
    assert made.status_code == 201, made.text
    oci = Client(hub.url, "admin", hub.admin_password)
    for tag in ("one", "two"):
        oci.push_filter("admin/measured", tag, header_filter(tag))
    oci.close()
    return target


def _put(target: Any, tag: str, placement: dict[str, Any]) -> Any:
    return target.put("marks", reference=f"admin/measured:{tag}", placement=placement)


def _repeat(
    found: Deploys,
    front: tuple[str, int],
    runs: int,
    put: Callable[[str], Any],
    written: Callable[[], Any] | None,
) -> None:
    """Deploys two versions in turn; the first ones warm up and do not count."""
    tags = ("one", "two")
    for number in range(-2, runs):
        tag = tags[number % 2]
        before = written() if written is not None else None
        began = time.perf_counter()
        answer = put(tag)
        assert answer.status_code in (200, 201), answer.text
        if written is not None:
            _wait(lambda before=before: written() not in (None, before), f"{found.name} has the object")
            if number >= 0:
                found.written.append((time.perf_counter() - began) * 1000)
        _wait(lambda tag=tag: _mark(front) == tag, f"{found.name} shows {tag}")
        if number >= 0:
            found.served.append((time.perf_counter() - began) * 1000)
    found.load = os.getloadavg()[0]


def _wait(condition: Callable[[], bool], what: str) -> None:
    end = time.perf_counter() + SLOWEST
    while not condition():
        assert time.perf_counter() < end, f"not within {SLOWEST:g} s: {what}"
        time.sleep(EVERY)


def _mark(front: tuple[str, int]) -> str | None:
    """What a new connection is shown: one that is kept may stay with a listener that was replaced."""
    connection = http.client.HTTPConnection(*front, timeout=10)
    try:
        connection.request("GET", "/")
        answer = connection.getresponse()
        answer.read()
        return answer.getheader("x-filter")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
