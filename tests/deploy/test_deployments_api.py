"""Deployments over the JSON API: what is resolved, checked and refused before anything happens, and the history."""

import gzip
import io
import json
import secrets
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from deploy.commands import READ_WITHIN
from tests.auth.people import PASSWORD, People
from tests.deploy.fleet import Fleet, header_filter
from tests.deploy.test_targets_api import says
from tests.oci import EMPTY, OCI_INDEX, OCI_MANIFEST, descriptor, image
from tests.peers import built_filter

SCHEMA_TYPE = "application/vnd.wasmhub.config-schema.v1+json"
MODULE = header_filter("checked")


@pytest.fixture
def repository(fleet: Fleet) -> str:
    """A repository with the filter as version 1.0.0."""
    name = f"checks-{secrets.token_hex(4)}"
    fleet.push(name, "1.0.0", MODULE)
    return f"admin/{name}"


def push_schema(fleet: Fleet, repository: str, schema: bytes, tag: str = "1.0.0", **more: Any) -> None:
    """Pushes a config schema as a referrer of that version."""
    manifest = fleet.oci.ask("GET", f"/v2/{repository}/manifests/{tag}")
    for blob in (schema, EMPTY):
        fleet.oci.push_blob(repository, blob)
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": SCHEMA_TYPE,
        "config": descriptor(EMPTY, "application/vnd.oci.empty.v1+json"),
        "layers": [descriptor(schema, "application/schema+json")],
        "subject": descriptor(manifest.content, OCI_MANIFEST),
        **more,
    }
    content = json.dumps(document).encode()
    fleet.oci.push_manifest(repository, f"schema-{secrets.token_hex(3)}", content)


def test_a_tag_is_resolved_once(fleet: Fleet, repository: str) -> None:
    made = fleet.deploy("marks", f"{repository}:1.0.0", config={"a": 1})
    digest = made["revision"]["digest"]
    fleet.push(repository.partition("/")[2], "1.0.0", header_filter("moved"))

    shown = fleet.deployment("marks")

    assert shown["revision"] == shown["revisions"][0] and shown["revision"]["digest"] == digest
    assert shown["revision"] | {"created_at": "", "digest": "", "module": ""} == {
        "number": 1,
        "action": "deploy",
        "repository": repository,
        "reference": f"{repository}:1.0.0",
        "digest": "",
        "module": "",
        "config": '{"a": 1}',
        "root_id": "",
        "failure_policy": "FAIL_CLOSED",
        "order": 1,
        "placement": None,
        "created_by": "admin",
        "created_at": "",
    }
    assert (shown["status"], shown["slot"], shown["nodes"]) == ("waiting", 1, [])
    assert fleet.deploy("marks", f"{repository}@{digest}")["revision"]["digest"] == digest


def test_a_name_alone_is_the_newest_version(fleet: Fleet, repository: str) -> None:
    newest = fleet.oci.push_filter(repository, "1.10.0", header_filter("newest"))
    fleet.oci.push_filter(repository, "1.9.0", header_filter("older"))

    assert fleet.deploy("marks", repository)["revision"]["digest"] == newest


def test_what_is_left_out_stays(fleet: Fleet, repository: str) -> None:
    fleet.deploy("marks", repository, config="raw", order=5, root_id="root", failure_policy="FAIL_OPEN")
    changed = fleet.put("marks", order=7).json()["revision"]

    assert (changed["number"], changed["order"], changed["config"]) == (2, 7, "raw")
    assert (changed["root_id"], changed["failure_policy"]) == ("root", "FAIL_OPEN")
    assert fleet.put("marks", config=None).json()["revision"]["config"] is None
    says(fleet.put("other", order=1), 400, "the field reference is missing")


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"reference": "nowhere/filter:1"}, 404, "there is no repository nowhere/filter"),
        ({"reference": "{repository}:9"}, 404, "has no 9; push it first"),
        ({"reference": "{repository}@sha256:" + "0" * 64}, 404, "push it first"),
        ({"reference": "Not A Reference"}, 400, "is no reference"),
        ({"reference": ""}, 400, "is no reference"),
        ({"reference": "x" * 500}, 400, "is no reference"),
        ({"reference": "x" * 700}, 400, "at most 600"),
        ({"reference": 1}, 400, "reference must be a text"),
        ({"order": 0}, 400, "order must be a whole number from 1 to 9999"),
        ({"order": "1"}, 400, "order must be"),
        ({"config": "x" * 300_000}, 400, "config must be a text of at most"),
        ({"config": "\u0000"}, 400, "config must be a text without NUL"),
        ({"config": "\ud800"}, 400, "not valid JSON"),
        ({"config": {"\ud800": 1}}, 400, "not valid JSON"),
        ({"config": float("nan")}, 400, "what JSON cannot say"),
        ({"failure_policy": "FAIL_SAFE"}, 400, "failure_policy must be one of"),
        ({"root_id": 1}, 400, "root_id must be a text"),
        ({"replicas": 3}, 400, "there is no field 'replicas'"),
    ],
)
def test_what_makes_no_deployment(fleet: Fleet, repository: str, body: dict[str, Any], status: int, text: str) -> None:
    body = {"reference": repository} | body
    body["reference"] = str(body["reference"]).replace("{repository}", repository) if body["reference"] != 1 else 1

    answer = fleet.http.put(
        f"{fleet.path}/deployments/marks", content=json.dumps(body), headers={"Content-Type": "application/json"}
    )

    says(answer, status, text)
    says(fleet.http.get(f"{fleet.path}/deployments/marks"), 404, "there is no deployment 'marks'")


@pytest.mark.parametrize("name", ["Marks", "a_b", "x" * 64, "-a", "%00"])
def test_names_of_deployments(fleet: Fleet, repository: str, name: str) -> None:
    says(fleet.put(name, reference=repository), 400, "no name for a deployment")
    says(fleet.http.get(f"{fleet.path}/deployments/{name}"), 404, "there is no deployment")


def test_a_module_that_envoy_would_not_load_is_refused_with_the_reason(fleet: Fleet) -> None:
    reference = fleet.push("unknown-import", "1", built_filter("unknown-import").read_bytes())

    says(fleet.put("marks", reference=reference), 422, "proxy_read_the_future")
    says(fleet.http.get(f"{fleet.path}/deployments/marks"), 404, "there is no deployment")


def test_what_holds_no_module_is_refused(fleet: Fleet) -> None:
    fleet.oci.push_image("admin/empty", "1", b"not a layer")
    fleet.oci.push_filter("admin/broken", "1", b"not a module")

    says(fleet.put("marks", reference="admin/empty:1"), 422, "holds no module")
    says(fleet.put("marks", reference="admin/broken:1"), 422, "would not run admin/broken:1")


def test_a_module_of_more_than_20_mib_is_refused(fleet: Fleet) -> None:
    size = 20 * 1024 * 1024
    encoded = bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14 & 127 | 128, size >> 21])
    reference = fleet.push("large", "1", MODULE + b"\x00" + encoded + b"\x01x" + bytes(size - 2))

    says(fleet.put("marks", reference=reference), 422, "an Envoy takes at most 20971520")


def test_a_module_in_an_ordinary_image_and_under_an_index(fleet: Fleet) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("plugin.wasm")
        entry.size = len(MODULE)
        archive.addfile(entry, io.BytesIO(MODULE))
    layer = gzip.compress(packed.getvalue())
    for blob in (layer, EMPTY):
        fleet.oci.push_blob("admin/compat", blob)
    manifest = image(layer).replace(b"application/octet-stream", b"application/vnd.oci.image.layer.v1.tar+gzip")
    child = fleet.oci.push_manifest("admin/compat", "amd64", manifest)
    children = [{**descriptor(manifest, OCI_MANIFEST), "platform": {"os": "linux", "architecture": "amd64"}}]
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children}).encode()
    fleet.oci.push_manifest("admin/compat", "1", index, OCI_INDEX)

    assert fleet.deploy("marks", "admin/compat:1")["revision"]["digest"] == child
    assert fleet.oci.http.get(fleet.deployment("marks")["module_path"]).content == MODULE


def test_assemblyscript_always_gets_a_config(fleet: Fleet) -> None:
    reference = fleet.push("assemblyscript", "1", built_filter("assemblyscript").read_bytes())

    assert fleet.deploy("marks", reference)["revision"]["config"] == "{}"
    assert fleet.deploy("marks", reference, config="")["revision"]["config"] == "{}"
    assert fleet.deploy("marks", reference, config="mine")["revision"]["config"] == "mine"


@pytest.mark.parametrize(
    ("schema", "config", "text"),
    [
        ({"required": ["limit"]}, None, "'limit' is a required property"),
        ({"properties": {"limit": {"type": "integer"}}}, {"limit": "x"}, "at .limit: 'x' is not of type 'integer'"),
        ({"type": "object"}, "not json", "the config is not JSON"),
        ({"type": "nothing"}, {}, "the schema itself is not valid"),
        ({"$ref": "http://example.com/schema.json"}, {}, "refers to http://example.com/schema.json"),
        ({"$ref": "http://example.com/\ud800"}, {}, "refers to http://example.com/?"),
        ({"$ref": "#/nowhere"}, {}, "which it does not hold"),
        ({"$ref": "#"}, {}, "nested too deeply"),
        ({"properties": {"a": {"pattern": "^(a+)+$"}}}, {"a": "a" * 64 + "b"}, "too long or too much memory"),
        ([], {}, "the schema is not a JSON object"),
        (b"{", {}, "the schema is not JSON"),
    ],
)
def test_a_config_is_held_against_its_schema(
    fleet: Fleet, repository: str, schema: Any, config: Any, text: str
) -> None:
    push_schema(fleet, repository, schema if isinstance(schema, bytes) else json.dumps(schema).encode())

    answer = fleet.put("marks", reference=f"{repository}:1.0.0", config=config)

    says(answer, 422, f"the config does not fit the schema of {repository}")
    assert text in answer.text


def test_the_newest_schema_counts(fleet: Fleet, repository: str) -> None:
    push_schema(fleet, repository, b'{"required": ["old"]}')
    push_schema(fleet, repository, b'{"required": ["new"]}')

    assert fleet.put("marks", reference=f"{repository}:1.0.0", config={"old": 1}).status_code == 422
    assert fleet.put("marks", reference=f"{repository}:1.0.0", config={"new": 1}).status_code == 201


def test_a_schema_that_cannot_be_read_is_named(fleet: Fleet, repository: str) -> None:
    push_schema(fleet, repository, b"{}", layers=[])

    says(fleet.put("marks", reference=f"{repository}:1.0.0"), 422, "must be one layer of at most")


def test_those_who_wait_for_the_reader_hold_nobody_up(fleet: Fleet, repository: str, people: People) -> None:
    query = "SELECT m.id FROM manifests m JOIN repositories r ON r.id = m.repository_id WHERE r.name = :name"
    manifest = int(people.rows(query, name=repository)[0][0])
    # As if another process had claimed it and were reading it all the while.
    claim = "UPDATE inspections SET state = 'pending', claimed_until = :until WHERE manifest_id = :id"
    people.run(claim, id=manifest, until=2**53)
    with ThreadPoolExecutor(50) as pool:
        asked = [pool.submit(fleet.put, f"d{number}", reference=repository) for number in range(50)]
        time.sleep(1)
        begun = time.monotonic()
        answer = httpx.get(f"{fleet.hub.url}/api/v1/repositories", timeout=30)
        waited = time.monotonic() - begun
        people.run(claim, id=manifest, until=0)
    assert answer.status_code == 200
    assert waited < READ_WITHIN - 3  # if their threads were the lists' too, it would be longer
    assert {one.result().status_code for one in asked} <= {201, 409, 503}


def test_a_schema_in_a_manifest_of_another_kind(fleet: Fleet, repository: str) -> None:
    subject = fleet.oci.ask("GET", f"/v2/{repository}/manifests/1.0.0").headers["docker-content-digest"]
    for digest in ({}, "\ud800", 7):
        document = {
            "subject": {"mediaType": OCI_MANIFEST, "digest": subject, "size": 1},
            "artifactType": SCHEMA_TYPE,
            "layers": [{"digest": digest}],
        }
        fleet.oci.push_manifest(repository, "odd", json.dumps(document).encode(), "application/x-odd")
        says(fleet.put("marks", reference=f"{repository}:1.0.0"), 422, "must be one layer of at most")


def test_filters_run_in_rising_order_in_the_slots_there_are(fleet: Fleet, repository: str) -> None:
    for number in range(8):
        assert fleet.deploy(f"d{number}", repository)["slot"] == number + 1

    says(fleet.put("d8", reference=repository), 409, "all 8 slots")
    says(fleet.put("d0", order=99), 409, "cannot move one filter past another")
    says(fleet.put("d0", order=2), 409, "is that of d1")
    fleet.undeploy("d3")
    assert fleet.put("d0", order=99).status_code == 200
    listed = fleet.http.get("/api/v1/deployments", params={"target": fleet.name}).json()["deployments"]
    assert [one["name"] for one in listed] == ["d1", "d2", "d4", "d5", "d6", "d7", "d0"]
    slots = [one["slot"] for one in listed]
    assert slots == sorted(slots) and len(set(slots)) == 7


def test_lists(fleet: Fleet, repository: str, people: People) -> None:
    fleet.deploy("marks", repository)
    stranger = f"stranger-{secrets.token_hex(4)}"
    people.user(stranger)

    def listed(**query: str) -> list[str]:
        found = fleet.http.get("/api/v1/deployments", params=query).json()["deployments"]
        return [one["name"] for one in found if one["target"] == fleet.name]

    assert listed() == listed(target=fleet.name) == listed(repository=repository) == ["marks"]
    assert listed(repository="admin/other") == []
    says(fleet.http.get("/api/v1/deployments", params={"target": "none"}), 404, "there is no target")
    says(fleet.http.get("/api/v1/deployments", params={"page": "1"}), 400, "there is no field 'page'")
    answer = httpx.get(f"{fleet.hub.url}/api/v1/deployments", auth=(stranger, PASSWORD))
    assert answer.json() == {"deployments": []}


def test_history_and_rollback(fleet: Fleet, repository: str) -> None:
    fleet.deploy("marks", repository, config="one")
    fleet.deploy("marks", repository, config="two")
    fleet.put("marks", order=4)

    back = fleet.http.post(f"{fleet.path}/deployments/marks/rollback", json={"revision": 1}).json()["revision"]

    assert (back["number"], back["action"], back["config"], back["order"]) == (4, "rollback", "one", 4)
    assert [one["number"] for one in fleet.deployment("marks")["revisions"]] == [4, 3, 2, 1]
    again = fleet.http.post(f"{fleet.path}/deployments/marks/rollback", json={}).json()["revision"]
    assert (again["number"], again["config"]) == (5, "two")
    for number in (5, 9):
        says(
            fleet.http.post(f"{fleet.path}/deployments/marks/rollback", json={"revision": number}),
            409,
            f"cannot go back to {number}; earlier revisions: 4, 3, 2, 1",
        )
    for _ in range(20):
        fleet.put("marks", config="more")
    kept = fleet.deployment("marks")["revisions"]
    assert (len(kept), kept[0]["number"]) == (20, 25)


def test_what_may_be_rolled_back_to_is_not_deleted(fleet: Fleet, repository: str) -> None:
    first = fleet.deploy("marks", repository)["revision"]["digest"]
    fleet.oci.push_filter(repository, "2.0.0", header_filter("second"))
    fleet.deploy("marks", f"{repository}:2.0.0")

    answer = fleet.oci.ask("DELETE", f"/v2/{repository}/manifests/{first}", scope=f"repository:{repository}:delete")
    assert answer.status_code == 403 and f"{fleet.name}/marks" in answer.text
    fleet.undeploy("marks")
    answer = fleet.oci.ask("DELETE", f"/v2/{repository}/manifests/{first}", scope=f"repository:{repository}:delete")
    assert answer.status_code == 202


def test_only_what_the_deployer_may_read_is_deployed(fleet: Fleet, repository: str, people: People) -> None:
    user = f"deployer-{secrets.token_hex(4)}"
    people.user(user)
    mine = httpx.Client(base_url=fleet.hub.url, auth=(user, PASSWORD))
    with mine:
        assert mine.post("/api/v1/targets", json={"name": user}).json()["namespace"] == user
        for name in (repository, "admin/not-there"):
            answer = mine.put(f"/api/v1/targets/{user}/deployments/marks", json={"reference": f"{name}:1.0.0"})
            says(answer, 404, f"there is no repository {name}, or you may not read it")


def test_commands_are_events_with_their_actor(fleet: Fleet, repository: str, people: People) -> None:
    fleet.deploy("marks", repository)
    fleet.undeploy("marks")

    rows = people.rows(
        "SELECT actor_name, action FROM events WHERE subject = :subject ORDER BY id", subject=f"{fleet.name}/marks"
    )
    assert rows == [("admin", "deployment.deploy"), ("admin", "deployment.undeploy")]


def test_bodies_that_are_no_object(fleet: Fleet) -> None:
    for content, status in ((b"[]", 400), (b"{", 400), (b"[" * 50_000, 400), (b"x" * 1_100_000, 413)):
        answer = fleet.http.put(f"{fleet.path}/deployments/marks", content=content)
        assert answer.status_code == status, answer.text
