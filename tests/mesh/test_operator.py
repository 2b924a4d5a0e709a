"""The operator with a real API server, by the chart's own rights: what is written there is made true, and told."""

import re
import secrets
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.deploy.fleet import header_filter, until
from tests.hub import HubProcess
from tests.mesh.kubernetes import ControlPlane, Object
from tests.mesh.operators import LEASE, Filters, Operator, Shelf, generation, give_rights
from tests.mesh.target import FILTER, PLUGIN
from tests.oci import Client

APPLIED = "AppliedNotObserved"
FINALIZER = "wasmhub.io/objects"


@pytest.fixture
def home(fitted: ControlPlane, namespace: str) -> str:
    """The operator's own namespace, with its account and rights in the test's."""
    made = f"home-{secrets.token_hex(4)}"
    give_rights(fitted, made, namespace)
    return made


@pytest.fixture
def operator(fitted: ControlPlane, mesh_hub: HubProcess, shelf: Shelf, namespace: str, home: str) -> Iterator[Operator]:
    """One that looks after the test's namespace."""
    made = Operator(fitted, mesh_hub, shelf.token, namespace, home)
    try:
        yield made.start()
        assert "Traceback" not in made.log()
    finally:
        made.remove()


PULL = {"pullSecret": {"name": "hub"}}


def test_what_is_applied_is_made_true_changed_and_taken_away(operator: Operator, filters: Filters) -> None:
    filters.apply("marks", config={"a": 1}, order=7, **PULL)
    said = filters.becomes("marks", Resolved="True", Applied="True", Ready="Unknown")
    made = filters.object(PLUGIN, "marks")
    assert made is not None
    assert said["Ready"]["reason"] == APPLIED
    assert (made["spec"]["pluginConfig"], made["spec"]["priority"]) == ({"a": 1}, -7)
    assert made["spec"]["imagePullSecret"] == "hub"
    assert made["spec"]["url"].startswith("oci://hub.test:") and "@sha256:" in made["spec"]["url"]
    found = filters.get("marks")
    assert found is not None
    status = found["status"]
    assert found["metadata"]["finalizers"] == [FINALIZER]
    assert status["observedGeneration"] == status["applied"]["generation"] == generation(found) == 1
    assert status["objects"] == [f"WasmPlugin {filters.namespace}/marks.filterdeployment"]
    assert status["applied"]["digest"] in said["Resolved"]["message"]
    assert made["metadata"]["ownerReferences"][0]["uid"] == found["metadata"]["uid"]

    filters.apply("marks", "2", config={"a": 2}, order=7, **PULL)
    again = filters.becomes("marks", Resolved="True", Applied="True", Ready="Unknown")
    changed = filters.object(PLUGIN, "marks")
    assert changed is not None
    assert changed["spec"]["pluginConfig"] == {"a": 2} and changed["spec"]["url"] != made["spec"]["url"]
    assert again["Applied"]["lastTransitionTime"] == said["Applied"]["lastTransitionTime"]

    filters.delete("marks")
    assert filters.object(PLUGIN, "marks") is None


def test_an_image_that_the_hub_refuses_is_told_and_what_serves_stays(
    operator: Operator, filters: Filters, shelf: Shelf
) -> None:
    filters.apply("marks", **PULL)
    filters.becomes("marks", Applied="True")
    before = filters.object(PLUGIN, "marks")

    filters.apply("marks", "absent", **PULL)
    said = filters.becomes("marks", Resolved="False", Applied="False", Ready="False")
    assert said["Resolved"]["reason"] == "NotFound"
    assert said["Resolved"]["message"] == f"{shelf.name} has no absent; push it first"
    assert said["Applied"]["message"] == "generation 2 is not applied; generation 1 stays as it is"
    assert said["Ready"]["reason"] == "Stalled"
    assert filters.object(PLUGIN, "marks") == before

    shelf.push("absent", header_filter("late"))  # and then it is taken without another change
    filters.becomes("marks", 60, Resolved="True", Applied="True")
    assert filters.object(PLUGIN, "marks") != before


def test_what_cannot_be_brought_there_is_told_with_the_way_out(operator: Operator, filters: Filters) -> None:
    filters.apply("secretless")
    filters.apply("texts", config="no object", **PULL)
    filters.apply("inline", mesh={"form": "EnvoyFilter"})
    said = filters.becomes("secretless", Resolved="True", Applied="False", Ready="False")
    assert "name a Secret that can pull it as pullSecret" in said["Ready"]["message"]
    assert (said["Applied"]["reason"], said["Ready"]["reason"]) == ("NotRendered", "Stalled")
    assert "carries JSON objects" in filters.becomes("texts", Ready="False")["Ready"]["message"]
    assert "fetches the module without a secret" in filters.becomes("inline", Ready="False")["Ready"]["message"]


def test_a_public_filter_needs_no_secret_and_changes_its_form(
    operator: Operator, filters: Filters, oci: Client, mesh_hub: HubProcess
) -> None:
    oci.push_filter("admin/open-marks", "1", header_filter("open"))
    path, admin = "/api/v1/repositories/admin/open-marks", ("admin", mesh_hub.admin_password)
    opened = oci.http.patch(path, json={"visibility": "public"}, auth=admin)
    assert opened.status_code == 200, opened.text
    filters.repository = "admin/open-marks"
    filters.apply("marks")
    filters.becomes("marks", Applied="True")
    filters.apply("marks", mesh={"form": "EnvoyFilter"})
    filters.becomes("marks", Applied="True")
    until(lambda: filters.object(PLUGIN, "marks") is None, "the other kind is gone")
    made = filters.object(FILTER, "marks")
    assert made is not None
    (module,) = re.findall(r"http://hub.test:\d+(/modules/[0-9a-f]{64}.wasm)", str(made["spec"]))
    assert httpx.get(f"{mesh_hub.url}{module}", trust_env=False).content == header_filter("open")


def test_a_hand_edit_is_put_back_and_what_others_own_stays(operator: Operator, filters: Filters) -> None:
    filters.apply("marks", config={"a": 1}, **PULL)
    filters.becomes("marks", Applied="True")
    path = filters.control.admin.path(*PLUGIN, "marks.filterdeployment", filters.namespace)
    edit = {"spec": {"pluginConfig": {"a": 5}}, "metadata": {"annotations": {"theirs": "stays"}}}
    headers = {"Content-Type": "application/merge-patch+json"}
    assert filters.control.admin.http.patch(path, json=edit, headers=headers).status_code == 200
    found = until(lambda: _config(filters) == {"a": 1} and filters.object(PLUGIN, "marks"), "the edit is put back")
    assert found["metadata"]["annotations"] == {"theirs": "stays"}

    gone = filters.object(PLUGIN, "marks")
    assert gone is not None
    filters.control.admin.delete(gone)
    until(lambda: filters.object(PLUGIN, "marks"), "what was deleted by hand is there again")


def test_an_object_of_anothers_is_left_alone(operator: Operator, filters: Filters) -> None:
    meta = {"name": "marks.filterdeployment", "namespace": filters.namespace}
    theirs = {
        "apiVersion": PLUGIN[0],
        "kind": PLUGIN[1],
        "metadata": meta,
        "spec": {"url": "oci://elsewhere.example/x"},
    }
    before = filters.control.admin.apply(theirs, manager="another")
    filters.apply("marks", **PULL)
    said = filters.becomes("marks", Applied="False", Ready="False")
    assert "is there already and is not the hub's" in said["Applied"]["message"]
    filters.delete("marks")
    assert filters.object(PLUGIN, "marks") == before


def test_nobodys_fields_are_fought_over(operator: Operator, filters: Filters) -> None:
    filters.apply("marks", **PULL)
    filters.becomes("marks", Applied="True")
    found = filters.get("marks")
    assert found is not None
    wrote = {
        (one["manager"], one.get("subresource", "")): one["fieldsV1"] for one in found["metadata"]["managedFields"]
    }
    assert wrote["wasmhub", ""] == {"f:metadata": {"f:finalizers": {".": {}, f'v:"{FINALIZER}"': {}}}} or wrote[
        "wasmhub", ""
    ] == {"f:metadata": {"f:finalizers": {f'v:"{FINALIZER}"': {}}}}
    assert set(wrote["wasmhub", "status"]) == {"f:status"}
    filters.apply("marks", **PULL)  # as a GitOps tool does again and again
    time.sleep(1)
    same = filters.get("marks")
    assert same is not None
    assert same["metadata"]["resourceVersion"] == found["metadata"]["resourceVersion"]


def test_one_of_two_leads_and_the_other_takes_over(
    operator: Operator, filters: Filters, fitted: ControlPlane, mesh_hub: HubProcess, shelf: Shelf, home: str
) -> None:
    second = Operator(fitted, mesh_hub, shelf.token, filters.namespace, home)
    try:
        second.start("looks after")
        filters.apply("marks", **PULL)
        filters.becomes("marks", Applied="True")
        time.sleep(4)
        assert "leads" not in second.log()
        operator.kill()
        began = time.monotonic()
        until(lambda: "this operator leads" in second.log(), "the other leads", 15)
        assert time.monotonic() - began < 15
        filters.apply("marks", "2", **PULL)
        filters.becomes("marks", Applied="True")
        filters.delete("marks")
        assert filters.object(PLUGIN, "marks") is None
        lease = fitted.admin.get(LEASE[0], LEASE[1], LEASE[2], home)
        assert lease is not None and lease["spec"]["leaseTransitions"] == 1
    finally:
        second.remove()


def test_one_that_is_killed_goes_on_where_it_was(operator: Operator, filters: Filters) -> None:
    filters.apply("marks", **PULL)
    filters.apply("others", **PULL)
    filters.becomes("marks", Applied="True")
    filters.becomes("others", Applied="True")
    before = filters.get("others")
    operator.kill()
    filters.apply("marks", "2", **PULL)
    filters.control.admin.delete(filters.wish("others"))
    time.sleep(0.5)
    held = filters.get("others")
    assert held is not None and before is not None and filters.object(PLUGIN, "others") is not None
    operator.start()
    filters.becomes("marks", Applied="True")
    until(lambda: filters.get("others") is None, "what was deleted meanwhile is gone")
    assert filters.object(PLUGIN, "others") is None


def test_the_hub_may_be_away(operator: Operator, filters: Filters, namespace: str) -> None:
    filters.apply("marks", config={"a": 1}, **PULL)
    said = filters.becomes("marks", Applied="True")
    operator.end()
    operator.start(url="http://127.0.0.1:9")
    away = filters.becomes("marks", Resolved="Unknown", Applied="True", Ready="Unknown")
    assert away["Resolved"]["reason"] == "HubAway" and "127.0.0.1:9" in away["Resolved"]["message"]
    assert away["Applied"] == said["Applied"]
    filters.apply("marks", "2", **PULL)
    filters.becomes("marks", Resolved="Unknown", Applied="False", Ready_reason="HubAway")
    assert _config(filters) == {"a": 1}
    filters.apply("gone", **PULL)
    filters.becomes("gone", Resolved="Unknown")
    filters.delete("gone")

    operator.end()
    operator.start()
    filters.becomes("marks", Resolved="True", Applied="True")
    assert _config(filters) is None


def test_a_tag_that_moves_changes_nothing_until_the_spec_does(
    operator: Operator, filters: Filters, shelf: Shelf
) -> None:
    shelf.push("moving", header_filter("first"))
    filters.apply("marks", "moving", **PULL)
    filters.becomes("marks", Applied="True")
    before = _spec(filters)
    shelf.push("moving", header_filter("second"))
    operator.end()
    operator.start()
    time.sleep(2)
    assert _spec(filters) == before
    filters.apply("marks", "moving", order=3, **PULL)
    filters.becomes("marks", Applied="True")
    assert _spec(filters)["url"] != before["url"]


def test_a_namespace_of_others_is_not_looked_after(operator: Operator, filters: Filters, fitted: ControlPlane) -> None:
    elsewhere = Filters(fitted, fitted.namespace(f"else-{secrets.token_hex(3)}"), filters.repository)
    elsewhere.apply("marks", **PULL)
    filters.apply("marks", **PULL)
    filters.becomes("marks", Applied="True")
    found = elsewhere.get("marks")
    assert found is not None and "status" not in found and "finalizers" not in found["metadata"]
    assert elsewhere.object(PLUGIN, "marks") is None


def _spec(filters: Filters) -> Object:
    found = filters.object(PLUGIN, "marks")
    assert found is not None
    return dict(found["spec"])


def _config(filters: Filters) -> object:
    found = filters.object(PLUGIN, "marks")
    return None if found is None else found["spec"].get("pluginConfig")
