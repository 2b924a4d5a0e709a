"""The JSON API of accounts: users, personal tokens, namespaces."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.auth.people import PASSWORD, People
from tests.hub import HubProcess
from web.api import accounts, profile


@pytest.fixture
def api(hub: HubProcess) -> Iterator[httpx.Client]:
    """The API, asked by the administrator."""
    auth = ("admin", hub.admin_password)
    with httpx.Client(base_url=f"{hub.url}/api/v1", auth=auth, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def mine(hub: HubProcess, people: People, word: str) -> Iterator[httpx.Client]:
    """The API, asked by a user of its own name with a personal token as Bearer."""
    headers = {"Authorization": f"Bearer {people.token(people.user(word), 'first')}"}
    with httpx.Client(base_url=f"{hub.url}/api/v1", headers=headers, timeout=30, trust_env=False) as client:
        yield client


def error_of(answer: httpx.Response) -> tuple[int, str]:
    """An error's status and code; its message is a sentence."""
    error = answer.json()["error"]
    assert set(answer.json()) == {"error"} and set(error) == {"code", "message"} and error["message"]
    return answer.status_code, error["code"]


ROUTES = [*accounts.ROUTES, *profile.ROUTES]
EVERY = [(method, route.path) for route in ROUTES for method in sorted(route.methods or ()) if method != "HEAD"]


@pytest.mark.parametrize(("method", "path"), EVERY)
def test_strangers_are_refused(http: httpx.Client, method: str, path: str) -> None:
    path = path.replace("{name}", "admin").replace("{id}", "1")
    answer = http.request(method, path, json={})
    assert error_of(answer) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == 'Bearer realm="wasmhub"'
    bad = http.request(method, path, json={}, headers={"Authorization": "Bearer whp_nonsense"})
    assert error_of(bad) == (401, "unauthorized")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/users", (403, "forbidden")),
        ("POST", "/users", (403, "forbidden")),
        ("GET", "/users/admin", (404, "not_found")),
        ("GET", "/users/nobody-there", (404, "not_found")),
        ("PATCH", "/users/admin", (403, "forbidden")),
        ("DELETE", "/users/admin", (403, "forbidden")),
        ("PUT", "/users/admin/password", (404, "not_found")),
        ("GET", "/namespaces", (403, "forbidden")),
        ("POST", "/namespaces", (403, "forbidden")),
    ],
)
def test_users_have_no_say_over_others(mine: httpx.Client, method: str, path: str, expected: tuple[int, str]) -> None:
    assert error_of(mine.request(method, path, json={"password": PASSWORD})) == expected


def test_who_am_i(mine: httpx.Client, http: httpx.Client, people: People, word: str) -> None:
    me = {"id": people.user(word), "name": word, "role": "user", "full_name": "", "email": "", "scopes": None}
    assert mine.get("/user").json() == me
    assert http.get("/api/v1/user", auth=(word, PASSWORD)).json() == me
    assert mine.get(f"/users/{word}").json()["name"] == word


def test_what_one_says_of_oneself(mine: httpx.Client, api: httpx.Client, people: People, word: str) -> None:
    me = mine.patch("/user", json={"full_name": "Ann Ünder", "email": "ann@example.com"})
    assert me.status_code == 200 and me.json() == mine.get("/user").json()
    assert mine.patch("/user", json={"email": ""}).json()["full_name"] == "Ann Ünder"
    shown = api.get(f"/users/{word}").json()
    assert (shown["full_name"], shown["email"]) == ("Ann Ünder", "")
    mine.patch("/user", json={})
    commands = "action NOT LIKE 'sign-in.%'"
    events = people.rows(f"SELECT action FROM events WHERE subject = :n AND actor_name = :n AND {commands}", n=word)
    assert events == [("user.set-profile",)] * 2


@pytest.mark.parametrize(
    "body",
    [
        {"full_name": None},
        {"full_name": "x" * 101},
        {"full_name": "\u202e"},
        {"email": "ann"},
        {"email": "ann@"},
        {"email": 5},
        {"role": "administrator"},
        {"name": "root"},
    ],
)
def test_bad_profiles(mine: httpx.Client, body: dict[str, Any]) -> None:
    assert error_of(mine.patch("/user", json=body)) == (400, "bad_request")
    assert mine.get("/user").json()["role"] == "user"


def test_a_registry_token_is_none_of_the_api(http: httpx.Client, people: People, word: str) -> None:
    people.user(word)
    reply = http.get("/token", params={"offline_token": "true"}, auth=(word, PASSWORD)).json()
    for secret in (reply["token"], reply["refresh_token"]):
        bearer = http.get("/api/v1/user", headers={"Authorization": f"Bearer {secret}"})
        assert error_of(bearer) == (401, "unauthorized")
    assert http.get("/api/v1/user", auth=(word, reply["refresh_token"])).status_code == 401


def test_life_of_a_user(api: httpx.Client, http: httpx.Client, people: People, word: str) -> None:
    made = api.post("/users", json={"name": word})
    assert made.status_code == 201
    password = made.json().pop("password")
    shown = api.get(f"/users/{word}").json()
    assert shown == {key: value for key, value in made.json().items() if key != "password"}
    assert (shown["name"], shown["role"], shown["active"]) == (word, "user", True)
    assert http.get("/token", auth=(word, password)).status_code == 200

    page = api.get("/users", params={"after": word[:-1], "limit": 1}).json()
    assert [user["name"] for user in page["users"]] == [word] and page["next"] == word
    assert api.put(f"/users/{word}/password", json={"password": PASSWORD}).status_code == 204
    assert http.get("/token", auth=(word, password)).status_code == 401
    assert api.patch(f"/users/{word}", json={"role": "auditor"}).json()["role"] == "auditor"

    assert api.patch(f"/users/{word}", json={"active": False}).json()["active"] is False
    assert http.get("/token", auth=(word, PASSWORD)).status_code == 401
    assert error_of(api.post("/users", json={"name": word})) == (409, "conflict")
    assert api.patch(f"/users/{word}", json={"active": True}).json()["active"] is True
    assert http.get("/token", auth=(word, PASSWORD)).status_code == 200

    events = people.rows(
        "SELECT action, actor_name FROM events WHERE subject = :n AND action NOT LIKE 'sign-in.%' ORDER BY id", n=word
    )
    actions = ["namespace.create", "user.create", "user.set-password", "user.set-role", "user.deactivate"]
    assert events == [(action, "admin") for action in [*actions, "user.activate"]]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (400, "bad_request")),
        ({"name": 5}, (400, "bad_request")),
        ({"name": ""}, (400, "bad_request")),
        ({"name": "a\x00b"}, (400, "bad_request")),
        ({"name": "\ud800"}, (400, "bad_request")),
        ({"name": "Upper"}, (400, "invalid_name")),
        ({"name": "a/b"}, (400, "invalid_name")),
        ({"name": "-a"}, (400, "invalid_name")),
        ({"name": "a..b"}, (400, "invalid_name")),
        ({"name": "a" * 65}, (400, "invalid_name")),
        ({"name": "v2"}, (400, "invalid_name")),
        ({"name": "anonymous"}, (400, "invalid_name")),
        ({"name": "admin"}, (409, "conflict")),
        ({"name": "fine", "role": "king"}, (400, "bad_request")),
        ({"name": "fine", "role": ["user"]}, (400, "bad_request")),
        ({"name": "fine", "password": "short"}, (400, "bad_request")),
        ({"name": "fine", "password": "x" * 2000}, (400, "bad_request")),
        ({"name": "fine", "password": None}, (400, "bad_request")),
    ],
)
def test_bad_users(api: httpx.Client, people: People, body: dict[str, Any], expected: tuple[int, str]) -> None:
    assert error_of(api.post("/users", content=json.dumps(body))) == expected
    assert people.rows("SELECT 1 FROM namespaces WHERE name = 'fine'") == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"{", (400, "bad_request")),
        (b"[]", (400, "bad_request")),
        (b"\xff", (400, "bad_request")),
        (b"[" * 50_000, (400, "bad_request")),
        (b'{"name":' + b"9" * 5000 + b"}", (400, "bad_request")),
        (b" " * 70_000, (413, "too_large")),
    ],
)
def test_bad_bodies(api: httpx.Client, content: bytes, expected: tuple[int, str]) -> None:
    assert error_of(api.post("/users", content=content)) == expected


def test_paths_and_pages_that_are_not_there(api: httpx.Client) -> None:
    assert error_of(api.get("/nothing")) == (404, "not_found")
    assert error_of(api.put("/users")) == (405, "method_not_allowed")
    assert error_of(api.delete("/user/tokens/" + "9" * 5000)) == (404, "not_found")
    for limit in ("-1", "0", "x", "1001", "9" * 5000, "\u0663"):
        assert error_of(api.get("/users", params={"limit": limit})) == (400, "bad_request")


def test_the_last_administrator_stays(api: httpx.Client, people: People, word: str) -> None:
    others = people.rows("SELECT id FROM users WHERE role = 'administrator' AND active AND id != 1")
    for (other,) in others:
        people.run("UPDATE users SET active = 0 WHERE id = :u", u=other)
    assert error_of(api.delete("/users/admin")) == (409, "conflict")
    assert error_of(api.patch("/users/admin", json={"role": "user"})) == (409, "conflict")
    assert error_of(api.patch("/users/admin", json={"active": False})) == (409, "conflict")
    assert error_of(api.patch("/users/admin", json={"name": "root"})) == (400, "bad_request")
    assert api.get("/users/admin").json()["active"] is True


def test_own_password(mine: httpx.Client, http: httpx.Client, word: str) -> None:
    path, new = f"/users/{word}/password", "another-long-password"
    assert error_of(mine.put(path, json={"password": new})) == (400, "bad_request")
    assert error_of(mine.put(path, json={"password": new, "current": "wrong"})) == (400, "bad_request")
    assert mine.put(path, json={"password": new, "current": PASSWORD}).status_code == 204
    assert [http.get("/token", auth=(word, it)).status_code for it in (PASSWORD, new)] == [401, 200]
    assert mine.get("/user").status_code == 200


def test_life_of_a_token(mine: httpx.Client, http: httpx.Client, people: People, word: str) -> None:
    made = mine.post("/user/tokens", json={"name": "ci", "expires_in_days": 30})
    assert made.status_code == 201
    secret = made.json()["token"]
    assert http.get("/api/v1/user", headers={"Authorization": f"Bearer {secret}"}).json()["name"] == word

    first, ci = mine.get("/user/tokens").json()["tokens"]
    assert (first["name"], ci["name"]) == ("first", "ci")
    assert ci == {key: value for key, value in made.json().items() if key != "token"} | {"used_at": ci["used_at"]}
    assert ci["hint"] == secret[:8] and ci["used_at"] and ci["expires_at"] > ci["created_at"]
    assert secret not in mine.get("/user/tokens").text

    assert error_of(mine.post("/user/tokens", json={"name": "ci"})) == (409, "conflict")
    assert mine.delete(f"/user/tokens/{ci['id']}").status_code == 204
    assert error_of(mine.delete(f"/user/tokens/{ci['id']}")) == (404, "not_found")
    assert http.get("/api/v1/user", headers={"Authorization": f"Bearer {secret}"}).status_code == 401
    endless = mine.post("/user/tokens", json={"name": "endless", "expires_in_days": None}).json()
    assert endless["expires_at"] is None
    events = people.rows("SELECT action FROM events WHERE subject = 'ci' AND actor_name = :n ORDER BY id", n=word)
    assert events == [("token.create",), ("token.delete",)]


def test_tokens_of_others_are_not_there(mine: httpx.Client, api: httpx.Client, people: People, word: str) -> None:
    ((token_id,),) = people.rows("SELECT id FROM access_tokens WHERE user_id = :u", u=people.user(word))
    assert error_of(api.delete(f"/user/tokens/{token_id}")) == (404, "not_found")
    assert mine.get("/user").status_code == 200


@pytest.mark.parametrize("days", [0, -1, 3651, "30", 1.5, True, []])
def test_bad_expiry(mine: httpx.Client, days: Any) -> None:
    answer = mine.post("/user/tokens", json={"name": "x", "expires_in_days": days})
    assert error_of(answer) == (400, "bad_request")


def test_namespaces(api: httpx.Client, people: People, word: str) -> None:
    owner = people.user(word)
    plain, owned = f"{word}-plain", f"{word}-owned"
    assert api.post("/namespaces", json={"name": plain}).json()["user_id"] is None
    made = api.post("/namespaces", json={"name": owned, "owner": word})
    assert made.status_code == 201
    assert (made.json()["name"], made.json()["kind"], made.json()["user_id"]) == (owned, "plain", owner)
    listed = api.get("/namespaces", params={"after": word, "limit": 2}).json()
    assert [row["name"] for row in listed["namespaces"]] == [owned, plain]
    assert error_of(api.post("/namespaces", json={"name": plain})) == (409, "conflict")
    assert error_of(api.post("/namespaces", json={"name": word})) == (409, "conflict")
    assert error_of(api.post("/namespaces", json={"name": "token"})) == (400, "invalid_name")
    assert error_of(api.post("/namespaces", json={"name": "x", "owner": "nobody-there"})) == (400, "bad_request")
