"""What lies below control planes fails: a slow etcd, a Consul without a leader, others who write all the time."""

import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from tests.deploy.fleet import header_filter, until
from tests.hub import HubProcess
from tests.mesh.consul import Consul, Voter
from tests.mesh.kubernetes import ControlPlane
from tests.mesh.network import Network
from tests.mesh.target import PLUGIN, ConsulTarget, Target
from tests.oci import Client
from tests.peers import mesh_file

APPLIED = "applied-not-observed"
RIGHTS = 'service_prefix "" { policy = "write" }'
PLACED = {"service": "shop", "code": {"file": "/filters/marks.wasm"}}


@pytest.fixture(scope="module")
def image(oci: Client) -> str:
    """A filter in the hub."""
    oci.push_filter("admin/below", "1", header_filter("one"))
    return "admin/below:1"


def test_a_deploy_waits_for_an_etcd_that_hangs_and_slows_no_other_target(
    target: Target, mesh_hub: HubProcess, network: Network, image: str
) -> None:
    other = ControlPlane(network.address)
    try:
        other.start().namespace("shop")
        other.install(mesh_file("istio", "crds.yaml").read_text())
        with Target(mesh_hub, other.admin, "shop", observe="nothing") as slow:
            slow.deploy("marks", image, config={"n": 1})
            slow.becomes("marks", APPLIED)
            assert other.etcd.process is not None
            other.etcd.process.send_signal(signal.SIGSTOP)
            slow.deploy("marks", image, config={"n": 2})
            began = time.monotonic()
            target.deploy("marks", image)
            target.becomes("marks", APPLIED, 10)
            assert time.monotonic() - began < 5
            until(lambda: _state(slow)["status"] == "away", "it is said that the cluster does not answer", 60)
            assert slow.deployment("marks")["status"] == "waiting"
            other.etcd.process.send_signal(signal.SIGCONT)
            slow.becomes("marks", APPLIED, 60)
            plugin = other.admin.get(*PLUGIN, f"marks.{slow.name}", "shop")
            assert plugin is not None and plugin["spec"]["pluginConfig"] == {"n": 2}
    finally:
        other.remove()


def test_a_consul_that_lost_its_leader_is_caught_up_when_it_has_another(
    mesh_hub: HubProcess, network: Network, image: str
) -> None:
    with _voters(network) as voters:
        led = next(one for one in voters if one.leader() == one.inside.address)
        asked, gone = (one for one in voters if one is not led)
        until(lambda: asked.http.get("/v1/acl/tokens").is_success, "rights are there", 30)
        token = led.new_token(RIGHTS)
        with ConsulTarget(mesh_hub, asked.url, token) as target:
            target.deploy("marks", image, placement=PLACED, config={"n": 1})
            until(lambda: '{"n": 1}' in _entry(asked), "the extension is there", 30)

            gone.agent.end(signal.SIGKILL)
            led.agent.end(signal.SIGKILL)
            until(lambda: asked.leader() == "", "nobody leads", 60)
            target.deploy("marks", image, placement=PLACED, config={"n": 2})
            state = until(lambda: _state(target)["status"] == "away" and _state(target), "the hub says so", 60)
            assert "leader" in state["message"] or "did not answer in time" in state["message"], state
            assert target.deployment("marks")["status"] == "waiting"

            gone.join(asked, led)
            until(lambda: '{"n": 2}' in _entry(asked), "the new config is there", 90)
            target.undeploy("marks")
            target.becomes("marks", 404)
            until(lambda: "builtin/wasm" not in _entry(asked), "the server that is asked has heard of it", 10)


def test_nothing_is_lost_between_two_who_write_the_same_entry_all_the_time(
    consul: Consul, mesh_hub: HubProcess, image: str
) -> None:
    service = f"busy-{uuid.uuid4().hex[:8]}"
    consul.write("service-defaults", service, Protocol="http", Meta={"count": "0"})
    stop, counts = threading.Event(), [0]
    writer = threading.Thread(target=_count_up, args=(consul, service, stop, counts))
    writer.start()
    try:
        with ConsulTarget(mesh_hub, consul.url, consul.new_token(RIGHTS)) as target:
            for number in range(5):
                placement = {**PLACED, "service": service}
                target.deploy("marks", image, placement=placement, config={"n": number})
                until(lambda n=number: f'{{"n": {n}}}' in _entry(consul, service), f"config {number} is there", 60)
            target.undeploy("marks")
            target.becomes("marks", 404, 60)
    finally:
        stop.set()
        writer.join()
    assert counts[0] > 20
    entry = consul.ask("GET", f"/v1/config/service-defaults/{service}")
    assert (entry["Meta"], entry.get("EnvoyExtensions") or []) == ({"count": str(counts[0])}, [])


def test_what_cannot_be_taken_out_of_an_entry_is_not_forgotten(
    consul: Consul, mesh_hub: HubProcess, image: str
) -> None:
    service = f"kept-{uuid.uuid4().hex[:8]}"
    reads = consul.new_token('service_prefix "" { policy = "read" }')
    with ConsulTarget(mesh_hub, consul.url, consul.new_token(RIGHTS)) as target:
        target.deploy("marks", image, placement={**PLACED, "service": service})
        until(lambda: "builtin/wasm" in _entry(consul, service), "the extension is there", 30)
        _sign_in_with(target, reads)
        target.undeploy("marks")
        refused = f"Consul refused the service-defaults of {service}"
        until(lambda: refused in str(target.deployment("marks").get("message")), "the refusal is said", 30)
        assert "builtin/wasm" in _entry(consul, service)
        _sign_in_with(target, consul.new_token(RIGHTS))
        target.becomes("marks", 404)
        assert "builtin/wasm" not in _entry(consul, service)


def _sign_in_with(target: ConsulTarget, token: str) -> None:
    answer = target.http.patch(f"/api/v1/targets/{target.name}", json={"token": token})
    assert answer.status_code == 200, answer.text


def _count_up(consul: Consul, service: str, stop: threading.Event, counts: list[int]) -> None:
    """Writes an entry by check-and-set, as fast as it may; `counts` says how often that was taken."""
    with httpx.Client(base_url=consul.url, headers=consul.http.headers, trust_env=False) as http:
        while not stop.is_set():
            entry = http.get(f"/v1/config/service-defaults/{service}").json()
            told = {**entry, "Meta": {"count": str(counts[0] + 1)}}
            if http.put("/v1/config", params={"cas": entry["ModifyIndex"]}, json=told).json() is True:
                counts[0] += 1


@contextmanager
def _voters(network: Network) -> Iterator[list[Voter]]:
    """Three servers with a leader."""
    token = str(uuid.uuid4())
    with ExitStack() as stack:
        voters = [Voter(network, token) for _ in range(3)]
        for one in voters:
            stack.callback(one.remove)
        for one in voters:
            one.join(*(other for other in voters if other is not one))
        until(lambda: all(one.leader() for one in voters), "they have a leader", 60)
        yield voters


def _entry(consul: Consul, service: str = "shop") -> str:
    """The extensions of a service's defaults, as text; empty where it has none."""
    answer = consul.http.get(f"/v1/config/service-defaults/{service}", params={"stale": ""})
    return str(answer.json().get("EnvoyExtensions")) if answer.is_success else ""


def _state(target: Any) -> dict[str, Any]:
    return dict(target.http.get(f"/api/v1/targets/{target.name}").json()["state"])
