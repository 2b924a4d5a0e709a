"""The API's description against the hub's real routes, both ways, and against real answers."""

import json
import re
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from starlette.routing import BaseRoute, Route

from deploy.routes import ROUTES as DEPLOY
from tests.hub import HubProcess
from tests.web.catalogue import PASSWORD
from web.api.documents import OPENAPI
from web.routes import API

ANN = ("ann", PASSWORD)
DOCUMENT: dict[str, Any] = json.loads(OPENAPI.read_text())
OPERATIONS = [
    (method, path, operation) for path, item in DOCUMENT["paths"].items() for method, operation in item.items()
]
# Asked in this order, as ann: what is made here is looked at further down.
ANSWERS: list[tuple[str, str, str, Any, int]] = [
    ("get", "/api/v1/repositories", "/api/v1/repositories?limit=100", None, 200),
    ("get", "/api/v1/repositories", "/api/v1/repositories?limit=1", None, 200),
    ("get", "/api/v1/repositories", "/api/v1/repositories?limit=0", None, 400),
    ("get", "/api/v1/repositories/{name}", "/api/v1/repositories/acme/add-header", None, 200),
    ("get", "/api/v1/repositories/{name}", "/api/v1/repositories/ann/nothing-yet", None, 200),
    ("get", "/api/v1/repositories/{name}", "/api/v1/repositories/acme/none", None, 404),
    ("patch", "/api/v1/repositories/{name}", "/api/v1/repositories/ann/notes", {"description": ""}, 200),
    ("get", "/api/v1/repositories/{name}/versions", "/api/v1/repositories/acme/add-header/versions", None, 200),
    ("get", "/api/v1/user", "/api/v1/user", None, 200),
    ("patch", "/api/v1/user", "/api/v1/user", {"full_name": "Ann", "email": "ann@example.com"}, 200),
    ("patch", "/api/v1/user", "/api/v1/user", {"email": "ann"}, 400),
    ("get", "/api/v1/user/tokens", "/api/v1/user/tokens", None, 200),
    ("post", "/api/v1/user/tokens", "/api/v1/user/tokens", {"name": "of the description"}, 201),
    ("post", "/api/v1/user/tokens", "/api/v1/user/tokens", {"name": "of the description"}, 409),
    ("get", "/api/v1/users", "/api/v1/users", None, 403),
    ("get", "/api/v1/users/{name}", "/api/v1/users/ann", None, 200),
    ("post", "/api/v1/teams", "/api/v1/teams", {"name": "crew"}, 201),
    ("post", "/api/v1/teams", "/api/v1/teams", {"name": "crew"}, 409),
    ("get", "/api/v1/teams", "/api/v1/teams?limit=1", None, 200),
    ("get", "/api/v1/teams/{team}", "/api/v1/teams/crew", None, 200),
    ("patch", "/api/v1/teams/{team}", "/api/v1/teams/crew", {"default_visibility": "public"}, 200),
    ("get", "/api/v1/teams/{team}/members", "/api/v1/teams/crew/members", None, 200),
    ("put", "/api/v1/teams/{team}/members/{user}", "/api/v1/teams/crew/members/ann", {"role": "reader"}, 409),
    ("put", "/api/v1/teams/{team}/members/{user}", "/api/v1/teams/crew/members/admin", {"role": "reader"}, 200),
    ("post", "/api/v1/teams/{team}/invitations", "/api/v1/teams/crew/invitations", {"note": "bob"}, 201),
    ("get", "/api/v1/teams/{team}/events", "/api/v1/teams/crew/events?limit=3", None, 200),
    ("get", "/api/v1/teams/{team}/events", "/api/v1/teams/crew/events?since=soon", None, 400),
    ("get", "/api/v1/events", "/api/v1/events", None, 403),
    ("get", "/api/v1/namespaces/{namespace}/usage", "/api/v1/namespaces/crew/usage", None, 200),
    ("put", "/api/v1/namespaces/{namespace}/quota", "/api/v1/namespaces/crew/quota", {"bytes": 1}, 403),
    ("get", "/api/v1/usage", "/api/v1/usage", None, 403),
    ("get", "/api/v1/teams/{team}/invitations", "/api/v1/teams/crew/invitations", None, 200),
    ("get", "/api/v1/namespaces/{namespace}", "/api/v1/namespaces/crew", None, 200),
    ("patch", "/api/v1/namespaces/{namespace}", "/api/v1/namespaces/crew", {"name": "crew-2"}, 200),
    (
        "put",
        "/api/v1/repositories/{name}/grants/{holder}",
        "/api/v1/repositories/ann/notes/grants/crew",
        {"role": "writer"},
        200,
    ),
    ("get", "/api/v1/repositories/{name}/grants", "/api/v1/repositories/ann/notes/grants", None, 200),
    ("get", "/api/v1/targets", "/api/v1/targets", None, 200),
    ("post", "/api/v1/targets", "/api/v1/targets", {"name": "described"}, 201),
    ("get", "/api/v1/targets/{target}", "/api/v1/targets/described", None, 200),
    ("get", "/api/v1/targets/{target}", "/api/v1/targets/absent", None, 404),
    ("get", "/api/v1/targets/{target}/bootstrap", "/api/v1/targets/described/bootstrap", None, 200),
    ("post", "/api/v1/targets", "/api/v1/targets", {"name": "filed", "settings": {"transport": "file"}}, 201),
    ("get", "/api/v1/targets/{target}/files", "/api/v1/targets/filed/files?folder=/a&by=me", None, 200),
    ("post", "/api/v1/targets/{target}/keys", "/api/v1/targets/described/keys", {}, 201),
    ("get", "/api/v1/targets/{target}/keys", "/api/v1/targets/described/keys", None, 200),
    ("get", "/api/v1/targets/{target}/nodes", "/api/v1/targets/described/nodes", None, 200),
    (
        "put",
        "/api/v1/targets/{target}/deployments/{deployment}",
        "/api/v1/targets/described/deployments/one",
        {"reference": "acme/add-header:2.0.0"},
        201,
    ),
    (
        "put",
        "/api/v1/targets/{target}/deployments/{deployment}",
        "/api/v1/targets/described/deployments/two",
        {"reference": "acme/legacy-auth:0.9.0"},
        422,
    ),
    (
        "get",
        "/api/v1/targets/{target}/deployments/{deployment}",
        "/api/v1/targets/described/deployments/one",
        None,
        200,
    ),
    ("get", "/api/v1/deployments", "/api/v1/deployments", None, 200),
]


def routes_of(routes: list[BaseRoute] | list[Route]) -> set[tuple[str, str]]:
    """Method and path of the routes under /api/v1, as the description writes them."""
    found = set()
    for route in routes:
        assert isinstance(route, Route)
        if route.path.startswith("/api/v1/"):
            path = re.sub(r"{(\w+):\w+}", r"{\1}", route.path)
            found |= {(method.lower(), path) for method in route.methods or () if method != "HEAD"}
    return found


def test_every_route_is_described_and_every_description_is_a_route() -> None:
    assert {(method, path) for method, path, _ in OPERATIONS} == routes_of(API) | routes_of(DEPLOY)


def test_the_hub_serves_it(stranger: httpx.Client) -> None:
    assert stranger.get("/api/v1/openapi.json").json() == DOCUMENT


def test_names_are_given_once_and_parameters_are_those_of_the_path() -> None:
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(names) == len(set(names))
    for _, path, operation in OPERATIONS:
        given = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
        assert given == set(re.findall(r"{(\w+)}", path)), path


def test_references_lead_somewhere_and_schemas_are_valid() -> None:
    text = json.dumps(DOCUMENT)
    for reference in set(re.findall(r'"\$ref": "#/components/(\w+)/(\w+)"', text)):
        assert reference[1] in DOCUMENT["components"][reference[0]], reference
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def schema_of(method: str, path: str, status: int) -> dict[str, Any]:
    """The schema of an answer, with what it refers to."""
    answer = DOCUMENT["paths"][path][method]["responses"][str(status)]
    if "$ref" in answer:
        answer = DOCUMENT["components"]["responses"][str(status)]
    return {**answer["content"]["application/json"]["schema"], "components": DOCUMENT["components"]}


@pytest.mark.parametrize(("method", "path", "url", "body", "status"), ANSWERS)
def test_answers_look_as_described(full: HubProcess, method: str, path: str, url: str, body: Any, status: int) -> None:
    answer = httpx.request(method, full.url + url, json=body, auth=ANN, trust_env=False, timeout=30)
    assert answer.status_code == status, answer.text
    Draft202012Validator(schema_of(method, path, status)).validate(answer.json())


def test_administrators_answers_look_as_described(full: HubProcess) -> None:
    admin = ("admin", full.admin_password)
    with httpx.Client(base_url=full.url, auth=admin, trust_env=False) as client:
        for method, path, body, status in (
            ("get", "/api/v1/users", None, 200),
            ("post", "/api/v1/users", {"name": "described"}, 201),
            ("get", "/api/v1/invitations", None, 200),
            ("get", "/api/v1/namespaces", None, 200),
            ("post", "/api/v1/namespaces", {"name": "described-too", "owner": "described"}, 201),
            ("post", "/api/v1/garbage-collections", {"dry_run": True}, 202),
            ("post", "/api/v1/garbage-collections", {"dry_run": 1}, 400),
            ("get", "/api/v1/garbage-collections", None, 200),
            ("get", "/api/v1/settings", None, 200),
            ("get", "/api/v1/upkeep", None, 200),
            ("get", "/api/v1/events", None, 200),
            ("get", "/api/v1/usage", None, 200),
        ):
            answer = client.request(method, path, json=body)
            assert answer.status_code == status, answer.text
            Draft202012Validator(schema_of(method, path, status)).validate(answer.json())


def test_answers_to_who_follows_a_link_look_as_described(full: HubProcess) -> None:
    admin = httpx.Client(base_url=full.url, auth=("admin", full.admin_password), trust_env=False)
    with admin, httpx.Client(base_url=full.url, trust_env=False) as stranger:

        def check(client: httpx.Client, path: str, body: Any, status: int, described: str = "") -> Any:
            answer = client.post(path, json=body)
            assert answer.status_code == status, answer.text
            Draft202012Validator(schema_of("post", described or path, status)).validate(answer.json())
            return answer.json()

        secret = check(admin, "/api/v1/invitations", {"note": "described"}, 201)["secret"]
        check(stranger, "/api/v1/invitations/show", {"secret": secret}, 200)
        body = {"name": "described-guest", "password": PASSWORD}
        check(stranger, "/api/v1/sign-up", body, 403)
        check(stranger, "/api/v1/sign-up", body | {"invitation": secret}, 201)
        check(stranger, "/api/v1/invitations/show", {"secret": secret}, 404)
        path = "/api/v1/users/{name}/password-reset"
        made = check(admin, path.format(name="described-guest"), {}, 201, path)
        check(stranger, "/api/v1/password-reset", {"secret": made["secret"], "password": PASSWORD}, 200)


def test_a_program_that_waits_looks_as_described(full: HubProcess) -> None:
    with httpx.Client(base_url=full.url, auth=ANN, trust_env=False) as client:
        asked = {"client_id": "described", "scope": "repository:a/*:pull"}
        code = client.post("/device_authorization", data=asked).json()["user_code"]
        for act, body, status in (("show", code, 200), ("show", "BCDF", 400), ("show", "BCDFBCDF", 404)):
            path = f"/api/v1/device-logins/{act}"
            answer = client.post(path, json={"user_code": body})
            assert answer.status_code == status, answer.text
            Draft202012Validator(schema_of("post", path, status)).validate(answer.json())


def test_sessions_look_as_described(full: HubProcess) -> None:
    with httpx.Client(base_url=full.url, trust_env=False) as browser:
        assert browser.post("/sign-in", data={"name": "ann", "password": PASSWORD}).status_code == 303
    with httpx.Client(base_url=full.url, auth=ANN, trust_env=False) as client:
        for path in ("/api/v1/user/sessions", "/api/v1/users/{name}/sessions"):
            for method in ("get", "delete"):
                answer = client.request(method, path.format(name="ann"))
                assert answer.status_code == 200, answer.text
                Draft202012Validator(schema_of(method, path, 200)).validate(answer.json())


def test_providers_look_as_described(full: HubProcess) -> None:
    with httpx.Client(base_url=full.url, auth=("admin", full.admin_password), trust_env=False) as client:
        listed, one = "/api/v1/providers", "/api/v1/providers/{provider}"
        known = {"name": "described", "issuer": "http://127.0.0.1:9", "client_id": "hub"}
        for method, path, body, status in (
            ("post", listed, {**known, "client_secret": "x"}, 201),
            ("post", listed, known, 409),
            ("post", listed, {**known, "issuer": "x"}, 400),
            ("get", listed, None, 200),
            ("post", one + "/groups", {"group": "x", "role": "auditor"}, 201),
            ("get", one, None, 200),
            ("patch", one, {"active": False}, 200),
            ("post", one + "/check", None, 200),
            ("get", "/api/v1/user/identities", None, 200),
        ):
            answer = client.request(method, path.format(provider="described"), json=body)
            assert answer.status_code == status, answer.text
            Draft202012Validator(schema_of(method, path, status)).validate(answer.json())
        path = one + "/backchannel-logout"
        answer = client.post(path.format(provider="described"), data={"logout_token": "x"})
        assert answer.status_code == 400
        Draft202012Validator(schema_of("post", path, 400)).validate(answer.json())
        assert client.delete(one.format(provider="described")).status_code == 204


def test_a_module_looks_as_described(full: HubProcess) -> None:
    with httpx.Client(base_url=full.url, auth=ANN, trust_env=False) as client:
        for name in ("acme/add-header", "acme/legacy-auth", "ann/scratch", "acme/request-log"):
            sha256 = client.get(f"/api/v1/repositories/{name}").json()["newest"]["module"]["sha256"]
            answer = client.get(f"/api/v1/modules/{sha256}").json()
            Draft202012Validator(schema_of("get", "/api/v1/modules/{sha256}", 200)).validate(answer)


def test_robots_look_as_described(full: HubProcess) -> None:
    with httpx.Client(base_url=full.url, auth=("admin", full.admin_password), trust_env=False) as client:
        assert client.post("/api/v1/teams", json={"name": "described-team"}).status_code == 201
        listed, one = "/api/v1/teams/{team}/robots", "/api/v1/teams/{team}/robots/{robot}"
        for method, path, body, status in (
            ("post", listed, {"name": "ci", "scopes": ["repository:a/*:push"], "expires_in_days": 3}, 201),
            ("post", listed, {"name": "ci"}, 409),
            ("post", listed, {"name": "two", "scopes": []}, 400),
            ("get", listed, None, 200),
            ("get", one, None, 200),
            ("patch", one, {"role": "writer", "scopes": None, "expires_in_days": None}, 200),
            ("post", one + "/rotate", {}, 201),
        ):
            url = path.format(team="described-team", robot="ci")
            answer = client.request(method, url, json=body)
            assert answer.status_code == status, answer.text
            Draft202012Validator(schema_of(method, path, status)).validate(answer.json())


def test_rollouts_look_as_described(full: HubProcess) -> None:
    with httpx.Client(base_url=full.url, auth=ANN, trust_env=False) as client:
        assert client.post("/api/v1/targets", json={"name": "staged"}).status_code == 201
        described = "/api/v1/targets/{target}/deployments/{deployment}"
        path = "/api/v1/targets/staged/deployments/one"
        body = {"reference": "acme/add-header:2.0.0"}
        for more, status in (({}, 201), ({"config": "x", "rollout": {"waves": [50, 100]}}, 200), ({}, 409)):
            answer = client.put(path, json=body | more)
            assert answer.status_code == status, answer.text
            Draft202012Validator(schema_of("put", described, status)).validate(answer.json())
        number = client.get(path).json()["rollout"]
        for method, ending, status in (
            ("get", "", 200),
            ("post", "/pause", 200),
            ("post", "/pause", 409),
            ("post", "/resume", 200),
            ("post", "/abort", 200),
            ("get", "", 200),
        ):
            answer = client.request(method, f"/api/v1/rollouts/{number}{ending}")
            assert answer.status_code == status, answer.text
            Draft202012Validator(schema_of(method, "/api/v1/rollouts/{rollout}" + ending, status)).validate(
                answer.json()
            )
        answer = client.get("/api/v1/rollouts?target=staged")
        Draft202012Validator(schema_of("get", "/api/v1/rollouts", 200)).validate(answer.json())
        assert [one["id"] for one in answer.json()["rollouts"]] == [number]
        events = client.get(f"/api/v1/rollouts/{number}/events")
        assert events.headers["content-type"].startswith("text/event-stream")
        documents = [json.loads(line[6:]) for line in events.text.splitlines() if line.startswith('data: {"')]
        described_event = {"$ref": "#/components/schemas/RolloutEvent", "components": DOCUMENT["components"]}
        for one in documents:
            Draft202012Validator(described_event).validate(one)
        assert [one["kind"] for one in documents] == ["started", "paused", "resumed", "aborted"]


def test_sets_look_as_described(full: HubProcess) -> None:
    one = "/api/v1/sets/{namespace}/{set}"
    path = "/api/v1/sets/ann/together"
    body = {"reference": "acme/add-header:2.0.0", "members": [{"target": "together"}]}
    wrong = {**body, "members": [{"target": "together", "placement": {"namespace": "a"}}]}
    with httpx.Client(base_url=full.url, auth=ANN, trust_env=False) as client:
        assert client.post("/api/v1/targets", json={"name": "together"}).status_code == 201
        for method, ending, sent, status in (
            ("put", "", wrong, 422),
            ("put", "", body, 201),
            ("put", "", body, 409),
            ("get", "", None, 200),
            ("post", "/pause", {}, 200),
            ("post", "/pause", {}, 409),
            ("post", "/resume", {}, 200),
            ("post", "/abort", {"why": "described"}, 200),
            ("put", "", body, 200),
            ("post", "/abort", {}, 200),
            ("post", "/rollback", {"revision": 1}, 200),
            ("get", "", None, 200),
        ):
            answer = client.request(method, path + ending, json=sent)
            assert answer.status_code == status, answer.text
            Draft202012Validator(schema_of(method, one + ending, status)).validate(answer.json())
        listed = client.get("/api/v1/sets").json()
        Draft202012Validator(schema_of("get", "/api/v1/sets", 200)).validate(listed)
        assert [found["name"] for found in listed["sets"]] == ["together"]
        client.post(path + "/abort")
        events = client.get(path + "/events").text
        documents = [json.loads(line[6:]) for line in events.splitlines() if line.startswith('data: {"')]
        described = {"$ref": "#/components/schemas/SetEvent", "components": DOCUMENT["components"]}
        for found in documents:
            Draft202012Validator(described).validate(found)
        assert {"started", "paused", "resumed", "aborted"} <= {found["kind"] for found in documents}
        assert client.delete(path).status_code in (202, 204)
