"""Tokens that are narrowed to scopes: every endpoint inside and outside of them, and every list."""

import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import httpx
import pytest

from auth.identity import Identity
from auth.permissions import Resource, allowed
from storage.events import SYSTEM
from storage.names import rename_namespace
from storage.scopes import read_scopes
from tests.auth.answers import answer_to
from tests.auth.asking import Endpoint
from tests.auth.endpoints import ENDPOINTS
from tests.auth.people import PASSWORD, People, access_of
from tests.auth.world import ROLES, World
from tests.hub import HubProcess
from tests.oci import Client

ALL = ("repository:{team}/*:*", "target:*:*")
READ = ("repository:{team}/*:pull", "target:*:pull")
ELSEWHERE = ("repository:{team}-two/*:*", "repository:{team}:*", "target:elsewhere:*")
SCOPES = {"all of it": ALL, "reading": READ, "elsewhere": ELSEWHERE}
IDENTITIES = {
    "stranger": Identity(1, "stranger"),
    "owner": Identity(2, "owner"),
    "administrator": Identity(4, "administrator", "administrator"),
}
# What only a person with all their rights may do.
ACCOUNT = (
    *("user/", "users", "teams", "namespaces", "invitations", "device-logins", "providers"),
    *("settings", "upkeep", "events", "usage", "garbage-collections"),
)
ACCOUNT += ("garbage-collections", "invitations")
ASKED = {
    name: endpoint
    for name, endpoint in ENDPOINTS.items()
    if endpoint.rule not in ("everybody", "nobody") and not (endpoint.door == "page" or endpoint.browser)
    if name != "POST /token"
}
REPOSITORIES = [name for name, endpoint in ASKED.items() if endpoint.door in ("registry", "repository")]
DONE = range(200, 400)


class Narrowed:
    """People of the world who come with tokens that have scopes."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._open = ExitStack()
        self._clients: dict[tuple[str, str, str], httpx.Client] = {}

    def close(self) -> None:
        """Closes all connections."""
        self._open.close()

    def client(self, person: str, which: str, repository: str = "") -> httpx.Client:
        """Asks with the token itself or, of a repository, with the registry token that it is exchanged for."""
        found = self._clients.get((person, which, repository))
        if found is None:
            found = self._open.enter_context(httpx.Client(base_url=self.world.hub.url, timeout=30, trust_env=False))
            self._clients[person, which, repository] = found
            secret = self._token(person, [scope.format(team=self.world.team) for scope in SCOPES[which]])
            if repository:
                asked = [f"repository:{repository}:pull,push,delete", "registry:catalog:*", "repository:*:pull"]
                query = {"service": "test", "scope": asked}
                secret = found.get("/token", params=query, auth=("any", secret)).json()["token"]
            found.headers["Authorization"] = f"Bearer {secret}"
        return found

    def _token(self, person: str, scopes: Sequence[str]) -> str:
        user_id = self.world.people.user(self.world.names[person])
        return self.world.people.token(user_id, secrets.token_hex(4), scopes=scopes)


@pytest.fixture(scope="module")
def world(hub: HubProcess, people: People) -> Iterator[World]:
    """Everybody, and what they ask for."""
    made = World(hub, people)
    yield made
    made.close()


@pytest.fixture(scope="module")
def narrowed(world: World) -> Iterator[Narrowed]:
    """The same people with other tokens."""
    made = Narrowed(world)
    yield made
    made.close()


# `test_matrix` asks every endpoint on each set; how lists heed scopes is asked of each engine in tests/storage.
@pytest.mark.once("what scopes leave of rights is worked out of the token's row alone")
@pytest.mark.parametrize("which", SCOPES)
@pytest.mark.parametrize("person", IDENTITIES)
@pytest.mark.parametrize(
    ("name", "visibility"),
    [(name, "private") for name in ASKED]
    + [(name, visibility) for name in REPOSITORIES for visibility in ("internal", "public")],
)
def test_who_is_let_in(world: World, narrowed: Narrowed, name: str, visibility: str, person: str, which: str) -> None:
    endpoint, world.visibility = ASKED[name], visibility
    asked = endpoint.ask(world, person)
    client = narrowed.client(person, which, world.name if endpoint.door == "registry" else "")
    answer = client.request(name.partition(" ")[0], asked.path, **asked.more)
    if name.startswith("GET") and answer.status_code in DONE and "{set}" not in name:  # which moves by itself
        assert client.get(asked.path).content == answer.content
    if asked.undo is not None:
        asked.undo()

    shown = answer.status_code in DONE and not (endpoint.nothing and endpoint.nothing in answer.text)
    refusal = 404 if answer.status_code in DONE else answer.status_code
    found = "let in" if shown else refusal
    assert found == _expected(world, endpoint, name, person, which), answer.text


def _expected(world: World, endpoint: Endpoint, name: str, person: str, which: str) -> str | int:
    path = name.partition(" ")[2]
    if path.removeprefix("/api/v1/").startswith(ACCOUNT) or name == "PATCH /api/v1/user":
        return 403
    kind = "repository" if endpoint.door in ("registry", "repository") else "target"
    shown = (world.visibility, kind, world.name) if kind == "repository" else ("private", kind, "t-1")
    scopes = read_scopes(scope.format(team=world.team) for scope in SCOPES[which])
    whole = IDENTITIES[person]
    identity = Identity(whole.user_id, whole.name, whole.role, scopes=scopes)
    actions = allowed(identity, Resource(None, frozenset({person}) & frozenset(ROLES), *shown))
    return answer_to(endpoint, identity, actions)


@pytest.fixture(scope="module")
def shelf(hub: HubProcess, people: People) -> Iterator[dict[str, str]]:
    """Repositories of two namespaces of `own` in each visibility, all with one layer, and a target of each."""
    word = f"s{secrets.token_hex(4)}"
    own = people.user(word)
    people.user(f"{word}-other")
    client = Client(hub.url, word, PASSWORD)
    for namespace in (f"{word}-in", f"{word}-out"):
        people.namespace(namespace, own)
        for visibility in ("private", "internal", "public"):
            name = f"{namespace}/{visibility}"
            client.push_image(name, "v1", word.encode())
            people.run("UPDATE repositories SET visibility = :v WHERE name = :n", v=visibility, n=name)
        made = httpx.post(
            f"{hub.url}/api/v1/targets", json={"name": namespace, "namespace": namespace}, auth=(word, PASSWORD)
        )
        assert made.status_code == 201, made.text
    scopes = [f"repository:{word}-in/*:pull,push", f"repository:{word}-out/nothing:*", f"target:{word}-in:pull"]
    yield {"word": word, "token": people.token(own, scopes=scopes)}
    client.close()


def _seen(shelf: dict[str, str]) -> list[str]:
    word = shelf["word"]
    return [f"{word}-in/internal", f"{word}-in/private", f"{word}-in/public", f"{word}-out/public"]


def test_the_catalogs_show_what_the_token_is_for_and_what_is_public(http: httpx.Client, shelf: dict[str, str]) -> None:
    token, word = {"Authorization": f"Bearer {shelf['token']}"}, shelf["word"]
    for limit in (1, 2, 3, 100):
        found: list[str] = []
        after: str | None = ""
        while after is not None:
            query = {"limit": limit, "after": after, "q": word}
            page = http.get("/api/v1/repositories", params=query, headers=token).json()
            found += [one["name"] for one in page["repositories"]]
            after = page["next"]
        assert found == _seen(shelf)

    granted = http.get("/token", params={"scope": "registry:catalog:*"}, auth=("x", shelf["token"])).json()["token"]
    for limit in (1, 3, 1000):
        names: list[str] = []
        path = f"/v2/_catalog?n={limit}&last={word}"
        while path:
            answer = http.get(path, headers={"Authorization": f"Bearer {granted}"})
            names += answer.json()["repositories"]
            path = answer.links["next"]["url"] if "next" in answer.links else ""
        assert [name for name in names if name.startswith(word)] == _seen(shelf)


def test_lists_of_targets_are_narrowed(http: httpx.Client, shelf: dict[str, str]) -> None:
    token, word = {"Authorization": f"Bearer {shelf['token']}"}, shelf["word"]
    assert [one["name"] for one in http.get("/api/v1/targets", headers=token).json()["targets"]] == [f"{word}-in"]
    everything = http.get("/api/v1/targets", auth=(word, PASSWORD)).json()["targets"]
    assert [one["name"] for one in everything] == [f"{word}-in", f"{word}-out"]
    assert http.get(f"/api/v1/deployments?target={word}-out", headers=token).status_code == 404
    assert http.get("/api/v1/deployments", headers=token).json() == {"deployments": []}


def test_a_registry_token_is_as_narrow(http: httpx.Client, shelf: dict[str, str]) -> None:
    word = shelf["word"]
    names = ("in/private", "in/new", "out/private", "out/internal", "out/public", "out/nothing")
    asked = [f"repository:{word}-{name}:*" for name in names] + ["repository:*:pull", "repository:fresh/a:push"]
    login = {"scope": asked, "offline_token": "true"}
    first = http.get("/token", params=login, auth=("any", shelf["token"])).json()
    expected = {
        f"{word}-in/private": {"pull", "push"},
        f"{word}-in/new": {"pull", "push"},
        f"{word}-out/public": {"pull"},
        f"{word}-out/nothing": {"pull", "push", "delete"},
    }
    assert access_of(first["token"]) == expected
    again = http.post(
        "/token", data={"grant_type": "refresh_token", "refresh_token": first["refresh_token"], "scope": asked}
    )
    assert access_of(again.json()["access_token"]) == expected


def test_a_blob_is_mounted_only_from_where_the_token_reads(hub: HubProcess, shelf: dict[str, str]) -> None:
    word = shelf["word"]
    client = Client(hub.url, "any", shelf["token"])
    owner = Client(hub.url, word, PASSWORD)
    there = {part: owner.push_blob(f"{word}-{part}/private", secrets.token_bytes(8)) for part in ("in", "out")}
    path = f"/v2/{word}-in/new/blobs/uploads/"
    for part, source, status in (
        ("in", f"{word}-in/private", 201),
        ("out", f"{word}-out/private", 202),
        ("out", None, 202),
    ):
        query = {"mount": there[part]} | ({"from": source} if source else {})
        assert client.ask("POST", path, params=query).status_code == status, (part, source)
    client.close()
    owner.close()


def test_a_narrowed_token_is_shown_with_its_scopes(http: httpx.Client, people: People, word: str) -> None:
    people.user(word)
    ann = (word, PASSWORD)
    scopes = ["repository:edge/*:push,pull", "target:edge:*", "repository:edge/*:pull,push"]
    made = http.post("/api/v1/user/tokens", json={"name": "ci", "scopes": scopes}, auth=ann)
    expected = ["repository:edge/*:pull,push", "target:edge:configure,deploy,pull"]
    assert made.status_code == 201 and made.json()["scopes"] == expected
    (shown,) = http.get("/api/v1/user/tokens", auth=ann).json()["tokens"]
    assert shown["scopes"] == expected
    me = http.get("/api/v1/user", headers={"Authorization": f"Bearer {made.json()['token']}"}).json()
    assert (me["name"], me["scopes"]) == (word, expected)
    assert http.get("/api/v1/user", auth=ann).json()["scopes"] is None


@pytest.mark.parametrize(
    "scopes",
    [
        [],
        "repository:a/b:pull",
        [1],
        ["a/b"],
        ["repository:a/b"],
        ["repository::pull"],
        ["repository:a/b:"],
        ["repository:a/b:pull,"],
        ["repository:a/b:deploy"],
        ["repository:a/b:pull,*"],
        ["repository:a*b:pull"],
        ["repository:A/b:pull"],
        ["repository:a/\u0000:pull"],
        ["repository:a/\u2603:pull"],
        ["target:edge:push"],
        ["registry:catalog:*"],
        ["repository:a/" + "x" * 300 + ":pull"],
        [f"repository:a/{number}:pull" for number in range(21)],
        [f"repository:{'x' * 200}/{number}:pull" for number in range(10)],
    ],
    ids=str,
)
def test_bad_scopes_make_no_token(http: httpx.Client, people: People, scopes: object) -> None:
    people.user("ann")
    body = json.dumps({"name": "bad scopes", "scopes": scopes})
    answer = http.post("/api/v1/user/tokens", content=body, auth=("ann", PASSWORD))
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "bad_request"
    assert "scope" in answer.json()["error"]["message"] or "nobody can do" in answer.json()["error"]["message"]
    tokens = http.get("/api/v1/user/tokens", auth=("ann", PASSWORD)).json()["tokens"]
    assert "bad scopes" not in [token["name"] for token in tokens]


def test_the_longest_scopes_make_no_large_registry_token(http: httpx.Client, people: People, word: str) -> None:
    user = people.user(word)
    scopes = [f"repository:{word}/{'x' * 40}{number:02}/*:delete,pull,push" for number in range(16)]
    secret = people.token(user, scopes=scopes)
    asked = [f"repository:{word}/{'x' * 40}{number:02}/{'y' * 100}:*" for number in range(16)]
    token = http.get("/token", params={"scope": asked}, auth=(word, secret)).json()["token"]
    assert len(access_of(token)) >= 3
    assert len(token) < 8192


def test_scopes_follow_a_namespace_that_is_renamed(http: httpx.Client, people: People, hub: HubProcess) -> None:
    old, new = f"o{secrets.token_hex(4)}", f"n{secrets.token_hex(4)}"
    user = people.user(f"{old}-owner")
    space = people.namespace(old, user)
    owner = Client(hub.url, f"{old}-owner", PASSWORD)
    owner.push_image(f"{old}/a", "v1", b"layer")
    secret = people.token(user, scopes=[f"repository:{old}/*:pull"])
    client = Client(hub.url, "any", secret)
    before = client.token(f"repository:{old}/a:pull")
    rename_namespace(people.database, SYSTEM, space, new)
    assert http.get(f"/v2/{old}/a/manifests/v1", headers={"Authorization": f"Bearer {before}"}).status_code == 401
    for name in (old, new):
        token = {"Authorization": f"Bearer {client.token(f'repository:{name}/a:pull')}"}
        for path in ("manifests/v1", "tags/list"):
            assert http.get(f"/v2/{name}/a/{path}", headers=token).status_code == 200
        answer = http.get(f"/api/v1/repositories/{name}/a", headers={"Authorization": f"Bearer {secret}"})
        assert answer.json()["name"] == f"{new}/a"
    people.run("UPDATE access_tokens SET scopes = :s WHERE user_id = :u", s=f'["repository:{old}/*:pull"]', u=user)
    stale = {"Authorization": f"Bearer {client.token(f'repository:{old}/a:pull,push')}"}
    for path in ("manifests/v1", "tags/list"):
        assert http.get(f"/v2/{old}/a/{path}", headers=stale).status_code == 404
    for one in (owner, client):
        one.close()
