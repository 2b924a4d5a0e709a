"""One filter before the gateway of a real Istio and then before a service of a real Consul, as one deployment set."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.deploy.fleet import REFUSES, Load, Upstream, ask, header_filter, until
from tests.deploy.polling import Set
from tests.hub import HubProcess
from tests.mesh.consul import ADMIN, Consul, Service
from tests.mesh.istio import Istiod, Proxy, route
from tests.mesh.target import PLUGIN, ConsulTarget, Target
from tests.mesh.test_consul import RIGHTS, entry
from tests.oci import Client

Front = tuple[str, int]


class Meshes:
    """Both meshes as targets of a hub, and where requests go into each."""

    def __init__(self, istio: Target, consul: ConsulTarget, web: Service, fronts: tuple[Front, Front]) -> None:
        self.istio, self.consul, self.web, self.fronts = istio, consul, web, fronts
        self.set = Set(istio.http, f"marks-{istio.name}")
        self.name = f"marks-{istio.name}"

    def members(self) -> list[dict[str, Any]]:
        """The gateway first, then the service."""
        at_gateway = {"namespace": self.istio.namespace, "labels": {"app": "gw"}}
        return [
            {"target": self.istio.name, "placement": at_gateway, "wave": 1},
            {"target": self.consul.name, "placement": {"service": self.web.name}, "wave": 2},
        ]

    def shows(self, number: int, *marks: str) -> bool:
        """Whether a request into that mesh is answered with these marks."""
        try:
            return ask(self.fronts[number]) == (200, [*marks])
        except OSError:
            return False


@pytest.fixture
def meshes(
    istiod: Istiod, consul: Consul, mesh_hub: HubProcess, upstream: Upstream, namespace: str
) -> Iterator[Meshes]:
    with ExitStack() as stack:
        gateway = Proxy(istiod, "gw", namespace)
        stack.callback(gateway.remove)
        for one in route(namespace, gateway.name, upstream.address):
            istiod.control.admin.apply(one)
        gateway.start()
        tag = secrets.token_hex(4)
        behind = {"hub": mesh_hub.host, "web": upstream.address, "client": upstream.address}
        services = {name: Service(consul, f"{name}-{tag}", place) for name, place in behind.items()}
        for one in services.values():
            stack.callback(one.remove)
        services["hub"].start()
        services["web"].start(services["hub"].name)
        services["client"].start(services["web"].name)
        istio = stack.enter_context(Target(mesh_hub, istiod.control.admin, namespace))
        told = {"admin_port": ADMIN, "hub_service": services["hub"].name}
        there = stack.enter_context(ConsulTarget(mesh_hub, consul.url, consul.new_token(RIGHTS), **told))
        client, web = services["client"], services["web"]
        made = Meshes(istio, there, web, (gateway.front, (client.address, client.port_of(web.name))))
        until(lambda: made.shows(0) and made.shows(1), "both meshes let requests through", 60)
        yield made


def test_a_set_goes_through_two_meshes_in_order_and_back_when_the_first_refuses(
    meshes: Meshes, consul: Consul, oci: Client
) -> None:
    for tag, module in (
        ("1", header_filter("one")),
        ("2", header_filter("two", REFUSES)),
        ("3", header_filter("three")),
    ):
        oci.push_filter("admin/both", tag, module)
    meshes.set.apply(*meshes.members(), reference="admin/both:1", bake="2s")
    meshes.set.says("watched for", 60)
    assert meshes.shows(0, "one") and meshes.shows(1), "Consul waits for Istio"
    assert meshes.set.becomes("done", 90)["status"] == "ready"
    until(lambda: meshes.shows(0, "one") and meshes.shows(1, "one"), "both show it", 30)

    with Load(meshes.fronts[0]) as first, Load(meshes.fronts[1]) as second:
        meshes.set.apply(*meshes.members(), reference="admin/both:2", bake="1s")
        back = meshes.set.becomes("rolled-back", 90)
    assert f"{meshes.istio.name}/{meshes.name} is stalled" in back["message"] and back["wave"] == 1
    assert (first.failed, first.seen, second.failed, second.seen) == ([], {("one",)}, [], {("one",)})
    assert meshes.consul.deployment(meshes.name)["revision"]["number"] == 1, "the second wave was never changed"
    assert [one["status"] for one in back["members"]] == ["ready", "ready"]

    meshes.set.apply(*meshes.members(), reference="admin/both:3", bake="1s")
    meshes.set.becomes("done", 90)
    until(lambda: meshes.shows(0, "three") and meshes.shows(1, "three"), "both show the next", 30)

    left = meshes.set.http.delete(meshes.set.path)
    assert left.status_code == 202 and left.json()["status"] == "leaving", left.text
    until(lambda: meshes.set.get()["state"] == 404, "the set is gone", 30)
    until(lambda: meshes.shows(0) and meshes.shows(1), "the header is gone from both", 30)
    assert meshes.istio.object(PLUGIN, f"{meshes.name}.{meshes.istio.name}") is None
    assert entry(consul, meshes.web).get("EnvoyExtensions") in (None, [])
