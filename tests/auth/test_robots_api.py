"""Robots at a running hub: what they may do, what they never may, and how their tokens come and go."""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from storage.database import now
from tests.auth.people import PASSWORD, People, access_of, claims_of
from tests.deploy.fleet import header_filter
from tests.hub import HubProcess
from tests.oci import Client


@dataclass(frozen=True)
class Crew:
    """A team and its owner's way to the API."""

    name: str
    owner: httpx.Client
    hub: HubProcess
    people: People

    def make(self, **more: Any) -> dict[str, Any]:
        """A new robot, with its token."""
        made = self.owner.post(f"/teams/{self.name}/robots", json={"name": f"r{secrets.token_hex(4)}", **more})
        assert made.status_code == 201, made.text
        robot: dict[str, Any] = made.json()
        return robot

    def path(self, robot: dict[str, Any]) -> str:
        """Where it is in the API."""
        return f"/teams/{self.name}/robots/{robot['name']}"

    def api(self, token: str) -> httpx.Client:
        """Asks with a token; to be closed."""
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=f"{self.hub.url}/api/v1", headers=headers, trust_env=False, timeout=30)


@pytest.fixture(scope="module")
def crew(hub: HubProcess, people: People) -> Iterator[Crew]:
    """A team with the repositories `a` and `b`."""
    name = f"crew-{secrets.token_hex(4)}"
    people.user(f"{name}-owner")
    people.team(name, **{f"{name}-owner": "owner"})
    client = Client(hub.url, f"{name}-owner", PASSWORD)
    for repository in ("a", "b"):
        client.push_filter(f"{name}/{repository}", "v1", header_filter(repository))
    client.close()
    auth = (f"{name}-owner", PASSWORD)
    with httpx.Client(base_url=f"{hub.url}/api/v1", auth=auth, trust_env=False, timeout=30) as owner:
        yield Crew(name, owner, hub, people)


def pull(crew: Crew, token: str, repository: str = "a") -> int:
    """The status of a pull with a registry token."""
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{crew.hub.url}/v2/{crew.name}/{repository}/manifests/v1", headers=headers).status_code


def test_a_robot_pushes_and_deploys_and_is_named(crew: Crew) -> None:
    robot = crew.make(role="maintainer", description="the pipeline")
    assert robot["token"].startswith("whb_") and robot["login"] == f"{crew.name}+{robot['name']}"
    assert (robot["scopes"], robot["expires_at"], robot["used_at"]) == (None, None, None)
    client = Client(crew.hub.url, robot["login"], robot["token"])
    client.push_filter(f"{crew.name}/by-robot", "v1", header_filter("by a robot"))
    client.close()
    with crew.api(robot["token"]) as api:
        target = f"t-{secrets.token_hex(4)}"
        assert api.post("/targets", json={"name": target, "namespace": crew.name}).status_code == 201
        made = api.put(f"/targets/{target}/deployments/d", json={"reference": f"{crew.name}/by-robot:v1"})
        assert made.status_code == 201, made.text
        shown = api.get(f"/repositories/{crew.name}/by-robot").json()
        assert shown["newest"]["pushed_by"] == robot["login"]
        assert api.get("/user").json()["name"] == robot["login"]
        assert api.delete(f"/targets/{target}/deployments/d").status_code == 204
        assert api.delete(f"/targets/{target}").status_code == 204
    done = crew.people.rows("SELECT DISTINCT actor_kind, actor_name FROM events WHERE subject = :t", t=target)
    assert done == [("robot", robot["login"])]
    assert crew.owner.get(crew.path(robot)).json()["used_at"] is not None


def test_what_robots_never_may(crew: Crew, http: httpx.Client) -> None:
    robot = crew.make(role="maintainer")
    with crew.api(robot["token"]) as api:
        for method, path, body in (
            ("GET", "/user/tokens", None),
            ("POST", "/user/tokens", {"name": "more"}),
            ("GET", "/teams", None),
            ("POST", "/teams", {"name": f"t{secrets.token_hex(4)}"}),
            ("GET", f"/teams/{crew.name}", None),
            ("PATCH", f"/teams/{crew.name}", {"description": "mine"}),
            ("GET", f"/teams/{crew.name}/robots", None),
            ("POST", f"{crew.path(robot)}/rotate", {}),
            ("POST", "/invitations/accept", {"secret": "x"}),
            ("PUT", f"/users/{robot['login']}/password", {"password": PASSWORD, "current": "x"}),
            ("GET", "/users", None),
        ):
            answer = api.request(method, path, json=body)
            assert answer.status_code == 403 and "robots" in answer.json()["error"]["message"], path
        own = api.post("/targets", json={"name": f"t-{secrets.token_hex(4)}"})
        assert own.status_code == 403 and "namespace" in own.json()["error"]["message"]
    granted = http.get(
        "/token", params={"scope": f"repository:{robot['login']}/x:push"}, auth=("any", robot["token"])
    ).json()
    assert access_of(granted["token"]) == {}
    assert http.get("/token", auth=(robot["login"], PASSWORD)).status_code == 401
    # They are nobody whom a team takes in, a repository is shared with, or an administrator finds.
    member = crew.owner.put(f"/teams/{crew.name}/members/{robot['login']}", json={"role": "owner"})
    assert member.status_code == 404
    names = [one["name"] for one in crew.owner.get(f"/teams/{crew.name}/members?limit=1000").json()["members"]]
    assert not [name for name in names if "+" in name]


def test_a_robot_is_narrowed_by_scopes(crew: Crew, http: httpx.Client) -> None:
    robot = crew.make(role="writer", scopes=[f"repository:{crew.name}/a:pull"])
    asked = [f"repository:{crew.name}/{name}:pull,push" for name in ("a", "b")]
    token = http.get("/token", params={"scope": asked}, auth=(robot["login"], robot["token"])).json()["token"]
    assert access_of(token) == {f"{crew.name}/a": {"pull"}}
    assert (pull(crew, token), pull(crew, token, "b")) == (200, 404)

    changed = crew.owner.patch(crew.path(robot), json={"scopes": [f"repository:{crew.name}/b:*"], "role": "reader"})
    assert changed.json()["scopes"] == [f"repository:{crew.name}/b:delete,pull,push"]
    assert pull(crew, token) == 401
    token = http.get("/token", params={"scope": asked}, auth=(robot["login"], robot["token"])).json()["token"]
    assert access_of(token) == {f"{crew.name}/b": {"pull"}}
    assert crew.owner.patch(crew.path(robot), json={"scopes": None}).json()["scopes"] is None
    assert crew.owner.patch(crew.path(robot), json={"scopes": []}).status_code == 400


def test_tokens_come_and_go(crew: Crew, http: httpx.Client) -> None:
    robot = crew.make(role="reader", scopes=[f"repository:{crew.name}/*:pull"])
    scope = {"scope": f"repository:{crew.name}/a:pull", "offline_token": "true"}
    first = http.get("/token", params=scope, auth=("any", robot["token"])).json()
    rotated = crew.owner.post(f"{crew.path(robot)}/rotate", json={"overlap_hours": 1})
    assert rotated.status_code == 201 and len(rotated.json()["tokens"]) == 2
    assert rotated.json()["scopes"] == robot["scopes"]
    second = rotated.json()["token"]
    for secret in (robot["token"], second):
        assert http.get("/token", auth=("any", secret)).status_code == 200
    assert pull(crew, first["token"]) == 200

    third = crew.owner.post(f"{crew.path(robot)}/rotate", json={"overlap_hours": 0}).json()
    for secret in (robot["token"], second, first["refresh_token"]):
        assert http.get("/token", auth=("any", secret)).status_code == 401
    assert pull(crew, first["token"]) == 401
    assert [one["hint"] for one in third["tokens"]] == [third["token"][:8]]
    for hours in (-1, 721, 1.5, "1", None, True):
        assert crew.owner.post(f"{crew.path(robot)}/rotate", json={"overlap_hours": hours}).status_code == 400
    assert crew.owner.delete(crew.path(robot)).status_code == 204
    assert http.get("/token", auth=("any", third["token"])).status_code == 401
    assert crew.owner.get(crew.path(robot)).status_code == 404


def test_a_robot_that_expires_is_out_within_a_second(crew: Crew, http: httpx.Client) -> None:
    robot = crew.make(role="reader", expires_in_days=30)
    ends = now() + 3000
    crew.people.run(
        "UPDATE robots SET expires_at = :e WHERE user_id = (SELECT user_id FROM namespaces WHERE name = :n)",
        e=ends,
        n=robot["login"],
    )
    scope = {"scope": f"repository:{crew.name}/a:pull", "offline_token": "true"}
    got = http.get("/token", params=scope, auth=("any", robot["token"])).json()
    claims = claims_of(got["token"])
    assert claims["exp"] - claims["iat"] <= 3
    assert pull(crew, got["token"]) == 200
    time.sleep(max(0.0, (ends + 1000 - now()) / 1000))
    assert pull(crew, got["token"]) == 401
    for secret in (robot["token"], got["refresh_token"]):
        assert http.get("/token", auth=("any", secret)).status_code == 401


def test_a_robot_that_is_put_to_sleep_wakes_with_the_same_token(crew: Crew, http: httpx.Client) -> None:
    robot = crew.make()
    scope = {"scope": f"repository:{crew.name}/a:pull"}
    token = http.get("/token", params=scope, auth=("any", robot["token"])).json()["token"]
    assert pull(crew, token) == 200
    assert crew.owner.patch(crew.path(robot), json={"active": False}).json()["active"] is False
    assert pull(crew, token) == 401
    assert http.get("/token", auth=("any", robot["token"])).status_code == 401
    assert crew.owner.patch(crew.path(robot), json={"active": True}).status_code == 200
    assert http.get("/token", auth=("any", robot["token"])).status_code == 200


def test_lists_are_paged(crew: Crew, people: People) -> None:
    name = f"crew-{secrets.token_hex(4)}"
    people.team(name, **{f"{crew.name}-owner": "owner"})
    for robot in ("c", "a", "b"):
        assert crew.owner.post(f"/teams/{name}/robots", json={"name": robot}).status_code == 201
    found = []
    after: str | None = ""
    while after is not None:
        page = crew.owner.get(f"/teams/{name}/robots", params={"after": after, "limit": 2}).json()
        found += [one["name"] for one in page["robots"]]
        after = page["next"]
    assert found == ["a", "b", "c"]


@pytest.mark.parametrize(
    "body",
    [
        {"name": "CI"},
        {"name": "a+b"},
        {"name": 1},
        {},
        {"name": "x", "role": "owner"},
        {"name": "x", "role": "king"},
        {"name": "x", "expires_in_days": 0},
        {"name": "x", "expires_in_days": 4000},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["all"]},
        {"name": "x", "description": "\n"},
        {"name": "x", "more": 1},
    ],
    ids=str,
)
def test_bad_input_makes_no_robot(crew: Crew, body: dict[str, Any]) -> None:
    answer = crew.owner.post(f"/teams/{crew.name}/robots", json=body)
    assert answer.status_code == 400 and answer.json()["error"]["message"]
    assert crew.owner.get(f"/teams/{crew.name}/robots/x").status_code == 404
