"""What the hub says of a filter to those that render and apply by themselves; rights to read are enough."""

import asyncio
import secrets
from collections.abc import Iterator
from functools import partial
from time import sleep
from typing import Any

import httpx
import pytest
from anyio import CapacityLimiter, create_task_group, to_thread
from anyio.lowlevel import checkpoint
from jsonschema import Draft202012Validator

from auth.door import ApiError
from deploy.means import CHECKS_WAITING
from deploy.wishes import refuse_crowd
from tests.auth.people import PASSWORD, People
from tests.deploy.deriving import push_cncf
from tests.deploy.fleet import Fleet, header_filter
from tests.deploy.test_deployments_api import push_schema
from tests.hub import HubProcess
from tests.web.test_openapi import schema_of

PATH = "/api/v1/examinations"
HERE: dict[str, Any] = {
    "settings": {"hub": "https://hub.example.com"},
    "placement": {"namespace": "shop", "labels": {"app": "web"}},
}


@pytest.fixture
def reader(hub: HubProcess, fleet: Fleet, people: People) -> Iterator[httpx.Client]:
    """A robot that may read the repositories of a team, and nothing else."""
    team = f"crew-{secrets.token_hex(4)}"
    made = fleet.http.post("/api/v1/teams", json={"name": team})
    assert made.status_code == 201, made.text
    asked = {"name": "operator", "role": "reader", "scopes": [f"repository:{team}/*:pull"]}
    robot = fleet.http.post(f"/api/v1/teams/{team}/robots", json=asked)
    assert robot.status_code == 201, robot.text
    headers = {"Authorization": f"Bearer {robot.json()['token']}", "X-Team": team}
    with httpx.Client(base_url=hub.url, headers=headers, trust_env=False, timeout=30) as client:
        yield client


def examine(client: httpx.Client, reference: str, **more: Any) -> httpx.Response:
    """What the hub says of it."""
    return client.post(PATH, json={"reference": reference, **HERE, **more})


def test_a_robot_that_may_read_learns_all_that_rendering_needs(reader: httpx.Client, fleet: Fleet) -> None:
    name = f"{reader.headers['X-Team']}/marks"
    digest = fleet.oci.push_filter(name, "1", header_filter("examined"))
    answer = examine(reader, f"{name}:1", config={"a": 1})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    Draft202012Validator(schema_of("post", PATH, 200)).validate(found)
    assert (found["repository"], found["digest"], found["image"]) == (name, digest, digest)
    assert (found["config"], found["public"]) == ('{"a": 1}', False)
    assert found["module"]["facts"]["abi_version"] == "0.2.1"
    assert found["settings"]["form"] == "WasmPlugin" and found["placement"]["ports"] == []
    assert reader.get("/api/v1/deployments").json() == {"deployments": []}


def test_a_secret_has_no_target_there_and_no_command_that_would_give_it_one(reader: httpx.Client, fleet: Fleet) -> None:
    name = f"{reader.headers['X-Team']}/marks"
    fleet.oci.push_filter(name, "1", header_filter("secretive"))
    answer = examine(reader, f"{name}:1", config={"key": {"$secret": "api-key"}})
    assert answer.status_code == 422
    (reason,) = answer.json()["error"]["reasons"]
    assert "names the secret 'api-key', and only targets of the hub have secrets" in reason["message"]
    assert "wasmhub targets" not in reason["message"]


def test_what_the_mesh_cannot_fetch_is_made_for_it(reader: httpx.Client, fleet: Fleet) -> None:
    name = f"{reader.headers['X-Team']}/cncf"
    digest = push_cncf(fleet.oci, name, header_filter("derived"))
    found = examine(reader, f"{name}@{digest}").json()
    assert found["digest"] == digest
    assert found["image"] not in (digest, None)
    assert examine(reader, f"{name}@{digest}").json()["image"] == found["image"]
    inline = {**HERE["settings"], "form": "EnvoyFilter"}
    assert examine(reader, f"{name}@{digest}", settings=inline).json()["image"] is None


def test_nobody_has_an_image_made(fleet: Fleet, hub: HubProcess) -> None:
    name = f"admin/cncf-{secrets.token_hex(4)}"
    push_cncf(fleet.oci, name, header_filter("of nobody"))
    assert fleet.http.patch(f"/api/v1/repositories/{name}", json={"visibility": "public"}).status_code == 200
    nobody = httpx.Client(base_url=hub.url, trust_env=False)
    answer = examine(nobody, f"{name}:1")
    nobody.close()
    assert answer.status_code == 200, answer.text
    assert (answer.json()["image"], answer.json()["public"]) == (None, True)


def test_all_reasons_against_it_come_at_once(reader: httpx.Client, fleet: Fleet) -> None:
    name = f"{reader.headers['X-Team']}/refused"
    digest = fleet.oci.push_filter(name, "1.0.0", header_filter("no"))
    push_schema(fleet, name, b'{"required": ["limit"]}')
    rules = {"policy": {"capabilities": {"change_headers": "deny"}}}
    answer = examine(reader, f"{name}@{digest}", config={}, settings={**HERE["settings"], **rules})
    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    Draft202012Validator(schema_of("post", PATH, 422)).validate(answer.json())
    assert [one["code"] for one in error["reasons"]] == ["config", "capability"]
    assert "which target operator denies" in error["message"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"settings": {}}, "the field hub is missing"),
        ({"settings": {"hub": "https://localhost"}}, "hub must name the hub by a DNS name"),
        ({"settings": {**HERE["settings"], "max_filters": 1}}, "max_filters cannot be examined"),
        ({"settings": 1}, "settings must be a JSON object"),
        ({"placement": None}, "placement must be a JSON object"),
        ({"placement": {}}, "the field namespace is missing"),
        ({"kind": "envoy"}, "kind must be one of"),
        ({"reference": "A B"}, "'A B' is no reference"),
        ({"force": True}, "there is no field 'force' here"),
    ],
)
def test_what_cannot_be_meant_is_refused(fleet: Fleet, more: dict[str, Any], said: str) -> None:
    answer = fleet.http.post(PATH, json={"reference": "admin/none:1", **HERE, **more})
    assert answer.status_code == 400, answer.text
    assert said in answer.json()["error"]["message"]


def test_a_crowd_of_strangers_holds_up_nobody_else() -> None:
    async def run() -> None:
        strangers, checks = CapacityLimiter(1), CapacityLimiter(1)
        async with create_task_group() as group:
            for _ in range(CHECKS_WAITING + 1):
                group.start_soon(partial(to_thread.run_sync, sleep, 0.05, limiter=strangers))
            while strangers.statistics().tasks_waiting < CHECKS_WAITING:
                await checkpoint()
            with pytest.raises(ApiError) as refused:
                refuse_crowd(strangers)
            assert refused.value.status == 503
            refuse_crowd(checks)

    asyncio.run(run())


def test_what_one_may_not_read_is_not_there(reader: httpx.Client, fleet: Fleet, people: People) -> None:
    name = f"admin/hidden-{secrets.token_hex(4)}"
    fleet.oci.push_filter(name, "1", header_filter("hidden"))
    assert examine(reader, f"{name}:1").status_code == 404
    assert examine(reader, f"{reader.headers['X-Team']}/none:1").status_code == 404
    stranger_name = f"stranger-{secrets.token_hex(4)}"
    people.user(stranger_name)
    stranger = httpx.Client(base_url=reader.base_url, auth=(stranger_name, PASSWORD), trust_env=False)
    assert examine(stranger, f"{name}:1").status_code == 404
    stranger.close()
