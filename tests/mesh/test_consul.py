"""The whole way to a real Consul: sidecars load, run, swap and drop what is deployed, beside what others wrote."""

import hashlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.fleet import REFUSES, Load, Upstream, ask, header_filter, until
from tests.hub import HubProcess
from tests.mesh.consul import ADMIN, Consul, Service
from tests.mesh.target import ConsulTarget
from tests.oci import Client

RIGHTS = 'service_prefix "" { policy = "write" } node_prefix "" { policy = "read" } agent_prefix "" { policy = "read" }'


@pytest.fixture
def hub_service(consul: Consul, mesh_hub: HubProcess) -> Iterator[Service]:
    """The hub as a service of the mesh, behind a sidecar of its own."""
    made = Service(consul, f"wasm-hub-{secrets.token_hex(4)}", mesh_hub.host)
    try:
        yield made.start()
    finally:
        made.remove()


@pytest.fixture
def web(consul: Consul, upstream: Upstream) -> Iterator[Service]:
    """A service that others ask through its sidecar; its name is the test's own."""
    made = Service(consul, f"web-{secrets.token_hex(4)}", upstream.address)
    try:
        yield made.start()
    finally:
        made.remove()


@pytest.fixture
def client(consul: Consul, upstream: Upstream, web: Service) -> Iterator[Service]:
    """A service whose sidecar leads to `web`."""
    made = Service(consul, f"client-{secrets.token_hex(4)}", upstream.address)
    try:
        made.start(web.name)
        until(lambda: shows(made, web), "requests reach web", 60)
        yield made
    finally:
        made.remove()


@pytest.fixture
def target(consul: Consul, mesh_hub: HubProcess) -> Iterator[ConsulTarget]:
    with ConsulTarget(mesh_hub, consul.url, consul.new_token(RIGHTS), admin_port=ADMIN) as made:
        yield made


def test_a_filter_is_fetched_from_the_hub_swapped_followed_and_taken_away(
    consul: Consul, client: Service, web: Service, hub_service: Service, target: ConsulTarget, oci: Client
) -> None:
    oci.push_filter("admin/consul", "1", header_filter("one"))
    oci.push_filter("admin/consul", "2", header_filter("two"))
    web.register(hub_service.name)
    target.configure(hub_service=hub_service.name)

    target.deploy("marks", "admin/consul:1", placement={"service": web.name})
    until(lambda: shows(client, web, "one"), "the filter's header is seen", 30)
    assert target.becomes("marks", "ready")["message"] == "1 of 1 sidecars run revision 1"

    with Load((client.address, client.port_of(web.name))) as load:
        target.put("marks", reference="admin/consul:2", follow="tag")
        until(lambda: ("two",) in load.seen, "the next version's header is seen", 30)
        assert target.becomes("marks", "ready")["message"] == "1 of 1 sidecars run revision 2"
        oci.push_filter("admin/consul", "2", header_filter("three"))
        until(lambda: ("three",) in load.seen, "what the tag was moved to is seen, which nobody deployed", 30)
        target.becomes("marks", "ready")
    assert load.failed == []
    followed = target.deployment("marks")["revision"]
    assert (followed["number"], followed["action"], followed["created_by"]) == (3, "follow", "admin")

    target.undeploy("marks")
    target.becomes("marks", 404)
    until(lambda: shows(client, web), "the header is gone", 30)
    assert entry(consul, web).get("EnvoyExtensions") in (None, [])
    assert entry(consul, web)["Protocol"] == "http", "what others wrote is there"


def test_a_filter_that_lies_in_a_file_runs_beside_what_others_wrote(
    consul: Consul, client: Service, web: Service, target: ConsulTarget, oci: Client, tmp_path: Path
) -> None:
    module = header_filter("one")
    oci.push_filter("admin/consul-file", "1", module)
    path = written(tmp_path, module)
    other = {"Name": "builtin/lua", "Arguments": {"ProxyType": "connect-proxy", "Listener": "inbound", "Script": LUA}}
    web.extend(other)

    placement = {"service": web.name, "code": {"file": str(path)}}
    target.deploy("marks", "admin/consul-file:1", placement=placement)
    until(lambda: shows(client, web, "one"), "the filter's header is seen", 30)
    target.becomes("marks", "ready")
    names = [one["Name"] for one in entry(consul, web)["EnvoyExtensions"]]
    assert names == ["builtin/lua", "builtin/wasm"]

    target.undeploy("marks")
    target.becomes("marks", 404)
    assert [one["Name"] for one in entry(consul, web)["EnvoyExtensions"]] == ["builtin/lua"]
    until(lambda: shows(client, web), "the header is gone", 30)


def test_what_was_changed_by_hand_is_put_right_and_what_others_change_stays(
    consul: Consul, web: Service, target: ConsulTarget, oci: Client, tmp_path: Path
) -> None:
    module = header_filter("one")
    oci.push_filter("admin/consul-drift", "1", module)
    placement = {"service": web.name, "code": {"file": str(written(tmp_path, module))}}
    target.deploy("marks", "admin/consul-drift:1", placement=placement)
    target.becomes("marks", "ready")

    web.extend()  # somebody replaces the whole entry
    until(lambda: len(entry(consul, web).get("EnvoyExtensions") or []) == 1, "the extension is there again")
    changed = {**entry(consul, web), "Meta": {"owner": "shop"}}
    consul.ask("PUT", "/v1/config", json=changed)
    target.put("marks", config={"a": 1})
    until(lambda: '{"a": 1}' in str(entry(consul, web)), "the new config is there")
    assert entry(consul, web)["Meta"] == {"owner": "shop"}
    target.undeploy("marks")
    target.becomes("marks", 404)


def test_what_is_done_by_hand_is_said_and_left_where_the_deployment_says_so(
    consul: Consul, web: Service, target: ConsulTarget, oci: Client, tmp_path: Path
) -> None:
    module = header_filter("one")
    oci.push_filter("admin/consul-report", "1", module)
    placement = {"service": web.name, "code": {"file": str(written(tmp_path, module))}, "drift": "report"}
    target.deploy("marks", "admin/consul-report:1", placement=placement, config={"a": 1})
    target.becomes("marks", "ready")
    made = entry(consul, web)
    made["EnvoyExtensions"][0]["Arguments"]["PluginConfig"]["Configuration"] = "by hand"
    consul.ask("PUT", "/v1/config", json=made)
    said = target.becomes("marks", "stalled")["message"]
    where = f"service-defaults {web.name} was changed by hand and differs in Arguments.PluginConfig.Configuration;"
    assert where in said and "Consul does not say by whom; deploy again to put it right, or undo that" in said
    target.configure(restrict=False)  # has all be written anew, but for what somebody did by hand
    until(lambda: "CapabilityRestrictionConfiguration" in target.deployment("marks")["message"], "the pass has been")
    assert "by hand" in str(entry(consul, web))
    target.put("marks", config={"a": 1})
    target.becomes("marks", "ready")
    target.configure(restrict=True)
    until(lambda: "AllowedCapabilities" in str(entry(consul, web)), "what is to be otherwise by now is written")
    target.becomes("marks", "ready")

    web.extend()  # somebody replaces the whole entry
    assert "was taken out of service-defaults" in target.becomes("marks", "stalled")["message"]
    assert not entry(consul, web).get("EnvoyExtensions")
    target.put("marks", config={"a": 2})
    target.becomes("marks", "ready")
    assert '{"a": 2}' in str(entry(consul, web))
    target.undeploy("marks")
    target.becomes("marks", 404)


def test_a_token_without_rights_is_told(consul: Consul, web: Service, mesh_hub: HubProcess, oci: Client) -> None:
    oci.push_filter("admin/consul-rights", "1", header_filter("one"))
    reads = consul.new_token('service_prefix "" { policy = "read" }')
    with ConsulTarget(mesh_hub, consul.url, reads) as target:
        target.deploy("marks", "admin/consul-rights:1", placement={"service": web.name})
        said = target.becomes("marks", "stalled")["message"]
        assert f"Consul refused the service-defaults of {web.name}" in said and "give it service:write" in said


def test_a_filter_that_the_sidecars_refuse_is_reported(
    consul: Consul, client: Service, web: Service, target: ConsulTarget, oci: Client, tmp_path: Path
) -> None:
    module, bad = header_filter("one"), header_filter("two", REFUSES)
    oci.push_filter("admin/consul-bad", "1", module)
    oci.push_filter("admin/consul-bad", "2", bad)
    target.deploy("marks", "admin/consul-bad:1", placement=lies(web, written(tmp_path, module)))
    target.becomes("marks", "ready")
    until(lambda: shows(client, web, "one"), "the filter's header is seen", 30)

    with Load((client.address, client.port_of(web.name))) as load:
        target.put("marks", reference="admin/consul-bad:2", placement=lies(web, written(tmp_path, bad)))
        said = target.becomes("marks", "stalled")["message"]
    assert "refused revision 2" in said
    assert (load.failed, load.seen) == ([], {("one",)})
    rolled = target.http.post(f"/api/v1/targets/{target.name}/deployments/marks/rollback")
    assert rolled.status_code == 200, rolled.text
    target.becomes("marks", "ready")


def test_a_sidecar_that_comes_later_without_the_upstream_is_said_soon(
    consul: Consul, client: Service, web: Service, hub_service: Service, target: ConsulTarget, oci: Client
) -> None:
    oci.push_filter("admin/consul-later", "1", header_filter("one"))
    target.configure(hub_service=hub_service.name)
    web.register(hub_service.name)
    target.deploy("marks", "admin/consul-later:1", placement={"service": web.name})
    target.becomes("marks", "ready", 60)
    held = entry(consul, web)

    late = {"Name": web.name, "ID": f"{web.name}-2", "Port": 1, "Connect": {"SidecarService": {"Port": 2}}}
    consul.ask("PUT", "/v1/agent/service/register", json=late)
    said = target.becomes("marks", "stalled", 20)["message"]
    assert f"{web.name}-2-sidecar-proxy cannot fetch the module, and Consul tells it nothing until it can" in said
    assert f"add {hub_service.name} to its upstreams" in said
    assert entry(consul, web) == held
    until(lambda: shows(client, web, "one"), "the first one goes on")
    consul.ask("PUT", f"/v1/agent/service/deregister/{web.name}-2")
    target.becomes("marks", "ready", 20)
    target.undeploy("marks")
    target.becomes("marks", 404)


def test_a_module_that_cannot_be_fetched_is_reported_and_tried_again(
    consul: Consul,
    client: Service,
    web: Service,
    upstream: Upstream,
    mesh_hub: HubProcess,
    target: ConsulTarget,
    oci: Client,
) -> None:
    oci.push_filter("admin/consul-away", "1", header_filter("one"))
    hub = Service(consul, f"hub-{secrets.token_hex(4)}", upstream.address).start()  # which has no such module
    target.configure(hub_service=hub.name)
    target.deploy("marks", "admin/consul-away:1", placement={"service": web.name})
    assert "add hub-" in target.becomes("marks", "stalled")["message"]
    assert not entry(consul, web).get("EnvoyExtensions"), "an extension without its upstream breaks the sidecar"

    web.register(hub.name)
    target.put("marks", config={"a": 1})
    said = f"the Envoy of {web.name}-sidecar-proxy could not fetch the module from the hub"
    until(lambda: said in target.deployment("marks")["message"], "the failure is told", 30)

    hub.lead_to(mesh_hub.host)
    assert target.becomes("marks", "ready", 60)
    until(lambda: shows(client, web, "one"), "the filter's header is seen", 30)
    target.undeploy("marks")
    target.becomes("marks", 404)
    hub.remove()


LUA = "function envoy_on_response(handle) handle:headers():add('x-other', 'there') end"


def lies(service: Service, path: Path) -> dict[str, Any]:
    """A placement of a module that lies in the sidecar already."""
    return {"service": service.name, "code": {"file": str(path)}}


def entry(consul: Consul, service: Service) -> dict[str, Any]:
    """The service's own defaults, as Consul has them."""
    found = consul.ask("GET", f"/v1/config/service-defaults/{service.name}")
    return {name: value for name, value in found.items() if name not in ("CreateIndex", "ModifyIndex", "Hash")}


def written(folder: Path, module: bytes) -> Path:
    """A file with the module, named by its digest."""
    path = folder / f"{hashlib.sha256(module).hexdigest()}.wasm"
    path.write_bytes(module)
    return path


def shows(client: Service, web: Service, *marks: str) -> bool:
    """Whether a request from `client` to `web` is answered with these marks."""
    try:
        return ask((client.address, client.port_of(web.name))) == (200, list(marks))
    except OSError:
        return False
