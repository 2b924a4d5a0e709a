"""Who sees what at /v2/: one table of callers, repositories and actions, as the server answers them."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import pytest

from tests.auth.people import PASSWORD, ClientOf, People
from tests.hub import HubProcess
from tests.oci import Client

# Repositories of the user `own`: three that are there, one that is not, one whose namespace is not there either.
PRIVATE, INTERNAL, PUBLIC, ABSENT, NOWHERE = "own/private", "own/internal", "own/public", "own/absent", "nowhere/absent"
EVERY = (PRIVATE, INTERNAL, PUBLIC, ABSENT, NOWHERE)


@dataclass(frozen=True)
class Answer:
    """What is compared of an answer."""

    status: int
    code: str | None
    scope: str | None
    error: str | None


def answer_of(response: httpx.Response) -> Answer:
    """What the table says of an answer."""
    challenge = response.headers.get("www-authenticate", "")
    words = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    assert (response.status_code == 401) == challenge.startswith("Bearer realm="), challenge
    code = response.json()["errors"][0]["code"] if response.status_code >= 400 else None
    return Answer(response.status_code, code, words.get("scope"), words.get("error"))


Ask = Callable[[str, str, str, str | None], httpx.Response]


@pytest.fixture(scope="module")
def world(hub: HubProcess, people: People) -> HubProcess:
    """The people and the repositories of the table."""
    people.user("own")
    people.user("stranger")
    people.user("watcher", role="auditor")
    client = Client(hub.url, "own", PASSWORD)
    for name in (PRIVATE, INTERNAL, PUBLIC):
        client.push_image(name, "v1", b"layer of " + name.encode())
        people.run("UPDATE repositories SET visibility = :v WHERE name = :n", v=name.partition("/")[2], n=name)
    client.http.close()
    return hub


@pytest.fixture
def ask(world: HubProcess, client_of: ClientOf) -> Ask:
    """A request: who, action, repository, and the scope of the token; no token at all with None."""

    def ask(who: str, action: str, name: str, scope: str | None) -> httpx.Response:
        client = client_of(who)
        headers = {"Authorization": f"Bearer {client.token(scope)}"} if scope is not None else {}
        if action == "push":
            return client.http.post(f"/v2/{name}/blobs/uploads/", headers=headers)
        return client.http.get(f"/v2/{name}/{'tags/list' if action == 'list' else 'manifests/v1'}", headers=headers)

    return ask


def challenged(name: str, actions: str, error: str | None = None) -> Answer:
    return Answer(401, "UNAUTHORIZED", f"repository:{name}:{actions}", error)


def test_the_base_wants_a_token_of_anybody(world: HubProcess) -> None:
    with httpx.Client(base_url=world.url, trust_env=False) as http:
        assert answer_of(http.get("/v2/")) == Answer(401, "UNAUTHORIZED", None, None)
        bad = http.get("/v2/", headers={"Authorization": "Bearer nonsense"})
        assert answer_of(bad) == Answer(401, "UNAUTHORIZED", None, "invalid_token")
        basic = http.get("/v2/", auth=("admin", world.admin_password))
        assert answer_of(basic).status == 401
        for auth in (None, ("stranger", PASSWORD)):
            token = http.get("/token", auth=auth).json()["token"]
            assert http.get("/v2/", headers={"Authorization": f"Bearer {token}"}).status_code == 200


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(("action", "needed"), [("pull", "pull"), ("list", "pull"), ("push", "pull,push")])
def test_no_or_bad_token(world: HubProcess, ask: Ask, action: str, needed: str, name: str) -> None:
    assert answer_of(ask("", action, name, None)) == challenged(name, needed)
    with httpx.Client(base_url=world.url, trust_env=False) as http:
        path = {"push": "blobs/uploads/", "list": "tags/list", "pull": "manifests/v1"}[action]
        bad = http.request(
            "POST" if action == "push" else "GET", f"/v2/{name}/{path}", headers={"Authorization": "Bearer a.b.c"}
        )
        assert answer_of(bad) == challenged(name, needed, "invalid_token")


@pytest.mark.parametrize("action", ["pull", "list", "push"])
@pytest.mark.parametrize("name", EVERY)
def test_anonymous_token(ask: Ask, action: str, name: str) -> None:
    found = ask("", action, name, f"repository:{name}:pull,push")
    if name == PUBLIC and action != "push":
        assert found.status_code == 200
    else:
        assert answer_of(found) == challenged(name, "pull,push" if action == "push" else "pull")


# who -> the repositories that they may pull, and those that they may push to
RIGHTS = {
    "own": ({PRIVATE, INTERNAL, PUBLIC, ABSENT}, {PRIVATE, INTERNAL, PUBLIC, ABSENT}),
    "admin": (set(EVERY), set(EVERY)),
    "stranger": ({INTERNAL, PUBLIC}, set()),
    "watcher": ({PRIVATE, INTERNAL, PUBLIC}, set()),
}


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("who", RIGHTS)
def test_signed_in(ask: Ask, who: str, name: str) -> None:
    there = name in (PRIVATE, INTERNAL, PUBLIC)
    pulls, pushes = (name in names for names in RIGHTS[who])
    scope = f"repository:{name}:pull,push"
    pull = ask(who, "pull", name, scope)

    if there and pulls:
        assert pull.status_code == 200
    else:
        nowhere = ask(who, "pull", "never/was", "repository:never/was:pull")
        assert pull.status_code == 404
        assert pull.content.replace(name.encode(), b"") == nowhere.content.replace(b"never/was", b"")
        drop = {"date", "content-length"}
        assert {k: v for k, v in pull.headers.items() if k not in drop} == {
            k: v for k, v in nowhere.headers.items() if k not in drop
        }

    # A push that is let through makes the repository; other rows need it absent.
    pushed = name if there or not pushes else f"{name.replace('nowhere', 'somewhere')}-{who}"
    push = ask(who, "push", pushed, f"repository:{pushed}:pull,push")
    if pushes:
        assert push.status_code == 202
    else:
        assert answer_of(push) == Answer(403, "DENIED", None, None)


@pytest.mark.parametrize(
    ("action", "scope", "needed"),
    [
        ("pull", "", "pull"),
        ("list", "repository:own/other:pull", "pull"),
        ("push", "repository:own/private:pull", "pull,push"),
    ],
)
def test_allowed_but_the_scope_is_too_narrow(ask: Ask, action: str, scope: str, needed: str) -> None:
    assert answer_of(ask("own", action, PRIVATE, scope)) == challenged(PRIVATE, needed, "insufficient_scope")
    assert answer_of(ask("own", action, PUBLIC, scope)) == challenged(PUBLIC, needed, "insufficient_scope")


@pytest.mark.parametrize("role", ["reader", "writer", "maintainer", "owner"])
def test_teams(ask: Ask, people: People, word: str, role: str) -> None:
    people.user(f"{word}-member")
    people.team(word, **{f"{word}-member": role})
    pushed = ask(f"{word}-member", "push", f"{word}/a", f"repository:{word}/a:pull,push")
    assert pushed.status_code == (403 if role == "reader" else 202)


def test_a_right_that_was_added_needs_a_new_token_and_no_more(client_of: ClientOf, people: People, word: str) -> None:
    user_id = people.user(word)
    client = client_of(word)
    scope = f"repository:{word}-plain/a:pull,push"
    before = {"Authorization": f"Bearer {client.token(scope)}"}
    people.namespace(f"{word}-plain", user_id)
    path = f"/v2/{word}-plain/a/blobs/uploads/"
    narrow = client.http.post(path, headers=before)
    assert answer_of(narrow) == challenged(f"{word}-plain/a", "pull,push", "insufficient_scope")
    assert client.http.post(path, headers={"Authorization": f"Bearer {client.token(scope)}"}).status_code == 202
