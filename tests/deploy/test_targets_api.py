"""Targets over the JSON API: who may do what, bad input, keys, the bootstrap."""

import json
import secrets
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.auth.people import PASSWORD, People
from tests.deploy.fleet import Fleet, header_filter
from tests.hub import HubProcess
from tests.peers import envoy_binary

ERROR = {
    400: "bad_request",
    401: "unauthorized",
    403: "denied",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    422: "refused",
}


def says(answer: httpx.Response, status: int, text: str) -> None:
    """Holds the answer to be an error in the API's dialect that says this."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == ERROR[status] and text in error["message"], answer.text


def test_a_target_is_made_shown_listed_and_removed(hub: HubProcess, fleet: Fleet) -> None:
    shown = fleet.http.get(fleet.path).json()

    assert shown.pop("created_at").endswith("Z")
    assert shown == {
        "name": fleet.name,
        "kind": "envoy-fleet",
        "namespace": "admin",
        "settings": {
            "slots": 8,
            "without_hub": "wait",
            "refresh_seconds": 0.2,
            "node_limit": 1000,
            "transport": "rest",
        },
    }
    assert fleet.name in [one["name"] for one in fleet.http.get("/api/v1/targets").json()["targets"]]
    after = fleet.http.get("/api/v1/targets", params={"after": fleet.name}).json()["targets"]
    assert fleet.name not in [one["name"] for one in after]
    assert fleet.http.delete(fleet.path).status_code == 204
    says(fleet.http.get(fleet.path), 404, "there is no target")


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({}, 400, "the field name is missing"),
        ({"name": ""}, 400, "no name for a target"),
        ({"name": "Edge"}, 400, "no name for a target"),
        ({"name": "a/b"}, 400, "no name for a target"),
        ({"name": "x" * 64}, 400, "no name for a target"),
        ({"name": "x" * 300}, 400, "at most 256"),
        ({"name": 7}, 400, "name must be a text"),
        ({"name": "ok", "kind": "linkerd"}, 400, "kind must be one of envoy-fleet, istio"),
        ({"name": "ok", "kind": []}, 400, "kind must be one of"),
        ({"name": "ok", "namespace": "nobody-has-it"}, 403, "you may not make targets"),
        ({"name": "ok", "settings": []}, 400, "settings must be"),
        ({"name": "ok", "settings": {"slot": 1}}, 400, "there is no field 'slot'"),
        ({"name": "ok", "settings": {"slots": 0}}, 400, "slots must be a whole number from 1 to 32"),
        ({"name": "ok", "settings": {"slots": True}}, 400, "slots must be"),
        ({"name": "ok", "settings": {"slots": 1.5}}, 400, "slots must be"),
        ({"name": "ok", "settings": {"refresh_seconds": 0}}, 400, "refresh_seconds must be"),
        ({"name": "ok", "settings": {"refresh_seconds": "5"}}, 400, "refresh_seconds must be"),
        ({"name": "ok", "settings": {"without_hub": "hope"}}, 400, "without_hub must be one of wait, open"),
        ({"name": "ok", "settings": {"node_limit": 10**30}}, 400, "node_limit must be"),
        ({"name": "ok", "colour": "red"}, 400, "there is no field 'colour'"),
    ],
)
def test_what_makes_no_target(fleet: Fleet, body: dict[str, Any], status: int, text: str) -> None:
    says(fleet.http.post("/api/v1/targets", json=body), status, text)


def test_a_name_is_taken_once(fleet: Fleet) -> None:
    says(fleet.http.post("/api/v1/targets", json={"name": fleet.name}), 409, "already")


def test_a_target_in_use_is_not_removed(fleet: Fleet) -> None:
    fleet.deploy("marks", fleet.push("targets", "1", header_filter("x")))

    says(fleet.http.delete(fleet.path), 409, "marks is deployed on target")


def test_a_key_is_shown_once_and_kept_hashed(hub: HubProcess, fleet: Fleet, people: People) -> None:
    made = fleet.http.post(f"{fleet.path}/keys")
    listed = fleet.http.get(f"{fleet.path}/keys").json()["keys"]

    assert made.status_code == 201 and made.headers["cache-control"] == "no-store"
    key = made.json()["key"]
    assert key.startswith("whf_") and made.json()["document"]["resources"][0]["name"] == "fleet-key"
    assert listed == [{name: made.json()[name] for name in ("id", "hint", "created_at")}]
    assert key not in json.dumps(listed) + repr(people.rows("SELECT * FROM target_keys")) + hub.log()
    assert key not in repr(people.rows("SELECT * FROM events"))
    for number in (2**70, 999_999, "9" * 5000, "x"):
        says(fleet.http.delete(f"{fleet.path}/keys/{number}"), 404, "has no key")


def test_roles_in_the_owning_team_decide(hub: HubProcess, fleet: Fleet, people: People) -> None:
    team = f"team-{secrets.token_hex(4)}"
    roles = {role: f"{role}-{secrets.token_hex(4)}" for role in ("owner", "maintainer", "writer", "reader", "stranger")}
    for user in roles.values():
        people.user(user)
    people.team(team, **{user: role for role, user in roles.items() if role != "stranger"})
    name = f"edge-{secrets.token_hex(4)}"
    assert fleet.http.post("/api/v1/targets", json={"name": name, "namespace": team}).status_code == 201
    path = f"/api/v1/targets/{name}"
    fleet.push("shown", "1", header_filter("x"))
    people.run("UPDATE repositories SET visibility = 'internal' WHERE name = 'admin/shown'")
    deploy = {"reference": "admin/shown:1"}
    asks: list[tuple[str, str, dict[str, Any] | None, dict[str, int]]] = [
        # what, and the status for those who may not see, may see, may deploy and configure
        ("GET", path, None, {"stranger": 404, "reader": 200, "writer": 200, "maintainer": 200}),
        ("GET", f"{path}/bootstrap", None, {"stranger": 404, "reader": 200, "writer": 200, "maintainer": 200}),
        ("GET", f"{path}/nodes", None, {"stranger": 404, "reader": 200, "writer": 200, "maintainer": 200}),
        ("GET", f"{path}/keys", None, {"stranger": 404, "reader": 403, "writer": 403, "maintainer": 200}),
        ("POST", f"{path}/keys", None, {"stranger": 404, "reader": 403, "writer": 403, "maintainer": 201}),
        ("DELETE", f"{path}/keys/0", None, {"stranger": 404, "reader": 403, "writer": 403, "maintainer": 404}),
        ("PUT", f"{path}/deployments/d", deploy, {"stranger": 404, "reader": 403, "writer": 403, "maintainer": 201}),
        ("GET", f"{path}/deployments/d", None, {"stranger": 404, "reader": 200, "writer": 200, "maintainer": 200}),
        ("POST", f"{path}/deployments/d/rollback", {}, {"stranger": 404, "reader": 403, "writer": 403, "owner": 409}),
        ("DELETE", f"{path}/deployments/d", None, {"stranger": 404, "reader": 403, "writer": 403, "owner": 204}),
        ("DELETE", path, None, {"stranger": 404, "reader": 403, "writer": 403, "owner": 204}),
    ]

    for method, url, body, statuses in asks:
        assert httpx.request(method, hub.url + url, json=body).status_code == 401, f"{method} {url} by nobody"
        for role, status in statuses.items():
            answer = httpx.request(method, hub.url + url, json=body, auth=(roles[role], PASSWORD))
            assert answer.status_code == status, f"{method} {url} by {role}: {answer.text}"
            if role == "stranger":
                assert "there is no target" in answer.json()["error"]["message"]
    stranger = httpx.get(f"{hub.url}/api/v1/targets", auth=(roles["stranger"], PASSWORD)).json()
    assert stranger == {"targets": [], "next": None}


def test_the_grant_is_shown_to_those_who_may_deploy(hub: HubProcess, fleet: Fleet, people: People) -> None:
    fleet.deploy("marks", fleet.push("grants", "1", header_filter("x")))
    auditor = f"auditor-{secrets.token_hex(4)}"
    people.user(auditor, role="auditor")

    seen = httpx.get(f"{hub.url}{fleet.path}/deployments/marks", auth=(auditor, PASSWORD)).json()

    assert seen["name"] == "marks" and "module_path" not in seen
    assert fleet.deployment("marks")["module_path"].startswith("/modules/")


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"listen": "nowhere"}, "listen must be host:port"),
        ({"upstream": "a:99999"}, "upstream must be host:port"),
        ({"admin": "a b:1"}, "admin must be host:port"),
        ({"hub": "ftp://x"}, "hub must be the hub's URL"),
        ({"hub": "http://x/y"}, "hub must be the hub's URL"),
        ({"hub": "http://x:99999"}, "hub must be the hub's URL"),
        ({"hub": "http://[::::]"}, "hub must be the hub's URL"),
        ({"node": "n" * 300}, "node must be a text"),
        ({"what": "x"}, "there is no field 'what'"),
    ],
)
def test_what_makes_no_bootstrap(fleet: Fleet, query: dict[str, str], text: str) -> None:
    says(fleet.http.get(f"{fleet.path}/bootstrap", params=query), 400, text)


def test_the_bootstrap_is_taken_by_envoy_and_holds_no_secret(fleet: Fleet, tmp_path: Path) -> None:
    key = fleet.new_key()["key"]
    config = fleet.bootstrap(node="edge-1", listen="127.0.0.1:0", upstream="web:80")
    (tmp_path / "bootstrap.json").write_text(json.dumps(config))

    checked = subprocess.run(
        [envoy_binary(), "--mode", "validate", "-c", tmp_path / "bootstrap.json"],
        env={"WASMHUB_FLEET_KEY": key},
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stderr
    assert "whf_" not in json.dumps(config)
    assert config["node"] == {"cluster": fleet.name, "id": "edge-1"}
    assert config["static_resources"]["clusters"][1]["name"] == fleet.hub.host


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_other_methods(fleet: Fleet, method: str) -> None:
    says(fleet.http.request(method, fleet.path), 405, f"{method} is not possible")
