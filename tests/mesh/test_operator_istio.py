"""The operator's whole way to a real Istio: what is applied in the cluster runs in the Envoy, and goes from there."""

import secrets

from tests.deploy.fleet import REFUSES, Load, header_filter, until
from tests.hub import HubProcess
from tests.mesh.istio import Istiod, Proxy
from tests.mesh.operators import CHART, Filters, Operator, Shelf, give_rights
from tests.mesh.pods import shows
from tests.mesh.target import PLUGIN
from tests.oci import Client

PULL = {"pullSecret": {"name": "hub"}}


def test_a_filter_is_brought_changed_refused_and_taken_away(
    gateway: Proxy, istiod: Istiod, mesh_hub: HubProcess, oci: Client, namespace: str
) -> None:
    control = istiod.control
    control.install((CHART / "crds" / "filterdeployments.yaml").read_text())
    shelf = Shelf(mesh_hub, oci)
    shelf.push("1", header_filter("one"))
    shelf.push("2", header_filter("two"))
    shelf.push("3", header_filter("three", REFUSES))
    home = f"home-{secrets.token_hex(4)}"
    give_rights(control, home, namespace)
    control.admin.apply(shelf.secret(namespace, int(mesh_hub.url.rpartition(":")[2])))
    filters = Filters(control, namespace, shelf.name)
    operator = Operator(control, mesh_hub, shelf.token, namespace, home, observe="agents")
    try:
        operator.start()
        filters.apply("marks", config={"a": 1}, **PULL)
        until(lambda: shows(gateway, 200, "one"), "the filter's header is seen", 30)
        said = filters.becomes("marks", Resolved="True", Applied="True", Ready="True")
        assert said["Ready"]["message"] == "1 of 1 proxies run revision 1"

        with Load(gateway.front) as load:
            filters.apply("marks", "2", config={"a": 1}, **PULL)
            until(lambda: shows(gateway, 200, "two"), "the next version's header is seen", 30)
            said = filters.becomes("marks", Ready="True")
            assert said["Ready"]["message"] == "1 of 1 proxies run revision 2"
            operator.kill()  # what was seen of proxies is not forgotten with it
            operator.start()
            assert filters.becomes("marks", Ready="True") == said

            filters.apply("marks", "3", config={"a": 1}, **PULL)
            refused = filters.becomes("marks", Applied="True", Ready="False", Ready_reason="Stalled")
            assert f"the Envoy of {namespace}/gw refused revision 3" in refused["Ready"]["message"]
            filters.apply("marks", "absent", config={"a": 1}, **PULL)
            absent = filters.becomes("marks", Resolved="False", Ready="False")
            assert absent["Resolved"]["message"] == f"{shelf.name} has no absent; push it first"
            assert shows(gateway, 200, "two")
        assert load.failed == []
        assert load.seen == {("one",), ("two",)}

        filters.delete("marks")
        until(lambda: shows(gateway, 200), "the header is gone", 30)
        assert filters.object(PLUGIN, "marks") is None
        assert "Traceback" not in operator.log()
    finally:
        operator.remove()
